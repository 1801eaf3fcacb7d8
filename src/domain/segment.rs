//! The stored form of manifest entries: an immutable file of fixed-size records behind a header, with a
//! checksum at its end.
//!
//! ```text
//! "MSEG" | version u16 | record size u16 | count u32 | records… | handles… | xxh3-64 of all before
//! record: key 16 | fingerprint u64 | valid_until u32 | mark u32      (integers little-endian)
//! handle: index of its record u32 | kind u8 | 16 bytes
//!         kind 1, foreign: the UUID; kind 2, numbered: number u64 | threat score u8 | confidence u8 | zeros
//! ```
//!
//! Version 1 had no handles, its marks no type; it is read as well.

use std::collections::HashMap;

use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_64;

use super::{
    fingerprint::Fingerprint,
    manifest::{Entry, Handle, Known, Rank},
};

const MAGIC: &[u8; 4] = b"MSEG";
const VERSION: u16 = 2;
const RECORD: usize = 32;
const HANDLE: usize = 21;
const HEADER: usize = 12;
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

/// The stored form of `known`.
pub fn encode(known: impl ExactSizeIterator<Item = Known>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER + known.len() * RECORD + CHECKSUM);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&(RECORD as u16).to_le_bytes());
    let count = u32::try_from(known.len()).expect("a manifest has fewer than 2^32 entries");
    bytes.extend_from_slice(&count.to_le_bytes());
    let mut handles = Vec::new();
    for (index, Known { entry, handle }) in (0_u32..).zip(known) {
        bytes.extend_from_slice(entry.key.0.as_bytes());
        bytes.extend_from_slice(&entry.fingerprint.0.to_le_bytes());
        bytes.extend_from_slice(&entry.valid_until.to_le_bytes());
        bytes.extend_from_slice(&entry.mark().to_le_bytes());
        if let Some(handle) = handle {
            handles.extend_from_slice(&index.to_le_bytes());
            handles.extend_from_slice(&stored_handle(handle));
        }
    }
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

/// The entries of a stored segment.
///
/// # Errors
/// Bytes that are no segment, a newer format, or content that is not what was written.
pub fn decode(bytes: &[u8]) -> Result<impl ExactSizeIterator<Item = Known>, SegmentError> {
    if bytes.len() < HEADER + CHECKSUM || &bytes[..4] != MAGIC {
        return Err(SegmentError::NotASegment);
    }
    let version = u16::from_le_bytes(array(&bytes[4..]));
    if version > VERSION {
        return Err(SegmentError::Newer(version));
    }
    let (content, checksum) = bytes.split_at(bytes.len() - CHECKSUM);
    let count = u32::from_le_bytes(array(&bytes[8..]));
    let records = count as usize * RECORD;
    if content.len() < HEADER + records
        || bytes[6..8] != (RECORD as u16).to_le_bytes()
        || xxh3_64(content) != u64::from_le_bytes(array(checksum))
    {
        return Err(SegmentError::Damaged);
    }
    let (records, handles) = content[HEADER..].split_at(records);
    let whole = handles.len() % HANDLE == 0 && (version > 1 || handles.is_empty());
    let handles: Option<HashMap<usize, Handle>> = handles.chunks_exact(HANDLE).map(handle).collect();
    let handles = handles.filter(|_| whole).ok_or(SegmentError::Damaged)?;
    Ok(records.chunks_exact(RECORD).enumerate().map(move |(index, bytes)| Known {
        entry: record(bytes, version),
        handle: handles.get(&index).copied(),
    }))
}

fn record(bytes: &[u8], version: u16) -> Entry {
    let key = array::<16>(bytes).into();
    let fingerprint = Fingerprint(u64::from_le_bytes(array(&bytes[16..])));
    let valid_until = u32::from_le_bytes(array(&bytes[24..]));
    let mark = u32::from_le_bytes(array(&bytes[28..]));
    let stored = if version == 1 { Entry::stored_v1 } else { Entry::stored };
    stored(key, fingerprint, valid_until, mark)
}

fn handle(bytes: &[u8]) -> Option<(usize, Handle)> {
    let handle = match bytes[4] {
        1 => Handle::Foreign(Uuid::from_bytes(array(&bytes[5..]))),
        2 => Handle::Numbered {
            id: u64::from_le_bytes(array(&bytes[5..])),
            rank: Rank { threat_score: bytes[13], confidence: bytes[14] },
        },
        _ => return None,
    };
    Some((u32::from_le_bytes(array(bytes)) as usize, handle))
}

fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes[..N].try_into().expect("a slice of N bytes is an array of N bytes")
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use proptest::prelude::*;

    use super::*;
    use crate::domain::manifest::State;

    fn entries() -> impl Strategy<Value = Vec<Known>> {
        let states =
            prop::sample::select(vec![State::Held, State::Rejected, State::UpdateRejected, State::Retracted]);
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
                let entry =
                    Entry::new(key.into(), fingerprint, time(valid_until), Some(time(updated)), state);
                Known { entry, handle }
            },
        );
        prop::collection::vec(known, 0..50)
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(known in entries()) {
            let bytes = encode(known.iter().copied());
            prop_assert_eq!(decode(&bytes).unwrap().collect::<Vec<_>>(), known);
        }

        /// Any cut and any changed byte is noticed; nothing is ever read as something else.
        #[test]
        fn damage_is_noticed(known in entries(), at in any::<prop::sample::Index>(), bit in 0..8_u8, cut in any::<bool>()) {
            let mut bytes = encode(known.into_iter());
            let at = at.index(bytes.len());
            if cut {
                bytes.truncate(at);
            } else {
                bytes[at] ^= 1 << bit;
            }
            prop_assert!(decode(&bytes).is_err());
        }
    }
}
