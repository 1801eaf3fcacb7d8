//! The executable as it is released: static, and the same from every checkout.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use package_function::EXECUTABLE;
use serde_json::Value;

/// Named although it is this machine's: without it build scripts and macros would be linked statically too, and
/// macros cannot be.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Builds the workspace under `root` and says where the executable lies.
pub fn build(root: &Path) -> Result<PathBuf> {
    ensure!(
        cfg!(all(target_os = "linux", target_arch = "x86_64")),
        "the package is built on Linux on x86-64, because the function app runs there; elsewhere, build it in a container \
         or take it from a release"
    );
    let target_folder = target_folder(root)?;
    // Panics and errors name source files. Where these lie on this machine must not show. The last prefix that fits
    // counts, and the folder of what is built usually lies within the checkout.
    let mut flags = vec![OsString::from("-Ctarget-feature=+crt-static")];
    let places = [(cargo_home()?, "/cargo"), (root.into(), "/mati-sync"), (target_folder.clone(), "/target")];
    for (place, name) in places {
        let mut flag = OsString::from("--remap-path-prefix=");
        flag.push(place);
        flag.push("=");
        flag.push(name);
        flags.push(flag);
    }
    // Unlike RUSTFLAGS this form takes paths with spaces, and it wins over flags that somebody set for themselves.
    let built = cargo(root)
        .args(["build", "--release", "--locked", "--target", TARGET])
        .args(["--package", EXECUTABLE, "--bin", EXECUTABLE])
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join(&OsString::from("\u{1f}")))
        .status()
        .context("cargo")?;
    ensure!(built.success(), "{EXECUTABLE} could not be built");
    Ok(target_folder.join(TARGET).join("release").join(EXECUTABLE))
}

fn cargo(root: &Path) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root);
    command
}

/// Where cargo puts what it builds: that is for its configuration to say.
fn target_folder(root: &Path) -> Result<PathBuf> {
    let output = cargo(root)
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .stderr(Stdio::inherit())
        .output()
        .context("cargo")?;
    ensure!(output.status.success(), "cargo metadata failed");
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    Ok(metadata["target_directory"].as_str().context("cargo metadata names no target_directory")?.into())
}

/// Where the sources of the dependencies lie.
fn cargo_home() -> Result<PathBuf> {
    let named = env::var_os("CARGO_HOME").map(PathBuf::from);
    named.or_else(|| Some(env::home_dir()?.join(".cargo"))).context("neither CARGO_HOME nor a home is known")
}
