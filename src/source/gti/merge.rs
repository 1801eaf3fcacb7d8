//! The records of one hour, of all lists: those of one value put together.
//!
//! The record with the highest threat score speaks for the value. What lists know beside that is united, and where an
//! analyst calls the value benign, that holds whatever the score is. The order in which records come changes nothing.

use std::collections::{HashMap, VecDeque};

use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::{
    indicator::{Indicator, Reference},
    observable::{HashType, Key, Observable},
    page::{Page, Unusable},
};

/// The words for how bad a match would be, from the mildest on. Google's `unknown`, and anything new, says nothing.
pub const SEVERITIES: [&str; 5] = ["none", "low", "medium", "high", "critical"];

/// Records of a page.
const PAGE: usize = 1000;

/// A record as one list shows it.
#[derive(Clone, Debug)]
pub struct Sighting {
    pub observable: Observable,
    /// The key under which the same value was known because it was spelt differently.
    pub former: Option<Key>,
    /// Where Google shows it.
    pub page: String,
    pub standing: Standing,
    pub is_benign_by_analyst: bool,
    pub is_pervasive: bool,
    pub is_open_source: bool,
    pub parts: Vec<Part>,
    pub first_seen: Option<DateTime<Utc>>,
}

/// What a record says of its value; the greatest one speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Standing {
    pub threat_score: Option<u8>,
    pub confidence: Option<u8>,
    /// Its verdict is not that it is benign.
    pub is_malign: bool,
    /// A place in [`SEVERITIES`].
    pub severity: Option<usize>,
}

/// What kind of thing a value is related to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Topic {
    /// A list that shows it, which is a category, too.
    List,
    Category,
    Malware,
    Actor,
    Campaign,
}

/// Something that a value is related to, or a category that it is in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Part {
    pub topic: Topic,
    pub id: String,
    pub name: String,
}

/// What the lists say of one value. An hour may have a hundred thousand of them, so each is small: names, which many
/// share, stand in one table.
struct Merged {
    observable: Observable,
    former: Option<Key>,
    page: Box<str>,
    standing: Standing,
    is_benign_by_analyst: bool,
    is_pervasive: bool,
    is_open_source: bool,
    parts: Vec<u32>,
    first_seen: Option<DateTime<Utc>>,
}

/// The records of an hour.
pub struct Hour {
    /// When the hour ends.
    end: DateTime<Utc>,
    /// In pages, so that it never grows by being copied.
    pages: VecDeque<Vec<Merged>>,
    /// Where each value stands: the page, and its place there.
    index: HashMap<Key, (u32, u32)>,
    parts: Vec<Part>,
    known_parts: HashMap<Part, u32>,
    /// Each once, by its id: it may stand in several lists.
    unusable: HashMap<String, Unusable>,
}

impl Hour {
    pub fn ending(end: DateTime<Utc>) -> Self {
        Self {
            end,
            pages: VecDeque::new(),
            index: HashMap::new(),
            parts: Vec::new(),
            known_parts: HashMap::new(),
            unusable: HashMap::new(),
        }
    }

    /// Whether nothing came yet.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty() && self.unusable.is_empty()
    }

    /// Adds a record.
    pub fn add(&mut self, found: Result<Sighting, Unusable>) {
        let sighting = match found {
            Ok(sighting) => sighting,
            Err(unusable) => {
                self.unusable.entry(unusable.id.clone()).or_insert(unusable);
                return;
            }
        };
        let mut parts: Vec<u32> = sighting.parts.into_iter().map(|part| self.number(part)).collect();
        // Two lists may spell a file's name or an address differently; what they are about is the same.
        let key = sighting.observable.subject(HashType::Sha256).key();
        if let Some((page, place)) = self.index.get(&key) {
            let known = &mut self.pages[*page as usize][*place as usize];
            known.standing = known.standing.max(sighting.standing);
            known.is_benign_by_analyst |= sighting.is_benign_by_analyst;
            known.is_pervasive |= sighting.is_pervasive;
            known.is_open_source &= sighting.is_open_source;
            known.first_seen = known.first_seen.into_iter().chain(sighting.first_seen).min();
            known.former = known.former.max(sighting.former);
            known.observable = united(&known.observable, &sighting.observable);
            known.parts.append(&mut parts);
            known.parts.sort_unstable();
            known.parts.dedup();
            known.parts.shrink_to_fit();
            return;
        }
        parts.sort_unstable();
        parts.dedup();
        parts.shrink_to_fit();
        if self.pages.back().is_none_or(|page| page.len() == PAGE) {
            self.pages.push_back(Vec::with_capacity(PAGE));
        }
        let number = self.pages.len() - 1;
        let page = &mut self.pages[number];
        let place = |number: usize| u32::try_from(number).expect("fewer than 2³² values");
        self.index.insert(key, (place(number), place(page.len())));
        page.push(Merged {
            observable: sighting.observable,
            former: sighting.former,
            page: sighting.page.into(),
            standing: sighting.standing,
            is_benign_by_analyst: sighting.is_benign_by_analyst,
            is_pervasive: sighting.is_pervasive,
            is_open_source: sighting.is_open_source,
            parts,
            first_seen: sighting.first_seen,
        });
    }

    /// The number of `part` in the table.
    fn number(&mut self, part: Part) -> u32 {
        if let Some(number) = self.known_parts.get(&part) {
            return *number;
        }
        let number = u32::try_from(self.parts.len()).expect("fewer than 2³² names");
        self.parts.push(part.clone());
        self.known_parts.insert(part, number);
        number
    }

    /// Ends the gathering: from here on there are pages to take.
    pub fn close(&mut self) {
        self.index = HashMap::new();
        self.known_parts = HashMap::new();
    }

    /// The next page; `None` after the last one.
    pub fn take_page(&mut self) -> Option<Page> {
        if let Some(merged) = self.pages.pop_front() {
            let lists =
                merged.iter().map(|merged| merged.names(&self.parts, Topic::List).collect()).collect();
            let indicators: Vec<Indicator> =
                merged.into_iter().map(|merged| merged.indicator(&self.parts, self.end)).collect();
            let records = indicators.len() as u64;
            return Some(Page { records, indicators, feeds: lists, unusable: Vec::new() });
        }
        let ids: Vec<String> = self.unusable.keys().take(PAGE).cloned().collect();
        let unusable: Vec<Unusable> = ids.iter().filter_map(|id| self.unusable.remove(id)).collect();
        (!unusable.is_empty()).then(|| Page { records: unusable.len() as u64, unusable, ..Page::default() })
    }
}

/// A file with the digests of both; of anything else the same value is the same thing.
fn united(one: &Observable, other: &Observable) -> Observable {
    let (Observable::File(mine), Observable::File(theirs)) = (one, other) else { return one.clone() };
    let mut hashes = mine.clone();
    for (hash_type, digest) in theirs.all() {
        // Where they differ, the greater one stands, so that the order of the lists changes nothing.
        if hashes.get(hash_type).is_none_or(|mine| mine < digest) {
            let _ = hashes.add(hash_type, digest);
        }
    }
    Observable::File(hashes)
}

impl Merged {
    fn names<'a>(&'a self, table: &'a [Part], topic: Topic) -> impl Iterator<Item = String> + 'a {
        let parts = self.parts.iter().map(|part| &table[*part as usize]);
        parts.filter(move |part| part.topic == topic).map(|part| part.name.clone())
    }

    fn indicator(self, table: &[Part], end: DateTime<Utc>) -> Indicator {
        let Standing { threat_score, confidence, is_malign, severity } = self.standing;
        let of = |topic| {
            self.parts.iter().map(|part| &table[*part as usize]).filter(move |part| part.topic == topic)
        };
        let mut categories: Vec<String> =
            self.names(table, Topic::List).chain(self.names(table, Topic::Category)).collect();
        categories.sort_unstable();
        categories.dedup();
        Indicator {
            source_id: self.page.into(),
            former: self.former.into_iter().collect(),
            confidence,
            threat_score,
            severity: severity.map(|place| SEVERITIES[place].to_owned()),
            is_benign: self.is_benign_by_analyst || !is_malign,
            is_pervasive: self.is_pervasive,
            severity_reasons: Vec::new(),
            categories,
            sources: Vec::new(),
            osint_only: self.is_open_source,
            malware: references(of(Topic::Malware)),
            threat_actors: references(of(Topic::Actor)),
            campaigns: references(of(Topic::Campaign)),
            first_seen: self.first_seen,
            // A package says what holds in its hour, whenever the object behind a record was changed.
            last_updated: Some(end - TimeDelta::seconds(1)),
            observable: self.observable,
        }
    }
}

/// Each thing once. It is known by its id, or else by its name, in whatever case lists write that.
fn references<'a>(parts: impl Iterator<Item = &'a Part>) -> Vec<Reference> {
    let mut references: Vec<Reference> =
        parts.map(|part| Reference { id: part.id.clone(), name: part.name.clone(), title: None }).collect();
    // Capital letters come first, and those are how the name is meant.
    references.sort_unstable_by(|one, other| {
        (one.name.to_lowercase(), &one.name).cmp(&(other.name.to_lowercase(), &other.name))
    });
    let mut kept: Vec<Reference> = Vec::new();
    for reference in references {
        let is_same = |known: &&mut Reference| {
            let by_id = !reference.id.is_empty() && known.id == reference.id;
            let by_name = reference.name.eq_ignore_ascii_case(&known.name)
                && (reference.id.is_empty() || known.id.is_empty());
            by_id || by_name
        };
        match kept.iter_mut().find(is_same) {
            Some(known) if known.id.is_empty() => known.id = reference.id,
            Some(_) => {}
            None => kept.push(reference),
        }
    }
    kept.sort_unstable();
    kept
}
