//! What comes in with dependencies: licences, sources and the crates that are kept out, by `deny.toml`, where `cargo
//! deny` is not installed. Only what is linked on Linux is looked at, as in the package that is deployed.

use std::{collections::HashSet, process::Command};

use serde_json::Value;

/// The words of the list `name` in `deny.toml`.
fn listed(name: &str) -> HashSet<String> {
    let text = include_str!("../../deny.toml");
    let start = text.find(&format!("\n{name} = [")).unwrap_or_else(|| panic!("deny.toml has no {name}"));
    let list = text[start..].split(']').next().unwrap_or_default();
    list.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Whether an SPDX expression can be met with `allowed` licences alone. Old manifests write `MIT/Apache-2.0`.
fn is_met(expression: &str, allowed: &HashSet<String>) -> bool {
    let expression = expression.replace('/', " OR ").replace(['(', ')'], " ");
    expression.split(" AND ").all(|part| {
        part.split(" OR ").any(|licence| {
            let licence = licence.split(" WITH ").next().unwrap_or_default().trim();
            allowed.contains(licence)
        })
    })
}

fn packages() -> Vec<Value> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--offline"])
        .args(["--filter-platform", "x86_64-unknown-linux-gnu"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    metadata["packages"].as_array().expect("a list").clone()
}

#[test]
fn licences_sources_and_crates_are_those_of_deny_toml() {
    let (allowed, registries, denied) = (listed("allow"), listed("allow-registry"), listed("deny"));
    assert!(allowed.contains("MIT") && denied.contains("openssl-sys") && registries.len() == 1);
    let packages = packages();
    assert!(packages.len() > 100, "{} packages", packages.len());
    for package in packages {
        let name = package["name"].as_str().expect("a name");
        assert!(!denied.contains(name), "{name} is kept out by deny.toml");
        let Some(source) = package["source"].as_str() else { continue };
        let registry = source.strip_prefix("registry+").unwrap_or(source);
        assert!(registries.contains(registry), "{name} comes from {source}");
        let licence = package["license"].as_str().unwrap_or_else(|| panic!("{name} names no licence"));
        assert!(
            is_met(licence, &allowed),
            "{name} has the licence {licence}, which deny.toml does not allow"
        );
    }
}

#[test]
fn licences_are_read_as_they_are_meant() {
    let allowed = HashSet::from(["MIT".to_owned(), "Apache-2.0".to_owned(), "ISC".to_owned()]);
    for (expression, met) in [
        ("MIT", true),
        ("MIT/Apache-2.0", true),
        ("GPL-3.0 OR MIT", true),
        ("Apache-2.0 WITH LLVM-exception", true),
        ("ISC AND (Apache-2.0 OR ISC)", true),
        ("MIT AND GPL-3.0", false),
        ("MPL-2.0", false),
    ] {
        assert_eq!(is_met(expression, &allowed), met, "{expression}");
    }
}

/// What .cargo/config.toml leaves out of rustls's cryptography, which takes 20 ms of CPU for each process. These tests
/// link the same cryptography, with the names of its functions.
#[cfg(target_os = "linux")]
#[test]
fn random_numbers_come_from_the_operating_system_alone() {
    let program = std::fs::read(std::env::current_exe().expect("this executable")).expect("it can be read");
    // Put together here, because what is written out stands in the executable as well.
    let has = |name: [&str; 2]| {
        let name = name.join("_").into_bytes();
        program.windows(name.len()).any(|part| part == name)
    };
    assert!(has(["RAND", "bytes"]), "the cryptography is linked, with its names");
    assert!(!has(["jent", "read_entropy"]), "aws-lc measures the processor's jitter: see .cargo/config.toml");
}
