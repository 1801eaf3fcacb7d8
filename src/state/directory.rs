//! State in a local directory: the embedded default for a laptop.
//!
//! The files are small and local, so they are read and written in place, without a detour over another thread.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Read, Seek, SeekFrom, Write},
    ops::Range,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use chrono::{DateTime, Utc};
use xxhash_rust::xxh3::xxh3_128;

use super::{
    error::StateError,
    object::{Condition, Holder, Item, Version},
};

/// Files beneath one directory.
pub struct DirectoryHome {
    root: PathBuf,
    /// The file that writers lock, once it is open.
    write_lock: Mutex<Option<File>>,
}

/// No other pass writes while it is held.
struct WriteLock<'a>(MutexGuard<'a, Option<File>>);

impl Drop for WriteLock<'_> {
    fn drop(&mut self) {
        // One that cannot be unlocked is closed, which unlocks it too.
        if self.0.as_ref().is_some_and(|file| file.unlock().is_err()) {
            *self.0 = None;
        }
    }
}

/// An operating system's lock, which a dead process cannot keep.
pub struct DirectoryLease {
    file: File,
}

impl Drop for DirectoryLease {
    fn drop(&mut self) {
        // Closing the file is not enough: a process that is just being started (the Azure CLI, say) holds a copy of it
        // until it runs its own program, and with the copy the lock. A lock that cannot be given up ends with this process.
        let _ = self.file.unlock();
    }
}

impl DirectoryHome {
    pub fn new(root: PathBuf) -> Self {
        Self { root, write_lock: Mutex::default() }
    }

    /// Where it is, for a person.
    pub fn place(&self) -> String {
        self.root.display().to_string()
    }

    pub fn prepare(&self) -> Result<(), StateError> {
        fs::create_dir_all(&self.root).map_err(|error| self.rejection(&self.root, &error))
    }

    pub fn read(&self, name: &str) -> Result<Option<(Vec<u8>, Version)>, StateError> {
        let path = self.root.join(name);
        match fs::read(&path) {
            Ok(bytes) => {
                let version = version(&bytes);
                Ok(Some((bytes, version)))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.rejection(&path, &error)),
        }
    }

    pub fn read_range(&self, name: &str, range: Range<u64>) -> Result<Option<Vec<u8>>, StateError> {
        let path = self.root.join(name);
        let read = || -> io::Result<Vec<u8>> {
            let mut file = File::open(&path)?;
            file.seek(SeekFrom::Start(range.start))?;
            let mut bytes = Vec::new();
            file.take(range.end.saturating_sub(range.start)).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        match read() {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.rejection(&path, &error)),
        }
    }

    pub fn write(&self, name: &str, bytes: &[u8], condition: &Condition) -> Result<Version, StateError> {
        let path = self.root.join(name);
        self.write_file(name, &path, bytes, condition).map_err(|error| self.explain(name, &path, error))
    }

    pub fn append(&self, name: &str, position: u64, bytes: &[u8]) -> Result<(), StateError> {
        let path = self.root.join(name);
        self.append_file(&path, position, bytes).map_err(|error| self.explain(name, &path, error))
    }

    fn append_file(&self, path: &Path, position: u64, bytes: &[u8]) -> Result<(), WriteError> {
        // Held until the function returns: no other process adds to the file after the comparison.
        let _lock = self.write_lock()?;
        let is_new = position == 0;
        let mut options = OpenOptions::new();
        let opened = in_folder(path, || options.create(is_new).append(true).open(path));
        let mut file = match opened {
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(WriteError::Conflict),
            opened => opened?,
        };
        if file.metadata()?.len() != position {
            return Err(WriteError::Conflict);
        }
        let written = file.write_all(bytes).and_then(|()| file.sync_data());
        if let Err(error) = written {
            // Half a frame counts for nothing; without it, the next pass needs no new file.
            let _ = file.set_len(position);
            return Err(error.into());
        }
        if is_new && let Some(folder) = path.parent().and_then(|folder| File::open(folder).ok()) {
            // The name is as durable as the content, before it is listed. Where folders cannot be opened, the file
            // system sees to that itself.
            folder.sync_all()?;
        }
        Ok(())
    }

    fn write_file(
        &self,
        name: &str,
        path: &Path,
        bytes: &[u8],
        condition: &Condition,
    ) -> Result<Version, WriteError> {
        // Held until the function returns: no process writes between the comparison and the replacement.
        let _lock = self.write_lock()?;
        if *condition != Condition::Always {
            let present = self.read(name).map_err(WriteError::State)?.map(|(_, version)| version);
            let expected = match condition {
                Condition::Is(version) => Some(version.clone()),
                Condition::Absent | Condition::Always => None,
            };
            if present != expected {
                return Err(WriteError::Conflict);
            }
        }
        let draft = path.with_extension("draft");
        let mut file = in_folder(&draft, || File::create(&draft))?;
        file.write_all(bytes)?;
        file.sync_data()?;
        // That the new name outlives a loss of power is not waited for: without it the old content is there, and
        // nothing happened.
        fs::rename(&draft, path)?;
        Ok(version(bytes))
    }

    pub fn delete(&self, name: &str) -> Result<(), StateError> {
        let path = self.root.join(name);
        match fs::remove_file(&path) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(self.rejection(&path, &error)),
        }
    }

    pub fn list(&self, prefix: &str) -> Result<Vec<Item>, StateError> {
        let folder = self.root.join(prefix);
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(self.rejection(&folder, &error)),
        };
        let mut items = Vec::new();
        for entry in entries {
            let item = entry.and_then(|entry| {
                let metadata = entry.metadata()?;
                Ok((entry.file_name(), metadata.is_file(), DateTime::<Utc>::from(metadata.modified()?)))
            });
            let (name, is_file, modified) = item.map_err(|error| self.rejection(&folder, &error))?;
            let name = name.to_string_lossy();
            if is_file && !name.ends_with(".draft") {
                items.push(Item { name: format!("{prefix}{name}"), modified });
            }
        }
        Ok(items)
    }

    /// Every file below `prefix`, also where a link leads to it or to its folder: what a person put there is not passed
    /// over.
    pub fn tree(&self, prefix: &str) -> Result<Vec<Item>, StateError> {
        /// Links may lead in a circle.
        const DEEPEST: usize = 16;
        let mut folders = vec![(prefix.to_owned(), 0)];
        let mut items = Vec::new();
        while let Some((folder, depth)) = folders.pop() {
            let path = self.root.join(&folder);
            let entries = match fs::read_dir(&path) {
                Ok(entries) => entries,
                Err(error) if error.kind() == ErrorKind::NotFound && depth == 0 => return Ok(items),
                Err(error) => return Err(self.rejection(&path, &error)),
            };
            if depth == DEEPEST {
                return Err(StateError::rejected(format!(
                    "{} leads too deep; remove links that lead back",
                    path.display()
                )));
            }
            for entry in entries {
                let entry = entry.map_err(|error| self.rejection(&path, &error))?;
                let metadata =
                    fs::metadata(entry.path()).map_err(|error| self.rejection(&entry.path(), &error))?;
                let name = format!("{folder}{}", entry.file_name().to_string_lossy());
                if metadata.is_dir() {
                    folders.push((format!("{name}/"), depth + 1));
                } else {
                    let modified = metadata.modified().map(DateTime::<Utc>::from).unwrap_or_default();
                    items.push(Item { name, modified });
                }
            }
        }
        Ok(items)
    }

    /// The lock on the file `lease`, or `None` while another instance holds it.
    pub fn try_lease(&self, run_id: &str) -> Result<Option<DirectoryLease>, StateError> {
        let path = self.root.join("lease");
        let attempt = || {
            let mut file = self.open("lease")?;
            match file.try_lock() {
                Ok(()) => {}
                Err(fs::TryLockError::WouldBlock) => return Ok(None),
                Err(fs::TryLockError::Error(error)) => return Err(error),
            }
            file.set_len(0)?;
            writeln!(file, "{{\"holder\":\"process {}\",\"run_id\":\"{run_id}\"}}", std::process::id())?;
            Ok(Some(DirectoryLease { file }))
        };
        attempt().map_err(|error| self.rejection(&path, &error))
    }

    /// Whether a process holds the lease.
    pub fn is_leased(&self) -> Result<bool, StateError> {
        let path = self.root.join("lease");
        let attempt = || match File::open(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
            // Given back when the file is closed. A pass that asks in between asks again two seconds later.
            Ok(file) => match file.try_lock_shared() {
                Ok(()) => Ok(false),
                Err(fs::TryLockError::WouldBlock) => Ok(true),
                Err(fs::TryLockError::Error(error)) => Err(error),
            },
        };
        attempt().map_err(|error| self.rejection(&path, &error))
    }

    /// Who took the lease last; `None` where the operating system does not say.
    pub fn lease_holder(&self) -> Result<Option<Holder>, StateError> {
        let path = self.root.join("lease");
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound || is_locked(&error) => return Ok(None),
            Err(error) => return Err(self.rejection(&path, &error)),
        };
        let content: serde_json::Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let of = |name: &str| content.get(name).and_then(serde_json::Value::as_str);
        Ok(of("run_id").zip(of("holder")).map(|(run_id, holder)| Holder::new(run_id, holder)))
    }

    fn open(&self, name: &str) -> io::Result<File> {
        OpenOptions::new().create(true).truncate(false).write(true).open(self.root.join(name))
    }

    fn write_lock(&self) -> io::Result<WriteLock<'_>> {
        let mut held = self.write_lock.lock().unwrap_or_else(PoisonError::into_inner);
        let file = match held.take() {
            Some(file) => file,
            None => in_folder(&self.root.join("write.lock"), || self.open("write.lock"))?,
        };
        file.lock()?;
        *held = Some(file);
        Ok(WriteLock(held))
    }

    fn explain(&self, name: &str, path: &Path, error: WriteError) -> StateError {
        match error {
            WriteError::Conflict => StateError::Conflict { name: name.to_owned() },
            WriteError::State(error) => error,
            WriteError::Io(error) => self.rejection(path, &error),
        }
    }

    fn rejection(&self, path: &Path, error: &io::Error) -> StateError {
        StateError::rejected(format!(
            "the state directory cannot be used: {}: {error}; check STATE_DIR ({})",
            path.display(),
            self.root.display()
        ))
    }
}

enum WriteError {
    Conflict,
    State(StateError),
    Io(io::Error),
}

impl From<io::Error> for WriteError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Opens what is to be at `path`, and makes its folder only where there is none.
fn in_folder(path: &Path, mut open: impl FnMut() -> io::Result<File>) -> io::Result<File> {
    match (open(), path.parent()) {
        (Err(error), Some(folder)) if error.kind() == ErrorKind::NotFound => {
            fs::create_dir_all(folder)?;
            open()
        }
        (opened, _) => opened,
    }
}

/// Whether a file cannot be read because another process has locked it. Only Windows keeps a locked file's content from
/// other processes.
fn is_locked(error: &io::Error) -> bool {
    /// ERROR_LOCK_VIOLATION in Microsoft's list of system error codes.
    const LOCK_VIOLATION: i32 = 33;
    cfg!(windows) && error.raw_os_error() == Some(LOCK_VIOLATION)
}

/// No two contents ever written to one name are equal where it matters, so the content is its own version.
fn version(bytes: &[u8]) -> Version {
    Version(format!("{:032x}", xxh3_128(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home() -> (tempfile::TempDir, DirectoryHome) {
        let folder = tempfile::tempdir().unwrap();
        let home = DirectoryHome::new(folder.path().join("not/yet/there"));
        (folder, home)
    }

    #[test]
    fn a_file_grows_only_at_its_end() {
        let (_folder, home) = home();
        let conflict = || Err(StateError::Conflict { name: "a/b".to_owned() });
        assert_eq!(home.append("a/b", 3, b"x"), conflict(), "there is none to add to");
        assert_eq!(home.append("a/b", 0, b"one "), Ok(()));
        assert_eq!(home.append("a/b", 0, b"one "), conflict());
        assert_eq!(home.append("a/b", 4, b"two"), Ok(()));
        for elsewhere in [3, 4, 6, 8] {
            assert_eq!(home.append("a/b", elsewhere, b"x"), conflict());
        }
        assert_eq!(home.read("a/b").unwrap().unwrap().0, b"one two");
    }

    #[test]
    fn a_range_is_read_as_far_as_there_is_any() {
        let (_folder, home) = home();
        home.append("a", 0, b"content").unwrap();
        let cases = [(0..3, "con"), (2..5, "nte"), (5..u64::MAX, "nt"), (7..9, ""), (9..12, ""), (3..3, "")];
        for (range, content) in cases {
            assert_eq!(home.read_range("a", range), Ok(Some(content.into())));
        }
        assert_eq!(home.read_range("b", 0..3), Ok(None));
    }

    #[test]
    fn a_lease_ends_although_a_starting_process_holds_a_copy_of_its_file() {
        let (_folder, home) = home();
        home.prepare().unwrap();
        let lease = home.try_lease("first").unwrap().expect("nobody holds it");
        let copy = lease.file.try_clone().unwrap();
        assert!(home.try_lease("second").unwrap().is_none());
        drop(lease);
        assert!(home.try_lease("second").unwrap().is_some());
        drop(copy);
    }

    #[test]
    fn what_is_replaced_was_compared() {
        let (_folder, home) = home();
        let first = home.write("a/b", b"1", &Condition::Absent).unwrap();
        let second = home.write("a/b", b"2", &Condition::Is(first.clone())).unwrap();
        for condition in [Condition::Absent, Condition::Is(first)] {
            let conflict = StateError::Conflict { name: "a/b".to_owned() };
            assert_eq!(home.write("a/b", b"3", &condition), Err(conflict));
        }
        assert_eq!(home.read("a/b"), Ok(Some((b"2".to_vec(), second))));
    }
}
