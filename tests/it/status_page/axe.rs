//! The pages under axe-core, the checker of the rules of WCAG that a program can check.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::harness::node::{install, missing};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/axe");

/// What axe-core objects to in these pages, in words; empty if nothing.
pub fn violations(pages: &[PathBuf]) -> String {
    install(Path::new(FOLDER));
    let run = Command::new("node").arg("axe.mjs").args(pages).current_dir(FOLDER).output();
    let run = run.unwrap_or_else(|error| panic!("{}", missing("node", &error)));
    let said = [run.stdout, run.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(run.status.success() || !said.is_empty(), "axe-core ended without a word");
    if run.status.success() { String::new() } else { said }
}

/// A checker that finds nothing in a page that is full of faults would prove nothing.
#[test]
fn axe_core_finds_what_is_wrong() {
    let page = "<!doctype html>\n<html><head><meta http-equiv=\"refresh\" content=\"60\"></head><body>\
        <h1>A</h1><h3>B</h3><img src=\"x\"><svg role=\"img\"></svg><a href=\"?\"></a><input>\
        <table><tr><th></th></tr></table></body></html>";
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("wrong.html");
    std::fs::write(&file, page).unwrap();
    let found = violations(&[file]);
    for rule in ["meta-refresh", "image-alt", "svg-img-alt", "link-name", "label", "html-has-lang"] {
        assert!(found.contains(&format!("{rule}: ")), "{rule} is not among {found}");
    }
}
