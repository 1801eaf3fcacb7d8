//! The stored form of manifest entries: an immutable file of fixed-size records behind a header, with a
//! checksum at its end.
//!
//! ```text
//! "MSEG" | version u16 | record size u16 | count u32 | records… | xxh3-64 of all before
//! record: key 16 | fingerprint u64 | valid_until u32 | mark u32      (integers little-endian)
//! ```

use xxhash_rust::xxh3::xxh3_64;

use super::{fingerprint::Fingerprint, manifest::Entry};

const MAGIC: &[u8; 4] = b"MSEG";
const VERSION: u16 = 1;
const RECORD: usize = 32;
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

/// The stored form of `entries`.
pub fn encode(entries: &[Entry]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER + entries.len() * RECORD + CHECKSUM);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&(RECORD as u16).to_le_bytes());
    let count = u32::try_from(entries.len()).expect("a manifest has fewer than 2^32 entries");
    bytes.extend_from_slice(&count.to_le_bytes());
    for entry in entries {
        bytes.extend_from_slice(entry.key.0.as_bytes());
        bytes.extend_from_slice(&entry.fingerprint.0.to_le_bytes());
        bytes.extend_from_slice(&entry.valid_until.to_le_bytes());
        bytes.extend_from_slice(&entry.mark().to_le_bytes());
    }
    let checksum = xxh3_64(&bytes);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    bytes
}

/// The entries of a stored segment.
///
/// # Errors
/// Bytes that are no segment, a newer format, or content that is not what was written.
pub fn decode(bytes: &[u8]) -> Result<Vec<Entry>, SegmentError> {
    if bytes.len() < HEADER + CHECKSUM || &bytes[..4] != MAGIC {
        return Err(SegmentError::NotASegment);
    }
    let version = u16::from_le_bytes(array(&bytes[4..]));
    if version > VERSION {
        return Err(SegmentError::Newer(version));
    }
    let (content, checksum) = bytes.split_at(bytes.len() - CHECKSUM);
    let count = u32::from_le_bytes(array(&bytes[8..])) as usize;
    let whole = content.len() == HEADER + count * RECORD && bytes[6..8] == (RECORD as u16).to_le_bytes();
    if !whole || xxh3_64(content) != u64::from_le_bytes(array(checksum)) {
        return Err(SegmentError::Damaged);
    }
    content[HEADER..].chunks_exact(RECORD).map(record).collect()
}

fn record(bytes: &[u8]) -> Result<Entry, SegmentError> {
    let key = array::<16>(bytes).into();
    let fingerprint = Fingerprint(u64::from_le_bytes(array(&bytes[16..])));
    let valid_until = u32::from_le_bytes(array(&bytes[24..]));
    let mark = u32::from_le_bytes(array(&bytes[28..]));
    Entry::stored(key, fingerprint, valid_until, mark).ok_or(SegmentError::Damaged)
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

    fn entries() -> impl Strategy<Value = Vec<Entry>> {
        let states = prop_oneof![Just(State::Held), Just(State::Rejected), Just(State::UpdateRejected)];
        let time = |seconds: u32| DateTime::from_timestamp(i64::from(seconds), 0).unwrap();
        let entry = (any::<[u8; 16]>(), any::<u64>(), any::<u32>(), any::<u32>(), states).prop_map(
            move |(key, fingerprint, valid_until, updated, state)| {
                Entry::new(
                    key.into(),
                    Fingerprint(fingerprint),
                    time(valid_until),
                    Some(time(updated)),
                    state,
                )
            },
        );
        prop::collection::vec(entry, 0..50)
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(entries in entries()) {
            prop_assert_eq!(decode(&encode(&entries)), Ok(entries));
        }

        /// Any cut and any changed byte is noticed; nothing is ever read as something else.
        #[test]
        fn damage_is_noticed(entries in entries(), at in any::<prop::sample::Index>(), bit in 0..8_u8, cut in any::<bool>()) {
            let mut bytes = encode(&entries);
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
