//! How far a lane has come: the one object that says what is true, and the ranges still to read.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::{
    deciding_record::{Refreshes, WholeRefresh},
    expiry::Renewal,
    feeds::{Feeds, Loss, NotedLoss, Quota, note_losses},
    findings::AuditProgress,
    observable::Key,
    purpose::{Backfill, Purpose},
    unasked::Unasked,
    window::{Limits, Range, whole_second},
    withheld::{WaitingCreations, WhyNew, Withheld},
};

/// The version of `progress.json` this program writes.
pub const SCHEMA: u32 = 5;

/// The place a lane delivers to. A lane that finds itself pointed elsewhere starts anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DestinationId {
    /// Workspace id, or tenant.
    pub place: String,
    /// `SOURCE_SYSTEM`, or host.
    pub name: String,
}

/// A file of the manifest, as far as it counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentRef {
    pub name: String,
    pub entries: u64,
    /// The length in bytes up to which the file counts: what lies beyond does not exist. Of files that are never
    /// added to, as schemas 1 and 2 listed them, it is not known, and they count whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
}

/// A refresh of which everything was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastRefresh {
    /// From its begin until the last record was read, in seconds.
    pub seconds: i64,
    /// The same of the refresh before it: every second one renews most, and takes longer.
    #[serde(default)]
    pub before: i64,
    /// What it met is valid until then at least.
    pub until: DateTime<Utc>,
}

/// A lane that begins with what its destination holds already.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adoption {
    /// Where the reading of it goes on.
    pub skip_token: Option<String>,
}

/// `lanes/<lane>/progress.json`: what it lists exists, what it does not list does not exist.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    pub schema: u32,
    /// Different in every version ever written, so that a writer recognises its own.
    pub write_id: String,
    pub target: DestinationId,
    /// The source that the lane reads; unknown of lanes that an earlier version wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Where the lane's history starts: nothing before it was ever asked for.
    pub begin: DateTime<Utc>,
    /// When the lane's first pass began: nothing was sent before. Unknown of lanes of schema 1.
    #[serde(default)]
    pub created: Option<DateTime<Utc>>,
    /// When the last refresh was scheduled, or the lane began.
    #[serde(default)]
    pub refreshed: Option<DateTime<Utc>>,
    #[serde(default)]
    pub refreshes: Refreshes,
    /// The last refresh of which everything was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_refresh: Option<LastRefresh>,
    /// What was held, retracted and created in the last 24 hours.
    #[serde(default)]
    #[serde(rename = "brake")]
    pub unasked: Unasked,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withheld: Option<Withheld>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<WaitingCreations>,
    /// When the lane had read everything for the first time, since it last held nothing: until then it is in its first
    /// sync, which creates all it meets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caught_up: Option<DateTime<Utc>>,
    /// The version of the rules about harmful values by which the destination's own list was gone through.
    #[serde(default)]
    pub swept: u32,
    #[serde(default, skip_serializing_if = "AuditProgress::is_new")]
    pub audit: AuditProgress,
    /// The indicator in `control.json`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control: Option<Key>,
    /// While it is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adoption: Option<Adoption>,
    /// Everything the source had updated from `begin` up to here is settled.
    pub watermark: DateTime<Utc>,
    /// Up to here everything was read so long after its update that it was certainly indexed: a pass begins there, and
    /// reads what lies between here and the watermark once more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub firm: Option<DateTime<Utc>>,
    /// How far that reading is, while it is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reread: Option<DateTime<Utc>>,
    /// How far each feed is, of a source that has several.
    #[serde(default, skip_serializing_if = "Feeds::is_empty")]
    pub feeds: Feeds,
    /// How far the feeds of the source before are, which may come back.
    #[serde(default, skip_serializing_if = "Feeds::is_empty")]
    pub former_feeds: Feeds,
    /// What the source could no longer give.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub losses: Vec<NotedLoss>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota: Option<Quota>,
    /// Passes of the present chain, one after another until now, that ran out of time and settled nothing.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub fruitless: u32,
    /// Length of the next window, in seconds.
    pub window_seconds: i64,
    #[serde(default)]
    pub backfills: Vec<Backfill>,
    /// Requests applied already, newest last.
    #[serde(default)]
    pub applied: Vec<String>,
    /// The settings that decide what is sent; a change calls for a refresh.
    pub settings_hash: String,
    /// When they were found changed last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings_changed: Option<DateTime<Utc>>,
    /// Stands for the entries of all lists, see [`Fingerprints`](super::exclusions::Fingerprints). Absent: there were
    /// none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exclusions: Option<String>,
    /// How far the destination was gone through in search of what became excluded, while that is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sweep: Option<Adoption>,
    /// Of the one continuation message that counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub continuation_id: Option<String>,
    /// The pass that the continuation goes on with, the first of its chain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub continues: Option<String>,
    /// Number of indicators in the manifest.
    pub manifest_entries: u64,
    /// Later segments win over earlier ones.
    pub segments: Vec<SegmentRef>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl Progress {
    /// The progress of a lane that has read nothing yet and will read from `begin`.
    pub fn new(
        target: DestinationId,
        settings_hash: String,
        begin: DateTime<Utc>,
        created: DateTime<Utc>,
        first_window: TimeDelta,
    ) -> Self {
        let begin = whole_second(begin);
        Self {
            schema: SCHEMA,
            write_id: String::new(),
            target,
            source: None,
            begin,
            created: Some(created),
            refreshed: Some(created),
            refreshes: Refreshes::default(),
            last_refresh: None,
            unasked: Unasked::default(),
            withheld: None,
            waiting: None,
            caught_up: None,
            swept: 0,
            audit: AuditProgress::default(),
            control: None,
            adoption: None,
            watermark: begin,
            firm: None,
            reread: None,
            feeds: Feeds::default(),
            former_feeds: Feeds::default(),
            losses: Vec::new(),
            quota: None,
            fruitless: 0,
            window_seconds: first_window.num_seconds(),
            backfills: Vec::new(),
            applied: Vec::new(),
            settings_hash,
            settings_changed: None,
            exclusions: None,
            sweep: None,
            continuation_id: None,
            continues: None,
            manifest_entries: 0,
            segments: Vec::new(),
        }
    }

    /// Notes that the lane reads `source` from `now` on. If it read another one before, what is known of its windows is
    /// forgotten, and a refresh follows where the new one can be read again; the watermark stays. True if it did.
    pub fn follow_source(&mut self, source: &str, now: DateTime<Utc>, limits: Limits) -> bool {
        let is_changed = match self.source.replace(source.to_owned()) {
            Some(before) => before != source,
            // Versions that wrote no name knew one source alone, and that had no feeds.
            None => !limits.recalls && self.watermark != self.begin,
        };
        if is_changed {
            // What the other source had yet to index is read from this one, if it has feeds.
            let firm = self.firm.filter(|_| !limits.recalls);
            (self.firm, self.reread, self.last_refresh) = (firm, None, None);
            self.refreshed = (!limits.recalls).then_some(now);
            self.quota = None;
            let feeds = std::mem::take(&mut self.feeds);
            self.former_feeds = if feeds.is_empty() { std::mem::take(&mut self.former_feeds) } else { feeds };
            self.backfills.retain(|backfill| !backfill.purpose.is_refresh());
        }
        is_changed
    }

    /// Begins to read what is new in the feeds called `names`. A feed that is new is read as far back as the source
    /// reaches, and as the lane does; feeds that are all new from the watermark on, or from where the source before them was
    /// certainly read. Returns what is lost.
    pub fn start_feeds(&mut self, names: &[String], now: DateTime<Utc>, limits: Limits) -> Vec<Loss> {
        let start = if self.feeds.is_empty() {
            // What lies before a lane's first window was never asked for, and is not lost.
            let is_first = self.watermark == self.begin;
            let stood = self.firm.take().unwrap_or(self.watermark).min(self.watermark);
            if is_first { self.begin.max(limits.earliest(now)) } else { stood }
        } else {
            self.begin.max(limits.earliest(now))
        };
        let lost = self.feeds.begin(names, std::mem::take(&mut self.former_feeds), start, now, limits);
        // Of what is not held it is not known that it was taken back since: so what is read again of the past is read on to the
        // present, whenever and for whichever source it was scheduled.
        let end = limits.end(now);
        self.backfills.iter_mut().for_each(|backfill| backfill.to = backfill.to.max(end));
        self.note_losses(&lost, now);
        lost
    }

    /// Notes what the source could no longer give.
    pub fn note_losses(&mut self, found: &[Loss], now: DateTime<Utc>) {
        note_losses(&mut self.losses, found, now);
    }

    /// How long a refresh takes to read, by the last two.
    pub fn refresh_took(&self) -> TimeDelta {
        let seconds = self.last_refresh.map_or(0, |last| last.seconds.max(last.before));
        TimeDelta::seconds(seconds.max(0))
    }

    /// What is valid until earlier than this is renewed when it is met unchanged at `now`.
    pub fn renew_before(&self, renewal: &Renewal, now: DateTime<Utc>) -> DateTime<Utc> {
        renewal.until(self.refreshed, self.refresh_took(), now)
    }

    /// Notes at `now` that a refresh was read to its end.
    pub fn note_refresh_read(&mut self, renewal: &Renewal, now: DateTime<Utc>) {
        let until = self.renew_before(renewal, now);
        let seconds = self.refreshed.map_or(0, |began| (now - began).num_seconds());
        let before = self.last_refresh.map_or(0, |last| last.seconds);
        self.last_refresh = Some(LastRefresh { seconds, before, until });
    }

    /// Whether a survey was read to its end and is to be judged.
    pub fn has_survey_to_judge(&self) -> bool {
        self.backfills.iter().any(Backfill::is_surveyed)
    }

    /// Judges a survey that was read to its end, which marked so many indicators of so many that are held: they are
    /// collected in a second reading, or wait for confirmation if the retraction limit leaves no room for so many. What waits
    /// already goes on waiting.
    pub fn judge_survey(&mut self, marked: u64, held: u64, now: DateTime<Utc>) {
        let Some(index) = self.backfills.iter().position(Backfill::is_surveyed) else { return };
        let from = self.backfills[index].from;
        let fits = marked <= self.unasked.retractions_left(now, self.created);
        if marked > 0 && self.withheld.is_none() && fits {
            let backfill = &mut self.backfills[index];
            backfill.position = from;
            // A tenth more, for what the source lowers meanwhile.
            backfill.purpose = Purpose::Collection { allowance: marked + marked.div_ceil(10) };
            self.note_whole_refresh(from);
            return;
        }
        self.finish(index);
        self.wait_for(marked, held);
    }

    /// Notes that so many retractions, of so many indicators that are held, wait for confirmation; none: no longer.
    pub fn wait_for(&mut self, retractions: u64, held: u64) {
        self.withheld = (retractions > 0).then_some(Withheld { retractions, of: held });
    }

    /// Why a reading for `purpose` meets an indicator that the lane never created.
    pub fn why_new(&self, purpose: Purpose) -> WhyNew {
        match purpose {
            Purpose::Live => WhyNew::Source,
            _ if purpose.is_refresh()
                && self.settings_changed.is_some_and(|at| self.refreshed == Some(at)) =>
            {
                WhyNew::Settings
            }
            _ if self.backfills.first().is_some_and(Backfill::is_of_settings) => WhyNew::Settings,
            _ => WhyNew::Reading,
        }
    }

    /// Notes that an indicator that the source updated at `updated` waits to be created.
    pub fn wait_to_create(&mut self, updated: DateTime<Utc>, reason: WhyNew) {
        let updated = whole_second(updated);
        let waiting = self.waiting.get_or_insert_with(|| WaitingCreations {
            by_type: BTreeMap::new(),
            oldest: updated,
            reason,
        });
        waiting.oldest = waiting.oldest.min(updated);
    }

    /// Notes that an indicator was retracted unasked, at `now`, in a reading for `range`.
    pub fn note_retracted(&mut self, range: &Range, now: DateTime<Utc>) {
        self.unasked.note_retracted(now, 1);
        let Range::Backfill(run_id) = range else { return };
        let backfill = self.backfills.iter_mut().find(|backfill| backfill.run_id == *run_id);
        if let Some(Backfill { purpose: Purpose::Collection { allowance }, .. }) = backfill {
            *allowance = allowance.saturating_sub(1);
        }
    }

    /// What the backfill of `range` is read for at present; what is live is read for itself.
    pub fn purpose(&self, range: &Range) -> Purpose {
        let Range::Backfill(run_id) = range else { return Purpose::Live };
        let backfill = self.backfills.iter().find(|backfill| backfill.run_id == *run_id);
        backfill.map_or(Purpose::Lookback, |backfill| backfill.purpose)
    }

    /// Whether a request has been applied, wholly or in part.
    pub fn knows_request(&self, run_id: &str) -> bool {
        self.applied.iter().any(|applied| applied == run_id)
            || self.backfills.iter().any(|backfill| backfill.run_id == run_id)
    }

    /// Ends a backfill. A refresh is no request, and none is delivered again.
    pub(super) fn finish(&mut self, index: usize) {
        let Backfill { run_id, purpose, from, .. } = self.backfills.remove(index);
        if purpose.is_refresh() {
            self.note_whole_refresh(from);
        } else {
            self.mark_applied(&run_id);
        }
    }

    /// Of a source with feeds nothing is whole: it lists what it said long ago no more.
    fn note_whole_refresh(&mut self, from: DateTime<Utc>) {
        if self.feeds.is_empty() {
            self.refreshes.whole = Some(WholeRefresh { number: self.refreshes.begun, from });
        }
    }

    /// Remembers that a request is done, so that a redelivered message does not apply it again.
    pub fn mark_applied(&mut self, run_id: &str) {
        // Redeliveries come within days, and a few dozen requests are more than that. All of them are written with
        // every commit.
        const REMEMBERED: usize = 40;
        self.applied.push(run_id.to_owned());
        let surplus = self.applied.len().saturating_sub(REMEMBERED);
        self.applied.drain(..surplus);
    }
}
