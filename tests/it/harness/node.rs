//! Node's packages for tests: installed where they are not yet, exactly as a lockfile has them.

use std::{fs::File, io, path::Path, process::Command, time::SystemTime};

pub const NEEDED: &str = "This test needs Node.js 20 or later with npm. Install both from \
    https://nodejs.org/en/download, on Debian and Ubuntu also with `apt-get install nodejs npm`. The first run also needs \
    the npm registry.";

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
        .unwrap_or_else(|error| panic!("{}", missing("npm", &error)));
    let said = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "`npm ci` in {shown} failed ({}): {said}\n{NEEDED}", run.status);
}

/// What a person does about a program that does not start.
pub fn missing(program: &str, error: &io::Error) -> String {
    let is_missing = error.kind() == io::ErrorKind::NotFound;
    let what = if is_missing { "is missing: it is not on the PATH" } else { "does not start" };
    format!("`{program}` {what} ({error}). {NEEDED}")
}
