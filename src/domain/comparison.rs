//! Two sources side by side: which values each would bring within one span, by today's settings.
//!
//! What is kept is a row for each value that a source lists, not the records: about 150 bytes for a value.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{
    deciding_record::RecordVersion,
    indicator::Indicator,
    observable::{HashType, IndicatorType, Key, Observable},
    policy::Policy,
    window::Window,
};

/// The most lanes that are compared: there are fewer destinations.
const LANES: usize = 8;

/// How far the differences of one row of the table of scores reach.
const STEP: i16 = 10;

/// One of the two sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The one of the settings.
    Here,
    /// The one that it is compared with.
    There,
}

/// What two sources would bring within one span.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comparison {
    /// When it was made.
    pub at: DateTime<Utc>,
    /// The names of the sources, as `SOURCE` has them.
    pub here: String,
    pub there: String,
    #[serde(flatten)]
    pub span: Window,
    /// Values that are admitted for at least one destination.
    pub types: BTreeMap<IndicatorType, Shares>,
    /// How much greater the threat score is there than here, for the same values where both sources tell it.
    pub scores: Vec<ScoreDifferences>,
    /// Of the values that the feeds of one of the sources name, how many the other brings, too; by feed.
    #[serde(default)]
    pub lists: BTreeMap<String, Shares>,
    pub lanes: BTreeMap<String, Exchange>,
    /// What could not be read, in sentences.
    #[serde(default)]
    pub gaps: BTreeSet<String>,
}

impl Comparison {
    /// The whole of it, in sentences of one line each.
    pub fn sentences(&self) -> Vec<String> {
        let Self { at, here, there, span, types, scores, lists, lanes, gaps } = self;
        let mut sentences =
            vec![format!("{here} and {there} from {} to {}, compared at {at}", span.from, span.to)];
        sentences.extend(types.iter().map(|(kind, shares)| {
            let Shares { here: ours, there: theirs, both } = shares;
            format!("{}: {ours} only in {here}, {theirs} only in {there}, {both} in both", kind.name())
        }));
        sentences.extend(scores.iter().map(|ScoreDifferences { from, to, values }| {
            format!("threat score in {there} less that in {here}, from {from} to {to}: {values}")
        }));
        // Only one of the two sources has lists.
        let (alone, of): (_, fn(&Shares) -> u64) = match lists.values().any(|shares| shares.here > 0) {
            true => (here, |shares| shares.here),
            false => (there, |shares| shares.there),
        };
        sentences.extend(lists.iter().map(|(list, shares)| {
            format!("list {list}: {} only in {alone}, {} in both", of(shares), shares.both)
        }));
        sentences.extend(lanes.iter().map(|(lane, exchange)| exchange.sentence(lane, there)));
        sentences.extend(gaps.iter().map(|gap| format!("not read: {gap}")));
        sentences
    }
}

/// How many values only one source brings, and how many both do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shares {
    pub here: u64,
    pub there: u64,
    pub both: u64,
}

/// How many values have a difference from `from` on and below `to`; of the last row there is, up to `to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScoreDifferences {
    pub from: i16,
    pub to: i16,
    pub values: u64,
}

/// What the change of source would add to the span at one destination, and take from it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exchange {
    pub gained: u64,
    pub lost: u64,
    /// Values of both sources, which are sent once more because other labels come with them.
    #[serde(default)]
    pub updated: u64,
    /// Objects that all of this sends. Absent: nobody pays for a row there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// Requests that this takes.
    #[serde(default)]
    pub requests: u64,
}

impl Exchange {
    fn sentence(&self, lane: &str, there: &str) -> String {
        let Self { gained, lost, updated, rows, requests } = self;
        let rows = rows.map_or_else(String::new, |rows| format!("{rows} rows in "));
        format!(
            "{lane}: {there} would add {gained}, send {updated} once more and take away {lost}: {rows}{requests} requests"
        )
    }
}

/// A destination, as far as it decides what a change of source costs there.
#[derive(Clone, Copy, Debug)]
pub struct Lane<'a> {
    pub name: &'a str,
    /// The most objects in one request.
    pub batch: u64,
    /// The most that it holds.
    pub capacity: Option<u64>,
    /// Whether somebody pays for each object.
    pub is_billed: bool,
}

/// What one source says of a value.
#[derive(Clone, Copy, Debug)]
struct Word {
    version: RecordVersion,
    threat_score: Option<u8>,
    /// A bit for each lane.
    admitted: u8,
    /// Objects that stand for the value, by lane.
    objects: [u8; LANES],
    /// A bit for each feed that named the value within the span.
    feeds: u64,
}

/// What both say of it.
#[derive(Clone, Copy, Debug)]
struct Row {
    indicator_type: IndicatorType,
    here: Option<Word>,
    there: Option<Word>,
}

/// Hears the records of both sources, in any order and any number of times.
#[derive(Debug, Default)]
pub struct Comparer {
    rows: Vec<Row>,
    /// The names of feeds, each at the place of its bit.
    feeds: Vec<String>,
    /// The row of each value; of a file by each digest that was heard of, because the sources tell different ones.
    places: HashMap<Key, usize>,
}

impl Comparer {
    /// Takes in a record that was read in a window which ends at `horizon`. As in a pass, the record decides that was
    /// updated last, and each lane's policy judges it.
    pub fn hear(
        &mut self,
        side: Side,
        indicator: &Indicator,
        feeds: &[String],
        horizon: DateTime<Utc>,
        policies: &[Policy],
    ) {
        let (mut admitted, mut objects) = (0, [0; LANES]);
        for ((lane, policy), objects) in policies.iter().enumerate().zip(&mut objects) {
            admitted |= u8::from(policy.admit(indicator).is_ok()) << lane;
            *objects = u8::try_from(policy.names(indicator).len()).unwrap_or(u8::MAX);
        }
        let feeds = feeds.iter().fold(0, |bits, feed| bits | self.bit(feed));
        let version = RecordVersion::of(indicator, horizon);
        let mut word = Word { version, threat_score: indicator.threat_score, admitted, objects, feeds };
        let place = self.place(&indicator.observable);
        let row = &mut self.rows[place];
        let before = match side {
            Side::Here => &mut row.here,
            Side::There => &mut row.there,
        };
        word.feeds |= before.map_or(0, |before| before.feeds);
        match before {
            Some(before) if before.version > version => before.feeds = word.feeds,
            before => *before = Some(word),
        }
    }

    /// The bit of a feed. There are fewer of them than bits; what is more is not told apart.
    fn bit(&mut self, feed: &String) -> u64 {
        let known = self.feeds.iter().position(|known| known == feed);
        let place = known.unwrap_or_else(|| {
            self.feeds.push(feed.clone());
            self.feeds.len() - 1
        });
        1 << place.min(63)
    }

    /// Notes that a source has these feeds, so that one that names nothing is told, too.
    pub fn expect(&mut self, feeds: &[String]) {
        feeds.iter().for_each(|feed| _ = self.bit(feed));
    }

    fn place(&mut self, observable: &Observable) -> usize {
        let mut keys = HashType::ALL.map(|hash_type| observable.subject(hash_type).key()).to_vec();
        keys.dedup();
        let known = keys.iter().find_map(|key| self.places.get(key).copied());
        let place = known.unwrap_or_else(|| {
            let row = Row { indicator_type: observable.indicator_type(), here: None, there: None };
            self.rows.push(row);
            self.rows.len() - 1
        });
        for key in keys {
            self.places.entry(key).or_insert(place);
        }
        place
    }

    /// What by type, by difference of scores, by feed and by lane came of all that was heard; `lanes` in the order of their
    /// policies.
    pub fn count(&self, lanes: &[Lane<'_>]) -> Counted {
        let mut counted = Counted {
            types: BTreeMap::from(IndicatorType::ALL.map(|kind| (kind, Shares::default()))),
            lists: self.feeds.iter().map(|feed| (feed.clone(), Shares::default())).collect(),
            ..Counted::default()
        };
        let mut scores = BTreeMap::new();
        let mut exchanges = vec![Exchange::default(); lanes.len()];
        let mut objects = vec![0_u64; lanes.len()];
        for Row { indicator_type, here, there } in &self.rows {
            let admitted = |word: &Option<Word>| word.map_or(0, |word| word.admitted);
            let (ours, theirs) = (admitted(here), admitted(there));
            if ours | theirs == 0 {
                continue;
            }
            let is = (ours > 0, theirs > 0);
            counted.types.entry(*indicator_type).or_default().add(is);
            let feeds = [here, there].into_iter().flatten().filter(|word| word.admitted > 0);
            let feeds = feeds.fold(0, |bits, word| bits | word.feeds);
            let is_named = |place: usize| feeds >> place.min(63) & 1 > 0;
            for (_, feed) in self.feeds.iter().enumerate().filter(|(place, _)| is_named(*place)) {
                counted.lists.entry(feed.clone()).or_default().add(is);
            }
            for (lane, exchange) in exchanges.iter_mut().enumerate() {
                let (ours, theirs) = (ours >> lane & 1, theirs >> lane & 1);
                exchange.gained += u64::from(theirs & !ours);
                exchange.lost += u64::from(ours & !theirs);
                exchange.updated += u64::from(ours & theirs);
                if let Some(word) = there.filter(|_| theirs > 0) {
                    objects[lane] += u64::from(word.objects[lane]);
                }
            }
            let score = |word: &Option<Word>| word.and_then(|word| word.threat_score).map(i16::from);
            if let (Some(ours), Some(theirs)) = (score(here), score(there)) {
                // The greatest difference has no row of its own.
                let from = (theirs - ours).div_euclid(STEP).min(100 / STEP - 1) * STEP;
                *scores.entry(from).or_default() += 1;
            }
        }
        for ((lane, exchange), objects) in lanes.iter().zip(exchanges).zip(objects) {
            let sent = lane.capacity.map_or(objects, |capacity| objects.min(capacity));
            let rows = lane.is_billed.then_some(sent);
            let exchange = Exchange { rows, requests: sent.div_ceil(lane.batch.max(1)), ..exchange };
            counted.lanes.insert(lane.name.to_owned(), exchange);
        }
        counted.scores = scores
            .into_iter()
            .map(|(from, values)| ScoreDifferences { from, to: from + STEP, values })
            .collect();
        counted
    }
}

/// What came of all that was heard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    pub types: BTreeMap<IndicatorType, Shares>,
    pub scores: Vec<ScoreDifferences>,
    pub lists: BTreeMap<String, Shares>,
    pub lanes: BTreeMap<String, Exchange>,
}

impl Shares {
    /// Counts a value that is here, there, or both.
    fn add(&mut self, (here, there): (bool, bool)) {
        match (here, there) {
            (true, true) => self.both += 1,
            (true, false) => self.here += 1,
            (false, true) => self.there += 1,
            (false, false) => {}
        }
    }
}
