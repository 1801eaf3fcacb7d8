//! A source that gives its records in several feeds, each in packages of one length of time: how far every feed is,
//! which packages are missing, and which is read next.
//!
//! The records of one package time belong together, whichever feeds they come in, and those of a later time win. So if a
//! package comes later than others of its time, and has records, the others of the same time are read again with it, and
//! so is everything after it.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::window::{Choice, Limits};

/// Missing packages that one pass tries again, at most: each is a request.
const HOLES_TRIED: usize = 50;

/// How far one feed is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Feed {
    /// Every package before this time is settled, but for the holes.
    pub position: DateTime<Utc>,
    /// The times of packages that were missing. They are tried again until the source reaches back to them no more.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub holes: BTreeSet<DateTime<Utc>>,
    /// Why the source does not let us read the feed, as it said last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed: Option<String>,
}

/// What came of asking for one package of one feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was read whole, and has records.
    Read,
    /// It was read whole, and has none.
    Empty,
    /// More may be in it than the source gives: what is missing, in words.
    Incomplete(String),
    /// It is not made yet.
    NotYet,
    /// It should be there and is not.
    Missing,
    /// The source does not let us read the feed, and why.
    Closed(String),
}

/// What came of asking, by feed.
pub type Account = BTreeMap<String, Outcome>;

/// Records that the source could no longer give, or perhaps did not give in full.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    /// What is missing, as people name it.
    pub what: String,
    pub from: DateTime<Utc>,
    pub to: DateTime<Utc>,
}

impl Loss {
    /// Whether this is told already with that one.
    pub fn covers(&self, other: &Self) -> bool {
        self.what == other.what && self.from <= other.from && other.to <= self.to
    }
}

/// A loss, and when it was noted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotedLoss {
    pub at: DateTime<Utc>,
    #[serde(flatten)]
    pub loss: Loss,
}

/// How much of what the source lets us ask in a day is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quota {
    pub used: u64,
    pub allowed: u64,
    /// When the source said so.
    pub at: DateTime<Utc>,
}

/// Every feed of a source. Empty: the source has one only, and no packages.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Feeds {
    feeds: BTreeMap<String, Feed>,
    #[serde(skip)]
    turn: Turn,
}

/// What is left to do in the present pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Turn {
    /// Feeds that give nothing more in this pass.
    resting: BTreeSet<String>,
    /// Missing packages to be tried, and of which feeds.
    holes: BTreeMap<DateTime<Utc>, BTreeSet<String>>,
}

impl Feed {
    /// Moves the position from the time `at` to `after`, if it stands there. A missing package may have come that is older than
    /// it, or younger, where the feed is read again from before that: between the two nothing may be passed over.
    fn pass(&mut self, at: DateTime<Utc>, after: DateTime<Utc>) {
        if self.position == at {
            self.position = after;
        }
    }
}

impl Feeds {
    pub fn is_empty(&self) -> bool {
        self.feeds.is_empty()
    }

    /// Each feed with its name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Feed)> {
        self.feeds.iter().map(|(name, feed)| (name.as_str(), feed))
    }

    /// Begins a pass at `now` over the feeds called `names`; one that is new is read from `start`, and what was missing of it
    /// when it was one of the `former` feeds is tried again. What the source no longer reaches back to is given up, and
    /// returned.
    pub fn begin(
        &mut self,
        names: &[String],
        mut former: Self,
        start: DateTime<Utc>,
        now: DateTime<Utc>,
        limits: Limits,
    ) -> Vec<Loss> {
        self.feeds.retain(|name, _| names.contains(name));
        for name in names {
            let start = limits.floor(start);
            let new = || match former.feeds.remove(name) {
                // Another source was read since, but not for what this one did not let us read.
                Some(feed) if feed.closed.is_some() => Feed { position: feed.position.min(start), ..feed },
                Some(feed) => Feed { position: start, ..feed },
                None => Feed { position: start, holes: BTreeSet::new(), closed: None },
            };
            self.feeds.entry(name.clone()).or_insert_with(new);
        }
        let lost = self.give_up(now, limits);
        self.turn = Turn::default();
        let holes: Vec<_> =
            self.feeds.iter().flat_map(|(name, feed)| feed.holes.iter().map(move |at| (*at, name))).collect();
        // If there are too many for one pass, each pass begins where another one would not.
        let begin = match holes.len() {
            0..=HOLES_TRIED => 0,
            count => usize::try_from(now.timestamp() / 3600).unwrap_or(0) * HOLES_TRIED % count,
        };
        for (at, name) in holes.iter().cycle().skip(begin).take(holes.len().min(HOLES_TRIED)) {
            self.turn.holes.entry(*at).or_default().insert((*name).clone());
        }
        lost
    }

    /// Forgets what the source no longer reaches back to. Of a feed that is closed nothing is lost: we had no right to it.
    fn give_up(&mut self, now: DateTime<Utc>, limits: Limits) -> Vec<Loss> {
        let earliest = limits.earliest(now);
        // By range, because an outage takes the same from every feed.
        let mut lost: BTreeMap<(DateTime<Utc>, DateTime<Utc>), Vec<&str>> = BTreeMap::new();
        for (name, feed) in &mut self.feeds {
            let kept = feed.holes.split_off(&earliest);
            let holes = std::mem::replace(&mut feed.holes, kept);
            let gap = (feed.position < earliest).then_some((feed.position, earliest));
            feed.position = feed.position.max(earliest);
            if feed.closed.is_none() {
                let holes = holes.into_iter().map(|hole| (hole, hole + limits.grain));
                for range in joined(holes.chain(gap)) {
                    lost.entry(range).or_default().push(name);
                }
            }
        }
        lost.into_iter().map(|((from, to), names)| Loss { what: names.join(", "), from, to }).collect()
    }

    /// Reads every feed from `position` on again, because they began under a clock that was ahead.
    pub fn restart(&mut self, position: DateTime<Utc>) {
        self.feeds.values_mut().for_each(|feed| feed.position = position);
    }

    /// The time of the package to read next, and of which feeds; `None` when nothing more is there to be read at `now`.
    pub fn next(&self, now: DateTime<Utc>, limits: Limits) -> Option<(DateTime<Utc>, Choice)> {
        let end = limits.end(now);
        let is_ready = |name: &str, feed: &Feed| {
            !self.turn.resting.contains(name) && feed.position + limits.grain <= end
        };
        let live = self.iter().filter(|(name, feed)| is_ready(name, feed)).map(|(_, feed)| feed.position);
        let at = live.chain(self.turn.holes.keys().copied()).min()?;
        let is_hole = |name: &str| self.turn.holes.get(&at).is_some_and(|names| names.contains(name));
        let mut choice = Choice::default();
        for (name, feed) in self.iter() {
            if is_ready(name, feed) && feed.position == at || is_hole(name) {
                choice.due.push(name.to_owned());
            } else if feed.closed.is_none() && feed.position > at {
                choice.beside.push(name.to_owned());
            }
        }
        Some((at, choice))
    }

    /// Whether no feed was read up to the time `at`, and by this account the source has made no package of it yet.
    pub fn is_of_the_future(&self, at: DateTime<Utc>, account: &Account) -> bool {
        let is_ahead = self.feeds.values().all(|feed| feed.position <= at);
        is_ahead && !account.is_empty() && account.values().all(|outcome| *outcome == Outcome::NotYet)
    }

    /// Every feed that can be read, for a range beside the live one.
    pub fn readable(&self) -> Choice {
        let open = self.iter().filter(|(_, feed)| feed.closed.is_none());
        Choice { due: open.map(|(name, _)| name.to_owned()).collect(), beside: Vec::new() }
    }

    /// Notes what came of asking for the packages of the time `at` from the feeds that were due.
    pub fn settle(&mut self, at: DateTime<Utc>, choice: &Choice, account: &Account, limits: Limits) {
        let mut is_late = false;
        for name in &choice.due {
            let Some(feed) = self.feeds.get_mut(name) else { continue };
            let after = at + limits.grain;
            match account.get(name) {
                Some(Outcome::Read | Outcome::Empty | Outcome::Incomplete(_)) => {
                    feed.closed = None;
                    feed.holes.remove(&at);
                    feed.pass(at, after);
                }
                Some(Outcome::Missing) => {
                    feed.closed = None;
                    feed.holes.insert(at);
                    feed.pass(at, after);
                }
                // A missing package that is on its way does not keep the feed from what is new.
                Some(Outcome::NotYet) if feed.position != at => {}
                Some(Outcome::Closed(_) | Outcome::NotYet) | None => {
                    self.turn.resting.insert(name.clone());
                }
            }
            is_late |= matches!(account.get(name), Some(Outcome::Read | Outcome::Incomplete(_)));
        }
        if is_late {
            self.read_again(at, choice, account, limits);
        }
        self.turn.holes.remove(&at);
    }

    /// Everything after the packages of the time `at`, which came only now, is read again. Where nothing after them was read
    /// yet, this changes nothing. A feed that had its say about this time before, and could not be asked for it again, is
    /// asked later: then the packages of this time are put together with its own.
    fn read_again(&mut self, at: DateTime<Utc>, choice: &Choice, account: &Account, limits: Limits) {
        self.ask_later(at, account, |name| !choice.due.iter().any(|due| due == name));
        let next = at + limits.grain;
        self.feeds.values_mut().for_each(|feed| feed.position = feed.position.min(next));
    }

    /// The feeds of `names` that were read beyond the time `at`, and could not be asked for it now, are asked for it later.
    pub fn ask_later(&mut self, at: DateTime<Utc>, account: &Account, names: impl Fn(&str) -> bool) {
        for (name, feed) in self.feeds.iter_mut().filter(|(name, feed)| feed.position > at && names(name)) {
            match account.get(name) {
                Some(Outcome::Missing) => _ = feed.holes.insert(at),
                // Where nothing came of it, it was closed before, and not asked.
                Some(Outcome::NotYet | Outcome::Closed(_)) | None => feed.position = at,
                Some(Outcome::Read | Outcome::Empty | Outcome::Incomplete(_)) => {}
            }
        }
    }

    /// Notes which feeds the source did not let us read.
    pub fn note_closed(&mut self, account: &Account) {
        for (name, outcome) in account {
            if let (Some(feed), Outcome::Closed(why)) = (self.feeds.get_mut(name), outcome) {
                feed.closed = Some(why.clone());
                self.turn.resting.insert(name.clone());
            }
        }
    }

    /// Up to where every feed that can be read is settled, holes aside.
    pub fn settled_to(&self) -> Option<DateTime<Utc>> {
        self.feeds.values().filter(|feed| feed.closed.is_none()).map(|feed| feed.position).min()
    }

    /// Whether there are feeds, and the source lets us read none.
    pub fn are_all_closed(&self) -> bool {
        !self.feeds.is_empty() && self.feeds.values().all(|feed| feed.closed.is_some())
    }

    /// What a person should know about feeds that cannot be read and packages that are missing; `None`: nothing.
    pub fn remark(&self, limits: Limits) -> Option<String> {
        let mut closed: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        let mut holes: BTreeMap<DateTime<Utc>, Vec<&str>> = BTreeMap::new();
        for (name, feed) in self.iter() {
            match &feed.closed {
                Some(why) => closed.entry(why).or_default().push(name),
                None => feed.holes.iter().for_each(|at| holes.entry(*at).or_default().push(name)),
            }
        }
        let closed = closed.into_iter().map(|(why, names)| format!("{}: {why}", names.join(", ")));
        let mut parts: Vec<String> = closed.collect();
        if let Some((first, names)) = holes.iter().next() {
            let others = match holes.len() {
                1 => String::new(),
                count => format!(" and {} later times", count - 1),
            };
            parts.push(format!(
                "the package of {} is missing ({}){others}; missing packages are tried again for {} days",
                first.format("%Y-%m-%d %H:%M UTC"),
                names.join(", "),
                limits.reach.num_days()
            ));
        }
        (!parts.is_empty()).then(|| parts.join("; "))
    }
}

/// What may be missing in the packages of the time `at`, by this account.
pub fn incomplete(at: DateTime<Utc>, account: &Account, limits: Limits) -> Vec<Loss> {
    let lost = account.iter().filter_map(|(name, outcome)| match outcome {
        Outcome::Incomplete(what) => {
            Some(Loss { what: format!("{name}: {what}"), from: at, to: at + limits.grain })
        }
        _ => None,
    });
    lost.collect()
}

/// Ranges of which one begins where another ends, as one.
fn joined(
    ranges: impl Iterator<Item = (DateTime<Utc>, DateTime<Utc>)>,
) -> Vec<(DateTime<Utc>, DateTime<Utc>)> {
    let mut joined: Vec<(DateTime<Utc>, DateTime<Utc>)> = Vec::new();
    for (from, to) in ranges {
        match joined.last_mut() {
            Some(last) if last.1 == from => last.1 = to,
            _ => joined.push((from, to)),
        }
    }
    joined
}

/// Adds losses that were found at `now` to those that were `noted`; the older ones are forgotten after 90 days, and many
/// in a row of one kind are one.
pub fn note_losses(noted: &mut Vec<NotedLoss>, found: &[Loss], now: DateTime<Utc>) {
    const KEPT: TimeDelta = TimeDelta::days(90);
    /// All of them are written with every commit.
    const MOST: usize = 200;
    noted.retain(|noted| noted.at + KEPT > now);
    for loss in found {
        let before =
            noted.iter_mut().find(|noted| noted.loss.what == loss.what && noted.loss.to == loss.from);
        match before {
            Some(before) => (before.at, before.loss.to) = (now, loss.to),
            None => noted.push(NotedLoss { at: now, loss: loss.clone() }),
        }
    }
    let surplus = noted.len().saturating_sub(MOST);
    noted.drain(..surplus);
}
