//! A planted defect as its file describes it, and its edits applied to the program's text.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, Result, bail, ensure};

/// Where the defects stand, relative to the root.
pub const FOLDER: &str = "tests/defects";

/// One file of `tests/defects`.
pub struct Defect {
    pub name: String,
    /// What is wrong, in plain words.
    pub summary: String,
    /// The tests that must find it.
    pub found_by: Vec<String>,
    pub edits: Vec<Edit>,
}

/// A text that stands exactly once in a file, and what takes its place.
#[derive(Debug, PartialEq, Eq)]
pub struct Edit {
    pub path: String,
    pub find: String,
    pub replacement: String,
}

impl Defect {
    /// Reads every defect beneath `root`, in the order of their names.
    pub fn all(root: &Path) -> Result<Vec<Self>> {
        let folder = root.join(FOLDER);
        let mut defects = Vec::new();
        for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "txt") {
                let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
                defects.push(Self::parse(&name, &text).with_context(|| path.display().to_string())?);
            }
        }
        defects.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(defects)
    }

    fn parse(name: &str, text: &str) -> Result<Self> {
        let (mut summary, mut found_by, mut edits) = (Vec::new(), Vec::new(), Vec::new());
        // Of the edit that is being read: its path, the lines to find, the lines to put there.
        let mut current: Option<(&str, Vec<&str>, Vec<&str>)> = None;
        for (number, line) in (1..).zip(text.lines()) {
            let first = line.chars().next();
            match (first, &mut current) {
                (Some('@'), _) => {
                    let path =
                        line.strip_prefix("@@ ").with_context(|| format!("line {number}: `@@ path`"))?;
                    edits.extend(current.replace((path.trim(), Vec::new(), Vec::new())));
                }
                (Some('-'), Some((_, find, replacement))) if replacement.is_empty() => find.push(&line[1..]),
                (Some('+'), Some((_, find, replacement))) if !find.is_empty() => replacement.push(&line[1..]),
                (None, _) => {}
                (Some(_), None) => match line.strip_prefix("Found by: ") {
                    Some(tests) => found_by.extend(tests.split(',').map(|test| test.trim().to_owned())),
                    None => summary.push(line),
                },
                (Some(_), Some(_)) => bail!(
                    "line {number}: an edit is `@@ path`, then lines to find behind `-`, then their replacement behind `+`"
                ),
            }
        }
        edits.extend(current);
        ensure!(!summary.is_empty(), "it does not begin with what the defect is");
        ensure!(!found_by.is_empty(), "a line `Found by: simulation`, or another test, is missing");
        let edits: Vec<Edit> = edits.into_iter().map(Edit::from).collect();
        ensure!(edits.iter().all(|edit| !edit.find.is_empty()), "an edit has no lines to find behind `-`");
        let asked = format!("planted::is(\"{name}\")");
        ensure!(
            edits.iter().any(|edit| edit.replacement.contains(&asked)),
            "no replacement asks `crate::{asked}`, so nothing switches the defect on"
        );
        Ok(Self { name: name.to_owned(), summary: summary.join(" "), found_by, edits })
    }
}

impl From<(&str, Vec<&str>, Vec<&str>)> for Edit {
    fn from((path, find, replacement): (&str, Vec<&str>, Vec<&str>)) -> Self {
        Self { path: path.to_owned(), find: find.join("\n"), replacement: replacement.join("\n") }
    }
}

/// Applies every edit to the files beneath `root` and returns the new text of each file by its path, or every edit that
/// does not fit.
pub fn apply(defects: &[Defect], root: &Path) -> Result<BTreeMap<String, String>> {
    let mut by_file: BTreeMap<&str, Vec<(&Defect, &Edit)>> = BTreeMap::new();
    for defect in defects {
        for edit in &defect.edits {
            by_file.entry(&edit.path).or_default().push((defect, edit));
        }
    }
    let (mut texts, mut faults) = (BTreeMap::new(), Vec::new());
    for (path, edits) in by_file {
        match fs::read_to_string(root.join(path)) {
            Ok(text) => {
                let edited = apply_to(&text, &edits, &mut faults);
                texts.insert(path.to_owned(), edited);
            }
            Err(error) => {
                faults.extend(edits.iter().map(|(defect, edit)| fault(defect, edit, &error.to_string())))
            }
        }
    }
    ensure!(
        faults.is_empty(),
        "{}\n\nGive each of these edits a text that its file contains exactly once and outside other edits (one short line is best). Delete the defect's file if the code that it spoils no longer exists.",
        faults.join("\n\n")
    );
    Ok(texts)
}

/// Applies the edits of one file. Each text is looked for in the original, so the order of the edits decides nothing.
fn apply_to(text: &str, edits: &[(&Defect, &Edit)], faults: &mut Vec<String>) -> String {
    let mut places = Vec::new();
    for (defect, edit) in edits {
        let found: Vec<usize> = text.match_indices(&edit.find).map(|(at, _)| at).collect();
        match found[..] {
            [at] => places.push((at, defect, edit)),
            [] => faults.push(fault(defect, edit, "the file does not contain this text")),
            _ => faults.push(fault(
                defect,
                edit,
                &format!("the file contains this text {} times", found.len()),
            )),
        }
    }
    places.sort_by_key(|(at, ..)| *at);
    let (mut edited, mut done) = (String::with_capacity(text.len()), 0);
    for (at, defect, edit) in places {
        let Some(between) = text.get(done..at) else {
            faults.push(fault(defect, edit, "another edit replaces a part of this text"));
            continue;
        };
        edited.push_str(between);
        edited.push_str(&edit.replacement);
        done = at + edit.find.len();
    }
    edited.push_str(&text[done..]);
    edited
}

fn fault(defect: &Defect, edit: &Edit, what: &str) -> String {
    let find = edit.find.replace('\n', "\n    ");
    format!("{FOLDER}/{}.txt: {}: {what}:\n    {find}", defect.name, edit.path)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "It waits twice.\nFound by: simulation, life::of_two\n\n@@ src/a.rs\n-wait();\n+if crate::planted::is(\"twice\") {\n+    wait();\n+}\n+wait();\n";

    fn edit(find: &str, replacement: &str) -> Edit {
        Edit { path: "src/a.rs".to_owned(), find: find.to_owned(), replacement: replacement.to_owned() }
    }

    fn defect(edits: Vec<Edit>) -> Defect {
        Defect { name: "twice".to_owned(), summary: String::new(), found_by: Vec::new(), edits }
    }

    /// Applies edits to a text; the faults instead if there are any.
    fn edited(text: &str, edits: Vec<Edit>) -> Result<String, Vec<String>> {
        let defect = defect(edits);
        let edits: Vec<_> = defect.edits.iter().map(|edit| (&defect, edit)).collect();
        let mut faults = Vec::new();
        let text = apply_to(text, &edits, &mut faults);
        if faults.is_empty() { Ok(text) } else { Err(faults) }
    }

    #[test]
    fn a_file_says_what_is_wrong_who_finds_it_and_where_it_goes() {
        let defect = Defect::parse("twice", FILE).unwrap();
        assert_eq!(defect.summary, "It waits twice.");
        assert_eq!(defect.found_by, ["simulation", "life::of_two"]);
        let replacement = "if crate::planted::is(\"twice\") {\n    wait();\n}\nwait();";
        assert_eq!(defect.edits, [edit("wait();", replacement)]);
    }

    #[test]
    fn a_file_that_lacks_something_says_what() {
        let cases = [
            ("twice", FILE.replace("It waits twice.", ""), "does not begin with what the defect is"),
            ("twice", FILE.replace("Found by: ", "By "), "`Found by: simulation`"),
            ("twice", FILE.replace("@@ ", "@"), "`@@ path`"),
            ("twice", FILE.replace("-wait", "wait"), "lines to find behind `-`"),
            ("twice", FILE.replace("-wait();\n", ""), "lines to find behind `-`"),
            ("thrice", FILE.to_owned(), "nothing switches the defect on"),
        ];
        for (name, text, expected) in cases {
            let error = Defect::parse(name, &text).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(error.contains(expected), "{error:?} does not say {expected:?}");
        }
    }

    #[test]
    fn edits_apply_in_any_order_and_see_only_the_original() {
        let edits = vec![edit("two", "one"), edit("one", "two")];
        assert_eq!(edited("one two three", edits).unwrap(), "two one three");
    }

    #[test]
    fn an_edit_fits_exactly_once_or_not_at_all() {
        let faults = |edits| edited("one two two", edits).unwrap_err().join("\n");
        let fault = faults(vec![edit("three", "")]);
        assert_eq!(
            fault,
            "tests/defects/twice.txt: src/a.rs: the file does not contain this text:\n    three"
        );
        assert!(faults(vec![edit("two", "")]).contains("contains this text 2 times"));
        assert!(faults(vec![edit("one t", ""), edit("e two", "")]).contains("another edit"));
    }

    #[test]
    fn every_edit_fits_the_program() {
        let root = Path::new(crate::ROOT);
        let defects = Defect::all(root).unwrap();
        assert!(!defects.is_empty());
        if let Err(faults) = apply(&defects, root) {
            panic!("{faults}");
        }
    }
}
