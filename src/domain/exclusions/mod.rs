//! What must never be sent: the user's own names, ranges, addresses and files, and what is vital to everybody.
//!
//! A list is read in full or not at all: a line that was passed over would be an indicator that is sent. Values and
//! entries are compared in our spelling, so that `EXAMPLE.org.` excludes `example.org`.

mod change;
mod entry;
mod filter;
mod index;
mod patterns;
mod plain;
mod prefixes;
mod ranges;
mod sorted;
mod texts;
mod types;
mod vital;
mod warning_list;

use std::{fmt, net::IpAddr, sync::Arc};

pub use self::{
    change::{Class, Difference, Fingerprints},
    vital::{ADDRESSES, ALONE, NAME as VITAL, WHOLE},
};
use self::{
    entry::{Entry, LONGEST_DIGEST, Parsed, Range},
    patterns::Patterns,
    prefixes::Prefixes,
    ranges::Ranges,
    texts::{Kind, Texts},
    types::Types,
};
use super::{
    observable::{Hashes, Observable},
    spelling,
};

/// The setting that names values itself, as a list is called.
pub const INLINE: &str = "EXCLUDE";

/// Why a list cannot be read in full.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{list}, line {line}: {reason}")]
pub struct Unreadable {
    pub list: String,
    pub line: u32,
    pub reason: String,
}

/// Where an entry stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    list: u16,
    line: u32,
}

/// The entry that excludes a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit<'a> {
    /// The file, or the setting.
    pub list: &'a str,
    /// From 1; of `EXCLUDE` the number of the value; `None`: of the built-in list, which has no lines that a user sees.
    pub line: Option<u32>,
}

impl fmt::Display for Hit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.list, self.line) {
            (INLINE, Some(line)) => write!(f, "{INLINE}, value {line}"),
            (list, Some(line)) => write!(f, "{list}, line {line}"),
            (list, None) => write!(f, "the built-in list ({list})"),
        }
    }
}

/// One list and how many entries it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListSize {
    pub name: String,
    pub entries: u64,
    /// Entries that no value of ours can equal, such as mail addresses.
    pub unused: u64,
}

/// Every list, ready to be asked.
#[derive(Default)]
pub struct Lists {
    sizes: Vec<ListSize>,
    texts: Texts,
    /// Sorted by what they bind, which is one thing for most.
    v4: Vec<(Types, Ranges<u32>)>,
    v6: Vec<(Types, Ranges<u128>)>,
    prefixes: Prefixes,
    patterns: Patterns,
}

impl fmt::Debug for Lists {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lists").field("sizes", &self.sizes).finish_non_exhaustive()
    }
}

/// Takes lists one after another; of equal entries the first is named.
#[derive(Default)]
pub struct Builder {
    sizes: Vec<ListSize>,
    texts: texts::Builder,
    v4: Vec<(Types, ranges::Builder<u32>)>,
    v6: Vec<(Types, ranges::Builder<u128>)>,
    prefixes: prefixes::Builder,
    patterns: patterns::Builder,
}

impl Builder {
    /// Adds the values of `EXCLUDE`.
    ///
    /// # Errors
    /// The first value that is none, with its number.
    pub fn inline(&mut self, values: &str) -> Result<(), Unreadable> {
        let values: Vec<&str> = values.split(',').filter(|value| !value.trim().is_empty()).collect();
        if values.is_empty() {
            return Ok(());
        }
        self.list(INLINE, |add| {
            for (number, value) in (1..).zip(&values) {
                plain::line(value)
                    .map_err(|reason| (number, reason))?
                    .into_iter()
                    .for_each(|e| add(number, e));
            }
            Ok(())
        })
    }

    /// Adds a file: plain lines, or a warning list of MISP.
    ///
    /// # Errors
    /// The first line that cannot be read, and why.
    pub fn file(&mut self, name: &str, bytes: &[u8]) -> Result<(), Unreadable> {
        let read = self.list(name, |add| {
            let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
            let text = std::str::from_utf8(bytes).map_err(|error| {
                let line = 1 + bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count();
                (plain::number(line), "not UTF-8; save the file with that encoding".to_owned())
            })?;
            match text.trim_start().starts_with('{') {
                true => warning_list::read(text, add),
                false => plain::read(text, add),
            }
        });
        read.map_err(|unreadable| Unreadable { list: format!("exclusions/{name}"), ..unreadable })
    }

    fn list(
        &mut self,
        name: &str,
        read: impl FnOnce(&mut dyn FnMut(u32, Parsed)) -> Result<(), (u32, String)>,
    ) -> Result<(), Unreadable> {
        let unreadable = |(line, reason)| Unreadable { list: name.to_owned(), line, reason };
        let list = u16::try_from(self.sizes.len())
            .map_err(|_| unreadable((1, "more than 65,536 lists".to_owned())))?;
        let (mut entries, mut unused) = (0, 0);
        let mut full = None;
        let read = read(&mut |line, parsed| {
            entries += 1;
            unused += u64::from(parsed.types.is_empty());
            if let Err(reason) = self.add(Place { list, line }, parsed) {
                full.get_or_insert((line, reason));
            }
        });
        full.map_or(read, Err).map_err(unreadable)?;
        self.sizes.push(ListSize { name: name.to_owned(), entries, unused });
        Ok(())
    }

    fn add(&mut self, place: Place, Parsed { entry, types }: Parsed) -> Result<(), String> {
        if types.is_empty() {
            return Ok(());
        }
        match entry {
            Entry::Name { name, itself, below } => {
                let kind = match (itself, below) {
                    (true, true) => Kind::Domain,
                    (true, false) => Kind::Name,
                    _ => Kind::Below,
                };
                self.texts.add(kind, name.as_bytes(), types, place)
            }
            Entry::Digest(digest) => self.texts.add(Kind::Digest, &digest, types, place),
            Entry::ExactUrl(url) => self.texts.add(Kind::Url, url.as_bytes(), types, place),
            Entry::Range(Range::V4(start, end)) => {
                bound(&mut self.v4, types).add(start, end, place);
                Ok(())
            }
            Entry::Range(Range::V6(start, end)) => {
                bound(&mut self.v6, types).add(start, end, place);
                Ok(())
            }
            Entry::Prefix(prefix) => self.prefixes.add(&prefix, types, place),
            Entry::Substring(text) => self.patterns.substring(types, text, place),
            Entry::Regex(regex) => self.patterns.regex(types, regex, place),
        }
    }

    /// Makes the lists ready.
    ///
    /// # Errors
    /// Patterns that are too large together, under the name of the list that has the first of them.
    pub fn build(self) -> Result<Lists, Unreadable> {
        let patterns = self.patterns.build().map_err(|(place, reason)| Unreadable {
            list: self.sizes.get(usize::from(place.list)).map(|size| size.name.clone()).unwrap_or_default(),
            line: place.line,
            reason,
        })?;
        Ok(Lists {
            sizes: self.sizes,
            texts: self.texts.build(),
            v4: self.v4.into_iter().map(|(types, ranges)| (types, ranges.build())).collect(),
            v6: self.v6.into_iter().map(|(types, ranges)| (types, ranges.build())).collect(),
            prefixes: self.prefixes.build(),
            patterns,
        })
    }
}

/// What is collected for entries that bind `types`.
fn bound<T: Default>(all: &mut Vec<(Types, T)>, types: Types) -> &mut T {
    let known = all.iter().position(|(known, _)| *known == types);
    let place = known.unwrap_or_else(|| {
        all.push((types, T::default()));
        all.len() - 1
    });
    &mut all[place].1
}

impl Lists {
    pub fn sizes(&self) -> &[ListSize] {
        &self.sizes
    }

    /// The entry that excludes `observable`, if one does: the most specific of its kind, and of equal ones the first.
    pub fn find(&self, observable: &Observable) -> Option<Hit<'_>> {
        let types = Types::of(observable.indicator_type());
        let place = match observable {
            Observable::Ipv4(address) => self.address((*address).into(), types),
            Observable::Ipv6(address) => self.address((*address).into(), types),
            Observable::Domain(name) => self.name(name, types),
            Observable::Url(url) => self.url(url, types),
            Observable::File(hashes) => return self.file(hashes, types),
        };
        let matched = || self.patterns.find(&text_of(observable)?, types);
        let place = place.or_else(|| if self.patterns.is_empty() { None } else { matched() });
        place.map(|place| self.hit(place))
    }

    fn hit(&self, Place { list, line }: Place) -> Hit<'_> {
        let list = &*self.sizes[usize::from(list)].name;
        Hit { list, line: (list != VITAL).then_some(line) }
    }

    fn file(&self, hashes: &Hashes, types: Types) -> Option<Hit<'_>> {
        let place = hashes.all().find_map(|(_, digest)| {
            let mut space = [0; LONGEST_DIGEST];
            let bytes = entry::decoded(digest, &mut space);
            let listed = self.texts.find(&[Kind::Digest], bytes, types);
            listed.or_else(|| self.patterns.find(digest, types))
        });
        place.map(|place| self.hit(place))
    }

    fn address(&self, address: IpAddr, types: Types) -> Option<Place> {
        match address.to_canonical() {
            IpAddr::V4(address) => find(&self.v4, address.to_bits(), types),
            IpAddr::V6(address) => find(&self.v6, address.to_bits(), types),
        }
    }

    fn name(&self, name: &str, types: Types) -> Option<Place> {
        if self.texts.is_empty() {
            return None;
        }
        let itself = self.texts.find(&[Kind::Domain, Kind::Name], name.as_bytes(), types);
        let mut rest = name;
        itself.or_else(|| {
            loop {
                rest = rest.split_once('.')?.1;
                let above = self.texts.find(&[Kind::Domain, Kind::Below], rest.as_bytes(), types);
                if above.is_some() {
                    return above;
                }
            }
        })
    }

    fn url(&self, url: &str, types: Types) -> Option<Place> {
        let exact = self.texts.find(&[Kind::Url], url.as_bytes(), types);
        let place = exact.or_else(|| self.prefixes.find(url, types));
        if place.is_some() || self.texts.is_empty() && self.v4.is_empty() && self.v6.is_empty() {
            return place;
        }
        match spelling::host_of(url)? {
            spelling::HostOf::Name(name) => self.name(name, types),
            spelling::HostOf::Address(address) => self.address(address, types),
        }
    }
}

fn find<T: Copy + Ord + Into<u128>>(ranges: &[(Types, Ranges<T>)], value: T, types: Types) -> Option<Place> {
    ranges.iter().filter(|(bound, _)| bound.contains(types)).find_map(|(_, ranges)| ranges.find(value))
}

/// The text in which patterns look.
fn text_of(observable: &Observable) -> Option<std::borrow::Cow<'_, str>> {
    Some(match observable {
        Observable::Ipv4(address) => address.to_string().into(),
        Observable::Ipv6(address) => address.to_string().into(),
        Observable::Domain(text) | Observable::Url(text) => text.as_str().into(),
        Observable::File(_) => return None,
    })
}

/// What one lane never sends.
#[derive(Clone, Debug, Default)]
pub struct Exclusions {
    pub lists: Arc<Lists>,
    /// The built-in list counts too.
    pub vital: bool,
    /// The destination acts on endpoints: what it holds and must not is removed, whatever else is set.
    pub acts: bool,
}

impl Exclusions {
    /// The entry that excludes `observable`, if one does.
    pub fn find(&self, observable: &Observable) -> Option<Hit<'_>> {
        let vital = || if self.vital { vital::lists().find(observable) } else { None };
        self.lists.find(observable).or_else(vital)
    }
}
