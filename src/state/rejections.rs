//! Rejected records on file: JSON lines that a pass appends as the destination rejects them.
//!
//! # Consistency
//! A file belongs to the pass that began it, and only grows. `rejected/<run_id>.jsonl` is the first of a pass; where
//! that name is taken (a request runs again under its run id) or ends elsewhere than the pass left it, the pass begins
//! `<run_id>.2.jsonl`, and so on. Lines are written before the commit that knows the records as rejected, and are
//! removed after the commit that knows them as settled. A crash in between leaves a line too many, never one too few.

use super::{error::StateError, lease::Lease, object::Item, store::Store};

/// More files than this of one pass mean that none can be begun.
const MOST_FILES: u32 = 1000;

/// The file that a pass appends to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectionFile {
    name: String,
    length: u64,
}

impl Store {
    /// Appends the records that the destination rejected, one JSON line each, to `file`; begins one if the pass has
    /// none, or if it was changed by another writer.
    ///
    /// # Errors
    /// The lease is lost, or the storage fails.
    pub async fn append_rejected(
        &self,
        lease: &Lease,
        lane: &str,
        run_id: &str,
        file: &mut Option<RejectionFile>,
        lines: &str,
    ) -> Result<(), StateError> {
        lease.hold().await?;
        if let Some(RejectionFile { name, length }) = file {
            match self.home().append(&path(lane, name), *length, lines.as_bytes().to_vec()).await {
                Ok(()) => {
                    *length += lines.len() as u64;
                    return Ok(());
                }
                Err(StateError::Conflict { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        *file = Some(self.create_rejected_file(lane, run_id, lines).await?);
        Ok(())
    }

    async fn create_rejected_file(
        &self,
        lane: &str,
        run_id: &str,
        lines: &str,
    ) -> Result<RejectionFile, StateError> {
        let mut number = 1;
        loop {
            let name = if number == 1 { run_id.to_owned() } else { format!("{run_id}.{number}") };
            match self.home().append(&path(lane, &name), 0, lines.as_bytes().to_vec()).await {
                Ok(()) => return Ok(RejectionFile { name, length: lines.len() as u64 }),
                Err(StateError::Conflict { .. }) if number < MOST_FILES => number += 1,
                Err(error) => return Err(error),
            }
        }
    }

    /// Names of the files of rejected records, oldest pass first.
    ///
    /// # Errors
    /// The storage fails.
    pub async fn rejected_in(&self, lane: &str) -> Result<Vec<String>, StateError> {
        let files = self.home().list(&format!("lanes/{lane}/rejected/")).await?;
        let name = |item: Item| {
            let name = item.name.rsplit('/').next()?;
            Some(name.strip_suffix(".jsonl")?.to_owned())
        };
        let mut names: Vec<String> = files.into_iter().filter_map(name).collect();
        names.sort_by_cached_key(|name| (run_id_of(name).to_owned(), number_of(name)));
        Ok(names)
    }

    /// The content of one of [`Store::rejected_in`]; empty if it is gone.
    ///
    /// # Errors
    /// The storage fails.
    pub async fn rejected(&self, lane: &str, name: &str) -> Result<String, StateError> {
        let content = self.home().read(&path(lane, name)).await?;
        Ok(content.map(|(bytes, _)| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default())
    }

    /// Leaves only `lines` of a file: they move to another of the same pass, and then the file goes.
    ///
    /// # Errors
    /// The lease is lost, or the storage fails.
    pub async fn replace_rejected(
        &self,
        lease: &Lease,
        lane: &str,
        name: &str,
        lines: &str,
    ) -> Result<(), StateError> {
        lease.hold().await?;
        if !lines.is_empty() {
            self.create_rejected_file(lane, run_id_of(name), lines).await?;
        }
        self.home().delete(&path(lane, name)).await
    }
}

/// The pass that began the file.
pub fn run_id_of(name: &str) -> &str {
    name.split('.').next().unwrap_or(name)
}

fn number_of(name: &str) -> u32 {
    name.split_once('.').and_then(|(_, number)| number.parse().ok()).unwrap_or(1)
}

fn path(lane: &str, name: &str) -> String {
    format!("lanes/{lane}/rejected/{name}.jsonl")
}
