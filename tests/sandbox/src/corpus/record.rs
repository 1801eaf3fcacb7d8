//! One indicator: what the service answers with, and what its index knows.

use anyhow::Context;
use chrono::{DateTime, TimeZone, Utc};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::date::{DateForm, parse_date};

/// The namespace of the ids made here. Mandiant's ids are stable version 5 UUIDs too, under a namespace it
/// never published.
const NAMESPACE: Uuid = Uuid::from_u128(0x6d61_7469_7379_4e63_8a6e_616d_6573_7061);

/// One indicator of the feed.
///
/// The JSON is what the service would answer if asked for everything. Beside it stands what the service's
/// index filters and sorts by, which keeps its sense where a test makes the JSON odd: a record whose `mscore`
/// was set to null is still found by the score it had.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    key: String,
    last_updated: DateTime<Utc>,
    mscore: i64,
    threat_score: Option<i64>,
    json: Map<String, Value>,
}

impl Record {
    /// A plain record of Mandiant's own: score and threat score 90, no category, publishable, last updated at
    /// the start of 2026. A test that asks the feed for a window sets [`Record::updated`] itself.
    pub fn new(kind: &str, value: &str) -> Self {
        let at = Utc.with_ymd_and_hms(2026, 1, 1, 0, 0, 0).unwrap();
        let key = id(kind, value);
        let mut json = Map::new();
        json.insert("id".into(), key.clone().into());
        json.insert("type".into(), kind.into());
        json.insert("value".into(), value.into());
        json.insert("is_publishable".into(), true.into());
        Self { key, last_updated: at, mscore: 0, threat_score: None, json }
            .mscore(90)
            .threat_score(Some(90))
            .updated(at)
            .first_seen(at)
            .last_seen(at)
            .sources(&[("Mandiant", false, &[])])
    }

    pub fn ipv4(value: &str) -> Self {
        Self::new("ipv4", value)
    }

    pub fn ipv6(value: &str) -> Self {
        Self::new("ipv6", value)
    }

    pub fn fqdn(value: &str) -> Self {
        Self::new("fqdn", value)
    }

    pub fn url(value: &str) -> Self {
        Self::new("url", value)
    }

    /// One file with the hashes given. The record's type and value are those of the first hash; the feed proper
    /// only has `md5` records, with the other hashes in `associated_hashes`.
    pub fn file(md5: Option<&str>, sha1: Option<&str>, sha256: Option<&str>) -> Self {
        let hashes: Vec<(&str, &str)> = [("md5", md5), ("sha1", sha1), ("sha256", sha256)]
            .into_iter()
            .filter_map(|(kind, value)| Some((kind, value?)))
            .collect();
        let (kind, value) = hashes.first().copied().unwrap_or(("md5", ""));
        let associated: Vec<Value> = hashes
            .iter()
            .map(|(kind, value)| json!({"id": id(kind, value), "type": kind, "value": value}))
            .collect();
        Self::new(kind, value).set("associated_hashes", associated)
    }

    /// Takes over a record as the API answered it. Needs an `id` and a readable `last_updated`.
    pub fn from_json(json: Map<String, Value>) -> anyhow::Result<Self> {
        let key = json.get("id").and_then(Value::as_str).context("no id")?.to_owned();
        let last_updated = json.get("last_updated").and_then(Value::as_str).context("no last_updated")?;
        let (last_updated, _) = parse_date(last_updated).context("an unreadable last_updated")?;
        let mut record = Self { key, last_updated, mscore: 0, threat_score: None, json };
        record.index("mscore");
        record.index("threat_rating");
        Ok(record)
    }

    /// Puts a record together again from what [`Record::key`] and its siblings gave.
    pub(crate) fn from_parts(
        key: String,
        last_updated: DateTime<Utc>,
        mscore: i64,
        threat_score: Option<i64>,
        json: Map<String, Value>,
    ) -> Self {
        Self { key, last_updated, mscore, threat_score, json }
    }

    /// The id the service knows the record under; also the JSON's `id` unless a test removed that.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// When the record last changed: what the feed's window and its order go by.
    pub fn last_updated_at(&self) -> DateTime<Utc> {
        self.last_updated
    }

    /// The score that `gte_mscore` compares with.
    pub fn indexed_mscore(&self) -> i64 {
        self.mscore
    }

    /// The score that `gte_threatscore` compares with.
    pub fn indexed_threat_score(&self) -> Option<i64> {
        self.threat_score
    }

    /// `type`, or nothing where the JSON has no such string.
    pub fn kind(&self) -> &str {
        self.json.get("type").and_then(Value::as_str).unwrap_or_default()
    }

    pub fn value(&self) -> &str {
        self.json.get("value").and_then(Value::as_str).unwrap_or_default()
    }

    /// The whole record as the service would answer it, every optional block included.
    pub fn json(&self) -> &Map<String, Value> {
        &self.json
    }

    /// Whether there are sources and all of them are open ones.
    pub fn osint_only(&self) -> bool {
        let sources =
            self.json.get("sources").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        !sources.is_empty() && sources.iter().all(|source| source["osint"] == true)
    }

    pub fn mscore(self, score: i64) -> Self {
        self.set("mscore", score)
    }

    /// With `None` the record has no `threat_rating` at all, which is not the same as a score of 0.
    pub fn threat_score(self, score: Option<i64>) -> Self {
        let Some(score) = score else { return self.remove("threat_rating") };
        let level = match score {
            ..40 => "low",
            40..=60 => "medium",
            _ => "high",
        };
        let confidence = self.mscore;
        let attributed = self.json.contains_key("attributed_associations");
        let reasons: &[&str] = if attributed { &["attributed"] } else { &[] };
        self.set(
            "threat_rating",
            json!({
                "confidence_level": if confidence >= 80 { "high" } else if confidence >= 40 { "medium" } else { "low" },
                "confidence_score": confidence,
                "severity_level": level,
                "severity_reason": reasons,
                "threat_score": score,
            }),
        )
    }

    pub fn updated(self, at: DateTime<Utc>) -> Self {
        self.set("last_updated", DateForm::MILLISECONDS.write(at))
    }

    pub fn first_seen(self, at: DateTime<Utc>) -> Self {
        self.set("first_seen", DateForm::MILLISECONDS.write(at))
    }

    pub fn last_seen(self, at: DateTime<Utc>) -> Self {
        self.set("last_seen", DateForm::MILLISECONDS.write(at))
    }

    /// Name, whether open, and categories of each source. They were seen from the record's present `first_seen`
    /// to its `last_seen`; the top-level `category` becomes the union of theirs.
    pub fn sources(self, sources: &[(&str, bool, &[&str])]) -> Self {
        let date = |name| self.json.get(name).and_then(Value::as_str).and_then(parse_date);
        let date = |name| date(name).map(|(at, _)| DateForm::OFFSET.write(at));
        let (first_seen, last_seen) = (date("first_seen"), date("last_seen"));
        let mut union: Vec<&str> =
            sources.iter().flat_map(|(_, _, category)| category.iter().copied()).collect();
        union.sort_unstable();
        union.dedup();
        let sources: Vec<Value> = sources
            .iter()
            .map(|(name, osint, category)| {
                json!({
                    "source_name": name, "osint": osint, "category": category,
                    "first_seen": first_seen, "last_seen": last_seen,
                })
            })
            .collect();
        self.set("sources", sources).set("category", union)
    }

    /// The categories of the record, told both at the top level and by its first source.
    pub fn categories(mut self, categories: &[&str]) -> Self {
        let first = self.json.get_mut("sources").and_then(|sources| sources.get_mut(0));
        if let Some(source) = first {
            source["category"] = json!(categories);
        }
        self.set("category", categories)
    }

    pub fn malware(self, name: &str) -> Self {
        self.associate("malware", name)
    }

    pub fn actor(self, name: &str) -> Self {
        self.associate("threat-actor", name)
    }

    pub fn associate(self, kind: &str, name: &str) -> Self {
        self.push("attributed_associations", json!({"id": id(kind, name), "name": name, "type": kind}))
    }

    pub fn campaign(self, name: &str, title: &str) -> Self {
        self.push("campaigns", json!({"id": id("campaign", name), "name": name, "title": title}))
    }

    pub fn report(self, report_id: &str, title: &str) -> Self {
        let entry = json!({
            "id": id("report", report_id), "report_id": report_id, "type": "News Analysis", "title": title,
            "published_date": DateForm::MILLISECONDS.write(self.last_updated), "audience": ["cyber espionage"],
        });
        self.push("reports", entry)
    }

    /// Replaces one key of the JSON by anything at all. The index follows where the new value makes sense for it
    /// (an integer `mscore`, a readable `last_updated`) and keeps its knowledge otherwise.
    pub fn set(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.json.insert(key.to_owned(), value.into());
        self.index(key);
        self
    }

    /// Replaces one key of the JSON, and the index knows nothing of it: the service finds the record as before and says
    /// something else.
    pub fn claiming(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.json.insert(key.to_owned(), value.into());
        self
    }

    /// Takes one key out of the JSON.
    pub fn remove(mut self, key: &str) -> Self {
        self.json.remove(key);
        self.index(key);
        self
    }

    fn push(mut self, key: &str, entry: Value) -> Self {
        match self.json.get_mut(key) {
            Some(Value::Array(entries)) => entries.push(entry),
            _ => {
                self.json.insert(key.to_owned(), json!([entry]));
            }
        }
        self
    }

    fn index(&mut self, key: &str) {
        let value = self.json.get(key).unwrap_or(&Value::Null);
        match key {
            "id" => self.key = value.as_str().unwrap_or(&self.key).to_owned(),
            "mscore" => self.mscore = value.as_i64().unwrap_or(self.mscore),
            "last_updated" => {
                let at = value.as_str().and_then(parse_date).map(|(at, _)| at);
                self.last_updated = at.unwrap_or(self.last_updated);
            }
            // No rating is a normal state of a record, a score of another type is a fault in its JSON.
            "threat_rating" if value.is_null() => self.threat_score = None,
            "threat_rating" => self.threat_score = value["threat_score"].as_i64().or(self.threat_score),
            _ => {}
        }
    }
}

/// The id of a value: the same for the same type and value, at every call.
pub(super) fn id(kind: &str, value: &str) -> String {
    let uuid = Uuid::new_v5(&NAMESPACE, format!("{kind}:{value}").as_bytes());
    format!("{kind}--{uuid}")
}

/// The `misp` map of a record: which of MISP's warning lists know the value. The lists come and go, so that
/// the names here are a sample of those seen in answers of 2023.
pub fn misp(listed: &[&str]) -> Map<String, Value> {
    const LISTS: &str = "akamai alexa alexa_1M amazon-aws apple automated-malware-analysis bank-website \
        captive-portals cisco_1M cisco_top1000 cisco_top10k cisco_top20k cisco_top5k cloudflare \
        common-contact-emails common-ioc-false-positive covid covid-19-cyber-threat-coalition-whitelist \
        covid-19-krassi-whitelist crl-hostname crl-ip dax30 disposable-email dynamic-dns eicar.com \
        empty-hashes fastly google google-chrome-crux-1million google-gcp google-gmail-sending-ips googlebot \
        ipv6-linklocal majestic_million majestic_million_1M microsoft microsoft-attack-simulator \
        microsoft-azure microsoft-azure-appid microsoft-azure-china microsoft-azure-germany \
        microsoft-azure-us-gov microsoft-office365 microsoft-office365-cn microsoft-office365-ip \
        microsoft-win10-connection-endpoints moz-top500 mozilla-CA mozilla-IntermediateCA multicast \
        nioc-filehash ovh-cluster parking-domain parking-domain-ns phone_numbers public-dns-hostname \
        public-dns-v4 public-dns-v6 public-ipfs-gateways rfc1918 rfc3849 rfc5735 rfc6598 rfc6761 \
        second-level-tlds sinkholes smtp-receiving-ips smtp-sending-ips stackpath tenable-cloud-ipv4 \
        ti-falsepositives tlds tranco tranco10k university_domains url-shortener vpn-ipv4 vpn-ipv6 \
        whats-my-ip wikimedia";
    LISTS.split_whitespace().map(|list| (list.to_owned(), listed.contains(&list).into())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_stable_per_type_and_value() {
        assert_eq!(Record::fqdn("a.example").key(), Record::fqdn("a.example").mscore(1).key());
        assert_ne!(Record::fqdn("a.example").key(), Record::url("a.example").key());
        let id = Record::ipv4("198.51.100.7").key().to_owned();
        let (kind, uuid) = id.split_once("--").unwrap();
        assert_eq!((kind, Uuid::parse_str(uuid).unwrap().get_version_num()), ("ipv4", 5));
    }

    #[test]
    fn the_index_follows_sense_and_outlives_nonsense() {
        let at = Utc.with_ymd_and_hms(2026, 5, 1, 12, 0, 0).unwrap();
        let record = Record::ipv4("198.51.100.7").mscore(73).threat_score(Some(42)).updated(at);
        assert_eq!((record.indexed_mscore(), record.indexed_threat_score()), (73, Some(42)));
        let odd = record
            .set("mscore", Value::Null)
            .set("last_updated", "soon")
            .set("threat_rating", json!({"threat_score": "42"}))
            .remove("id");
        assert_eq!(
            (odd.indexed_mscore(), odd.indexed_threat_score(), odd.last_updated_at()),
            (73, Some(42), at)
        );
        assert_eq!(odd.key(), Record::ipv4("198.51.100.7").key());
        assert_eq!(odd.threat_score(None).indexed_threat_score(), None);
    }

    #[test]
    fn osint_only_means_every_source() {
        let record = Record::fqdn("a.example");
        assert!(!record.osint_only());
        assert!(record.clone().sources(&[("urlhaus", true, &[]), ("phishtank", true, &[])]).osint_only());
        assert!(!record.clone().sources(&[("urlhaus", true, &[]), ("Mandiant", false, &[])]).osint_only());
        assert!(!record.clone().sources(&[]).osint_only());
        assert!(!record.set("sources", Value::Null).osint_only());
    }

    #[test]
    fn categories_are_a_union_of_the_sources() {
        let record = Record::fqdn("a.example")
            .sources(&[("Mandiant", false, &["phishing"]), ("urlhaus", true, &["malware", "phishing"])]);
        assert_eq!(record.json()["category"], json!(["malware", "phishing"]));
        let record = record.categories(&["botnet"]);
        assert_eq!(record.json()["category"], json!(["botnet"]));
        assert_eq!(record.json()["sources"][0]["category"], json!(["botnet"]));
    }
}
