//! What no compiler checks: who imports whom, how long files grow, and that nothing unfinished stays behind.

use std::{collections::BTreeMap, fs, path::Path};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Every file of the repository, tracked or about to be, relative to its root.
pub fn files() -> Vec<String> {
    let files = sandbox::tree::files(Path::new(ROOT));
    assert!(
        files.iter().any(|name| name == "tests/it/tidy.rs"),
        "the walk did not find this file: {files:?}"
    );
    files
}

fn read(name: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// A file without the lines that are comments.
fn code(name: &str) -> String {
    read(name).lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

fn sources() -> Vec<String> {
    files().into_iter().filter(|name| name.starts_with("src/") && name.ends_with(".rs")).collect()
}

/// The words of `text`, as Rust forms them.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|character: char| !character.is_alphanumeric() && character != '_')
}

/// ARCHITECTURE.md's table: a module and what it may import, each row above those that may import it.
fn import_table() -> Vec<(String, Vec<String>)> {
    let text = read("ARCHITECTURE.md");
    let rows = text.lines().skip_while(|line| *line != "| module | may import |").skip(2);
    let ticked = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    let mut table = Vec::new();
    for row in rows.take_while(|line| line.starts_with('|')) {
        let (modules, imports) = row.trim_matches('|').split_once('|').expect("two cells");
        table.extend(ticked(modules).into_iter().map(|module| (module, ticked(imports))));
    }
    assert!(table.len() > 10, "the table of ARCHITECTURE.md was not found: {table:?}");
    table
}

/// Every path that begins with `crate::`, without that; braces taken apart.
fn imports(code: &str) -> Vec<String> {
    let mut paths = Vec::new();
    for (at, found) in code.match_indices("crate::") {
        take_apart(String::new(), &code[at + found.len()..], &mut paths);
    }
    paths
}

fn take_apart(before: String, text: &str, paths: &mut Vec<String>) {
    let text = text.trim_start();
    if let Some(list) = text.strip_prefix('{') {
        items(list).into_iter().for_each(|item| take_apart(before.clone(), item, paths));
        return;
    }
    let Some(name) = words(text).next().filter(|name| !name.is_empty()) else { return };
    let path = before + name;
    match text[name.len()..].strip_prefix("::") {
        Some(rest) => take_apart(path + "::", rest, paths),
        None => paths.push(path),
    }
}

/// What stands between the commas of a list, up to the brace that closes it.
fn items(list: &str) -> Vec<&str> {
    let (mut items, mut start, mut depth) = (Vec::new(), 0, 0);
    for (at, character) in list.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                items.push(&list[start..at]);
                start = at + 1;
                if character == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    items
}

#[test]
fn imports_are_taken_apart() {
    let code = "use crate::{\n    clock::{Deadline, SharedClock},\n    state::lane::{self, LaneState},\n};\nlet x = crate::http::error::chain(e);";
    let paths = imports(code);
    let expected = [
        "clock::Deadline",
        "clock::SharedClock",
        "state::lane::self",
        "state::lane::LaneState",
        "http::error::chain",
    ];
    assert_eq!(paths, expected);
}

#[test]
fn modules_import_only_what_architecture_md_says() {
    let table = import_table();
    let mut below: Vec<&str> = Vec::new();
    for (module, imports) in &table {
        for import in imports {
            let whole = import.split("::").next().unwrap();
            assert!(below.contains(&whole), "{module} may import {import}, which does not stand above it");
        }
        below.push(module);
    }

    let allowed: BTreeMap<&str, &Vec<String>> =
        table.iter().map(|(module, may)| (module.as_str(), may)).collect();
    let mut violations = Vec::new();
    for file in sources() {
        let module = file["src/".len()..].trim_end_matches(".rs").split('/').next().unwrap();
        // They put everything together.
        if ["app", "lib", "main"].contains(&module) {
            continue;
        }
        let may =
            allowed.get(module).unwrap_or_else(|| panic!("{module} is not in the table of ARCHITECTURE.md"));
        let code = code(&file);
        // These would lead out of the module past the table.
        let is_root = file.ends_with("/mod.rs") || file.matches('/').count() == 1;
        let ways_out =
            if is_root { code.matches("super::").count() - code.matches("super::*").count() } else { 0 };
        if ways_out > 0 || code.contains("super::super::") {
            violations.push(format!("{file} goes up by super::; write crate::"));
        }
        for path in imports(&code) {
            let is_own = path.split("::").next() == Some(module);
            let is_allowed = may.iter().any(|prefix| {
                path.strip_prefix(prefix.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
            });
            if !is_own && !is_allowed {
                violations.push(format!("{file} imports {path}"));
            }
        }
    }
    assert!(violations.is_empty(), "not in the table of ARCHITECTURE.md:\n{}", violations.join("\n"));
}

#[test]
fn the_domain_waits_for_nothing_and_asks_nobody() {
    const OUTSIDE: &[&str] = &[
        "async",
        "await",
        "axum",
        "env",
        "fs",
        "Instant",
        "reqwest",
        "SystemTime",
        "SystemClock",
        "tokio",
        "tracing",
    ];
    for file in sources().into_iter().filter(|name| name.starts_with("src/domain/")) {
        let code = code(&file);
        for word in words(&code) {
            assert!(!OUTSIDE.contains(&word), "{file} names {word}");
        }
        assert!(!code.contains("Utc::now"), "{file} asks for the time");
    }
}

#[test]
fn files_are_short_enough_to_read() {
    const LIMIT: usize = 400;
    /// Longer ones, each with its reason.
    const LONGER: &[(&str, &str)] = &[];
    let files: Vec<String> = files().into_iter().filter(|name| name.ends_with(".rs")).collect();
    for file in &files {
        let lines = read(file).lines().count();
        let is_named = LONGER.iter().any(|(name, _)| name == file);
        assert_eq!(
            lines > LIMIT,
            is_named,
            "{file} has {lines} lines: cut it along its ideas, or mend the list"
        );
    }
    assert!(LONGER.len() * 10 <= files.len(), "more than one file in ten is longer than {LIMIT} lines");
}

#[test]
fn nothing_unfinished_stays_behind() {
    /// In pieces, so that this file does not find itself.
    const MARKS: &[&str] = &[
        concat!("to", "do!"),
        concat!("unimple", "mented!"),
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("db", "g!("),
        concat!("#[ig", "nore"),
    ];
    let mut found = Vec::new();
    for file in files().into_iter().filter(|name| !name.ends_with("lock.json") && !name.ends_with(".lock")) {
        let bytes = fs::read(Path::new(ROOT).join(&file)).expect("it was just listed");
        let Ok(text) = String::from_utf8(bytes) else { continue };
        for (number, line) in text.lines().enumerate() {
            let marks = MARKS.iter().filter(|mark| line.contains(**mark));
            found.extend(marks.map(|mark| format!("{file}:{}: {mark}", number + 1)));
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn the_program_knows_nothing_of_planted_defects() {
    for file in sources() {
        let text = read(&file);
        assert!(
            !words(&text).any(|word| word == "planted"),
            "{file}: planted defects belong to tests/defects"
        );
    }
}

#[test]
fn links_within_the_documents_lead_somewhere() {
    for file in files().into_iter().filter(|name| name.ends_with(".md")) {
        let text = read(&file);
        let folder = Path::new(ROOT).join(&file).parent().expect("a file has a folder").to_owned();
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for target in targets.filter(|target| !target.contains("://")) {
            let (path, heading) = target.split_once('#').unwrap_or((target, ""));
            let whole = if path.is_empty() { Path::new(ROOT).join(&file) } else { folder.join(path) };
            assert!(whole.exists(), "{file} links to {target}");
            let anchors = |text: &str| {
                text.lines().filter(|line| line.starts_with('#')).map(anchor).collect::<Vec<_>>()
            };
            if !heading.is_empty() {
                let there = fs::read_to_string(&whole).expect("a heading is linked in a text");
                assert!(anchors(&there).iter().any(|anchor| anchor == heading), "{file} links to {target}");
            }
        }
    }
}

#[test]
fn every_dependency_has_its_reason() {
    let architecture = read("ARCHITECTURE.md");
    let (_, reasons) = architecture.split_once("## Dependencies").expect("the section");
    let manifest = read("Cargo.toml");
    let sections =
        manifest.split("\n[").filter(|section| section.split(']').next().unwrap().ends_with("dependencies"));
    let names = sections.flat_map(|section| section.lines().filter_map(|line| line.split_once(" = ")));
    for (name, _) in names {
        assert!(reasons.contains(&format!("`{name}`")), "ARCHITECTURE.md gives no reason for {name}");
    }
}

/// A heading's address, as GitHub forms it.
fn anchor(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept =
        text.chars().filter(|character| character.is_alphanumeric() || matches!(character, ' ' | '-' | '_'));
    kept.map(|character| if character == ' ' { '-' } else { character }).collect()
}
