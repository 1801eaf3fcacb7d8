//! The program, the stand-ins and the tools build on Linux, macOS and Windows: what only some systems have stands under
//! a condition. The public workflow builds them there; this test finds the same on the machine where the code is written.

use std::{collections::HashSet, fs, path::Path};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// What only some systems have, and the condition under which it may be named.
const ONLY: [(&str, &[&str]); 2] = [
    (
        "#[cfg(unix)]",
        &[
            "os::unix",
            "os::linux",
            "os::macos",
            "os::fd",
            "signal::unix",
            "UnixListener",
            "UnixStream",
            "nix::",
            "libc::",
            "rustix::",
            "signal_hook::",
            "\"/dev/",
            "\"/proc/",
            "\"/tmp",
        ],
    ),
    ("#[cfg(windows)]", &["os::windows", "signal::windows", "windows_sys::", "winapi::"]),
];

/// Crates that some systems cannot compile.
const CRATES: [&str; 6] = ["nix", "libc", "rustix", "signal-hook", "windows-sys", "winapi"];

fn read(name: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Takes the items under an attribute out of a source: the source without them, and the items.
fn take_out(source: &str, attribute: &str) -> (String, Vec<String>) {
    let (mut rest, mut kept, mut items) = (source, String::new(), Vec::new());
    while let Some(at) = rest.find(attribute) {
        kept.push_str(&rest[..at]);
        let (mut depth, mut end) = (0_usize, rest.len());
        for (place, character) in rest.char_indices().skip_while(|(place, _)| *place < at + attribute.len()) {
            match character {
                '{' | '(' | '[' => depth += 1,
                '}' | ')' | ']' => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth == 0 && matches!(character, '}' | ';') {
                end = place + 1;
                break;
            }
        }
        items.push(rest[at..end].to_owned());
        rest = &rest[end..];
    }
    (kept + rest, items)
}

/// The files whose modules `items` declare, seen from the file `name`.
fn declared(name: &str, items: &[String]) -> Vec<String> {
    let (folder, file) = name.rsplit_once('/').unwrap_or(("", name));
    let folder = match file {
        "mod.rs" | "lib.rs" | "main.rs" => folder.to_owned(),
        _ => format!("{folder}/{}", file.trim_end_matches(".rs")),
    };
    let modules = items.iter().filter_map(|item| item.split_once("mod ")?.1.strip_suffix(';'));
    modules.map(|module| format!("{folder}/{module}.rs")).collect()
}

/// What of the sources is named without its condition.
fn unconditional(sources: &[(String, String)]) -> Vec<String> {
    let mut found = Vec::new();
    for (condition, names) in ONLY {
        let conditional: HashSet<String> = sources
            .iter()
            .flat_map(|(file, source)| declared(file, &take_out(source, condition).1))
            .collect();
        for (file, source) in sources.iter().filter(|(file, _)| !conditional.contains(file)) {
            let (kept, _) = take_out(source, condition);
            let lines = kept.lines().filter(|line| !line.trim_start().starts_with("//"));
            for line in lines {
                // A path or a text begins with the name, or the name follows `::`: `unix::` also ends in `nix::`.
                let is_named = names.iter().any(|name| {
                    line.match_indices(name).any(|(at, _)| {
                        !line[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_')
                    })
                });
                if is_named {
                    found.push(format!("{file}: without {condition}: {}", line.trim()));
                }
            }
        }
    }
    found
}

/// Everything that is built for a user or by `cargo build`, without its tests.
fn sources() -> Vec<(String, String)> {
    let is_built = |name: &String| {
        let is_ours = name.starts_with("src/")
            || name.starts_with("tests/sandbox/src/")
            || name.starts_with("tools/") && name.contains("/src/");
        // A file of tests is declared under #[cfg(test)], and stands beside what it tests.
        let is_test = name.ends_with("/tests.rs") || name.contains("/src/") && name.contains("/tests/mod.rs");
        name.ends_with(".rs") && is_ours && !is_test
    };
    let files = crate::tidy::files().into_iter().filter(is_built);
    files.map(|name| (name.clone(), take_out(&read(&name), "#[cfg(test)]").0)).collect()
}

#[test]
fn nothing_that_only_some_systems_have_is_named_without_a_condition() {
    let sources = sources();
    for needed in ["src/main.rs", "src/process/unix.rs", "tools/announce/src/main.rs"] {
        assert!(sources.iter().any(|(name, _)| name == needed), "{needed} was not looked at");
    }
    let found = unconditional(&sources);
    assert!(found.is_empty(), "this does not compile on every system:\n{}", found.join("\n"));
}

#[test]
fn what_lacks_its_condition_is_found() {
    let found = |text: &str| unconditional(&[("src/a/mod.rs".to_owned(), text.to_owned())]).len();
    for without in [
        "use std::os::unix::process::CommandExt;",
        "use std::{\n    io,\n    os::unix::process::parent_id,\n};",
        "use tokio::{\n    signal::unix::{SignalKind, signal},\n};",
        "let x = libc::getppid();",
        "fn f() {\n    std::os::windows::x();\n}",
        "#[cfg(unix)]\nuse a;\nuse std::os::unix::b;",
        "#[cfg(windows)]\nuse std::os::unix::b;",
        "let path = \"/proc/self\";",
    ] {
        assert_eq!(found(without), 1, "{without}");
    }
    for with in [
        "#[cfg(unix)]\nuse std::os::unix::{a, b};\nuse c;",
        "#[cfg(unix)]\nfn f() {\n    if x { std::os::unix::y(); }\n    libc::z();\n}\nfn g() {}",
        "#[cfg(windows)]\nuse std::os::windows::x;",
        "// std::os::unix is not here",
        "let address = url::host(\"http://a/dev/\");",
    ] {
        assert_eq!(found(with), 0, "{with}");
    }
    let module = ("src/a/unix.rs".to_owned(), "use std::os::unix::x;".to_owned());
    let declaring = |text: &str| [("src/a/mod.rs".to_owned(), text.to_owned()), module.clone()];
    assert_eq!(unconditional(&declaring("#[cfg(unix)]\nmod unix;")).len(), 0);
    assert_eq!(unconditional(&declaring("mod unix;")).len(), 1);
}

#[test]
fn crates_that_only_some_systems_compile_are_asked_for_there_alone() {
    for manifest in crate::tidy::files().into_iter().filter(|name| name.ends_with("Cargo.toml")) {
        let text = read(&manifest);
        for section in text.split("\n[").filter(|section| !section.starts_with("target.")) {
            let names = section.lines().filter_map(|line| line.split_once(" = "));
            for (name, _) in names {
                assert!(!CRATES.contains(&name), "{manifest} needs {name} on every system");
            }
        }
    }
}

#[test]
fn the_public_workflow_builds_on_every_system() {
    let workflow = read(".github/workflows/ci.yml");
    for system in ["windows-latest", "macos-latest", "cargo build --workspace"] {
        assert!(workflow.contains(system), "ci.yml lacks {system}");
    }
}
