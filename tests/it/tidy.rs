//! What no compiler checks: how long files grow, and that nothing unfinished stays behind.

use std::{fs, path::Path};

pub const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Every file of the repository, tracked or about to be, relative to its root.
pub fn files() -> Vec<String> {
    let files = sandbox::tree::files(Path::new(ROOT));
    assert!(
        files.iter().any(|name| name == "tests/it/tidy.rs"),
        "the walk did not find this file: {files:?}"
    );
    files
}

pub fn read(name: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// A file without the lines that are comments.
pub fn code(name: &str) -> String {
    read(name).lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

pub fn sources() -> Vec<String> {
    files().into_iter().filter(|name| name.starts_with("src/") && name.ends_with(".rs")).collect()
}

/// The words of `text`, as Rust forms them.
pub fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|character: char| !character.is_alphanumeric() && character != '_')
}

#[test]
fn files_are_short_enough_to_read() {
    const LIMIT: usize = 400;
    for file in files().into_iter().filter(|name| name.ends_with(".rs")) {
        let lines = read(&file).lines().count();
        assert!(lines <= LIMIT, "{file} has {lines} lines: cut it along its ideas");
    }
}

/// The tests name the component, the pass or the operator, and no persons that are not there.
#[test]
fn the_tests_name_who_does_something() {
    const VAGUE: [&str; 4] =
        [concat!("no", "body"), concat!("some", "body"), concat!("any", "body"), concat!("who", "ever")];
    for file in files().into_iter().filter(|name| name.starts_with("tests/") && name.ends_with(".rs")) {
        for (number, line) in (1..).zip(read(&file).lines()) {
            let lower = line.to_lowercase();
            let vague = words(&lower).find(|word| VAGUE.contains(word));
            assert_eq!(vague, None, "{file}:{number}: {line}");
        }
    }
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
