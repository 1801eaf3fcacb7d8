//! Beginnings of URLs, sorted by host and then by text.
//!
//! A beginning has the whole host, so only those of one host are compared. Of the beginnings that are not behind a URL
//! the last, or one that this one begins with, is the only one that the URL can begin with.

use xxhash_rust::xxh3::xxh3_64;

use super::{Place, index::Index, types::Types};
use crate::domain::spelling;

const NONE: u32 = u32::MAX;

/// The schemes that a beginning is for.
const HTTP: u8 = 1;
const HTTPS: u8 = 2;
const FTP: u8 = 4;

/// The beginning of a URL, in our spelling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Prefix {
    schemes: u8,
    /// What stands behind `://`.
    text: String,
}

impl Prefix {
    /// # Errors
    /// It is no URL.
    pub fn with_scheme(text: &str) -> Result<Self, String> {
        let url = spelling::url(text).map_err(|malformed| format!("{text:?} is {malformed}"))?;
        let (schemes, text) = split(&url.text).expect("a URL in our spelling");
        Ok(Self { schemes, text: text.to_owned() })
    }

    /// Of both schemes of the web.
    ///
    /// # Errors
    /// It is no URL with either.
    pub fn without_scheme(text: &str) -> Result<Vec<Self>, String> {
        let of = |scheme| {
            let url = spelling::url(&format!("{scheme}://{text}"));
            url.map_err(|malformed| format!("{text:?} is {malformed}"))
        };
        let (http, https) = (of("http")?, of("https")?);
        let rest = |url: &spelling::Url| split(&url.text).expect("a URL in our spelling").1.to_owned();
        let (http, https) = (rest(&http), rest(&https));
        Ok(match http == https {
            true => vec![Self { schemes: HTTP | HTTPS, text: http }],
            false => vec![Self { schemes: HTTP, text: http }, Self { schemes: HTTPS, text: https }],
        })
    }
}

/// The scheme, and what stands behind `://`.
fn split(url: &str) -> Option<(u8, &str)> {
    let (scheme, rest) = spelling::split(url)?;
    let scheme = match scheme {
        "http" => HTTP,
        "https" => HTTPS,
        "ftp" => FTP,
        _ => return None,
    };
    Some((scheme, rest))
}

/// Of the host with its port.
fn hash(rest: &str) -> u32 {
    let authority = spelling::authority(rest);
    #[expect(clippy::cast_possible_truncation, reason = "any 32 bits of it will do")]
    let hash = xxh3_64(authority.as_bytes()) as u32;
    hash
}

#[derive(Clone, Copy)]
struct Item {
    offset: u32,
    /// The longest other beginning that this one begins with.
    outer: u32,
    line: u32,
    length: u16,
    list: u16,
    schemes: u8,
    types: Types,
}

/// The beginnings.
#[derive(Default)]
pub(super) struct Prefixes {
    index: Index<Item>,
    arena: String,
}

/// Takes beginnings in any order.
#[derive(Default)]
pub(super) struct Builder {
    items: Vec<(u32, Item)>,
    arena: String,
}

impl Builder {
    /// # Errors
    /// All texts together are longer than can be counted.
    pub fn add(&mut self, prefix: &Prefix, types: Types, place: Place) -> Result<(), String> {
        let offset = u32::try_from(self.arena.len()).map_err(|_| "more than 4 GiB of URLs".to_owned())?;
        let length =
            u16::try_from(prefix.text.len()).map_err(|_| "a value of more than 65,535 bytes".to_owned())?;
        self.arena.push_str(&prefix.text);
        let Place { list, line } = place;
        let schemes = prefix.schemes;
        let item = Item { offset, outer: NONE, line, length, list, schemes, types };
        self.items.push((hash(&prefix.text), item));
        Ok(())
    }

    pub fn build(mut self) -> Prefixes {
        let arena = &self.arena;
        // Of equal entries the first stays. A stable sort would take half as much memory again.
        let place = |item: &Item| (item.list, item.line, item.schemes);
        self.items.sort_unstable_by(|left, right| {
            left.0
                .cmp(&right.0)
                .then_with(|| text(arena, &left.1).cmp(text(arena, &right.1)))
                .then_with(|| place(&left.1).cmp(&place(&right.1)))
        });
        self.items.dedup_by(|later, first| {
            (later.0, text(arena, &later.1)) == (first.0, text(arena, &first.1))
                && (later.1.schemes, later.1.types) == (first.1.schemes, first.1.types)
        });
        let mut outer = NONE;
        for number in 0..self.items.len() {
            let (hash, item) = self.items[number];
            while outer != NONE {
                let (other_hash, other) = self.items[outer as usize];
                if other_hash == hash && text(arena, &item).starts_with(text(arena, &other)) {
                    break;
                }
                outer = other.outer;
            }
            self.items[number].1.outer = outer;
            outer = u32::try_from(number).expect("a list has fewer entries");
        }
        self.arena.shrink_to_fit();
        Prefixes { index: Index::of(self.items), arena: self.arena }
    }
}

impl Prefixes {
    /// The longest beginning of `url`, which is in our spelling, that binds `types`.
    pub fn find(&self, url: &str, types: Types) -> Option<Place> {
        if self.index.is_empty() {
            return None;
        }
        let (scheme, rest) = split(url)?;
        let mut places = self.index.places(hash(rest));
        // Those of one host are sorted by their text; a host that has thousands is searched as fast as one that has two.
        let begin = places.start;
        while !places.is_empty() {
            let middle = places.start + places.len() / 2;
            match text(&self.arena, self.index.item(middle)) <= rest {
                true => places.start = middle + 1,
                false => places.end = middle,
            }
        }
        let mut number = places.start.checked_sub(1).filter(|before| *before >= begin)?;
        loop {
            let item = self.index.item(number);
            let binds = item.schemes & scheme != 0 && item.types.contains(types);
            if binds && rest.starts_with(text(&self.arena, item)) {
                return Some(Place { list: item.list, line: item.line });
            }
            if item.outer == NONE {
                return None;
            }
            number = item.outer as usize;
        }
    }

    /// Every beginning with its schemes: a URL of each scheme that is one itself.
    pub fn all(&self) -> impl Iterator<Item = (u8, &str, Types)> {
        self.index.items().map(|item| (item.schemes, text(&self.arena, item), item.types))
    }
}

/// The URLs that equal a beginning.
pub(super) fn urls(schemes: u8, text: &str) -> impl Iterator<Item = String> {
    let all = [(HTTP, "http"), (HTTPS, "https"), (FTP, "ftp")];
    let named = all.into_iter().filter(move |(bit, _)| schemes & bit != 0);
    named.map(move |(_, scheme)| format!("{scheme}://{text}"))
}

fn text<'a>(arena: &'a str, item: &Item) -> &'a str {
    let start = item.offset as usize;
    &arena[start..start + usize::from(item.length)]
}
