//! The stored form of manifest entries: frames, one behind the other, each of which is what one commit settled.
//!
//! ```text
//! "MSEG" | version u16 | record size u16 | count u32 | handles u32 | records… | handles… | xxh3-64 of all before
//! record: key 16 | fingerprint u64 | valid_until u32 | updated u32 | tag 6 | met u8 | mark u8  (integers little-endian)
//! handle: index of its record u32 | kind u8 | 16 bytes, in the order of their records
//!         kind 1, foreign: the UUID; kind 2, numbered: number u64 | threat score u8 | confidence u8 | zeros
//! ```
//!
//! This is version 4. Version 3 had no tag, and a mark of 32 bits with the minutes of the last update. Versions 1 and 2
//! were one frame alone, and whole files: they did not tell the number of handles, and version 1 had none and marks
//! without a type. All are read, and one file may hold frames of versions 3 and 4.

use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_64;

use super::{
    entry::{Entry, Handle, Known, Rank},
    fingerprint::Fingerprint,
};

const MAGIC: &[u8; 4] = b"MSEG";
const VERSION: u16 = 4;
const RECORD: usize = 40;
/// Of versions 1 to 3.
const SHORT_RECORD: usize = 32;
const HANDLE: usize = 21;
const HEADER: usize = 16;
/// Of versions 1 and 2.
const SHORT_HEADER: usize = 12;
const CHECKSUM: usize = 8;

/// Why a segment cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SegmentError {
    #[error("it is listed in progress.json and does not exist")]
    Missing,
    #[error("it is not a manifest segment")]
    NotASegment,
    #[error("it was written by a newer version of mati-sync (segment format {0}, this one reads {VERSION})")]
    Newer(u16),
    #[error("its checksum does not match its content")]
    Damaged,
}

/// A frame that holds `known`.
pub fn encode(known: impl ExactSizeIterator<Item = Known>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER + known.len() * RECORD + CHECKSUM);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&(RECORD as u16).to_le_bytes());
    let count = u32::try_from(known.len()).expect("a manifest has fewer than 2^32 entries");
    bytes.extend_from_slice(&count.to_le_bytes());
    bytes.extend_from_slice(&0_u32.to_le_bytes());
    let mut handles = Vec::new();
    for (index, Known { entry, handle }) in (0_u32..).zip(known) {
        bytes.extend_from_slice(entry.key.0.as_bytes());
        bytes.extend_from_slice(&entry.fingerprint.0.to_le_bytes());
        bytes.extend_from_slice(&entry.valid_until.to_le_bytes());
        let (updated, tag, seen, flags) = entry.stored();
        bytes.extend_from_slice(&updated.to_le_bytes());
        bytes.extend_from_slice(&tag);
        bytes.extend_from_slice(&[seen, flags]);
        if let Some(handle) = handle {
            handles.extend_from_slice(&index.to_le_bytes());
            handles.extend_from_slice(&stored_handle(handle));
        }
    }
    let of_handles = u32::try_from(handles.len() / HANDLE).expect("no more than entries");
    bytes[SHORT_HEADER..HEADER].copy_from_slice(&of_handles.to_le_bytes());
    bytes.append(&mut handles);
    let checksum = xxh3_64(&bytes);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    bytes
}

fn stored_handle(handle: Handle) -> [u8; 17] {
    let mut bytes = [0; 17];
    match handle {
        Handle::Foreign(id) => {
            bytes[0] = 1;
            bytes[1..].copy_from_slice(id.as_bytes());
        }
        Handle::Numbered { id, rank } => {
            bytes[0] = 2;
            bytes[1..9].copy_from_slice(&id.to_le_bytes());
            bytes[9] = rank.threat_score;
            bytes[10] = rank.confidence;
        }
    }
    bytes
}

/// Stored entries that were found to be whole.
#[derive(Clone, Debug)]
pub struct Content<'a> {
    frames: Vec<Frame<'a>>,
}

#[derive(Clone, Copy, Debug)]
struct Frame<'a> {
    version: u16,
    records: &'a [u8],
    handles: &'a [u8],
}

/// The entries of a file, up to the length at which it counts.
///
/// # Errors
/// Bytes that are no frames, a newer format, or content that is not what was written, to the last byte.
pub fn decode(bytes: &[u8]) -> Result<Content<'_>, SegmentError> {
    let (content, taken) = decode_begun(bytes, true)?;
    if taken == bytes.len() && taken > 0 { Ok(content) } else { Err(SegmentError::Damaged) }
}

/// The entries of the frames that lie whole at the beginning of `bytes`, and how many bytes they are. `is_first`: the
/// file begins there.
///
/// # Errors
/// Bytes that are no frames, a newer format, or content that is not what was written.
pub fn decode_begun(bytes: &[u8], is_first: bool) -> Result<(Content<'_>, usize), SegmentError> {
    let (mut frames, mut rest) = (Vec::new(), bytes);
    loop {
        match frame(rest) {
            Ok(Some((frame, others))) => {
                frames.push(frame);
                rest = others;
            }
            Ok(None) => return Ok((Content { frames }, bytes.len() - rest.len())),
            // Only the first bytes tell what the file is; what is wrong behind them is damage.
            Err(error) if is_first && frames.is_empty() => return Err(error),
            Err(_) => return Err(SegmentError::Damaged),
        }
    }
}

/// The first frame, and what follows on it; none if it is not whole.
fn frame(bytes: &[u8]) -> Result<Option<(Frame<'_>, &[u8])>, SegmentError> {
    if !bytes.starts_with(&MAGIC[..MAGIC.len().min(bytes.len())]) {
        return Err(SegmentError::NotASegment);
    }
    if bytes.len() < SHORT_HEADER + CHECKSUM {
        return Ok(None);
    }
    let version = u16::from_le_bytes(array(&bytes[4..]));
    if version > VERSION {
        return Err(SegmentError::Newer(version));
    }
    let number = |at: usize| u32::from_le_bytes(array(&bytes[at..])) as usize;
    let header = if version < 3 { SHORT_HEADER } else { HEADER };
    let size = record_size(version);
    let records = number(8) * size;
    let handles = match version {
        1 => 0,
        3.. => number(SHORT_HEADER) * HANDLE,
        // As many as there is room for.
        _ => bytes.len().saturating_sub(header + records + CHECKSUM),
    };
    let sealed = header + records + handles;
    let Some((frame, rest)) = bytes.split_at_checked(sealed + CHECKSUM) else { return Ok(None) };
    let (content, checksum) = frame.split_at(sealed);
    if bytes[6..8] != (size as u16).to_le_bytes()
        || xxh3_64(content) != u64::from_le_bytes(array(checksum))
        || version < 3 && !rest.is_empty()
    {
        return Err(SegmentError::Damaged);
    }
    let (records, handles) = content[header..].split_at(records);
    if !are_handles(handles, records.len() / size) {
        return Err(SegmentError::Damaged);
    }
    Ok(Some((Frame { version, records, handles }, rest)))
}

/// Whether `bytes` are handles of so many records, in their order and one each at most.
fn are_handles(bytes: &[u8], records: usize) -> bool {
    let mut next = 0;
    bytes.len().is_multiple_of(HANDLE)
        && bytes.chunks_exact(HANDLE).all(|bytes| {
            let index = u32::from_le_bytes(array(bytes)) as usize;
            let follows = (next..records).contains(&index);
            next = index + 1;
            follows && handle(bytes).is_some()
        })
}

impl<'a> Content<'a> {
    /// The entries in the order in which they were written.
    pub fn entries(&self) -> impl Iterator<Item = Entry> + Clone + '_ {
        self.frames.iter().flat_map(|frame| frame.entries())
    }

    /// The same with their handles.
    pub fn known(&self) -> impl Iterator<Item = Known> + '_ {
        self.frames.iter().flat_map(|frame| frame.known())
    }
}

impl<'a> Frame<'a> {
    fn entries(self) -> impl Iterator<Item = Entry> + Clone + 'a {
        self.records.chunks_exact(record_size(self.version)).map(move |bytes| record(bytes, self.version))
    }

    fn known(self) -> impl Iterator<Item = Known> + 'a {
        let mut handles = self.handles;
        let known = move |(index, entry)| Known { entry, handle: next_handle(&mut handles, index) };
        (0_u32..).zip(self.entries()).map(known)
    }
}

/// Takes the first of the handles away, if it is the one of this record.
fn next_handle(handles: &mut &[u8], index: u32) -> Option<Handle> {
    let (first, others) = handles.split_at_checked(HANDLE)?;
    if first[..4] != index.to_le_bytes() {
        return None;
    }
    *handles = others;
    handle(first)
}

fn record(bytes: &[u8], version: u16) -> Entry {
    let key = array::<16>(bytes).into();
    let fingerprint = Fingerprint(u64::from_le_bytes(array(&bytes[16..])));
    let valid_until = u32::from_le_bytes(array(&bytes[24..]));
    let last = u32::from_le_bytes(array(&bytes[28..]));
    match version {
        1 => Entry::from_stored_v1(key, fingerprint, valid_until, last),
        2 | 3 => Entry::from_stored_v3(key, fingerprint, valid_until, last),
        _ => Entry::from_stored(
            key,
            fingerprint,
            valid_until,
            (last, array(&bytes[32..]), bytes[38], bytes[39]),
        ),
    }
}

fn record_size(version: u16) -> usize {
    if version < 4 { SHORT_RECORD } else { RECORD }
}

fn handle(bytes: &[u8]) -> Option<Handle> {
    match bytes[4] {
        1 => Some(Handle::Foreign(Uuid::from_bytes(array(&bytes[5..])))),
        2 => Some(Handle::Numbered {
            id: u64::from_le_bytes(array(&bytes[5..])),
            rank: Rank { threat_score: bytes[13], confidence: bytes[14] },
        }),
        _ => None,
    }
}

fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes[..N].try_into().expect("a slice of N bytes is an array of N bytes")
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use proptest::prelude::*;

    use super::*;
    use crate::domain::{
        deciding_record::{RecordVersion, Tag},
        entry::State,
    };

    fn entries() -> impl Strategy<Value = Vec<Known>> {
        let states = prop::sample::select(State::ALL.to_vec());
        let rank = |(threat_score, confidence)| Rank { threat_score, confidence };
        let handles = prop_oneof![
            4 => Just(None),
            1 => any::<u128>().prop_map(|id| Some(Handle::Foreign(Uuid::from_u128(id)))),
            1 => any::<(u64, (u8, u8))>()
                .prop_map(move |(id, scores)| Some(Handle::Numbered { id, rank: rank(scores) })),
        ];
        let time = |seconds: u32| DateTime::from_timestamp(i64::from(seconds), 0).unwrap();
        let known = (any::<[u8; 16]>(), any::<u64>(), any::<(u32, u32)>(), states, handles).prop_map(
            move |(key, fingerprint, (valid_until, updated), state, handle)| {
                let fingerprint = Fingerprint(fingerprint);
                let version = RecordVersion { updated, tag: Tag::of(&fingerprint.0.to_string()) };
                let entry = Entry::new(key.into(), fingerprint, time(valid_until), version, state);
                Known { entry, handle }
            },
        );
        prop::collection::vec(known, 0..50)
    }

    fn any_file() -> impl Strategy<Value = Vec<Vec<Known>>> {
        prop::collection::vec(entries(), 1..6)
    }

    fn file(frames: &[Vec<Known>]) -> Vec<u8> {
        frames.iter().flat_map(|known| encode(known.iter().copied())).collect()
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(frames in any_file()) {
            let bytes = file(&frames);
            let content = decode(&bytes).unwrap();
            let known = frames.concat();
            prop_assert!(content.entries().eq(known.iter().map(|known| known.entry)));
            prop_assert_eq!(content.known().collect::<Vec<_>>(), known);
        }

        /// Any changed bit is noticed, any cut, and anything behind the last frame; nothing is ever read as something
        /// else.
        #[test]
        fn damage_is_noticed(
            frames in any_file(),
            at in any::<prop::sample::Index>(),
            bit in 0..8_u8,
            behind in prop::collection::vec(any::<u8>(), 1..100),
        ) {
            let bytes = file(&frames);
            let at = at.index(bytes.len());
            let mut changed = bytes.clone();
            changed[at] ^= 1 << bit;
            prop_assert!(decode(&changed).is_err());
            prop_assert!(decode(&[&bytes[..], &behind].concat()).is_err());
            // A cut between two frames leaves a file that is whole but not so long as is listed.
            let ends = frames.iter().scan(0, |end, known| { *end += encode(known.iter().copied()).len(); Some(*end) });
            let is_between = ends.into_iter().any(|end| end == at);
            prop_assert_eq!(decode(&bytes[..at]).is_err(), !is_between);
        }
    }
}
