//! The calm after the chaos, and the reckoning.

use std::{collections::HashSet, sync::atomic::Ordering, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use mati_sync::{
    domain::{
        arrival::Arrivals,
        entry::State,
        feeds::NotedLoss,
        manifest::Manifest,
        observable::Key,
        outcome::End,
        progress::Progress,
        report::{LaneReport, Report},
        request::RunOptions,
    },
    pass::{MessageKind, QueueMessage, Work},
};
use sandbox::corpus::Record;

use super::{
    chaos::Chaos,
    lists::is_lost,
    nature::heals,
    oracle::{self, Truth},
    run::{IN_FLIGHT, Simulation, invoke},
    source::{Kind, is_gti},
    tally::Tally,
};
use crate::harness::world::check_report;

/// No host limits a command, and a package may have more records than an hour has room for.
const UNLIMITED: Duration = Duration::from_secs(10 * 3600);

/// The most records in a request.
const BATCH: u64 = 100;
/// From one refresh to the next, and a little.
const PERIOD: Duration = Duration::from_secs(85 * 3600);

impl Simulation {
    /// Nothing is wrong any more: everything must be caught up within some ticks.
    pub async fn calm_down(&mut self, seed: u64, chaos: &Chaos) {
        // A lease whose holder died runs out; the youngest records leave the source's lag.
        tokio::time::sleep(Duration::from_secs(180) + self.source.delay()).await;
        // Queues deliver again, and late.
        self.queue.extend(self.sent.iter().rev().take(3).cloned());
        self.catch_up().await;
        // What was sent so far was not yet renewed.
        self.count_resent(chaos);
        self.wait_for_arrival().await;
        self.check_live(chaos).await;
        if self.losses.is_none() {
            self.lose_timer(seed).await;
        }
        if is_gti(&self.world) {
            return self.catch_up_with_lists().await;
        }
        // Two refreshes find out what the live feed cannot show, and give the places that became free at Defender to the
        // best of the others. What was rejected for a while is offered in between.
        for _ in 0..2 {
            tokio::time::sleep(PERIOD).await;
            self.catch_up().await;
            self.command(RunOptions { retry_rejected: true, ..RunOptions::default() }).await;
        }
        if self.second.is_some() {
            // An indicator that gave way, or found no room, in the midst of a reading is offered again by the next.
            for _ in 0..3 {
                self.command(RunOptions { lookback_days: Some(30), ..RunOptions::default() }).await;
            }
        }
    }

    /// Until what was lost, and is looked for, is missing and was sent again.
    async fn wait_for_arrival(&mut self) {
        let stored = self.stored("lanes/sentinel/arrival.json");
        let Some(losses) = self.losses.as_mut().filter(|_| !stored.is_empty()) else { return };
        losses.note(&stored);
        if losses.are_awaited() {
            self.tally.healed += 1;
            tokio::time::sleep(Duration::from_secs(3 * 3600)).await;
            self.catch_up().await;
        }
        // What the source before gave is offered again from the times at which that one updated it: at those, the present one
        // may list nothing. It goes on being told as missing.
        if !self.is_jumpy && self.source.kind != Kind::Both {
            let arrivals: Arrivals =
                serde_json::from_str(&self.stored("lanes/sentinel/arrival.json")).unwrap();
            // What the source lists no longer cannot be offered again, nor what Google no longer keeps.
            let (listed, since) =
                (self.source.records(&self.world), self.source.kept_since(self.world.now()));
            let is_listed = |value: &str| {
                let mut listed = listed.iter().filter(|record| record.last_updated_at() >= since);
                listed.any(|record| record.value() == value)
            };
            let missing: Vec<_> = arrivals.missing().filter(|missing| is_listed(&missing.value)).collect();
            assert!(missing.is_empty(), "it has not arrived: {missing:?}");
        }
    }

    /// Nothing can be read again that is older than what Google keeps, and what is not repeated ages out: so what was
    /// rejected for a while, and the places that became free at Defender, are offered again soon.
    async fn catch_up_with_lists(&mut self) {
        for _ in 0..2 {
            tokio::time::sleep(Duration::from_secs(3600)).await;
            self.catch_up().await;
            self.command(RunOptions { retry_rejected: true, ..RunOptions::default() }).await;
        }
        if self.second.is_some() {
            for _ in 0..3 {
                self.command(RunOptions { lookback_days: Some(7), ..RunOptions::default() }).await;
            }
        }
    }

    /// What the live feed alone must have brought about, without a refresh that heals it: all but values of several
    /// records, and those that were rejected.
    async fn check_live(&self, chaos: &Chaos) {
        if self.is_jumpy {
            return;
        }
        let (manifest, watermark) = self.known().await.expect("it has run");
        let truth = self.truth("sentinel").await;
        let listed = self.source.records(&self.world);
        let twins = chaos.twins.lock().unwrap();
        let is_lost = |value: &str| {
            let losses = self.losses.as_ref();
            let is_both = self.source.kind == Kind::Both;
            losses.is_some_and(
                |lost| if is_both { !lost.keys_of(value).is_empty() } else { lost.are_open(value) },
            )
        };
        let is_open = |value: &str| twins.contains(value) || heals(value) || is_lost(value);
        let forgotten = oracle::check_destination(&self.world, &truth, &listed, &manifest, is_open);
        let allowed = self.in_doubt(chaos);
        assert!(forgotten <= allowed, "{forgotten} are held that no manifest knows; {allowed} were in doubt");
        let wanted = truth.wanted().into_iter().filter(|value| !is_open(value)).collect();
        oracle::check_checkpoint(&self.world, watermark, &listed, &wanted);
    }

    /// What the source calls for, as far as it gave it to this lane.
    async fn truth(&self, lane: &str) -> Truth {
        // Our clock may have been four days behind when something was sent, which is valid for seven.
        let validity = TimeDelta::hours(if self.is_jumpy { 3 * 24 } else { 7 * 24 });
        let since = (self.world.now() - validity).max(self.source.kept_since(self.world.now()));
        let progress = self.progress(lane).await;
        // A lane that first came to read after days asks for nothing that is older than its lookback.
        let deciding = self.source.deciding(&progress.losses, since.max(progress.begin));
        let knows_times = self.source.kind != Kind::Both;
        Truth::of(deciding, self.threshold, &self.world.vars()["HASH_TYPE"], knows_times)
    }

    async fn progress(&self, lane: &str) -> Progress {
        let app = self.world.start();
        let store = (app.engine.open_store)().expect("a store");
        store.progress(lane).await.expect("readable").expect("it has run")
    }

    /// Ticks until nothing is left to do; what waits for confirmation is confirmed.
    pub async fn catch_up(&mut self) {
        let limit = Duration::from_secs(600);
        let (mut calm, mut confirmations) = (0, 0);
        for _ in 0..400 {
            let (work, stale) = match self.queue.pop_front() {
                Some(message) => {
                    let stale = message.kind == MessageKind::Continue && !self.is_current(&message).await;
                    (Work::QueueMessage(message), stale)
                }
                None => (Work::Timer, false),
            };
            let is_tick = work == Work::Timer;
            let app = self.world.start();
            let ended = invoke(&app, work, limit, None).await.expect("nothing kills it");
            // Dry runs that wait are taken by whatever message comes first.
            let acted = ended.reports.iter().any(|report| !report.dry_run);
            assert!(!stale || !acted, "a stale message was acted upon: {ended:#?}");
            ended.reports.iter().for_each(check_report);
            self.tally.passes += ended.reports.len() as u64;
            let done = ended.reports.iter().all(|report| report.end == End::CaughtUp);
            let waits = |report: &Report| report.end == End::Stalled && asks(&report.message);
            assert!(
                ended
                    .reports
                    .iter()
                    .all(|report| matches!(report.end, End::CaughtUp | End::Paused) || waits(report)),
                "nothing is wrong, and yet: {:#?}",
                ended.reports
            );
            self.queue.extend(ended.continuation);
            if ended.reports.iter().any(waits) {
                confirmations += 1;
                assert!(confirmations <= 3, "it is to be confirmed over and over: {:#?}", ended.reports);
                self.confirm_what_waits().await;
            }
            calm = if done && is_tick { calm + 1 } else { 0 };
            if calm == 3 && self.queue.is_empty() {
                return;
            }
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
        panic!("it does not catch up although nothing is wrong");
    }

    /// Ends caught up, if only after a confirmation: a lookback that reaches beyond what was ever read may find more that is
    /// no longer wanted than is retracted unasked.
    pub async fn command(&mut self, order: RunOptions) {
        let report = self.run_command(order).await;
        if report.lanes.values().any(waits) {
            assert!(self.source.kind != Kind::Mandiant, "{report:#?}");
            self.confirm_what_waits().await;
        }
    }

    /// Ends caught up, or with what waits for confirmation.
    async fn run_command(&self, order: RunOptions) -> Report {
        let app = self.world.start();
        let ended = invoke(&app, Work::Command(order), UNLIMITED, None).await.expect("nothing kills it");
        ended.reports.iter().for_each(check_report);
        let is_done = |lane: &LaneReport| lane.end == End::CaughtUp || waits(lane);
        assert!(ended.reports[0].lanes.values().all(is_done), "{ended:#?}");
        ended.reports.into_iter().next().expect("a command has a report")
    }

    /// A confirmation is for what waits when it is given. What its own pass finds beyond the limit, because a lane had a
    /// backlog or a survey was under way, no reading has met yet: it waits for another.
    async fn confirm_what_waits(&mut self) {
        let before = self.waiting().await;
        let order = self.confirm();
        self.run_command(order).await;
        let after = self.waiting().await;
        // After a change of source the reading that retracts what was confirmed may meet a file under a digest that the
        // source before did not tell. Its retraction waits as a whole then, and has to be confirmed once more. And of Google's
        // lists it may read an hour in which a value is wanted again and a later one in which it is not, which is another
        // retraction than the confirmed one.
        let still = before.intersection(&after).count();
        assert!(still == 0 || self.source.kind != Kind::Mandiant, "{still} were confirmed and wait");
    }

    /// Indicators whose retraction waits for confirmation, with their lanes.
    async fn waiting(&self) -> HashSet<(&'static str, Key)> {
        let (app, now) = (self.world.start(), self.world.now());
        let mut waiting = HashSet::new();
        for lane in self.lanes() {
            let manifest = app.engine.manifest(lane).await.expect("readable");
            let marked = manifest.held_unwanted(now).map(|known| known.entry);
            let marked = marked.filter(|entry| entry.state() != State::Condemned);
            waiting.extend(marked.map(|entry| (*lane, entry.key)));
            waiting.extend(manifest.waiting(now).map(|known| (*lane, known.entry.key)));
        }
        waiting
    }

    /// Contents that were sent twice, before the refreshes renew all of them.
    fn count_resent(&mut self, chaos: &Chaos) {
        let allowed = if self.is_fickle || self.is_jumpy {
            u64::MAX
        } else {
            chaos.drops.load(Ordering::Relaxed) + self.in_doubt(chaos)
        };
        self.tally.resent = oracle::check_resent(&self.world, allowed);
        if let Some(second) = &self.second {
            second.check_resent(chaos, self.doubtful_ends, self.fenced, self.is_fickle || self.is_jumpy);
        }
    }

    /// Records that may have been sent without our knowing.
    pub fn in_doubt(&self, chaos: &Chaos) -> u64 {
        let in_doubt = chaos.uploads_in_doubt.load(Ordering::Relaxed);
        BATCH * (in_doubt + IN_FLIGHT * (self.doubtful_ends + self.fenced))
    }

    pub fn lanes(&self) -> &'static [&'static str] {
        if self.second.is_some() { &["sentinel", "defender"] } else { &["sentinel"] }
    }

    async fn is_current(&self, message: &QueueMessage) -> bool {
        let app = self.world.start();
        let store = (app.engine.open_store)().expect("a store");
        for lane in self.lanes() {
            let progress = store.progress(lane).await.expect("readable");
            if progress.is_some_and(|progress| progress.continuation_id == message.continuation_id) {
                return true;
            }
        }
        false
    }

    pub async fn reckon(mut self, chaos: &Chaos, from_the_start: &[Record]) -> Tally {
        assert!(!chaos.storage_is_sound || self.fenced == 0, "two passes worked at once");
        assert!(!chaos.storage_is_sound || self.overdue == 0, "a pass did not end by itself");
        // Tries that are used up, with pauses that grow.
        let asked = chaos.asked_in_vain.load(Ordering::Relaxed);
        let patience = 10 * (self.tally.passes + self.tally.kills);
        // Three of Google's lists are read side by side, and each lane asks for the quota.
        let patience = if self.source.kind == Kind::Mandiant { patience } else { 4 * patience };
        assert!(!chaos.source_is_down || asked <= patience, "the source was asked {asked} times in vain");
        let truth = self.truth("sentinel").await;
        let listed = self.source.records(&self.world);
        let allowed = self.in_doubt(chaos);
        let (manifest, watermark) = self.known().await.expect("it has run");
        let forgotten = oracle::check_destination(&self.world, &truth, &listed, &manifest, |_| false);
        assert!(forgotten <= allowed, "{forgotten} are held that no manifest knows; {allowed} were in doubt");
        self.tally.faults = chaos.faults.load(Ordering::Relaxed);
        oracle::check_pace(&self.world, self.per_minute, IN_FLIGHT * self.fenced);
        oracle::check_ids(&self.world);
        oracle::check_checkpoint(&self.world, watermark, from_the_start, &truth.wanted());
        // What a reading of Google's past brought itself, it takes back without a limit.
        if !self.is_jumpy && self.source.kind == Kind::Mandiant {
            let day = self.began + TimeDelta::days(1);
            oracle::check_retraction_limit(&self.world, self.confirmed_at.map_or(day, |at| at.min(day)));
        }
        oracle::check_rejected(&self.world, &truth, &self.stored("lanes/sentinel/rejected/"), "");
        if let Some(second) = &self.second {
            let truth = self.truth("defender").await;
            second.reckon(&self.world, &truth, self.fenced);
            // Where room is scarce, not everything is offered.
            if second.limit == 15_000 {
                let rejected = self.stored("lanes/defender/rejected/");
                oracle::check_rejected(
                    &self.world,
                    &truth,
                    &rejected,
                    &self.stored("lanes/defender/foreign"),
                );
            }
        }
        if self.source.kind == Kind::Gti && !self.is_jumpy {
            self.check_losses().await;
        }
        self.tally
    }

    /// When a package that was never made leaves the days that Google keeps, it is told as lost, and so is nothing else
    /// that came after the last long pause.
    async fn check_losses(&mut self) {
        let since = self.world.now();
        // Of a list that could not be read when a long pause was over, nothing was told.
        let mut missing = self.source.missing();
        missing.retain(|(_, at)| *at + TimeDelta::days(7) > since);
        if missing.is_empty() {
            return;
        }
        for _ in 0..15 {
            tokio::time::sleep(Duration::from_secs(12 * 3600)).await;
            self.catch_up().await;
        }
        for lane in self.lanes() {
            let losses = self.progress(lane).await.losses;
            for (list, at) in &missing {
                assert!(is_lost(&losses, list, *at), "{lane}: {list} of {at} is not told: {losses:?}");
            }
            for NotedLoss { loss, .. } in losses.iter().filter(|noted| noted.at > since) {
                let last = loss.to - TimeDelta::hours(1);
                let is_missing = |list: &str| missing.contains(&(list.to_owned(), last));
                assert!(loss.what.split(", ").all(is_missing), "{lane}: {loss:?} is told, and was there");
            }
        }
    }

    async fn known(&self) -> Option<(Manifest, DateTime<Utc>)> {
        let app = self.world.start();
        let store = (app.engine.open_store)().ok()?;
        let watermark = store.progress("sentinel").await.ok()??.watermark;
        Some((app.engine.manifest("sentinel").await.ok()?, watermark))
    }

    /// What stands in all files of the state whose names have this part.
    fn stored(&self, part: &str) -> String {
        match &self.blobs {
            Some(blobs) => {
                let files = blobs.blobs().into_iter().filter(|(name, _)| name.contains(part));
                files.map(|(_, bytes)| String::from_utf8_lossy(&bytes).into_owned()).collect()
            }
            None => {
                let (folder, name) = part.rsplit_once('/').expect("a path");
                let files = std::fs::read_dir(self.world.state.path().join(folder));
                let files = files.into_iter().flatten().flatten();
                let files = files.filter(|file| file.file_name().to_string_lossy().starts_with(name));
                files.map(|file| std::fs::read_to_string(file.path()).unwrap_or_default()).collect()
            }
        }
    }
}

/// Whether a lane waits for an operator to confirm something.
pub fn waits(lane: &LaneReport) -> bool {
    lane.end == End::Stalled && lane.message.as_deref().is_some_and(asks)
}

/// Whether a message asks an operator to confirm something.
fn asks(message: &str) -> bool {
    message.contains("confirm_retraction") || message.contains("confirm_creation")
}
