//! What people do by hand at the destinations once all is calm, and the audit that finds it and brings it back.

use std::{collections::HashSet, time::Duration};

use chrono::{DateTime, SecondsFormat, Utc};
use mati_sync::{
    clock::Deadline,
    domain::{
        audit::Wrong,
        entry::Entry,
        findings::Findings,
        fingerprint::Fingerprint,
        manifest::Manifest,
        observable::{HashType, Key, Observable},
        outcome::End,
        request::RunOptions,
    },
    pass::Work,
};
use serde_json::{Value, json};

use super::{
    calm::waits,
    chaos::Chaos,
    dice::Dice,
    nature::sha256,
    run::{Simulation, invoke},
    source::Kind,
};
use crate::harness::world::check_report;

const LIMIT: Duration = Duration::from_secs(10 * 3600);

/// How many were deleted, changed and ended.
type Done = [u64; 3];

impl Simulation {
    /// People delete and change indicators: an audit finds nothing before, and exactly that afterwards; a repair brings all
    /// of it back, however often it is killed.
    pub async fn meddle(&mut self, seed: u64, chaos: &Chaos) {
        let mut dice = Dice::new(seed ^ 0x4a2d);
        self.world.adopts();
        // By then a workspace shows everything.
        tokio::time::sleep(Duration::from_secs(4 * 3600)).await;
        // What a pass sent that died before it could note it is unknown, until it is read again: Mandiant's refreshes did so
        // by now. Google's packages may have been gone, or the source another one, before any pass came to them again.
        let in_doubt = if self.source.kind == Kind::Mandiant { 0 } else { self.in_doubt(chaos) };
        for lane in self.lanes().to_vec() {
            let manifest = self.world.start().engine.manifest(lane).await.expect("readable");
            let findings = self.audit(lane).await;
            let (before, unknown) = found(&findings);
            let is_explained = match self.source.kind {
                Kind::Mandiant => before == [0; 3],
                // The same of updates and retractions: the manifest says that their answer is not known.
                _ => findings.examples.iter().all(|example| {
                    example.wrong == Wrong::Unknown || {
                        let key = Key::of_stix_id(&example.id).expect("ours");
                        manifest.get(key).is_some_and(|entry| entry.fingerprint == Fingerprint::IN_DOUBT)
                    }
                }),
            };
            let is_sound = is_explained && unknown <= in_doubt;
            // Where our clock jumped, what was sent in doubt may be valid for longer than all this took.
            assert!(
                self.is_jumpy || is_sound,
                "{lane}: no person did anything: {before:?}, {unknown} unknown"
            );
            let done = match lane {
                "sentinel" => self.meddle_at_sentinel(&mut dice, &manifest),
                _ => self.meddle_at_defender(&mut dice, &manifest),
            };
            let findings = self.audit(lane).await;
            let expected = [0, 1, 2].map(|what| before[what] + done[what]);
            let is_found = found(&findings) == (expected, unknown);
            assert!(self.is_jumpy || is_found, "{lane}: {expected:?} is not {findings:#?}");
        }
        self.repair(&mut dice).await;
    }

    /// What a look does not find that was lost, and no refresh brings back, because there is none, an audit does.
    pub async fn find_what_was_lost(&mut self, seed: u64) {
        self.world.adopts();
        tokio::time::sleep(Duration::from_secs(4 * 3600)).await;
        self.repair(&mut Dice::new(seed ^ 0x4a2d)).await;
    }

    async fn repair(&mut self, dice: &mut Dice) {
        let is_killed = dice.chance(0.5);
        for _ in 0..if is_killed { 3 } else { 0 } {
            let (app, kill) = (self.world.start(), dice.seconds(0, 120));
            if invoke(&app, Work::Repair, LIMIT, Some(kill)).await.is_none() {
                self.tally.kills += 1;
                self.doubtful_ends += 1;
                // The lease that it died with runs out.
                tokio::time::sleep(Duration::from_secs(60)).await;
            }
        }
        let app = self.world.start();
        let ended = invoke(&app, Work::Repair, LIMIT, None).await.expect("nothing kills it");
        ended.reports.iter().for_each(check_report);
        for (lane, report) in &ended.reports[0].lanes {
            let findings =
                report.audit.as_ref().unwrap_or_else(|| panic!("{lane} was not audited: {ended:#?}"));
            assert!(report.end == End::CaughtUp || waits(report), "{ended:#?}");
            // A tenant that cannot hold everything may have given the room to others.
            let is_limited =
                lane == "defender" && self.second.as_ref().is_some_and(|second| second.limit < 15_000);
            // What the source lists no longer does not come back: the reckoning tells whether that is all.
            let missed: Vec<_> = findings.examples.iter().map(|example| &example.id).collect();
            let is_unlisted = findings.open() <= self.unlisted(lane).await;
            assert!(is_limited || is_unlisted, "{lane}: {missed:?} are still amiss: {findings:#?}");
        }
        // What was unknown is known now, and if the source speaks against it, it is to be retracted.
        if ended.reports[0].lanes.values().any(waits) {
            self.catch_up().await;
        }
    }

    /// Where room is scarce, what became free goes to the best of all, which only a reading of everything finds.
    pub async fn fill_up(&mut self) {
        if self.second.as_ref().is_some_and(|second| second.limit < 15_000) {
            for _ in 0..3 {
                self.command(RunOptions { lookback_days: Some(30), ..RunOptions::default() }).await;
            }
        }
    }

    async fn audit(&self, lane: &str) -> Findings {
        let (_sender, stop) = tokio::sync::watch::channel(false);
        let app = self.world.start();
        let audit = app.engine.audit(&Deadline::unlimited(stop)).await.expect("it is made");
        // It holds no lease, and does not know at which pace a pass asks.
        tokio::time::sleep(Duration::from_secs(60)).await;
        audit.lanes[lane].clone()
    }

    /// How many the manifest knows that are not held, or that the present source does not list: at most so many cannot be
    /// repaired.
    async fn unlisted(&self, lane: &str) -> u64 {
        let manifest = self.world.start().engine.manifest(lane).await.expect("readable");
        let listed: HashSet<Key> =
            self.source.records(&self.world).iter().flat_map(|record| keys_of(record.value())).collect();
        let is_listed = |entry: &Entry| self.source.kind != Kind::Both || listed.contains(&entry.key);
        let absent = manifest.entries().iter().filter(|entry| !(entry.state().is_held() && is_listed(entry)));
        absent.count() as u64
    }

    fn meddle_at_sentinel(&self, dice: &mut Dice, manifest: &Manifest) -> Done {
        let (now, mut done) = (self.world.now(), Done::default());
        for ((source, id), object) in self.world.sentinel.stored() {
            let key = Key::of_stix_id(&id).expect("ours");
            if !is_wanted(manifest, key, now) || ends(&object["valid_until"]) <= now || !dice.chance(0.1) {
                continue;
            }
            let sentinel = &self.world.sentinel;
            let kind = dice.below(4);
            let change = |object: &mut Value| match kind {
                1 => object["confidence"] = json!(1),
                2 => object["labels"] = json!(["reviewed"]),
                _ => object["valid_until"] = now.to_rfc3339_opts(SecondsFormat::Millis, true).into(),
            };
            let is_there = match kind {
                0 => sentinel.delete_by_hand(&source, &id),
                _ => sentinel.change_by_hand(&source, &id, change),
            };
            assert!(is_there);
            done[[0, 1, 1, 2][kind as usize]] += 1;
        }
        done
    }

    fn meddle_at_defender(&self, dice: &mut Dice, manifest: &Manifest) -> Done {
        let (now, mut done) = (self.world.now(), Done::default());
        for (number, mut held) in self.world.defender.stored() {
            let key = held["externalId"].as_str().and_then(Key::of_stix_id);
            let is_ours = held["application"] == "mati-sync";
            if !is_ours || !key.is_some_and(|key| is_wanted(manifest, key, now)) || !dice.chance(0.1) {
                continue;
            }
            if dice.chance(0.5) {
                assert!(self.world.defender.remove(number));
                done[0] += 1;
                continue;
            }
            held["lastUpdatedBy"] = "operator@example.com".into();
            let (field, content) = if dice.chance(0.5) { ("action", "Allowed") } else { ("severity", "Low") };
            held[field] = content.into();
            self.world.defender.put(held);
            done[1] += 1;
        }
        done
    }
}

/// The keys under which a value of the feed may be held.
fn keys_of(value: &str) -> Vec<Key> {
    let key = |text: &str| Observable::of_text(text).expect("a value").subject(HashType::Sha256).key();
    let digest = (value.len() == 32).then(|| key(&sha256(value)));
    digest.into_iter().chain([key(value)]).collect()
}

fn is_wanted(manifest: &Manifest, key: Key, now: DateTime<Utc>) -> bool {
    let is_known = |entry: &Entry| entry.fingerprint != Fingerprint::IN_DOUBT;
    let is_wanted = |entry: &Entry| entry.is_held(now) && !entry.state().is_decided_against();
    manifest.get(key).is_some_and(|entry| is_known(entry) && is_wanted(entry))
}

fn ends(time: &Value) -> DateTime<Utc> {
    time.as_str().and_then(|text| text.parse().ok()).expect("a date")
}

/// What was found of what people do, and what is unknown.
fn found(findings: &Findings) -> (Done, u64) {
    let Findings { missing, changed, unknown, expired, .. } = *findings;
    ([missing, changed, expired], unknown)
}
