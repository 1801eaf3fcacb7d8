//! Proof of arrival: a sample of what a destination acknowledged is remembered until the destination shows it.
//!
//! An acknowledgement says that a request was taken. Between that and what rules can match lie stores of the
//! destination's own, so what was acknowledged is looked for, and what is not there after hours is missing.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::{
    entry::{Entry, State},
    observable::{Key, StixId},
    plan::Planned,
    sample::Percentiles,
};

/// What was acknowledged so long ago and is not there is missing.
const MISSING_AFTER: TimeDelta = TimeDelta::hours(3);
/// What has not been seen for so long is no longer looked for.
const GIVEN_UP_AFTER: TimeDelta = TimeDelta::days(7);
/// After so long without anything to look for, a canary is sent.
const QUIET: TimeDelta = TimeDelta::days(1);
/// How long a canary is valid: the pass after the next of a daily schedule still finds it.
const CANARY_VALID: TimeDelta = TimeDelta::days(2);
/// The most keys that are remembered, over all requests: some 160 KB.
const KEYS: usize = 4_000;
/// So many requests may have been offered again without having been seen: where nothing arrives at all, sending
/// everything once more helps nobody, and each row costs.
const OFFERED_AGAIN: usize = 10;
/// What was offered again and lost once more is offered after that time, where others arrive.
const REPEATED_AFTER: TimeDelta = TimeDelta::days(1);

/// `lanes/<lane>/arrival.json`: what the lane looks for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Arrivals {
    /// When the newest of what is, or was, looked for was acknowledged; or when the lane began to look.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acknowledged: Option<DateTime<Utc>>,
    /// When the newest of what was seen was acknowledged: up to then the destination shows what it takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seen: Option<DateTime<Utc>>,
    /// One indicator for each request, the oldest first.
    pub awaited: Vec<Awaited>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canary: Option<Canary>,
}

/// An indicator that was acknowledged and has not been seen, and what was acknowledged with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Awaited {
    pub key: Key,
    /// The id under which the destination knows it.
    pub id: Key,
    pub value: String,
    pub acknowledged: DateTime<Utc>,
    /// The end of validity that it was sent with, in seconds since 1970.
    pub valid_until: u32,
    /// The last look that did not find it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub looked: Option<DateTime<Utc>>,
    /// Since when it is known to be missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<DateTime<Utc>>,
    /// When its request was offered again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offered: Option<DateTime<Utc>>,
    /// The keys of its whole request by the end of validity with which they were sent.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub request: BTreeMap<u32, Vec<Key>>,
}

/// A request that is to be offered again.
pub struct Offer {
    pub request: BTreeMap<u32, Vec<Key>>,
    /// It was before, and has not arrived either.
    pub is_repeated: bool,
}

/// An indicator of a reserved name, sent where nothing else was: it tells a source that is silent from a destination that
/// shows nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Canary {
    pub acknowledged: DateTime<Utc>,
    /// Since when it, or the one before it, is known to be missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<DateTime<Utc>>,
}

/// How a destination shows an indicator that is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sighting {
    /// It does, until then; `None`: without a readable end.
    Shown {
        until: Option<DateTime<Utc>>,
    },
    NotShown,
    /// The answer leaves that open.
    Unclear,
}

/// What a look at an awaited indicator has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Looked {
    /// It became visible so many seconds after it was acknowledged: more than the first, at most the second.
    Seen {
        after: u64,
        within: u64,
    },
    NotYet,
    Missing,
    Unclear,
}

impl Arrivals {
    /// Whether there is nothing to look for.
    pub fn is_idle(&self) -> bool {
        self.awaited.is_empty() && self.canary.is_none()
    }

    /// Forgets what need not be there any more at `now`: it was retracted, sent again, displaced, or its validity has
    /// ended; `entry` knows what is known of it.
    pub fn forget_the_rest(&mut self, now: DateTime<Utc>, entry: impl Fn(Key) -> Option<Entry>) {
        self.awaited.retain(|awaited| awaited.is_expected(entry(awaited.key), now));
    }

    /// Looks for these as well, as far as there is room. What was missing and is sent again is looked for already.
    pub fn await_all(&mut self, sample: Vec<Awaited>) {
        self.acknowledged = sample.iter().map(|awaited| awaited.acknowledged).chain(self.acknowledged).max();
        let mut keys: usize = self.awaited.iter().map(Awaited::keys).sum();
        for awaited in sample {
            let is_known = self.missing().any(|missing| awaited.has(missing.key));
            keys += awaited.keys();
            if keys <= KEYS && !is_known {
                self.awaited.push(awaited);
            }
        }
    }

    /// Those that are missing.
    pub fn missing(&self) -> impl Iterator<Item = &Awaited> {
        self.awaited.iter().filter(|awaited| awaited.missing.is_some())
    }

    /// Chooses at `now` which requests of what is missing are offered again, and notes it. One that was offered before is
    /// offered once more if what was acknowledged later has been seen.
    pub fn offer_again(&mut self, now: DateTime<Utc>) -> Vec<Offer> {
        let offered = self.awaited.iter().filter(|awaited| awaited.offered.is_some()).count();
        let mut left = OFFERED_AGAIN.saturating_sub(offered);
        let (seen, mut offers) = (self.seen, Vec::new());
        for awaited in self.awaited.iter_mut().filter(|awaited| awaited.missing.is_some()) {
            let is_due = match awaited.offered {
                Some(offered) => offered + REPEATED_AFTER <= now && seen.is_some_and(|seen| seen > offered),
                None => left > 0,
            };
            if is_due {
                let is_repeated = awaited.offered.replace(now).is_some();
                left -= usize::from(!is_repeated);
                offers.push(Offer { request: awaited.request.clone(), is_repeated });
            }
        }
        offers
    }

    /// Whether a canary is due at `now`: nothing was acknowledged for a day, and what was before is seen or missing. A lane
    /// that begins to look begins to wait for that day.
    pub fn wants_canary(&mut self, now: DateTime<Utc>) -> bool {
        let last = *self.acknowledged.get_or_insert(now);
        let last = last.max(self.canary.map_or(last, |canary| canary.acknowledged));
        // One in the future was noted by a clock that was ahead.
        let is_quiet = last + QUIET <= now || last > now;
        self.awaited.iter().all(|awaited| awaited.missing.is_some()) && is_quiet
    }

    /// Notes that a canary was acknowledged at `now`.
    pub fn await_canary(&mut self, now: DateTime<Utc>) {
        let missing = self.canary.and_then(|canary| canary.missing);
        self.canary = Some(Canary { acknowledged: now, missing });
    }

    /// Takes a look at the indicator at `place` at `now`. It leaves if it was seen, and with it a canary that was sent
    /// before: the destination shows what it takes.
    pub fn look_at(&mut self, place: usize, sighting: Sighting, now: DateTime<Utc>) -> Looked {
        let looked = self.awaited[place].look(sighting, now);
        if let Looked::Seen { .. } = looked {
            let seen = self.awaited.remove(place).acknowledged;
            self.seen = self.seen.max(Some(seen));
            self.canary = self.canary.filter(|canary| canary.acknowledged > seen);
        }
        looked
    }

    /// Takes a look at the canary at `now`. Returns what that has shown.
    pub fn look_at_canary(&mut self, sighting: Sighting, now: DateTime<Utc>) -> Option<CanaryState> {
        let canary = self.canary.as_mut()?;
        let acknowledged = canary.acknowledged;
        let is_valid = now < canary_valid_until(acknowledged);
        match sighting {
            Sighting::NotShown if is_valid && acknowledged + MISSING_AFTER <= now => {
                canary.missing.get_or_insert(now);
            }
            // Nothing can be told any more of one that has ended.
            Sighting::NotShown | Sighting::Unclear if is_valid || canary.missing.is_some() => {}
            _ => {
                self.acknowledged = self.acknowledged.max(Some(acknowledged));
                self.canary = None;
                let is_seen = matches!(sighting, Sighting::Shown { .. });
                self.seen = self.seen.max(is_seen.then_some(acknowledged));
                return is_seen.then_some(CanaryState::Seen);
            }
        }
        Some(if canary.missing.is_some() { CanaryState::Missing } else { CanaryState::Awaited })
    }

    /// What people are told of it.
    pub fn overview(&self) -> ArrivalOverview {
        let missing = self.missing().map(|awaited| MissingIndicator {
            value: awaited.value.clone(),
            id: awaited.stix_id(),
            acknowledged: awaited.acknowledged,
            offered_again: awaited.offered,
        });
        let missing: Vec<_> = missing.collect();
        let canary = self.canary.map(|canary| match canary.missing {
            Some(_) => CanaryState::Missing,
            None => CanaryState::Awaited,
        });
        ArrivalOverview { awaited: (self.awaited.len() - missing.len()) as u64, missing, canary }
    }
}

/// Until when a canary is valid that is sent at `now`.
pub fn canary_valid_until(now: DateTime<Utc>) -> DateTime<Utc> {
    now + CANARY_VALID
}

impl Awaited {
    /// One of `request`, which was acknowledged at `now`: another one each time, so that in the long run every kind of
    /// indicator is looked for.
    pub fn one_of(request: &[&Planned], now: DateTime<Utc>) -> Option<Self> {
        let turn = usize::try_from(now.timestamp()).unwrap_or_default();
        let item = request.get(turn.checked_rem(request.len())?)?;
        let until = |item: &Planned| item.acknowledged(None).entry.valid_until;
        let mut keys: BTreeMap<u32, Vec<Key>> = BTreeMap::new();
        for item in request {
            keys.entry(until(item)).or_default().push(item.key);
        }
        Some(Self {
            key: item.key,
            id: item.stix_id().0,
            value: item.subject().value.into_owned(),
            acknowledged: now,
            valid_until: until(item),
            looked: None,
            missing: None,
            offered: None,
            request: keys,
        })
    }

    /// Whether this was acknowledged in the same request.
    fn has(&self, key: Key) -> bool {
        self.request.values().flatten().any(|one| *one == key)
    }

    /// How many keys are remembered for it.
    fn keys(&self) -> usize {
        self.request.values().map(Vec::len).sum()
    }

    pub fn stix_id(&self) -> String {
        StixId(self.id).to_string()
    }

    /// Whether the destination should show it at `now`, by what is known of it.
    fn is_expected(&self, entry: Option<Entry>, now: DateTime<Utc>) -> bool {
        let Some(entry) = entry.filter(|_| now < self.acknowledged + GIVEN_UP_AFTER) else { return false };
        if entry.state() == State::Absent {
            // The destination's own list lacked it; what was displaced had been in that list.
            return self.looked.is_some() && i64::from(self.valid_until) > now.timestamp();
        }
        // What was sent again since is another sending, but it proves that what is missing has arrived.
        let is_as_sent = self.missing.is_some() || entry.valid_until == self.valid_until;
        is_as_sent && entry.is_held(now) && !entry.state().is_decided_against()
    }

    /// Takes a look at `now`. An earlier content of the same indicator is not what was sent.
    fn look(&mut self, sighting: Sighting, now: DateTime<Utc>) -> Looked {
        let seconds =
            |time: DateTime<Utc>| u64::try_from((time - self.acknowledged).num_seconds()).unwrap_or_default();
        match sighting {
            Sighting::Unclear => return Looked::Unclear,
            Sighting::Shown { until }
                if until.is_none_or(|until| until.timestamp() >= i64::from(self.valid_until)) =>
            {
                return Looked::Seen { after: self.looked.map_or(0, seconds), within: seconds(now) };
            }
            Sighting::Shown { .. } | Sighting::NotShown => {}
        }
        self.looked = Some(now);
        if self.acknowledged + MISSING_AFTER > now {
            return Looked::NotYet;
        }
        self.missing.get_or_insert(now);
        Looked::Missing
    }
}

/// What became of what was looked for in a pass.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ArrivalReport {
    /// Indicators that were looked for.
    pub sampled: u64,
    /// Of these, those that the pass saw for the first time.
    pub seen: u64,
    /// Of these, those that were acknowledged three hours ago and are not there.
    pub missing: u64,
    /// From acknowledged to seen.
    #[serde(flatten)]
    pub visible: Percentiles,
    /// The same up to the last look that did not find it: each became visible between the two.
    pub after: Percentiles,
    /// The canary, if it was looked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canary: Option<CanaryState>,
    /// Why nothing, or not everything, could be looked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

impl ArrivalReport {
    /// Takes in what a later pass of the chain says.
    pub fn continued_by(&mut self, later: &Self) {
        self.sampled += later.sampled;
        self.seen += later.seen;
        self.missing = self.missing.max(later.missing);
        self.visible = self.visible.max(later.visible);
        self.after = self.after.max(later.after);
        self.canary = later.canary.or(self.canary);
        self.problem.clone_from(&later.problem);
    }
}

/// Where a canary is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CanaryState {
    Awaited,
    Seen,
    Missing,
}

/// What a lane waits to see, for people and programs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ArrivalOverview {
    /// Acknowledged less than three hours ago, and not seen yet.
    pub awaited: u64,
    /// Accepted, but not arrived.
    pub missing: Vec<MissingIndicator>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canary: Option<CanaryState>,
}

/// An indicator that was accepted and has not arrived.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MissingIndicator {
    pub value: String,
    pub id: String,
    pub acknowledged: DateTime<Utc>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offered_again: Option<DateTime<Utc>>,
}

impl ArrivalOverview {
    /// What is wrong, in a sentence without a subject; none if nothing is.
    pub fn complaint(&self) -> Option<String> {
        if let Some(first) = self.missing.first() {
            let MissingIndicator { value, id, acknowledged, .. } = first;
            let others = match self.missing.len() - 1 {
                0 => String::new(),
                others => format!(", and {others} more"),
            };
            let offered = match first.offered_again {
                Some(_) => "the whole request is offered again",
                None => "the request is offered again once something arrives",
            };
            let at = acknowledged.format("%Y-%m-%d %H:%M UTC");
            return Some(format!(
                "accepted {value} ({id}) at {at}, and it has not arrived{others}; {offered}"
            ));
        }
        let is_missing = self.canary == Some(CanaryState::Missing);
        is_missing
            .then(|| "accepted a canary, an indicator of a reserved name, and it has not arrived".to_owned())
    }
}
