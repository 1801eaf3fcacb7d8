//! Node's packages for tests: installed where they are not yet, exactly as a lockfile has them.

use std::{fs::File, io, path::Path, process::Command, time::SystemTime};

pub const NEEDED: &str = "these tests need Node.js 22 (20 will do) with npm on the PATH";

/// Installs the packages of a folder as its lockfile has them, unless that was done already.
pub fn install(folder: &Path) {
    let shown = folder.display();
    // Two test processes at once: the second waits, and then finds it done.
    let lock = File::create(folder.join("install.lock")).unwrap_or_else(|error| panic!("{shown}: {error}"));
    lock.lock().unwrap_or_else(|error| panic!("{shown}/install.lock: {error}"));
    let modified = |name: &str| -> io::Result<SystemTime> { folder.join(name).metadata()?.modified() };
    let wanted = modified("package-lock.json").unwrap_or_else(|error| panic!("{shown}: {error}"));
    // npm writes this file last.
    if modified("node_modules/.package-lock.json").is_ok_and(|installed| installed >= wanted) {
        return;
    }
    let run = Command::new("npm")
        .args(["ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund"])
        .current_dir(folder)
        .output()
        .unwrap_or_else(|error| panic!("npm: {error}; {NEEDED}"));
    let said = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "`npm ci` in {shown} failed ({}): {said}\n{NEEDED}", run.status);
}
