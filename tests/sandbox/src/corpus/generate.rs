//! Indicators from a seed: the same seed gives the same records, in the proportions of real answers.

use std::collections::HashSet;

use chrono::{DateTime, Duration, Utc};
use rand::{RngExt, SeedableRng, rngs::Xoshiro256PlusPlus, seq::IndexedRandom};

use super::{
    date::{DateForm, parse_date},
    hostile,
    record::{Record, misp},
};

/// What [`generate`] makes.
#[derive(Clone, Debug, PartialEq)]
pub struct CorpusSettings {
    pub seed: u64,
    pub count: usize,
    /// `last_updated` lies between these two, both included.
    pub from: DateTime<Utc>,
    pub to: DateTime<Utc>,
    /// The share of records that are odd in one way or another, from 0 to 1.
    pub hostile: f64,
}

impl CorpusSettings {
    /// Well-formed records only.
    pub fn new(seed: u64, count: usize, from: DateTime<Utc>, to: DateTime<Utc>) -> Self {
        Self { seed, count, from, to, hostile: 0.0 }
    }

    pub fn hostile(self, share: f64) -> Self {
        Self { hostile: share, ..self }
    }
}

/// All records of `settings` at once. Their order says nothing about their dates.
pub fn generate(settings: &CorpusSettings) -> Vec<Record> {
    Generator::new(settings).collect()
}

/// The records of [`generate`] one by one, for a corpus that should not be held in memory twice.
pub struct Generator {
    settings: CorpusSettings,
    pub(super) dice: Xoshiro256PlusPlus,
    made: usize,
    keys: HashSet<String>,
    last_time: DateTime<Utc>,
    /// The record given out last, for hostile ones that repeat it.
    pub(super) previous: Option<Record>,
}

impl Generator {
    pub fn new(settings: &CorpusSettings) -> Self {
        Self {
            dice: Xoshiro256PlusPlus::seed_from_u64(settings.seed),
            made: 0,
            keys: HashSet::with_capacity(settings.count),
            last_time: settings.from,
            previous: None,
            settings: settings.clone(),
        }
    }

    pub(super) fn chance(&mut self, share: f64) -> bool {
        self.dice.random_bool(share.clamp(0.0, 1.0))
    }

    pub(super) fn pick<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices.choose(&mut self.dice).copied().unwrap_or_default()
    }

    /// A time in the window. Many records share theirs with the one before, to the millisecond or the second:
    /// a feed is written in batches.
    pub(super) fn time(&mut self) -> DateTime<Utc> {
        let (from, to) = (self.settings.from.timestamp_millis(), self.settings.to.timestamp_millis());
        let last = self.last_time.timestamp_millis();
        let at = match self.dice.random_range(0..10) {
            0..3 if self.made > 0 => last,
            3..5 if self.made > 0 => last - last.rem_euclid(1000) + self.dice.random_range(0..1000),
            _ => self.dice.random_range(from..=to.max(from)),
        };
        let at = at.clamp(from, to.max(from));
        self.last_time = DateTime::from_timestamp_millis(at).unwrap_or(self.settings.from);
        self.last_time
    }

    /// The score in the bands of Mandiant's documentation of it; a feed is mostly asked for 80 and more.
    fn score(&mut self) -> i64 {
        match self.dice.random_range(0..100) {
            0..25 => 100,
            25..50 => self.dice.random_range(80..100),
            50..65 => self.dice.random_range(60..80),
            65..75 => 50,
            75..85 => self.dice.random_range(41..60),
            85..97 => self.dice.random_range(1..=40),
            _ => 0,
        }
    }

    fn categories(&mut self) -> Vec<&'static str> {
        // No category is the normal case: 317 of 327 recorded sources have none.
        if self.chance(0.85) {
            return Vec::new();
        }
        let known = [
            "control-server",
            "botnet",
            "infostealer",
            "phishing",
            "malware",
            "banker",
            "exploit",
            "exploit/vuln-scanning",
            "ransomware",
        ];
        let count = self.dice.random_range(1..3);
        let mut categories: Vec<_> = (0..count).map(|_| self.pick(&known)).collect();
        categories.dedup();
        categories
    }

    fn sources(&mut self) -> Vec<(&'static str, bool, Vec<&'static str>)> {
        const OPEN: [&str; 10] = [
            "dtm.blackbeard",
            "dtm.vanellope",
            "futex.re",
            "phishtank",
            "blocklist_de",
            "blocklist_net_ua",
            "urlhaus",
            "greensnow",
            "voipbl",
            "stopforumspam",
        ];
        // The same name may come several times, with times and categories of its own each time.
        let (own, open) = match self.dice.random_range(0..100) {
            0..40 => (1, 0),
            40..55 => (self.dice.random_range(2..4), 0),
            55..77 => (1, self.dice.random_range(1..3)),
            _ => (0, self.dice.random_range(1..4)),
        };
        let names = (0..open).map(|_| (self.pick(&OPEN), true)).collect::<Vec<_>>();
        std::iter::repeat_n(("Mandiant", false), own)
            .chain(names)
            .map(|(name, osint)| (name, osint, self.categories()))
            .collect()
    }

    /// Each source saw the value in a time of its own within that of the first.
    fn spread_sightings(&mut self, record: Record) -> Record {
        let mut sources = record.json().get("sources").cloned().unwrap_or_default();
        for source in sources.as_array_mut().into_iter().flatten().skip(1) {
            let date = |name: &str| source[name].as_str().and_then(parse_date);
            let (Some((first_seen, form)), Some((last_seen, _))) = (date("first_seen"), date("last_seen"))
            else {
                continue;
            };
            let span = (last_seen - first_seen).num_milliseconds().max(0);
            let later = first_seen + Duration::milliseconds(self.dice.random_range(0..=span));
            source["first_seen"] = form.write(later).into();
        }
        record.set("sources", sources)
    }

    fn context(&mut self, mut record: Record) -> Record {
        const MALWARE: [&str; 8] =
            ["BEACON", "OXEEYE", "BEATDROP", "QAKBOT", "REDLINE", "ICEDID", "SMOKELOADER", "EMOTET"];
        const ACTORS: [&str; 6] = ["APT29", "APT41", "FIN7", "FIN11", "UNC2452", "UNC4393"];
        const CAMPAIGNS: [(&str, &str); 4] = [
            ("CAMP.22.005", "APT29 Conducts Phishing Campaign"),
            ("CAMP.23.041", "FIN11 Exploits a File Transfer Appliance"),
            ("CAMP.24.017", "UNC4393 Distributes \"BASTA\" Through Résumé Lures"),
            ("GLOBAL.21.005", "Exploitation of CVE-2021-44228 (aka \"Log4Shell\") in Various Products"),
        ];
        let attributed = self.chance(0.25);
        if attributed {
            record = record.malware(self.pick(&MALWARE));
            if self.chance(0.4) {
                record = record.actor(self.pick(&ACTORS));
            }
            if self.chance(0.6) {
                record = record.set("is_exclusive", self.chance(0.5));
            }
        }
        if self.chance(0.1) {
            let (name, title) = CAMPAIGNS[self.dice.random_range(0..CAMPAIGNS.len())];
            record = record.campaign(name, title);
        }
        for _ in 0..self.dice.random_range(0..3_u32).saturating_sub(1) {
            let number = self.dice.random_range(10_000..30_000);
            record = record.report(&format!("23-000{number}"), "Tracking the Infrastructure of a Cluster");
        }
        if self.chance(0.02) {
            record = record.set("misp", misp(&["tranco", "tranco10k", "second-level-tlds"]));
        }
        record
    }

    fn regular(&mut self) -> Record {
        let updated = self.time();
        let first_seen = updated - Duration::seconds(self.dice.random_range(3600..90_000_000));
        let lifetime = (updated - first_seen).num_seconds();
        let last_seen = first_seen + Duration::seconds(self.dice.random_range(0..=lifetime));
        let mscore = self.score();
        let sources = self.sources();
        let sources: Vec<_> = sources.iter().map(|(name, osint, kinds)| (*name, *osint, &**kinds)).collect();
        // The top-level sightings end in .000 there, but the sources' keep their milliseconds.
        let record =
            self.value().mscore(mscore).first_seen(first_seen).last_seen(last_seen).sources(&sources);
        let mut record = self
            .spread_sightings(record)
            .first_seen(whole_second(first_seen))
            .last_seen(whole_second(last_seen))
            .updated(updated);
        let form = if self.chance(0.5) { DateForm::trimmed(updated) } else { DateForm::MILLISECONDS };
        record = record.set("last_updated", form.write(updated));
        if self.chance(0.05) {
            record = record
                .set("first_seen", DateForm::SECONDS.write(first_seen))
                .set("last_seen", DateForm::SECONDS.write(last_seen));
        }
        let threat_score = match self.dice.random_range(0..100) {
            0..12 => None,
            12..17 => Some(0),
            17..37 => Some(self.dice.random_range(0..=100)),
            _ => Some((mscore + self.dice.random_range(-25..=10)).clamp(0, 100)),
        };
        self.context(record).threat_score(threat_score)
    }
}

impl Iterator for Generator {
    type Item = Record;

    fn next(&mut self) -> Option<Record> {
        if self.made == self.settings.count {
            return None;
        }
        let record = loop {
            let mut record = self.regular();
            if self.chance(self.settings.hostile) {
                record = hostile::distort(self, record);
            }
            if self.keys.insert(record.key().to_owned()) {
                break record;
            }
        };
        self.made += 1;
        self.previous = Some(record.clone());
        Some(record)
    }
}

fn whole_second(at: DateTime<Utc>) -> DateTime<Utc> {
    DateTime::from_timestamp(at.timestamp(), 0).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use chrono::TimeZone;
    use serde_json::Value;

    use super::*;

    fn settings(count: usize) -> CorpusSettings {
        let to = Utc.with_ymd_and_hms(2026, 6, 30, 0, 0, 0).unwrap();
        CorpusSettings::new(7, count, to - Duration::days(20), to)
    }

    #[test]
    fn a_seed_decides_everything() {
        let settings = settings(500).hostile(0.2);
        assert_eq!(generate(&settings), generate(&settings));
        assert_ne!(generate(&settings), generate(&CorpusSettings { seed: 8, ..settings }));
    }

    #[test]
    fn regular_records_are_unique_well_formed_and_in_the_window() {
        let settings = settings(4000);
        let records = generate(&settings);
        let values: HashSet<_> = records.iter().map(|record| (record.kind(), record.value())).collect();
        assert_eq!(values.len(), 4000);
        for record in &records {
            assert_eq!(Record::from_json(record.json().clone()).unwrap(), *record);
            assert!((settings.from..=settings.to).contains(&record.last_updated_at()));
            if record.kind() == "ipv4" {
                let address: Ipv4Addr = record.value().parse().unwrap();
                assert!(!address.is_private() && !address.is_loopback() && !address.is_documentation());
            }
        }
    }

    #[test]
    fn the_mix_is_that_of_real_answers() {
        let records = generate(&settings(4000));
        let share = |test: &dyn Fn(&Record) -> bool| {
            records.iter().filter(|record| test(record)).count() as f64 / records.len() as f64
        };
        for kind in ["ipv4", "ipv6", "fqdn", "url", "md5"] {
            assert!(share(&|record| record.kind() == kind) > 0.01, "{kind}");
        }
        assert!((0.35..0.65).contains(&share(&|record| record.indexed_mscore() >= 80)));
        assert!((0.05..0.2).contains(&share(&|record| record.indexed_threat_score().is_none())));
        assert!((0.1..0.4).contains(&share(&Record::osint_only)));
        assert!((0.6..0.9).contains(&share(&|record| record.json()["category"] == Value::Array(Vec::new()))));
        let times: HashSet<_> = records.iter().map(Record::last_updated_at).collect();
        assert!(times.len() < 3500, "too few ties: {}", times.len());
        let bytes: usize =
            records.iter().map(|record| serde_json::to_vec(record.json()).unwrap().len()).sum();
        assert!((600..1400).contains(&(bytes / records.len())), "{} bytes per record", bytes / records.len());
    }

    #[test]
    fn hostile_records_come_in_their_share() {
        let settings = settings(2000).hostile(1.0);
        let records = generate(&settings);
        assert_eq!(records.len(), 2000);
        for probe in ["'", "\\", "é"] {
            assert!(records.iter().any(|record| record.value().contains(probe)), "{probe}");
        }
        assert!(records.iter().any(|record| record.kind() == "email"));
        assert!(records.iter().any(|record| !record.json().contains_key("id")));
        let odd = |key: &str, test: fn(&Value) -> bool| {
            assert!(records.iter().any(|record| record.json().get(key).is_some_and(test)), "{key}");
        };
        odd("mscore", Value::is_null);
        odd("sources", Value::is_null);
        odd("last_updated", |date| date == "never");
        odd("threat_rating", |rating| rating["threat_score"].is_string());
        odd("threat_rating", |rating| rating["threat_score"].is_f64());
        let values: HashSet<_> = records.iter().map(|record| (record.kind(), record.value())).collect();
        assert!(values.len() < records.len());
    }
}
