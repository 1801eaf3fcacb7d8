//! The zip file: what it holds, under which modes, and that it is the same each time.

use std::{
    fs::{self, File},
    io::{Cursor, Read},
    path::Path,
    time::{Duration, SystemTime},
};

use package_function::archive::{self, Package};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use zip::{DateTime, ZipArchive};

const EXECUTABLE: &[u8] = b"\x7fELF, or so it says";

/// A function app whose files were written `age` ago and may be read by their owner alone.
fn app(age: Duration) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("Tick")).unwrap();
    for name in ["host.json", "Tick/function.json"] {
        let path = folder.path().join(name);
        fs::write(&path, name).unwrap();
        let file = File::options().write(true).open(&path).unwrap();
        file.set_modified(SystemTime::now() - age).unwrap();
        #[cfg(unix)]
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    }
    folder
}

fn write(app: &Path, executable: &[u8]) -> (Package, Vec<u8>, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    // In another order than that of the file.
    let names = ["host.json".to_owned(), "Tick/function.json".to_owned()];
    let package = archive::write(&folder.path().join("dist"), "1.2.3", app, &names, executable).unwrap();
    let bytes = fs::read(&package.path).unwrap();
    (package, bytes, folder)
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let (young, old) = (app(Duration::ZERO), app(Duration::from_secs(100_000_000)));
    let (first, bytes, _folder) = write(young.path(), EXECUTABLE);
    let (second, same, _folder) = write(old.path(), EXECUTABLE);
    assert!(bytes == same, "the files differ");
    assert_eq!(first.sha256, second.sha256);
    let (other, _, _folder) = write(young.path(), b"another");
    assert_ne!(first.sha256, other.sha256);
}

#[test]
fn only_the_executable_may_be_executed() {
    let (_, bytes, _folder) = write(app(Duration::ZERO).path(), EXECUTABLE);
    let mut zip = ZipArchive::new(Cursor::new(bytes)).unwrap();
    let mut found = Vec::new();
    for index in 0..zip.len() {
        let mut file = zip.by_index(index).unwrap();
        assert_eq!(file.last_modified(), Some(DateTime::DEFAULT));
        let mut content = Vec::new();
        file.read_to_end(&mut content).unwrap();
        found.push((file.name().unwrap().into_owned(), file.unix_mode().unwrap() & 0o7777, content));
    }
    let expected = [
        ("Tick/function.json", 0o644, b"Tick/function.json".as_slice()),
        ("host.json", 0o644, b"host.json"),
        ("mati-sync", 0o755, EXECUTABLE),
    ];
    assert_eq!(found, expected.map(|(name, mode, content)| (name.to_owned(), mode, content.to_vec())));
}

#[test]
fn its_hash_stands_beside_it_as_sha256sum_reads_it() {
    let (package, bytes, _folder) = write(app(Duration::ZERO).path(), EXECUTABLE);
    assert_eq!(package.size, bytes.len());
    assert_eq!(package.path.file_name().unwrap(), "mati-sync-1.2.3.zip");
    assert_eq!(package.sha256, format!("{:x}", Sha256::digest(&bytes)));
    let beside = fs::read_to_string(package.path.with_extension("zip.sha256")).unwrap();
    assert_eq!(beside, format!("{}  mati-sync-1.2.3.zip\n", package.sha256));
}
