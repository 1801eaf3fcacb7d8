//! The structure of the source tree, held against ARCHITECTURE.md: who imports whom, no circles, products named only where
//! they belong, and a domain that is pure.

use std::{collections::BTreeMap, path::Path};

use crate::tidy::{ROOT, code, read, sources, words};

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
            let is_below = below.iter().any(|row| is_within(import, row));
            assert!(is_below, "{module} may import {import}, which does not stand above it");
        }
        below.push(module);
    }

    let allowed: BTreeMap<&str, &Vec<String>> =
        table.iter().map(|(module, may)| (module.as_str(), may)).collect();
    // The row that a path belongs to: a part with a row of its own, such as a single source, is no part of the whole.
    let row = |path: &str| {
        let rows = table.iter().map(|(module, _)| module.as_str());
        rows.filter(|module| is_within(path, module)).max_by_key(|module| module.len())
    };
    let mut violations = Vec::new();
    for file in sources() {
        let own = module_of(&file);
        // They put everything together.
        if ["app", "", "main", "program"].contains(&own.as_str()) || is_within(&own, "app") {
            continue;
        }
        let module = row(&own).unwrap_or_else(|| panic!("{own} is not in the table of ARCHITECTURE.md"));
        let code = code(&file);
        // These would lead out of the module past the table.
        let ways_out = if own == module {
            code.matches("super::").count() - code.matches("super::*").count()
        } else {
            0
        };
        if ways_out > 0 || code.contains("super::super::") {
            violations.push(format!("{file} goes up by super::; write crate::"));
        }
        for path in imports(&code) {
            let target = row(&path);
            let is_allowed = allowed[module]
                .iter()
                .any(|prefix| is_within(&path, prefix) && (target == row(prefix) || target == Some(prefix)));
            if target != Some(module) && !is_allowed {
                violations.push(format!("{file} imports {path}"));
            }
        }
    }
    assert!(violations.is_empty(), "not in the table of ARCHITECTURE.md:\n{}", violations.join("\n"));
}

/// Whether a path leads into a module, or is it.
fn is_within(path: &str, module: &str) -> bool {
    path.strip_prefix(module).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// The module that a file is: `src/pass/lane.rs` is `pass::lane`, the crate's root is empty.
fn module_of(file: &str) -> String {
    let path = file["src/".len()..].trim_end_matches(".rs").replace('/', "::");
    let path = path.strip_suffix("::mod").unwrap_or(&path);
    if path == "lib" { String::new() } else { path.to_owned() }
}

/// The modules that a file names: by `crate::`, and by `super::` and `self::` from where it stands.
fn named(file: &str) -> Vec<String> {
    let (own, code) = (module_of(file), code(file));
    // What stands in test modules below a file does not make it depend on anything.
    let code = code.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let above = own.rsplit_once("::").map_or("", |(above, _)| above);
    let mut paths = imports(code);
    for (word, place) in [("super::", above), ("self::", &own)] {
        for (at, found) in code.match_indices(word) {
            let before = code[..at].chars().next_back();
            // `a::self` ends a list, and `foo_super::` is another word.
            if before.is_none_or(|before| !before.is_alphanumeric() && !matches!(before, '_' | ':')) {
                take_apart(format!("{place}::"), &code[at + found.len()..], &mut paths);
            }
        }
    }
    paths
}

#[test]
fn no_circle_leads_through_the_files_of_a_folder() {
    let files = sources();
    let modules: Vec<String> = files.iter().map(|file| module_of(file)).collect();
    let mut edges: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (file, own) in files.iter().zip(&modules) {
        for path in named(file) {
            let target = modules.iter().filter(|module| is_within(&path, module)).max_by_key(|m| m.len());
            let Some(target) = target.filter(|target| *target != own) else { continue };
            // The root of a folder holds its parts together: it names them, and they name what it declares.
            let is_root = is_within(own, target) || is_within(target, own);
            if !is_root && !target.is_empty() {
                edges.entry(own).or_default().push(target);
            }
        }
    }
    let mut circles = Vec::new();
    for start in edges.keys() {
        // Every module that can be reached from here; a circle leads back.
        let (mut seen, mut open) = (Vec::new(), edges[start].clone());
        while let Some(next) = open.pop() {
            if !seen.contains(&next) {
                seen.push(next);
                open.extend(edges.get(next).into_iter().flatten());
            }
        }
        if seen.contains(start) {
            let on_it = |module: &&&str| edges.contains_key(**module) && reaches(&edges, module, start);
            circles.push(format!("{start} → {:?}", edges[start].iter().filter(on_it).collect::<Vec<_>>()));
        }
    }
    assert!(circles.is_empty(), "circles of imports:\n{}", circles.join("\n"));
}

fn reaches(edges: &BTreeMap<&str, Vec<&str>>, from: &str, to: &str) -> bool {
    let (mut seen, mut open) = (Vec::new(), vec![from]);
    while let Some(next) = open.pop() {
        if next == to {
            return true;
        }
        if !seen.contains(&next) {
            seen.push(next);
            open.extend(edges.get(next).into_iter().flatten());
        }
    }
    false
}

/// ARCHITECTURE.md, from a heading to the next.
fn section(heading: &str) -> String {
    let text = read("ARCHITECTURE.md");
    let (_, rest) = text.split_once(&format!("\n## {heading}\n")).expect("the section");
    rest.split("\n## ").next().unwrap().to_owned()
}

/// What a paragraph of "How to add" puts in backticks and is a path of `src/`, with the product's name put in.
fn touched(paragraph: &str, product: &str) -> Vec<String> {
    let ticked = paragraph.split('`').skip(1).step_by(2).map(|path| path.replace("<name>", product));
    ticked.filter(|path| path.starts_with("src/")).collect()
}

#[test]
fn a_product_is_named_only_where_architecture_md_says() {
    const PRODUCTS: [(&str, &str, &[&str]); 4] = [
        ("**A source**", "mandiant", &["mandiant", "mati"]),
        ("**A source**", "gti", &["gti"]),
        ("**A destination**", "sentinel", &["sentinel"]),
        ("**A destination**", "defender", &["defender"]),
    ];
    let section = section("How to add a destination or a source");
    for (start, product, names) in PRODUCTS {
        let paragraph = section.split("\n\n").find(|paragraph| paragraph.starts_with(start)).expect(start);
        let touched = touched(paragraph, product);
        assert!(touched.len() > 3, "{paragraph}");
        for path in &touched {
            assert!(Path::new(ROOT).join(path).exists(), "{path} does not exist");
        }
        for file in sources().into_iter().filter(|file| !touched.iter().any(|path| file.starts_with(path))) {
            let code = without_texts(&code(&file));
            let parts = words(&code).flat_map(|word| word.split('_')).flat_map(capitalised_parts);
            let found: Vec<String> = parts.filter(|part| names.contains(&part.as_str())).collect();
            assert!(found.is_empty(), "{file} names {product}: {found:?}");
        }
    }
}

/// The parts of `SentinelSettings`, in lower case.
fn capitalised_parts(word: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    for character in word.chars() {
        if character.is_uppercase() && parts.last().is_some_and(|part| !part.is_empty()) {
            parts.push(String::new());
        }
        parts.last_mut().unwrap().extend(character.to_lowercase());
    }
    parts
}

/// Code without what stands in string literals, and without its unit tests.
fn without_texts(code: &str) -> String {
    let code = code.split("#[cfg(test)]\nmod tests").next().unwrap();
    // `mati_sync` is our own name.
    let code = code.replace("\\\"", "").replace("mati_sync", "");
    code.split('"').step_by(2).collect::<Vec<_>>().join("\"")
}

#[test]
fn the_glossary_has_at_most_twenty_five_entries() {
    let rows = section("Glossary").lines().filter(|line| line.starts_with("| ")).count() - 1;
    assert!((15..=25).contains(&rows), "{rows} entries");
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
