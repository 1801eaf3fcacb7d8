//! How the world changes while it is read: the feed, and what others do at Defender.

use std::sync::{Arc, atomic::Ordering};

use chrono::{DateTime, TimeDelta, Utc};
use sandbox::{corpus::Record, defender::Defender};
use serde_json::json;

use super::{chaos::Chaos, dice::Dice, source::Source};
use crate::harness::world::TestClock;

/// Whether the destinations reject this value for ever.
pub fn is_rejected(value: &str) -> bool {
    value.ends_with(".13")
}

/// Whether they reject it as long as the chaos lasts.
pub fn heals(value: &str) -> bool {
    value.ends_with(".14")
}

/// A value of the feed that is never given twice: an address, or a file's md5.
pub fn value(number: u64) -> String {
    match number % 16 {
        5 => format!("{number:032x}"),
        _ => format!("198.{}.{}.{}", 51 + number / 62_500, number / 250 % 250, number % 250 + 1),
    }
}

/// The strongest digest of a file, by its md5.
pub fn sha256(md5: &str) -> String {
    format!("{md5}{md5}")
}

fn is_file(value: &str) -> bool {
    value.len() == 32
}

/// The most objects that stand for a value at Sentinel.
fn objects(value: &str) -> u64 {
    1 + u64::from(is_file(value))
}

/// A record that is wanted in three cases of four. Half the files have their strongest digest.
pub fn record(dice: &mut Dice, value: &str) -> Record {
    let confidence = if dice.chance(0.75) { dice.between(80, 95) } else { dice.between(10, 79) };
    let digest = (is_file(value) && dice.chance(0.5)).then(|| sha256(value));
    let record = match is_file(value) {
        true => Record::file(Some(value), None, digest.as_deref()),
        false => Record::ipv4(value),
    };
    record.mscore(confidence as i64).threat_score(Some(90))
}

/// The feed, and those who change it.
pub struct Nature {
    pub source: Source,
    pub defender: Defender,
    pub clock: Arc<TestClock>,
    pub chaos: Arc<Chaos>,
    pub dice: Dice,
    /// What is listed, and by how many values it was ever.
    pub listed: Vec<Record>,
    pub values: u64,
    /// Numbers of other applications' indicators.
    pub theirs: Vec<u64>,
}

impl Nature {
    /// Changes the feed until the chaos is over.
    pub async fn live(mut self) {
        // In one world of six scores fall by the dozen.
        let is_slumping = self.dice.chance(0.16);
        while !self.chaos.is_over() {
            tokio::time::sleep(self.source.pause(&mut self.dice)).await;
            for _ in 0..self.dice.between(1, 8) {
                self.change_one();
            }
            if self.dice.chance(0.02) {
                self.burst();
            }
            if is_slumping && self.dice.chance(0.1) {
                self.slump();
            }
            if self.dice.chance(0.1) {
                self.somebody_else();
            }
        }
    }

    fn now(&self) -> DateTime<Utc> {
        self.clock.true_time()
    }

    fn list(&mut self, record: Record) {
        self.source.put(&record);
        self.listed.push(record);
    }

    fn change_one(&mut self) {
        if self.dice.chance(0.4) || self.listed.is_empty() {
            return self.emit();
        }
        let place = self.dice.below(self.listed.len() as u64) as usize;
        match self.dice.below(20) {
            0 => {
                let objects = objects(self.listed[place].value());
                self.chaos.drops.fetch_add(objects, Ordering::Relaxed);
                let gone = self.listed.swap_remove(place);
                self.source.remove(gone.key());
            }
            1 if self.source.has_twins() => self.second_record(place),
            2 if self.source.changes_digests() => self.change_digest(place),
            _ => self.score(place),
        }
    }

    /// A new record, perhaps indexed late.
    fn emit(&mut self) {
        let late = TimeDelta::seconds(self.dice.below(8 * 60) as i64);
        let record = record(&mut self.dice, &value(self.values)).updated(self.now() - late);
        self.values += 1;
        self.list(record);
    }

    /// Another record of the same value, of the same time or a little before or later.
    fn second_record(&mut self, place: usize) {
        let value = self.listed[place].value().to_owned();
        if is_file(&value) {
            return;
        }
        self.chaos.drops.fetch_add(2, Ordering::Relaxed);
        self.chaos.twins.lock().unwrap().insert(value.clone());
        let at = self.dice.pick(&[self.listed[place].last_updated_at(), self.now()]);
        let at = at + TimeDelta::seconds(self.dice.pick(&[-30, -1, 0, 1, 30]));
        let id = format!("ipv4--second-{}", self.listed.len());
        let other = record(&mut self.dice, &value).set("id", id).updated(at.min(self.now()));
        self.list(other);
    }

    fn change_digest(&mut self, place: usize) {
        let before = &self.listed[place];
        let value = before.value().to_owned();
        if !is_file(&value) {
            return;
        }
        self.chaos.drops.fetch_add(objects(&value), Ordering::Relaxed);
        let digest = strongest(before).is_none().then(|| sha256(&value));
        let record = Record::file(Some(&value), None, digest.as_deref()).mscore(before.indexed_mscore());
        let record = record.threat_score(Some(90)).updated(self.now());
        self.source.put(&record);
        self.listed[place] = record;
    }

    fn score(&mut self, place: usize) {
        let confidence = self.listed[place].indexed_mscore();
        let scored = match self.dice.below(10) {
            0 => self.dice.below(80) as i64,
            1..=6 => confidence + self.dice.below((101 - confidence) as u64) as i64,
            _ => confidence,
        };
        self.rescore(place, scored);
    }

    fn rescore(&mut self, place: usize, scored: i64) {
        if scored < self.listed[place].indexed_mscore() {
            let objects = objects(self.listed[place].value());
            self.chaos.drops.fetch_add(objects, Ordering::Relaxed);
        }
        let record = self.listed[place].clone().mscore(scored).updated(self.now());
        self.source.put(&record);
        self.listed[place] = record;
    }

    /// Many records of one second.
    fn burst(&mut self) {
        for _ in 0..self.dice.between(20, 60) {
            let record = record(&mut self.dice, &value(self.values)).updated(self.now());
            self.values += 1;
            self.list(record);
        }
    }

    fn slump(&mut self) {
        for place in 0..self.listed.len() {
            if self.dice.chance(0.1) {
                self.rescore(place, 10);
            }
        }
    }

    /// Another application's indicators come and go at Defender, some about values of ours.
    fn somebody_else(&mut self) {
        if !self.theirs.is_empty() && self.dice.chance(0.5) {
            self.defender.remove(self.theirs.swap_remove(0));
            return;
        }
        let value = match self.dice.chance(0.3) && !self.listed.is_empty() {
            true => value(self.values + self.dice.below(5)),
            false => format!("203.0.113.{}", self.dice.below(250)),
        };
        if is_file(&value) {
            return;
        }
        let number = self.defender.put(json!({
            "indicatorValue": value, "indicatorType": "IpAddress", "action": "Audit", "title": "theirs",
            "description": "theirs", "application": "another", "generateAlert": true,
        }));
        self.theirs.push(number);
    }
}

/// The strongest digest that a file's record names.
pub fn strongest(record: &Record) -> Option<String> {
    let digests = record.json().get("associated_hashes")?.as_array()?;
    let digest = digests.iter().find(|digest| digest["type"] == "sha256")?;
    Some(digest["value"].as_str()?.to_owned())
}
