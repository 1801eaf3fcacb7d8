//! A hash of what would be sent, without the times that change with every sending.

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{
    indicator::{Indicator, Reference},
    observable::{HashType, Observable},
};

/// Tells two contents of one indicator apart. Equal fingerprints mean that sending again would change nothing
/// but validity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Fingerprint(pub u64);

impl Fingerprint {
    /// Equal to no content's fingerprint: whatever is held must be sent again.
    pub const VOID: Self = Self(0);
    /// Of a content that was replaced by an upload whose answer is not known yet: no content is the same.
    pub const IN_DOUBT: Self = Self(255);

    /// Smaller values are no content's fingerprint.
    const FIRST: u64 = 256;

    /// Of an indicator that the destination held when the lane began: only its confidence is known.
    pub fn adopted(confidence: u8) -> Self {
        Self(1 + u64::from(confidence.min(100)))
    }

    /// Whether the content is another product's, which the lane only adopted.
    pub fn is_adopted(self) -> bool {
        (Self::adopted(0).0..=Self::adopted(100).0).contains(&self.0)
    }

    /// Whether it is that of a content that was sent.
    pub fn is_of_content(self) -> bool {
        self.0 >= Self::FIRST
    }

    /// Whether this, of an indicator that is held, says that sending `indicator` with `fingerprint` would change
    /// nothing.
    pub fn covers(self, fingerprint: Self, indicator: &Indicator) -> bool {
        self == fingerprint
            || indicator.confidence.is_some_and(|confidence| self == Self::adopted(confidence))
    }

    /// The fingerprint of `indicator` as a lane with this `form` would send it. The form stands for all that is
    /// the same for every indicator of a lane (marking, action, the version of the object).
    pub fn of(indicator: &Indicator, form: u64) -> Self {
        let mut hasher = Hasher(Vec::with_capacity(512));
        hasher.text(&indicator.source_id);
        hasher.observable(&indicator.observable);
        hasher.number(indicator.confidence.map_or(u64::MAX, u64::from));
        hasher.number(indicator.threat_score.map_or(u64::MAX, u64::from));
        hasher.text(indicator.severity.as_deref().unwrap_or_default());
        hasher.texts(&indicator.severity_reasons);
        hasher.texts(&indicator.categories);
        hasher.texts(&indicator.sources);
        hasher.number(u64::from(indicator.osint_only));
        for references in [&indicator.malware, &indicator.threat_actors, &indicator.campaigns] {
            hasher.references(references);
        }
        Self(xxh3_64_with_seed(&hasher.0, form).max(Self::FIRST))
    }
}

/// Collects values, to be hashed at once, so that no two different sequences feed the same bytes: each text is preceded by its length.
struct Hasher(Vec<u8>);

impl Hasher {
    fn number(&mut self, number: u64) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.0.extend_from_slice(text.as_bytes());
    }

    fn texts(&mut self, texts: &[String]) {
        self.number(texts.len() as u64);
        texts.iter().for_each(|text| self.text(text));
    }

    fn references(&mut self, references: &[Reference]) {
        self.number(references.len() as u64);
        for reference in references {
            self.text(&reference.id);
            self.text(&reference.name);
            self.text(reference.title.as_deref().unwrap_or_default());
        }
    }

    /// Only a file has more to it than its identity: its other digests are sent along.
    fn observable(&mut self, observable: &Observable) {
        if let Observable::File(hashes) = observable {
            for hash_type in [HashType::Md5, HashType::Sha1, HashType::Sha256] {
                self.text(hashes.get(hash_type).unwrap_or_default());
            }
        } else if let Observable::Url(url) | Observable::Domain(url) = observable {
            self.text(url);
        }
    }
}
