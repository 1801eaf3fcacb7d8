//! What of a checkout belongs into the package.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use ignore::WalkBuilder;

use crate::EXECUTABLE;

/// The list of what stays behind; the host's own tools read it too, in the form of a .gitignore.
const IGNORE_FILE: &str = ".funcignore";
/// What has to go with every copy, by the licences of what is linked in.
const LEGAL: [&str; 3] = ["LICENSE", "NOTICE", "THIRD-PARTY.txt"];

/// The files of the checkout under `root` that are deployed, as paths with `/`, sorted.
///
/// .funcignore alone decides, so that the host's own tools would pack the same. What it leaves over must be part of
/// a function app: a file that nobody thought of, with a password in it perhaps, is an error and not a passenger.
pub fn contents(root: &Path) -> Result<Vec<String>> {
    ensure!(root.join(IGNORE_FILE).is_file(), "{} has no {IGNORE_FILE}", root.display());
    let mut walk = WalkBuilder::new(root);
    // Only .funcignore of this folder counts, not git's files and not those of folders above.
    walk.standard_filters(false).add_custom_ignore_filename(IGNORE_FILE);
    let mut names = Vec::new();
    for entry in walk.build() {
        let entry = entry?;
        if entry.file_type().is_some_and(|kind| kind.is_dir()) {
            continue;
        }
        let path = entry.path().strip_prefix(root).context("what is found lies beneath where one looked")?;
        let parts: Option<Vec<&str>> = path.iter().map(|part| part.to_str()).collect();
        let name = parts.with_context(|| format!("{} is not UTF-8", path.display()))?.join("/");
        // The host's own tools want the executable beside host.json. Here it comes from elsewhere.
        if name == EXECUTABLE {
            continue;
        }
        let is_plain = entry.file_type().is_some_and(|kind| kind.is_file());
        ensure!(
            is_plain && is_of_a_function_app(&name),
            "{name} is no part of a function app and stands not in {IGNORE_FILE}: remove it or list it there"
        );
        names.push(name);
    }
    ensure!(names.iter().any(|name| name == "host.json"), "{} has no host.json", root.display());
    ensure!(names.iter().any(|name| is_function(name)), "{} has no function", root.display());
    names.sort();
    Ok(names)
}

fn is_of_a_function_app(name: &str) -> bool {
    name == "host.json" || LEGAL.contains(&name) || is_function(name)
}

fn is_function(name: &str) -> bool {
    let folder = name.strip_suffix("/function.json");
    folder.is_some_and(|folder| !folder.is_empty() && !folder.contains('/'))
}
