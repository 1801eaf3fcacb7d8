//! What an indicator is about: one address, name, URL or file, in one canonical spelling.
//!
//! Rules match on equality with what logs contain, so the spelling is the product: two spellings of one thing
//! would be two indicators, and the wrong one would never match.

use std::{
    borrow::Cow,
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use super::hashes::{HashType, HashTypes, Hashes};

use super::{
    never_sent::{self, Suffixes},
    spelling::{self, Host, Malformed},
    trivial,
};

/// Names our ids alone; fixed for ever, because every id ever sent derives from it.
const NAMESPACE: Uuid = Uuid::from_u128(0x6d61_7469_2d73_5796_8e63_9f3b_1c27_d40a);

/// The types a user includes, excludes and gives thresholds and expirations to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IndicatorType {
    Ipv4,
    Ipv6,
    Fqdn,
    Url,
    Hash,
}

impl IndicatorType {
    pub const ALL: [Self; 5] = [Self::Ipv4, Self::Ipv6, Self::Fqdn, Self::Url, Self::Hash];

    /// As in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
            Self::Fqdn => "fqdn",
            Self::Url => "url",
            Self::Hash => "hash",
        }
    }
}

/// The thing itself, in canonical spelling.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Observable {
    Ipv4(Ipv4Addr),
    Ipv6(Ipv6Addr),
    Domain(String),
    Url(String),
    File(Hashes),
}

impl Observable {
    /// An IPv4 address of a host on the internet.
    ///
    /// # Errors
    /// No address, or one that is local.
    pub fn ipv4(value: &str) -> Result<Self, Malformed> {
        let address: Ipv4Addr =
            value.trim().parse().map_err(|_| Malformed::because("not an IPv4 address"))?;
        Self::address(address.into())
    }

    /// The same for IPv6. An IPv4-mapped address becomes the IPv4 address (RFC 4291 §2.5.5.2), under which it is logged.
    ///
    /// # Errors
    /// No address, or one that is local.
    pub fn ipv6(value: &str) -> Result<Self, Malformed> {
        let address: Ipv6Addr =
            value.trim().parse().map_err(|_| Malformed::because("not an IPv6 address"))?;
        Self::address(address.into())
    }

    fn address(address: IpAddr) -> Result<Self, Malformed> {
        let address = address.to_canonical();
        never_sent::judge_address(address)?;
        Ok(match address {
            IpAddr::V4(address) => Self::Ipv4(address),
            IpAddr::V6(address) => Self::Ipv6(address),
        })
    }

    /// A host name; an address in its place becomes that address.
    ///
    /// # Errors
    /// No name, or one that is local or that a registry hands out names below.
    pub fn domain(value: &str) -> Result<Self, Malformed> {
        match spelling::domain(value)? {
            Host::Address(address) => Self::address(address),
            Host::Name(name) => {
                never_sent::judge_name(&name, Suffixes::All)?;
                Ok(Self::Domain(name))
            }
        }
    }

    /// A URL.
    ///
    /// # Errors
    /// No URL of the schemes that Sentinel and Defender match, or one whose host is local.
    pub fn url(value: &str) -> Result<Self, Malformed> {
        let url = spelling::url(value)?;
        never_sent::judge(&url.host, Suffixes::Icann)?;
        Ok(Self::Url(url.text))
    }

    /// A file with at least one digest.
    ///
    /// # Errors
    /// No digest, or one of trivial content.
    pub fn file(hashes: Hashes) -> Result<Self, Malformed> {
        if hashes.all().next().is_none() {
            return Err(Malformed::because("a file without any digest"));
        }
        hashes.all().try_for_each(|(_, digest)| reject_trivial(digest))?;
        Ok(Self::File(hashes))
    }

    /// What a person calls by `text`, also where it is written so that a click does not follow it:
    /// `hxxp://evil[.]example/`. A text that can be read as it stands is never changed.
    ///
    /// # Errors
    /// It is none of what [`Observable::of_text`] reads.
    pub fn of_person(text: &str) -> Result<Self, Malformed> {
        Self::of_text(text).or_else(|_| Self::of_text(&spelling::refanged(text)))
    }

    /// What a destination that is asked calls by `text`, whether it would be sent or not: an address, a digest, a URL with
    /// or without its scheme, a host name.
    ///
    /// # Errors
    /// It is none of them.
    pub fn of_text(text: &str) -> Result<Self, Malformed> {
        let text = text.trim();
        if let Some(hash_type) = HashType::ALL.into_iter().find(|hash_type| hash_type.digits() == text.len())
            && text.bytes().all(|byte| byte.is_ascii_hexdigit())
        {
            let mut hashes = Hashes::default();
            hashes.add(hash_type, text)?;
            return Ok(Self::File(hashes));
        }
        if text.contains("://") {
            return Ok(Self::Url(spelling::url(text)?.text));
        }
        match spelling::domain(text) {
            Ok(Host::Address(address)) => Ok(match address.to_canonical() {
                IpAddr::V4(address) => Self::Ipv4(address),
                IpAddr::V6(address) => Self::Ipv6(address),
            }),
            Ok(Host::Name(name)) => Ok(Self::Domain(name)),
            Err(_) if text.contains(['/', ':']) => {
                Ok(Self::Url(spelling::url(&format!("http://{text}"))?.text))
            }
            Err(malformed) => Err(malformed),
        }
    }

    /// What versions before the rules of [`spelling`] and [`never_sent`] made of a value that is no file: a lane may still
    /// hold it under that key.
    pub fn legacy(indicator_type: IndicatorType, value: &str) -> Option<Self> {
        match indicator_type {
            IndicatorType::Ipv4 => value.trim().parse().ok().map(Self::Ipv4),
            IndicatorType::Ipv6 => value.trim().parse().ok().map(Self::Ipv6),
            IndicatorType::Fqdn => spelling::legacy_domain(value).map(Self::Domain),
            IndicatorType::Url => spelling::legacy_url(value).map(Self::Url),
            IndicatorType::Hash => None,
        }
    }

    /// The same for a file, also one of trivial content.
    pub fn legacy_file(hashes: Hashes) -> Option<Self> {
        let is_known = hashes.all().next().is_some();
        is_known.then_some(Self::File(hashes))
    }

    /// The same value by today's rules, for one that was stored by an earlier version.
    ///
    /// # Errors
    /// It is none that is sent.
    pub fn respelt(&self) -> Result<Self, Malformed> {
        match self {
            Self::Ipv4(address) => Self::address((*address).into()),
            Self::Ipv6(address) => Self::address((*address).into()),
            Self::Domain(name) => Self::domain(name),
            Self::Url(url) => Self::url(url),
            Self::File(hashes) => Self::file(hashes.clone()),
        }
    }

    /// The key of this spelling, if `today` has another.
    pub fn former_key(&self, today: &Self) -> Option<Key> {
        (self != today).then(|| self.subject(HashType::Md5).key())
    }

    pub fn indicator_type(&self) -> IndicatorType {
        match self {
            Self::Ipv4(_) => IndicatorType::Ipv4,
            Self::Ipv6(_) => IndicatorType::Ipv6,
            Self::Domain(_) => IndicatorType::Fqdn,
            Self::Url(_) => IndicatorType::Url,
            Self::File(_) => IndicatorType::Hash,
        }
    }

    /// The names under which a destination is to hold it: of a file one for each of its digests that is among `wanted`, or
    /// its strongest if it has none of them; of anything else one.
    pub fn names(&self, wanted: HashTypes) -> Vec<Name> {
        let name = |hash_type| Name { key: self.subject(hash_type).key(), hash_type };
        let names: Vec<Name> = match self {
            Self::File(hashes) => {
                wanted.iter().filter(|wanted| hashes.get(*wanted).is_some()).map(name).collect()
            }
            _ => Vec::new(),
        };
        if names.is_empty() { vec![name(wanted.strongest())] } else { names }
    }

    /// The single comparison by which a destination will know this observable.
    pub fn subject(&self, wanted: HashType) -> Subject<'_> {
        match self {
            Self::Ipv4(address) => Subject { kind: SubjectKind::Ipv4, value: address.to_string().into() },
            Self::Ipv6(address) => Subject { kind: SubjectKind::Ipv6, value: address.to_string().into() },
            Self::Domain(name) => Subject { kind: SubjectKind::Domain, value: name.as_str().into() },
            Self::Url(url) => Subject { kind: SubjectKind::Url, value: url.as_str().into() },
            Self::File(hashes) => {
                let (hash_type, value) =
                    hashes.preferred(wanted).expect("Observable::file rejects a file without digests");
                Subject { kind: SubjectKind::File(hash_type), value: value.into() }
            }
        }
    }
}

fn reject_trivial(digest: &str) -> Result<(), Malformed> {
    match trivial::content(digest) {
        Some(content) => Err(Malformed(format!("the digest of {content}").into())),
        None => Ok(()),
    }
}

/// Why `value`, as a destination lists it, must not stand there: it is local, absurd or trivial. A value that is merely
/// spelt otherwise than ours matches nothing.
pub fn is_harmful(kind: SubjectKind, value: &str) -> Option<Malformed> {
    let verdict = match kind {
        SubjectKind::Ipv4 | SubjectKind::Ipv6 => never_sent::judge_address(value.trim().parse().ok()?),
        SubjectKind::Domain => never_sent::judge(&spelling::domain(value).ok()?, Suffixes::All),
        SubjectKind::Url => {
            // Earlier versions sent URLs without a scheme too.
            let scheme = if value.contains("://") { "" } else { "http://" };
            let url = spelling::url(&format!("{scheme}{}", value.trim()));
            never_sent::judge(&url.ok()?.host, Suffixes::Icann)
        }
        SubjectKind::File(_) => reject_trivial(&value.trim().to_ascii_lowercase()),
    };
    verdict.err()
}

/// What is compared: the left side of the pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SubjectKind {
    Ipv4,
    Ipv6,
    Domain,
    Url,
    File(HashType),
}

impl SubjectKind {
    pub fn indicator_type(self) -> IndicatorType {
        match self {
            Self::Ipv4 => IndicatorType::Ipv4,
            Self::Ipv6 => IndicatorType::Ipv6,
            Self::Domain => IndicatorType::Fqdn,
            Self::Url => IndicatorType::Url,
            Self::File(_) => IndicatorType::Hash,
        }
    }
}

/// One comparison: kind and value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject<'a> {
    pub kind: SubjectKind,
    pub value: Cow<'a, str>,
}

impl Subject<'_> {
    /// The identity under which this comparison is known at every destination and in the manifest.
    pub fn key(&self) -> Key {
        let kind = match self.kind {
            SubjectKind::Ipv4 => "ipv4",
            SubjectKind::Ipv6 => "ipv6",
            SubjectKind::Domain => "fqdn",
            SubjectKind::Url => "url",
            SubjectKind::File(hash_type) => hash_type.name(),
        };
        Key(Uuid::new_v5(&NAMESPACE, [kind, ":", &self.value].concat().as_bytes()))
    }
}

/// Writes a key as a STIX id, see [`Key::stix_id`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StixId(pub Key);

impl fmt::Display for StixId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("indicator--")?;
        f.write_str(self.0.0.hyphenated().encode_lower(&mut Uuid::encode_buffer()))
    }
}

/// UUIDv5 of type and normalised value: the same wherever and whenever it is computed, so that a resend is an
/// upsert whatever state was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Key(pub Uuid);

/// A key under which an indicator may stand, and the digest that stands for it there if it is a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name {
    pub key: Key,
    pub hash_type: HashType,
}

/// A key read back from its 16 bytes.
impl From<[u8; 16]> for Key {
    fn from(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }
}

impl Key {
    /// The STIX id (STIX 2.1 §2.9: type, two dashes, UUID).
    pub fn stix_id(self) -> String {
        StixId(self).to_string()
    }

    /// The key in a STIX id of an indicator.
    pub fn of_stix_id(id: &str) -> Option<Self> {
        Some(Self(Uuid::try_parse(id.strip_prefix("indicator--")?).ok()?))
    }
}
