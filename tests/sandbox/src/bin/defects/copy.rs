//! A copy of the repository in which the defects are planted.

use std::{
    collections::{BTreeMap, HashSet},
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use sandbox::tree;

/// What is added to the copy: a file of `tests/defects`, where it goes, and the file that then declares it as a module.
const ADDED: [(&str, &str, &str, &str); 2] = [
    ("tests/defects/planted.rs", "src/planted.rs", "src/lib.rs", "pub mod planted;\n"),
    ("tests/defects/search.rs", "tests/it/planted.rs", "tests/it/main.rs", "mod planted;\n"),
];

/// Makes `copy` equal to the files beneath `root` with `edited` instead of the originals. Files that are equal already
/// are not written, so that cargo compiles only what changed.
pub fn make(root: &Path, copy: &Path, edited: &BTreeMap<String, String>) -> Result<()> {
    let mut contents = BTreeMap::new();
    for name in tree::files(root) {
        let bytes = fs::read(root.join(&name)).with_context(|| name.clone())?;
        contents.insert(name, bytes);
    }
    contents.extend(edited.iter().map(|(name, text)| (name.clone(), text.clone().into_bytes())));
    for (from, to, declaring, declaration) in ADDED {
        let bytes = contents.remove(from).with_context(|| format!("{from} is missing"))?;
        contents.insert(to.to_owned(), bytes);
        let declaring = contents.get_mut(declaring).with_context(|| format!("{declaring} is missing"))?;
        declaring.extend_from_slice(declaration.as_bytes());
    }
    let manifest = contents.get_mut("Cargo.toml").context("Cargo.toml is missing")?;
    *manifest = planted_version(&String::from_utf8_lossy(manifest))?.into_bytes();
    let wanted: HashSet<PathBuf> = contents.keys().map(|name| copy.join(name)).collect();
    if copy.exists() {
        remove_others(copy, &wanted)?;
    }
    for (name, bytes) in contents {
        let path = copy.join(&name);
        if fs::read(&path).is_ok_and(|before| before == bytes) {
            continue;
        }
        let folder = path.parent().context("a file has a folder")?;
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        fs::write(&path, bytes).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

/// Returns the workspace's manifest with a version of the copy's own. Cargo knows a workspace's packages by name and
/// version, wherever they lie: with equal ones, the copy would take the program's place among the compiled files.
fn planted_version(manifest: &str) -> Result<String> {
    let parts = manifest.split_once("[workspace.package]\nversion = \"").and_then(|(before, rest)| {
        let (version, after) = rest.split_once('"')?;
        Some((before, version, after))
    });
    let (before, version, after) =
        parts.context("Cargo.toml has no [workspace.package] that begins with a version")?;
    Ok(format!("{before}[workspace.package]\nversion = \"{version}-planted\"{after}"))
}

/// Removes what is no longer part of the copy.
fn remove_others(folder: &Path, wanted: &HashSet<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            remove_others(&path, wanted)?;
        } else if !wanted.contains(&path) {
            fs::remove_file(&path).with_context(|| path.display().to_string())?;
        }
    }
    Ok(())
}
