//! What an account holds.

use std::collections::BTreeMap;

use axum::body::Bytes;
use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::{DateTime, Utc};

use super::{
    answer::{BAD_BLOCK_LIST, BLOB_MISSING, CONTAINER_MISSING, Error},
    lease::Lease,
};

/// One blob.
#[derive(Debug)]
pub struct Blob {
    pub content: Bytes,
    pub content_type: String,
    pub metadata: BTreeMap<String, String>,
    /// Quoted, as it stands in headers; new with every write.
    pub etag: String,
    pub created: DateTime<Utc>,
    pub modified: DateTime<Utc>,
    pub lease: Option<Lease>,
    /// Of an append blob, how many blocks were added; a block blob has none.
    pub appended: Option<u32>,
    /// The blocks it was committed from, which a later list may name again.
    blocks: BTreeMap<String, Bytes>,
}

impl Blob {
    /// The value of `x-ms-blob-type`.
    pub fn kind(&self) -> &'static str {
        if self.appended.is_some() { "AppendBlob" } else { "BlockBlob" }
    }

    /// Adds a block to the end.
    pub fn append(&mut self, block: &[u8]) {
        let mut content = Vec::from(std::mem::take(&mut self.content));
        content.extend_from_slice(block);
        self.content = content.into();
    }
}

#[derive(Debug)]
pub struct Container {
    pub blobs: BTreeMap<String, Blob>,
    pub etag: String,
    pub modified: DateTime<Utc>,
    /// Blocks that wait to be committed, by blob and block id.
    staged: BTreeMap<String, BTreeMap<String, Bytes>>,
}

impl Container {
    pub fn blob(&mut self, name: &str) -> Result<&mut Blob, Error> {
        self.blobs.get_mut(name).ok_or(BLOB_MISSING)
    }

    /// Keeps a block until it is committed. Ids are base64 and, undone, all of one length; false if this one
    /// is not.
    pub fn stage(&mut self, blob: &str, id: &str, content: Bytes) -> bool {
        let length = |id: &str| STANDARD.decode(id).ok().map(|id| id.len());
        let staged = self.staged.entry(blob.into()).or_default();
        if length(id).is_none() || staged.keys().any(|other| length(other) != length(id)) {
            return false;
        }
        staged.insert(id.into(), content);
        true
    }

    /// The blocks a list names, in its order.
    pub fn blocks(&self, blob: &str, list: &[(Source, String)]) -> Result<Vec<(String, Bytes)>, Error> {
        let staged = self.staged.get(blob);
        let committed = self.blobs.get(blob).map(|blob| &blob.blocks);
        let find = |blocks: Option<&BTreeMap<String, Bytes>>, id: &str| blocks?.get(id).cloned();
        let block = |(source, id): &(Source, String)| {
            let found = match source {
                Source::Uncommitted => find(staged, id),
                Source::Committed => find(committed, id),
                Source::Latest => find(staged, id).or_else(|| find(committed, id)),
            };
            Ok((id.clone(), found.ok_or(BAD_BLOCK_LIST)?))
        };
        list.iter().map(block).collect()
    }
}

/// Where a block list says to look for a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Committed,
    Uncommitted,
    Latest,
}

#[derive(Debug, Default)]
pub struct Account {
    pub containers: BTreeMap<String, Container>,
    pub writes: u64,
    pub bytes_written: u64,
    etags: u64,
}

impl Account {
    pub fn container(&mut self, name: &str) -> Result<&mut Container, Error> {
        self.containers.get_mut(name).ok_or(CONTAINER_MISSING)
    }

    /// False if there was one of this name.
    pub fn create_container(&mut self, name: &str, now: DateTime<Utc>) -> bool {
        if self.containers.contains_key(name) {
            return false;
        }
        let etag = self.next_etag();
        let container = Container { blobs: BTreeMap::new(), etag, modified: now, staged: BTreeMap::new() };
        self.containers.insert(name.into(), container);
        true
    }

    /// An etag no write has had.
    pub fn next_etag(&mut self) -> String {
        self.etags += 1;
        format!("\"0x8DE{:012X}\"", self.etags)
    }

    /// Replaces a blob whole by a block blob, in a container that exists. A lease that holds stays with the name; one that
    /// is over cannot be renewed after a write, so it goes.
    pub fn write(&mut self, container: &str, name: &str, content: Bytes, now: DateTime<Utc>) -> &mut Blob {
        let etag = self.next_etag();
        let container = self.containers.get_mut(container).expect("the container was looked up before");
        container.staged.remove(name);
        let old = container.blobs.remove(name);
        let created = old.as_ref().map_or(now, |old| old.created);
        let lease = old.and_then(|old| old.lease).filter(|lease| lease.holds(now));
        container.blobs.entry(name.into()).or_insert(Blob {
            content,
            content_type: "application/octet-stream".into(),
            metadata: BTreeMap::new(),
            etag,
            created,
            modified: now,
            lease,
            appended: None,
            blocks: BTreeMap::new(),
        })
    }

    /// Replaces a blob with the blocks given, which stay known under their ids.
    pub fn commit(
        &mut self,
        container: &str,
        name: &str,
        blocks: Vec<(String, Bytes)>,
        now: DateTime<Utc>,
    ) -> &mut Blob {
        let content: Vec<u8> = blocks.iter().flat_map(|(_, block)| block.iter().copied()).collect();
        let blob = self.write(container, name, content.into(), now);
        blob.blocks = blocks.into_iter().collect();
        blob
    }
}
