//! What goes into the package is what .funcignore leaves over, and never more than a function app is.

use std::{fs, path::Path};

use package_function::contents::contents;
use tempfile::TempDir;

/// A small function app in a checkout, with `files` beside it.
fn app(files: &[&str]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let own = [".funcignore", "host.json", "Tick/function.json", "src/main.rs", "target/debug/mati-sync"];
    for name in own.iter().chain(files) {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "{}").unwrap();
    }
    fs::write(folder.path().join(".funcignore"), "# not this\n.funcignore\nsrc\ntarget\n*.settings.json\n")
        .unwrap();
    folder
}

fn rejection(folder: &TempDir) -> String {
    contents(folder.path()).unwrap_err().to_string()
}

/// .funcignore speaks for the host's own tools, the packer knows what a function app is: here they agree.
#[test]
fn of_this_repository_host_json_the_functions_and_the_licences_go_in() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let expected = [
        "LICENSE",
        "NOTICE",
        "Status/function.json",
        "SyncContinue/function.json",
        "SyncNow/function.json",
        "SyncTimer/function.json",
        "THIRD-PARTY.txt",
        "host.json",
    ];
    assert_eq!(contents(&root).unwrap(), expected);
}

#[test]
fn the_licences_alone_are_no_app() {
    let folder = app(&["LICENSE", "NOTICE", "THIRD-PARTY.txt"]);
    fs::remove_dir_all(folder.path().join("Tick")).unwrap();
    assert!(rejection(&folder).contains("no function"));
}

#[test]
fn what_is_ignored_stays_behind() {
    let folder = app(&["local.settings.json", "src/deep/down.rs"]);
    assert_eq!(contents(folder.path()).unwrap(), ["Tick/function.json", "host.json"]);
}

#[test]
fn an_executable_beside_host_json_is_not_taken_for_a_stray_file() {
    let folder = app(&["mati-sync"]);
    assert_eq!(contents(folder.path()).unwrap(), ["Tick/function.json", "host.json"]);
}

#[test]
fn a_file_that_nobody_thought_of_is_an_error() {
    for stray in [".env", "notes.txt", "Tick/password", "Tick/deeper/function.json", "function.json"] {
        let rejection = rejection(&app(&[stray]));
        assert!(rejection.starts_with(stray) && rejection.contains(".funcignore"), "{rejection}");
    }
}

#[cfg(unix)]
#[test]
fn a_link_is_not_followed() {
    let folder = app(&[]);
    std::os::unix::fs::symlink("/etc/passwd", folder.path().join("Tick/passwd")).unwrap();
    assert!(rejection(&folder).starts_with("Tick/passwd"));
}

#[test]
fn half_an_app_is_an_error() {
    let parts = [
        (".funcignore", ".funcignore"),
        ("host.json", "no host.json"),
        ("Tick/function.json", "no function"),
    ];
    for (missing, said) in parts {
        let folder = app(&[]);
        fs::remove_file(folder.path().join(missing)).unwrap();
        let rejection = rejection(&folder);
        assert!(rejection.contains(said), "{rejection}");
    }
}
