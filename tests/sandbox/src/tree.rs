//! The files of a checkout, or of a source archive without git's folder.

use std::path::Path;

use ignore::WalkBuilder;

/// Returns every file beneath `root` that no .gitignore there excludes, in order, relative to `root` and with `/`
/// between folders: what git tracks and what it would track next. Git itself is not asked, so a source archive will do.
///
/// # Panics
/// If a folder cannot be read, or a name is not UTF-8.
pub fn files(root: &Path) -> Vec<String> {
    let mut walk = WalkBuilder::new(root);
    // Only the .gitignore files of this tree count, not those of folders above and not those of this machine's user.
    walk.standard_filters(false).git_ignore(true).require_git(false);
    walk.filter_entry(|entry| entry.file_name() != ".git");
    let mut names = Vec::new();
    for entry in walk.build() {
        let entry = entry.unwrap_or_else(|error| panic!("{}: {error}", root.display()));
        if entry.path().is_file() {
            let path = entry.path().strip_prefix(root).expect("what is found lies beneath the root");
            let parts: Vec<&str> = path.iter().map(|part| part.to_str().expect("names are UTF-8")).collect();
            names.push(parts.join("/"));
        }
    }
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_is_ignored_is_left_out_with_and_without_git_s_folder() {
        let outer = tempfile::tempdir().unwrap();
        // A rule of the folder around the tree, which is another repository's.
        fs::write(outer.path().join(".gitignore"), "*.rs\n").unwrap();
        let root = outer.path().join("tree");
        let write = |name: &str, text: &str| {
            let path = root.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write(".gitignore", "/target\nlocal.json\n");
        write("inner/.gitignore", "/out\n");
        let kept = [".ci/run", "inner/target/a", "src/lib.rs", "z"];
        kept.iter().for_each(|name| write(name, ""));
        ["target/a", "inner/out/b", "inner/local.json"].iter().for_each(|name| write(name, ""));
        let expected = [".ci/run", ".gitignore", "inner/.gitignore", "inner/target/a", "src/lib.rs", "z"];
        assert_eq!(files(&root), expected);
        write(".git/HEAD", "");
        assert_eq!(files(&root), expected);
    }
}
