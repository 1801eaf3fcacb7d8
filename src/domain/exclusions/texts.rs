//! Entries that are looked up whole: names, digests, single URLs.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{Place, index::Index, types::Types};

/// What a text is, and what it excludes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Kind {
    /// A name and everything below it.
    Domain,
    /// The name alone.
    Name,
    /// Everything below the name.
    Below,
    Digest,
    Url,
}

impl Kind {
    /// What is hashed with the text: names are looked up as all three kinds at once.
    fn seed(self) -> u64 {
        match self {
            Self::Domain | Self::Name | Self::Below => 1,
            Self::Digest => 2,
            Self::Url => 3,
        }
    }
}

#[derive(Clone, Copy)]
struct Item {
    offset: u32,
    line: u32,
    list: u16,
    kind: Kind,
    types: Types,
}

/// The entries, sorted by hash.
#[derive(Default)]
pub(super) struct Texts {
    index: Index<Item>,
    arena: Vec<u8>,
}

/// Takes entries in any order.
#[derive(Default)]
pub(super) struct Builder {
    items: Vec<(u32, Item)>,
    arena: Vec<u8>,
}

impl Builder {
    /// # Errors
    /// All texts together are longer than can be counted.
    pub fn add(&mut self, kind: Kind, text: &[u8], types: Types, place: Place) -> Result<(), String> {
        let length = u16::try_from(text.len()).map_err(|_| "a value of more than 65,535 bytes".to_owned())?;
        let offset = u32::try_from(self.arena.len()).map_err(|_| "more than 4 GiB of values".to_owned())?;
        self.arena.extend_from_slice(&length.to_le_bytes());
        self.arena.extend_from_slice(text);
        let Place { list, line } = place;
        self.items.push((hash(kind, text), Item { offset, line, list, kind, types }));
        Ok(())
    }

    pub fn build(mut self) -> Texts {
        let arena = &self.arena;
        // Of equal entries the first stays. A stable sort would take half as much memory again.
        self.items.sort_unstable_by(|(left, left_item), (right, right_item)| {
            let key = |item: &Item| (item.kind, item.types, item.list, item.line);
            left.cmp(right)
                .then_with(|| text(arena, left_item).cmp(text(arena, right_item)))
                .then_with(|| key(left_item).cmp(&key(right_item)))
        });
        self.items.dedup_by(|(hash, later), (known, first)| {
            hash == known
                && (first.kind, first.types) == (later.kind, later.types)
                && text(arena, first) == text(arena, later)
        });
        self.arena.shrink_to_fit();
        Texts { index: Index::of(self.items), arena: self.arena }
    }
}

impl Texts {
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// The first entry of `kinds`, which are hashed alike, for `text` that binds `types`.
    pub fn find(&self, kinds: &[Kind], text: &[u8], types: Types) -> Option<Place> {
        let places = self.index.places(hash(kinds[0], text));
        let fits = |item: &&Item| {
            kinds.contains(&item.kind) && item.types.contains(types) && self::text(&self.arena, item) == text
        };
        let fitting = places.map(|place| self.index.item(place)).filter(fits);
        fitting.map(|item| Place { list: item.list, line: item.line }).min()
    }

    /// Every entry.
    pub fn all(&self) -> impl Iterator<Item = (Kind, &[u8], Types)> {
        self.index.items().map(|item| (item.kind, text(&self.arena, item), item.types))
    }
}

fn text<'a>(arena: &'a [u8], item: &Item) -> &'a [u8] {
    let start = item.offset as usize + 2;
    let length = u16::from_le_bytes([arena[start - 2], arena[start - 1]]);
    &arena[start..start + usize::from(length)]
}

fn hash(kind: Kind, text: &[u8]) -> u32 {
    #[expect(clippy::cast_possible_truncation, reason = "any 32 bits of it will do")]
    let hash = xxh3_64_with_seed(text, kind.seed()) as u32;
    hash
}
