//! Settings of the source: access to Mandiant, and which of its indicators are wanted.

use azure_core::http::Url;
use chrono::TimeDelta;
use secrecy::SecretString;

use super::reader::Reader;
use crate::domain::{
    attribution::{AttributionFilter, Names, thresholds_of},
    exclusions::Builder,
    filter::{Filter, IncludedTypes, MissingScore, PerType, Severity, Threshold},
    observable::{HashType, HashTypes},
};

/// How we show Mandiant who we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Auth {
    /// `POST /token`, then a bearer token.
    Bearer,
    /// Key and secret with every request.
    Basic,
    /// Header `x-apikey`, for Google Threat Intelligence's compatible API.
    ApiKey,
}

/// Where the indicators come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceKind {
    Mandiant,
    Gti,
}

impl SourceKind {
    /// The one that this one can be compared with.
    pub fn other(self) -> Self {
        match self {
            Self::Mandiant => Self::Gti,
            Self::Gti => Self::Mandiant,
        }
    }
}

/// The source; `None`: which one is meant cannot be told, so that nothing of either is missing.
pub(super) fn kind(reader: &Reader<'_>) -> Option<SourceKind> {
    let kinds = [("mandiant", SourceKind::Mandiant), ("gti", SourceKind::Gti)];
    match reader.text("SOURCE") {
        None => Some(SourceKind::Mandiant),
        Some(_) => reader.choice("SOURCE", &kinds),
    }
}

/// Access to Mandiant.
#[derive(Clone, Debug)]
pub struct SourceSettings {
    pub base_url: Url,
    pub auth: Auth,
    /// Given directly; otherwise it comes from Key Vault.
    pub key: Option<SecretString>,
    pub secret: Option<SecretString>,
}

impl SourceSettings {
    /// `is_source`: the indicators come from here, so that credentials are needed.
    pub(super) fn read(reader: &Reader<'_>, is_source: bool, has_key_vault: bool) -> Self {
        let default = Url::parse("https://api.intelligence.mandiant.com").expect("a URL");
        let auth = reader
            .choice(
                "MATI_AUTH",
                &[("bearer", Auth::Bearer), ("basic", Auth::Basic), ("apikey", Auth::ApiKey)],
            )
            .unwrap_or(Auth::Bearer);
        let settings = Self {
            base_url: reader.url("MATI_BASE_URL").unwrap_or(default),
            auth,
            key: reader.secret("MATI_KEY"),
            secret: reader.secret("MATI_SECRET"),
        };
        settings.check_address(reader);
        if is_source && !has_key_vault {
            let missing = "is missing; accepted: the value from Mandiant Advantage → Settings → APIv4 Access and Key, or KEY_VAULT_URL to read it from Key Vault";
            if settings.key.is_none() {
                reader.fault("MATI_KEY", missing);
            }
            if settings.secret.is_none() && auth != Auth::ApiKey {
                reader.fault("MATI_SECRET", missing);
            }
        }
        settings
    }

    /// Either host knows one way to show who we are, and would answer 401 to the other, which looks like a wrong key.
    fn check_address(&self, reader: &Reader<'_>) {
        const MANDIANT: &str = "api.intelligence.mandiant.com";
        const GTI: &str = "virustotal.com";
        let host = self.base_url.host_str().unwrap_or_default();
        let is_gti = host == GTI || host.ends_with(".virustotal.com");
        if is_gti && !self.base_url.path().contains("/mati") {
            reader.fault("MATI_BASE_URL", "is not the address of the compatible API of Google Threat Intelligence; accepted there: https://www.virustotal.com/api/v3/mati");
        }
        if is_gti && self.auth != Auth::ApiKey {
            reader.fault("MATI_AUTH", format!("does not fit MATI_BASE_URL: {host} takes the API key of Google Threat Intelligence; accepted with it: apikey"));
        }
        // Behind such a path stands the compatible API, whatever host hands it on.
        let is_own = host == MANDIANT && !self.base_url.path().contains("/mati");
        if is_own && self.auth == Auth::ApiKey {
            reader.fault("MATI_AUTH", format!("is apikey, which {MANDIANT} does not take; accepted with it: bearer, basic; or set MATI_BASE_URL to https://www.virustotal.com/api/v3/mati for a key of Google Threat Intelligence"));
        }
    }
}

pub(super) fn filter(reader: &Reader<'_>) -> Filter {
    let score = |name: &str| reader.number(name, &(0..=100));
    let general = Threshold {
        confidence: score("MINIMUM_CONFIDENCE").unwrap_or(80),
        threat_score: score("MINIMUM_THREAT_SCORE").unwrap_or(80),
    };
    let of = |confidence, threat_score| Threshold {
        confidence: score(confidence).unwrap_or(general.confidence),
        threat_score: score(threat_score).unwrap_or(general.threat_score),
    };
    let missing = [("include", MissingScore::Include), ("exclude", MissingScore::Exclude)];
    let missing = |name: &str| reader.choice(name, &missing).unwrap_or(MissingScore::Include);
    let severities = [("low", Severity::Low), ("medium", Severity::Medium), ("high", Severity::High)];
    Filter {
        included: IncludedTypes {
            ipv4: reader.flag("INCLUDE_IPV4", true),
            ipv6: reader.flag("INCLUDE_IPV6", true),
            fqdn: reader.flag("INCLUDE_FQDN", true),
            url: reader.flag("INCLUDE_URL", true),
            hash: reader.flag("INCLUDE_HASH", true),
        },
        thresholds: PerType {
            ip: of("IP_MINIMUM_CONFIDENCE", "IP_MINIMUM_THREAT_SCORE"),
            fqdn: of("FQDN_MINIMUM_CONFIDENCE", "FQDN_MINIMUM_THREAT_SCORE"),
            url: of("URL_MINIMUM_CONFIDENCE", "URL_MINIMUM_THREAT_SCORE"),
            hash: of("HASH_MINIMUM_CONFIDENCE", "HASH_MINIMUM_THREAT_SCORE"),
        },
        missing_confidence: missing("MISSING_CONFIDENCE"),
        missing_threat_score: missing("MISSING_THREAT_SCORE"),
        minimum_severity: reader.choice("MINIMUM_SEVERITY", &severities),
        exclude_benign: reader.flag("EXCLUDE_BENIGN", true),
        exclude_pervasive: reader.flag("EXCLUDE_PERVASIVE", true),
        attribution: attribution(reader),
        exclude_osint: reader.flag("EXCLUDE_OSINT", true),
        include_uncategorized: reader.flag("INCLUDE_UNCATEGORIZED", true),
    }
}

/// The values of `EXCLUDE`, each of which can be read.
pub(super) fn exclude(reader: &Reader<'_>) -> String {
    let values = reader.text("EXCLUDE").unwrap_or_default();
    if let Err(unreadable) = Builder::default().inline(&values) {
        reader.fault("EXCLUDE", format!("cannot be read at value {}: {}; accepted: a comma list of host names (*.example.org: those below it alone), addresses, ranges such as 203.0.113.0/24, URLs by their beginning, and digests", unreadable.line, unreadable.reason));
    }
    values
}

fn attribution(reader: &Reader<'_>) -> AttributionFilter {
    let names = |name: &str| reader.text(name).map_or_else(Names::default, |list| Names::of_list(&list));
    let accepted = "names, each with a minimum confidence from 0 to 100: FIN7=60, LOCKBIT=70";
    AttributionFilter {
        is_required: reader.flag("ATTRIBUTED_ONLY", false),
        actors: names("ACTORS"),
        malware: names("MALWARE"),
        campaigns: names("CAMPAIGNS"),
        categories: names("CATEGORIES"),
        thresholds: reader.parsed("ATTRIBUTION_THRESHOLDS", accepted, thresholds_of).unwrap_or_default(),
    }
}

/// The digests that stand for a file at Sentinel. Microsoft's endpoint rules compare SHA-1 and SHA-256 alone.
pub(super) fn hash_types(reader: &Reader<'_>, source: SourceKind) -> HashTypes {
    let accepted = "md5, sha1, sha256, or several with commas between";
    let named = reader.parsed("HASH_TYPE", accepted, |text| {
        let word = |word: &str| {
            let word = word.trim().to_ascii_lowercase();
            HashType::ALL.into_iter().find(|hash_type| hash_type.name() == word)
        };
        HashTypes::of(&text.split(',').map(word).collect::<Option<Vec<HashType>>>()?)
    });
    let hash_types = named.unwrap_or(HashTypes::only(HashType::Sha256));
    if source == SourceKind::Gti && hash_types.iter().any(|named| named == HashType::Sha1) {
        reader.notice("HASH_TYPE names sha1, which Google Threat Intelligence's lists never carry: its files are sent under their other digests. Set HASH_TYPE to sha256 or md5");
    }
    hash_types
}

/// Days to read back at first. The older product wrote them with a minus sign.
pub(super) fn initial_lookback(reader: &Reader<'_>) -> TimeDelta {
    let accepted = "days from 1 to 89 (Mandiant answers for the last 90)";
    let days = reader.parsed("INITIAL_LOOKBACK", accepted, |text| {
        text.trim_start_matches('-').parse().ok().filter(|days| (1..=89).contains(days))
    });
    TimeDelta::days(days.unwrap_or(30))
}
