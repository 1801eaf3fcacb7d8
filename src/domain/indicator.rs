//! An indicator as the rest of the program knows it, whatever API it came from.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{
    observable::{Key, Observable},
    spelling::Malformed,
};

/// One indicator of compromise with all the context a rule or an analyst can use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Indicator {
    /// The source's own id, for logs and links.
    pub source_id: String,
    pub observable: Observable,
    /// The keys under which earlier versions knew the same value, because they spelt it differently. Empty if the key
    /// is the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub former: Vec<Key>,
    /// How sure the source is that the indicator is malicious, 0–100. Not every source says so of every record.
    pub confidence: Option<u8>,
    /// How much of a threat the source takes it for, 0–100. Not every record is rated.
    pub threat_score: Option<u8>,
    /// The source's word for how bad a match would be, lower case.
    pub severity: Option<String>,
    /// The source itself, or an analyst of it, calls the indicator benign.
    #[serde(default, skip_serializing_if = "is_false")]
    pub is_benign: bool,
    /// The source calls it popular infrastructure that many share.
    #[serde(default, skip_serializing_if = "is_false")]
    pub is_pervasive: bool,
    /// The source's reasons for the severity.
    pub severity_reasons: Vec<String>,
    /// Union of the record's and its sources' categories, lower case, sorted, without repeats.
    pub categories: Vec<String>,
    /// Names of the sources, sorted, without repeats.
    pub sources: Vec<String>,
    /// Sources there are, and every one of them is open-source intelligence.
    pub osint_only: bool,
    pub malware: Vec<Reference>,
    pub threat_actors: Vec<Reference>,
    pub campaigns: Vec<Reference>,
    pub first_seen: Option<DateTime<Utc>>,
    pub last_updated: Option<DateTime<Utc>>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_false(flag: &bool) -> bool {
    !flag
}

/// Who provides the indicators, as the objects at a destination show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Provider {
    /// In sentences.
    pub name: &'static str,
    /// The name of the product, for references.
    pub product: &'static str,
    /// Where the provider shows the record with the id that follows.
    pub records_at: &'static str,
    /// Its name for how sure it is.
    pub confidence: &'static str,
}

impl Indicator {
    /// The names of the actors that it is attributed to; one that the source does not tell is none.
    pub fn named_actors(&self) -> impl Iterator<Item = &str> {
        let names = self.threat_actors.iter().map(|actor| actor.name.trim());
        names.filter(|name| !name.is_empty() && !name.eq_ignore_ascii_case("redacted"))
    }

    /// An indicator of which nothing but its value is known: enough to retract it.
    pub fn bare(observable: Observable) -> Self {
        Self {
            source_id: String::new(),
            observable,
            former: Vec::new(),
            confidence: None,
            threat_score: None,
            severity: None,
            is_benign: false,
            is_pervasive: false,
            severity_reasons: Vec::new(),
            categories: Vec::new(),
            sources: Vec::new(),
            osint_only: false,
            malware: Vec::new(),
            threat_actors: Vec::new(),
            campaigns: Vec::new(),
            first_seen: None,
            last_updated: None,
        }
    }

    /// The indicator as today's rules spell it, for one that was stored by an earlier version.
    ///
    /// # Errors
    /// Its value is none that is sent; what is returned is why.
    pub fn respelt(self) -> Result<Self, Malformed> {
        let observable = self.observable.respelt()?;
        let former = self.observable.former_key(&observable);
        let former = self.former.into_iter().chain(former).collect();
        Ok(Self { observable, former, ..self })
    }
}

/// A malware family, threat actor or campaign the indicator is attributed to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Reference {
    /// The source's id, e.g. `malware--…`.
    pub id: String,
    pub name: String,
    /// A campaign's title.
    pub title: Option<String>,
}
