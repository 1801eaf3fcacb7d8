//! What became of the lists since a lane heard of them last: which entries are new, and whether some are gone.

use std::{net::IpAddr, slice::ChunksExact};

use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::{Exclusions, Lists, prefixes, texts::Kind, types::Types, vital};
use crate::domain::observable::{HashType, Hashes, IndicatorType, Observable};

/// What an entry may cover, as far as it decides whether all of it can be found at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Any number of values.
    Broad,
    /// One value.
    Value,
    /// One file, which may be known by another digest.
    Digest(HashType),
}

/// The entries of all lists, each as a number, in their order: the same whatever files they stand in, and in whatever
/// spelling.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fingerprints(Vec<u64>);

/// So many of the lowest bits of a fingerprint say of which class it is.
const CLASS_BITS: u64 = 0b111;

impl Class {
    fn code(self) -> u64 {
        match self {
            Self::Broad => 0,
            Self::Value => 1,
            Self::Digest(HashType::Md5) => 2,
            Self::Digest(HashType::Sha1) => 3,
            Self::Digest(HashType::Sha256) => 4,
        }
    }

    fn of(fingerprint: u64) -> Self {
        match fingerprint & CLASS_BITS {
            1 => Self::Value,
            2 => Self::Digest(HashType::Md5),
            3 => Self::Digest(HashType::Sha1),
            4 => Self::Digest(HashType::Sha256),
            _ => Self::Broad,
        }
    }
}

/// How lists differ from what they were.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Of each entry that is new.
    pub added: Vec<Class>,
    pub some_are_gone: bool,
}

impl Fingerprints {
    /// What stands for all of them; `None`: there are none.
    pub fn sum(&self) -> Option<String> {
        (!self.0.is_empty()).then(|| format!("{:016x}", xxh3_64(&self.to_bytes())))
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|fingerprint| fingerprint.to_le_bytes()).collect()
    }

    /// What [`Fingerprints::to_bytes`] wrote; anything else is none that has its sum.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let numbers: ChunksExact<'_, u8> = bytes.chunks_exact(8);
        Self(numbers.map(|bytes| u64::from_le_bytes(bytes.try_into().expect("eight bytes"))).collect())
    }

    /// How these differ from what was `before`.
    pub fn since(&self, before: &Self) -> Difference {
        let is_new = |fingerprint: &&u64| before.0.binary_search(fingerprint).is_err();
        let added: Vec<Class> = self.0.iter().filter(is_new).map(|number| Class::of(*number)).collect();
        let some_are_gone = self.0.len() - added.len() < before.0.len();
        Difference { added, some_are_gone }
    }
}

impl Exclusions {
    /// Stands for every entry that counts.
    pub fn fingerprints(&self) -> Fingerprints {
        let mut all = Vec::new();
        self.each(|lists| lists.fingerprints(&mut all));
        all.sort_unstable();
        all.dedup();
        Fingerprints(all)
    }

    /// Calls `visit` with every value that an entry names itself.
    pub fn values(&self, mut visit: impl FnMut(Observable)) {
        self.each(|lists| lists.values(&mut visit));
    }

    fn each(&self, mut visit: impl FnMut(&Lists)) {
        visit(&self.lists);
        if self.vital {
            visit(vital::lists());
        }
    }
}

impl Lists {
    fn fingerprints(&self, all: &mut Vec<u64>) {
        let mut add = |class: Class, kind: u8, text: &[u8], types: Types| {
            let mut hasher = Xxh3::new();
            hasher.update(&[kind, types.0]);
            hasher.update(text);
            all.push(hasher.digest() & !CLASS_BITS | class.code());
        };
        for (kind, text, types) in self.texts.all() {
            let class = match kind {
                Kind::Name if !types.contains(Types::of(IndicatorType::Url)) => Class::Value,
                Kind::Domain | Kind::Name | Kind::Below => Class::Broad,
                Kind::Url => Class::Value,
                Kind::Digest => digest_type(text).map_or(Class::Broad, Class::Digest),
            };
            add(class, kind as u8, text, types);
        }
        let of_range = |is_one: bool, types: Types| match is_one && Types::addresses().contains(types) {
            true => Class::Value,
            false => Class::Broad,
        };
        for (types, ranges) in &self.v4 {
            for (first, last) in ranges.all() {
                let text = [first.to_le_bytes(), last.to_le_bytes()].concat();
                add(of_range(first == last, *types), 10, &text, *types);
            }
        }
        for (types, ranges) in &self.v6 {
            for (first, last) in ranges.all() {
                let text = [first.to_le_bytes(), last.to_le_bytes()].concat();
                add(of_range(first == last, *types), 11, &text, *types);
            }
        }
        for (schemes, text, types) in self.prefixes.all() {
            add(Class::Broad, 20 + schemes, text.as_bytes(), types);
        }
        for (is_regex, text, types) in self.patterns.all() {
            add(Class::Broad, 30 + u8::from(is_regex), text.as_bytes(), types);
        }
    }

    fn values(&self, visit: &mut impl FnMut(Observable)) {
        let utf8 = |text: &[u8]| String::from_utf8_lossy(text).into_owned();
        let (hosts, urls) = (Types::of(IndicatorType::Fqdn), Types::of(IndicatorType::Url));
        for (kind, text, types) in self.texts.all() {
            match kind {
                Kind::Domain | Kind::Name if types.contains(hosts) => visit(Observable::Domain(utf8(text))),
                Kind::Url if types.contains(urls) => visit(Observable::Url(utf8(text))),
                Kind::Digest => {
                    let digits: String = text.iter().map(|byte| format!("{byte:02x}")).collect();
                    let mut hashes = Hashes::default();
                    let added = digest_type(text).map(|hash_type| hashes.add(hash_type, &digits));
                    if added == Some(Ok(())) {
                        visit(Observable::File(hashes));
                    }
                }
                Kind::Domain | Kind::Name | Kind::Below | Kind::Url => {}
            }
        }
        let v4 = self.v4.iter().filter(|(types, _)| types.contains(Types::of(IndicatorType::Ipv4)));
        for (first, _) in v4.flat_map(|(_, ranges)| ranges.all()).filter(|(first, last)| first == last) {
            visit(Observable::Ipv4(first.into()));
        }
        let v6 = self.v6.iter().filter(|(types, _)| types.contains(Types::of(IndicatorType::Ipv6)));
        for (first, _) in v6.flat_map(|(_, ranges)| ranges.all()).filter(|(first, last)| first == last) {
            if let IpAddr::V6(address) = IpAddr::V6(first.into()).to_canonical() {
                visit(Observable::Ipv6(address));
            }
        }
        for (schemes, text, types) in self.prefixes.all() {
            if types.contains(urls) {
                prefixes::urls(schemes, text).for_each(|url| visit(Observable::Url(url)));
            }
        }
    }
}

fn digest_type(bytes: &[u8]) -> Option<HashType> {
    HashType::ALL.into_iter().find(|hash_type| hash_type.digits() == 2 * bytes.len())
}
