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
    pub lanes: BTreeMap<String, Exchange>,
    /// What could not be read, in sentences.
    #[serde(default)]
    pub gaps: BTreeSet<String>,
}

impl Comparison {
    /// The whole of it, in sentences of one line each.
    pub fn sentences(&self) -> Vec<String> {
        let Self { at, here, there, span, types, scores, lanes, gaps } = self;
        let mut sentences =
            vec![format!("{here} and {there} from {} to {}, compared at {at}", span.from, span.to)];
        sentences.extend(types.iter().map(|(kind, shares)| {
            let Shares { here: ours, there: theirs, both } = shares;
            format!("{}: {ours} only in {here}, {theirs} only in {there}, {both} in both", kind.name())
        }));
        sentences.extend(scores.iter().map(|ScoreDifferences { from, to, values }| {
            format!("threat score in {there} less that in {here}, from {from} to {to}: {values}")
        }));
        sentences.extend(lanes.iter().map(|(lane, Exchange { gained, lost })| {
            format!("{lane}: {there} would add {gained} and take away {lost}")
        }));
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
}

/// What one source says of a value.
#[derive(Clone, Copy, Debug)]
struct Word {
    version: RecordVersion,
    threat_score: Option<u8>,
    /// A bit for each lane.
    admitted: u8,
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
    /// The row of each value; of a file by each digest that was heard of, because the sources tell different ones.
    places: HashMap<Key, usize>,
}

impl Comparer {
    /// Takes in a record that was read in a window which ends at `horizon`. As in a pass, the record decides that was
    /// updated last, and each lane's policy judges it.
    pub fn hear(&mut self, side: Side, indicator: &Indicator, horizon: DateTime<Utc>, policies: &[Policy]) {
        let admitted = policies.iter().enumerate();
        let admitted =
            admitted.fold(0, |bits, (lane, policy)| bits | u8::from(policy.admit(indicator).is_ok()) << lane);
        let version = RecordVersion::of(indicator, horizon);
        let word = Word { version, threat_score: indicator.threat_score, admitted };
        let place = self.place(&indicator.observable);
        let row = &mut self.rows[place];
        let before = match side {
            Side::Here => &mut row.here,
            Side::There => &mut row.there,
        };
        if before.is_none_or(|before| before.version <= version) {
            *before = Some(word);
        }
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

    /// What by type, by difference of scores and by lane came of all that was heard; `lanes` in the order of their
    /// policies.
    pub fn count(
        &self,
        lanes: &[&str],
    ) -> (BTreeMap<IndicatorType, Shares>, Vec<ScoreDifferences>, BTreeMap<String, Exchange>) {
        let mut types = BTreeMap::from(IndicatorType::ALL.map(|kind| (kind, Shares::default())));
        let mut scores = BTreeMap::new();
        let mut exchanges = vec![Exchange::default(); lanes.len()];
        for Row { indicator_type, here, there } in &self.rows {
            let admitted = |word: &Option<Word>| word.map_or(0, |word| word.admitted);
            let (ours, theirs) = (admitted(here), admitted(there));
            let shares = types.entry(*indicator_type).or_default();
            match (ours > 0, theirs > 0) {
                (true, true) => shares.both += 1,
                (true, false) => shares.here += 1,
                (false, true) => shares.there += 1,
                (false, false) => continue,
            }
            for (lane, exchange) in exchanges.iter_mut().enumerate() {
                exchange.gained += u64::from((theirs & !ours) >> lane & 1);
                exchange.lost += u64::from((ours & !theirs) >> lane & 1);
            }
            let score = |word: &Option<Word>| word.and_then(|word| word.threat_score).map(i16::from);
            if let (Some(ours), Some(theirs)) = (score(here), score(there)) {
                // The greatest difference has no row of its own.
                let from = (theirs - ours).div_euclid(STEP).min(100 / STEP - 1) * STEP;
                *scores.entry(from).or_default() += 1;
            }
        }
        let scores =
            scores.into_iter().map(|(from, values)| ScoreDifferences { from, to: from + STEP, values });
        let lanes = lanes.iter().map(|name| (*name).to_owned()).zip(exchanges);
        (types, scores.collect(), lanes.collect())
    }
}
