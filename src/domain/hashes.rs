//! The digests of a file, and which of them stand for it at a destination.

use std::{
    fmt,
    hash::{Hash, Hasher},
};

use serde::{Deserialize, Serialize};

use super::spelling::Malformed;

/// The digest algorithms Mandiant gives for a file, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HashType {
    Md5,
    Sha1,
    Sha256,
}

impl HashType {
    pub const ALL: [Self; 3] = [Self::Md5, Self::Sha1, Self::Sha256];
    /// Strongest first: the order in which a substitute is looked for.
    const STRONGEST_FIRST: [Self; 3] = [Self::Sha256, Self::Sha1, Self::Md5];

    /// Length of the digest in hexadecimal digits.
    pub(super) fn digits(self) -> usize {
        match self {
            Self::Md5 => 32,
            Self::Sha1 => 40,
            Self::Sha256 => 64,
        }
    }

    /// Mandiant's and the setting's word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Md5 => "md5",
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
        }
    }
}

/// The digest algorithms that stand for a file at a destination, one object each. There is at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashTypes([bool; HashType::ALL.len()]);

impl HashTypes {
    /// Those named; `None` if none is.
    pub fn of(named: &[HashType]) -> Option<Self> {
        (!named.is_empty()).then(|| Self(HashType::ALL.map(|hash_type| named.contains(&hash_type))))
    }

    /// One alone.
    pub fn only(hash_type: HashType) -> Self {
        Self(HashType::ALL.map(|other| other == hash_type))
    }

    /// The algorithms, strongest first.
    pub fn iter(self) -> impl Iterator<Item = HashType> {
        let named = HashType::ALL.into_iter().zip(self.0).rev();
        named.filter(|(_, is_named)| *is_named).map(|(hash_type, _)| hash_type)
    }

    /// The strongest of them.
    pub fn strongest(self) -> HashType {
        self.iter().next().expect("there is at least one")
    }
}

/// One alone hashes as itself, so that a lane's settings count as unchanged since versions that knew but one.
impl Hash for HashTypes {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.iter().for_each(|hash_type| hash_type.hash(state));
    }
}

impl fmt::Display for HashTypes {
    /// As HASH_TYPE names them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.iter().map(HashType::name).collect();
        f.write_str(&names.join(","))
    }
}

/// The digests known of one file, lower-case hexadecimal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hashes {
    md5: Option<String>,
    sha1: Option<String>,
    sha256: Option<String>,
}

impl Hashes {
    /// Adds one digest. Empty values occur in Mandiant's records and are passed over.
    ///
    /// # Errors
    /// A value that is not a digest of that algorithm.
    pub fn add(&mut self, hash_type: HashType, value: &str) -> Result<(), Malformed> {
        let value = value.trim();
        if value.is_empty() {
            return Ok(());
        }
        if value.len() != hash_type.digits() || !value.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(Malformed(format!("not a {} digest", hash_type.name()).into()));
        }
        *self.slot(hash_type) = Some(value.to_ascii_lowercase());
        Ok(())
    }

    fn slot(&mut self, hash_type: HashType) -> &mut Option<String> {
        match hash_type {
            HashType::Md5 => &mut self.md5,
            HashType::Sha1 => &mut self.sha1,
            HashType::Sha256 => &mut self.sha256,
        }
    }

    pub fn get(&self, hash_type: HashType) -> Option<&str> {
        match hash_type {
            HashType::Md5 => self.md5.as_deref(),
            HashType::Sha1 => self.sha1.as_deref(),
            HashType::Sha256 => self.sha256.as_deref(),
        }
    }

    /// The digest of the wanted type or, where the record lacks it, the strongest present.
    pub fn preferred(&self, wanted: HashType) -> Option<(HashType, &str)> {
        std::iter::once(wanted)
            .chain(HashType::STRONGEST_FIRST)
            .find_map(|hash_type| Some((hash_type, self.get(hash_type)?)))
    }

    /// Every digest known, strongest first.
    pub fn all(&self) -> impl Iterator<Item = (HashType, &str)> {
        HashType::STRONGEST_FIRST.into_iter().filter_map(|hash_type| Some((hash_type, self.get(hash_type)?)))
    }
}
