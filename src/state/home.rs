//! Named bytes with compare-and-swap, in one of two homes.

use std::ops::Range;

use super::{
    blob::BlobHome,
    directory::DirectoryHome,
    error::StateError,
    object::{Condition, Holder, Item, Version},
};

/// Where state lives.
pub enum Home {
    Blob(BlobHome),
    Directory(DirectoryHome),
}

impl Home {
    /// Where it is, for a person.
    pub fn place(&self) -> String {
        match self {
            Self::Blob(home) => home.place().to_owned(),
            Self::Directory(home) => home.place(),
        }
    }

    /// Who took the lease last.
    pub async fn lease_holder(&self) -> Result<Option<Holder>, StateError> {
        match self {
            Self::Blob(home) => home.lease_holder().await,
            Self::Directory(home) => home.lease_holder(),
        }
    }

    /// Whether the lease is held at this moment. Creates and changes nothing.
    pub async fn is_leased(&self) -> Result<bool, StateError> {
        match self {
            Self::Blob(home) => home.is_leased().await,
            Self::Directory(home) => home.is_leased(),
        }
    }

    /// Makes sure that the container or directory exists.
    pub async fn prepare(&self) -> Result<(), StateError> {
        match self {
            Self::Blob(home) => home.prepare().await,
            Self::Directory(home) => home.prepare(),
        }
    }

    /// The content of `name`, if it exists.
    pub async fn read(&self, name: &str) -> Result<Option<(Vec<u8>, Version)>, StateError> {
        match self {
            Self::Blob(home) => home.read(name).await,
            Self::Directory(home) => home.read(name),
        }
    }

    /// The bytes of `name` in this range, as far as there are any, if it exists; others may be adding to it.
    pub async fn read_range(&self, name: &str, range: Range<u64>) -> Result<Option<Vec<u8>>, StateError> {
        match self {
            Self::Blob(home) => home.read_range(name, range).await,
            Self::Directory(home) => home.read_range(name, range),
        }
    }

    /// Adds `bytes` to the end of `name`, if that is at `position`. At 0 the name is new, or has nothing in it yet.
    /// Only names that were begun in this way can be added to.
    ///
    /// # Errors
    /// [`StateError::Conflict`] when it ends elsewhere, and no byte was changed; or, in a blob container, when it
    /// takes no more.
    pub async fn append(&self, name: &str, position: u64, bytes: Vec<u8>) -> Result<(), StateError> {
        match self {
            Self::Blob(home) => home.append(name, position, bytes).await,
            Self::Directory(home) => home.append(name, position, &bytes),
        }
    }

    /// Writes `name` if `condition` holds.
    ///
    /// # Errors
    /// [`StateError::Conflict`] when it does not.
    pub async fn write(
        &self,
        name: &str,
        bytes: Vec<u8>,
        condition: Condition,
    ) -> Result<Version, StateError> {
        match self {
            Self::Blob(home) => home.write(name, bytes, condition).await,
            Self::Directory(home) => home.write(name, &bytes, &condition),
        }
    }

    /// Removes `name`; that it is gone already is no error.
    pub async fn delete(&self, name: &str) -> Result<(), StateError> {
        match self {
            Self::Blob(home) => home.delete(name).await,
            Self::Directory(home) => home.delete(name),
        }
    }

    /// The same with those in folders below.
    pub async fn tree(&self, prefix: &str) -> Result<Vec<Item>, StateError> {
        let mut items = match self {
            // A container knows no folders.
            Self::Blob(home) => home.list(prefix).await?,
            Self::Directory(home) => home.tree(prefix)?,
        };
        items.sort_by(|left, right| left.name.cmp(&right.name));
        Ok(items)
    }

    /// All names that start with `prefix` (a folder, with its slash), in alphabetical order.
    pub async fn list(&self, prefix: &str) -> Result<Vec<Item>, StateError> {
        let mut items = match self {
            Self::Blob(home) => home.list(prefix).await?,
            Self::Directory(home) => home.list(prefix)?,
        };
        items.sort_by(|left, right| left.name.cmp(&right.name));
        Ok(items)
    }
}
