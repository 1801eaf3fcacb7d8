//! The files of a lane's manifest: frames are added to the newest one, and each is read as far as it counts.
//!
//! # Consistency
//! What counts is what `progress.json` lists: files, and up to which length. Nothing here makes anything true.
//!
//! - A frame is added at the listed length, and only if the file ends there; so bytes that were written never change,
//!   any writer, and none that are listed can be lost to a writer who does not know of them.
//! - If the file ends elsewhere, another writer added what is not listed: a pass that was killed before its swap, or one
//!   that lost the lease and does not know it yet. What they wrote stays where it is and counts for nothing; a new
//!   file is begun, under a name that no other writer uses. Nothing is cut off: that would be safe only for a writer that
//!   is certain to be alone.
//! - Our own frame whose answer was lost is recognised by its content, which lies where it should. That it could be
//!   another writer's of the same content does no harm: it says the same.

use std::sync::Arc;

use tracing::{debug, warn};

use super::{error::StateError, home::Home};
use crate::domain::{
    compaction::FULL,
    manifest::Manifest,
    manifest_format::{self, SegmentError},
    progress::SegmentRef,
};

/// Memory is reserved for at most so many entries at once, whatever is listed.
const MOST_ROOM: u64 = 1 << 24;

/// A writer's way to the files of one lane.
pub struct Files {
    home: Arc<Home>,
    lane: String,
    /// What the names of this writer's files begin with; no other writer's do.
    writer: String,
    begun: u32,
}

impl Files {
    pub fn new(home: Arc<Home>, lane: &str, writer: &str) -> Self {
        Self { home, lane: lane.to_owned(), writer: writer.to_owned(), begun: 0 }
    }

    /// The manifest of about so many `entries` that `segments` hold, later ones winning over earlier ones. With
    /// `drop_damaged`, those that cannot be read leave the list. One file at a time lies in memory beside the manifest.
    ///
    /// # Errors
    /// What cannot be read, or is not what was written.
    pub async fn load(
        &self,
        segments: &mut Vec<SegmentRef>,
        entries: u64,
        drop_damaged: bool,
    ) -> Result<Manifest, StateError> {
        let stored = segments.iter().map(|part| part.entries).sum::<u64>().min(MOST_ROOM);
        let mut manifest = Manifest::with_room(entries.min(stored) as usize);
        let mut whole = Vec::with_capacity(segments.len());
        let mut bytes = Vec::new();
        for part in segments.drain(..) {
            let taken_in = match self.fetch(&part, &mut bytes).await {
                Ok(()) => self.take_in(&part, &bytes, &mut manifest),
                Err(error) => Err(error),
            };
            match taken_in {
                Ok(()) => whole.push(part),
                Err(error @ StateError::DamagedSegment { .. }) if drop_damaged => {
                    warn!(lane = self.lane, "{error}; it is dropped, as this rebuild asks");
                }
                Err(error) => return Err(error),
            }
        }
        *segments = whole;
        Ok(manifest)
    }

    async fn fetch(&self, part: &SegmentRef, into: &mut Vec<u8>) -> Result<(), StateError> {
        let name = self.path(&part.name);
        let exists = match part.bytes {
            Some(length) => self.home.read_part(&name, length, into).await?,
            None => match self.home.read(&name).await? {
                Some((bytes, _)) => {
                    *into = bytes;
                    true
                }
                None => false,
            },
        };
        if exists { Ok(()) } else { Err(self.damaged(part, SegmentError::Missing)) }
    }

    fn take_in(&self, part: &SegmentRef, bytes: &[u8], into: &mut Manifest) -> Result<(), StateError> {
        if part.bytes.is_some_and(|length| length != bytes.len() as u64) {
            return Err(self.damaged(part, SegmentError::Damaged));
        }
        let content = manifest_format::decode(bytes).map_err(|error| self.damaged(part, error))?;
        into.absorb(&content);
        Ok(())
    }

    fn damaged(&self, part: &SegmentRef, source: SegmentError) -> StateError {
        StateError::DamagedSegment { name: self.path(&part.name), source }
    }

    fn path(&self, name: &str) -> String {
        format!("lanes/{}/manifest/{name}", self.lane)
    }

    /// Adds a frame of so many entries behind the last of `segments`, or to a new one where that is full, of an older
    /// format, or does not end where it is listed to.
    ///
    /// # Errors
    /// The storage fails. Then `segments` lists what it did, and whatever was written does not count.
    pub async fn append(
        &mut self,
        segments: &mut Vec<SegmentRef>,
        frame: Vec<u8>,
        entries: u64,
    ) -> Result<(), StateError> {
        if let Some(part) = segments.last_mut()
            && part.entries < FULL
            && let Some(position) = part.bytes
        {
            let end = position + frame.len() as u64;
            match self.home.append(&self.path(&part.name), position, frame.clone()).await {
                Ok(()) => {
                    part.bytes = Some(end);
                    part.entries += entries;
                    return Ok(());
                }
                Err(StateError::Conflict { name }) => {
                    debug!(
                        lane = self.lane,
                        "{name} does not end where it is listed to: a new file is begun"
                    );
                }
                Err(error) => return Err(error),
            }
        }
        segments.push(self.begin(frame, entries).await?);
        Ok(())
    }

    /// Begins a file with a frame of so many entries.
    ///
    /// # Errors
    /// The storage fails.
    pub async fn begin(&mut self, frame: Vec<u8>, entries: u64) -> Result<SegmentRef, StateError> {
        self.begun += 1;
        let name = format!("{}-{:05}", self.writer, self.begun);
        let bytes = Some(frame.len() as u64);
        self.home.append(&self.path(&name), 0, frame).await?;
        Ok(SegmentRef { name, entries, bytes })
    }
}
