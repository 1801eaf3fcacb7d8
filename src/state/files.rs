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
    manifest_format::{self, Content, SegmentError},
    progress::SegmentRef,
};

/// Memory is reserved for at most so many entries at once, whatever is listed.
const MOST_ROOM: u64 = 1 << 24;
/// So many bytes of a file are read at once: a request each, and what lies in memory beside the manifest.
const PIECE: u64 = 1 << 20;

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
    /// `drop_damaged`, those that cannot be read leave the list, and nothing of them is taken in. A piece of one file at
    /// a time lies in memory beside the manifest.
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
        for part in segments.drain(..) {
            // Damage may show at the end alone.
            let is_whole = if drop_damaged { self.read(&part, |_| ()).await } else { Ok(()) };
            match is_whole {
                Ok(()) => {
                    self.read(&part, |content| manifest.absorb(content)).await?;
                    whole.push(part);
                }
                Err(error @ StateError::DamagedSegment { .. }) => {
                    warn!(lane = self.lane, "{error}; it is dropped, as this rebuild asks");
                }
                Err(error) => return Err(error),
            }
        }
        *segments = whole;
        Ok(manifest)
    }

    /// Reads a file piece by piece, and hands the frames of it on that are whole.
    async fn read(&self, part: &SegmentRef, mut take: impl FnMut(&Content<'_>)) -> Result<(), StateError> {
        let (name, damaged) = (self.path(&part.name), |error| self.damaged(part, error));
        let Some(length) = part.bytes else {
            let stored = self.home.read(&name).await?;
            let (bytes, _) = stored.ok_or_else(|| damaged(SegmentError::Missing))?;
            take(&manifest_format::decode(&bytes).map_err(damaged)?);
            return Ok(());
        };
        let (mut position, mut begun) = (0, Vec::new());
        while position < length {
            let end = length.min(position + PIECE);
            let piece = self.home.read_range(&name, position..end).await?;
            let piece = piece.ok_or_else(|| damaged(SegmentError::Missing))?;
            if piece.len() as u64 != end - position {
                return Err(damaged(SegmentError::Damaged));
            }
            begun = if begun.is_empty() { piece } else { [begun, piece].concat() };
            let is_first = begun.len() as u64 == end;
            position = end;
            let (content, taken) = manifest_format::decode_begun(&begun, is_first).map_err(damaged)?;
            take(&content);
            // The next piece finds nothing of this one in memory but a frame that is begun.
            begun = begun[taken..].to_vec();
        }
        if begun.is_empty() { Ok(()) } else { Err(damaged(SegmentError::Damaged)) }
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

    async fn begin(&mut self, frame: Vec<u8>, entries: u64) -> Result<SegmentRef, StateError> {
        self.begun += 1;
        let name = format!("{}-{:05}", self.writer, self.begun);
        let bytes = Some(frame.len() as u64);
        self.home.append(&self.path(&name), 0, frame).await?;
        Ok(SegmentRef { name, entries, bytes })
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::{
        domain::{
            deciding_record::RecordVersion,
            entry::{Entry, Known, State},
            fingerprint::Fingerprint,
        },
        state::directory::DirectoryHome,
    };

    fn known(numbers: std::ops::Range<u32>) -> impl ExactSizeIterator<Item = Known> {
        numbers.map(|number| {
            let key = u128::from(number).to_be_bytes().into();
            let version = RecordVersion::default();
            Entry::new(key, Fingerprint(1), DateTime::UNIX_EPOCH, version, State::Held).into()
        })
    }

    /// A frame, a piece and a file all end elsewhere, and a frame is longer than a piece.
    #[tokio::test]
    async fn a_file_is_read_piece_by_piece_and_what_is_damaged_at_its_end_is_not_read_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let home = Arc::new(Home::Directory(DirectoryHome::new(folder.path().to_owned())));
        home.prepare().await.unwrap();
        let (mut segments, mut next) = (Vec::new(), 0);
        for (writer, frames) in [("first", [10, 40_000, 9_000]), ("second", [300, 70_000, 1])] {
            let mut files = Files::new(Arc::clone(&home), "sentinel", writer);
            let mut written = Vec::new();
            for count in frames {
                let frame = manifest_format::encode(known(next..next + count));
                files.append(&mut written, frame, u64::from(count)).await.unwrap();
                next += count;
            }
            segments.append(&mut written);
        }
        let files = Files::new(home, "sentinel", "third");
        let keys = |manifest: &Manifest| manifest.entries().iter().map(|entry| entry.key).collect::<Vec<_>>();
        let of = |numbers| known(numbers).map(|known| known.entry.key).collect::<Vec<_>>();
        for drop_damaged in [false, true] {
            let manifest = files.load(&mut segments.clone(), u64::from(next), drop_damaged).await.unwrap();
            assert_eq!(keys(&manifest), of(0..next));
        }

        let path = folder.path().join("lanes/sentinel/manifest").join(&segments[0].name);
        let mut bytes = std::fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        for cut in [0, 1, 400_000] {
            bytes.truncate(bytes.len() - cut);
            std::fs::write(&path, &bytes).unwrap();
            let failed = files.load(&mut segments.clone(), u64::from(next), false).await;
            assert!(matches!(failed, Err(StateError::DamagedSegment { .. })), "{:?}", failed.err());
            let mut listed = segments.clone();
            let manifest = files.load(&mut listed, u64::from(next), true).await.unwrap();
            assert_eq!((keys(&manifest), &listed[..]), (of(49_010..next), &segments[1..]));
        }
    }
}
