//! One package of one list, read whole although an answer holds 4,000 records at most and there is no second page.
//!
//! A full answer may be cut. It is then asked for in parts: by type, and a type that is full by halves of the range of
//! the threat score, until no answer is full. Nothing says that the server takes such a question, so what it answers is
//! compared with what was asked.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

use chrono::{DateTime, TimeDelta, Utc};
use tracing::warn;
use xxhash_rust::xxh3::xxh3_64;

use super::{
    client::{Client, Told},
    convert::{is_assessed, sighting},
    error::GtiError,
    lists::{TYPES, UNKNOWN, find, forbidden, types},
    merge::Hour,
    split::{Found, Splitter},
    wire::{Data, Record},
};
use crate::{
    clock::Deadline,
    domain::{
        feeds::Outcome,
        filter::DropReason,
        page::{About, UNREADABLE, Unusable},
    },
    http::{
        error::excerpt,
        retry::{Patience, RetryError, retry},
        text::percent_encoded,
    },
    source::lenient::Object,
};

/// The most records that any client asks for; what more would do is not known.
pub(super) const LIMIT: usize = 4000;
/// An answer of so many records of which none is assessed shows that none would be.
const TELLING: usize = 20;

/// A part of a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cell {
    kind: Option<&'static str>,
    /// The range of threat scores, both ends included.
    low: u8,
    high: u8,
}

impl Cell {
    const WHOLE: Self = Self { kind: None, low: 0, high: 100 };

    /// The parts of a cell that is full, of a package with records of these types; none if it can be cut no further.
    fn parts(self, kinds: &[&'static str]) -> Vec<Self> {
        match (self.kind, kinds) {
            (None, [_, _, ..]) => kinds.iter().map(|kind| Self { kind: Some(kind), ..self }).collect(),
            (None, [kind]) => Self { kind: Some(kind), ..self }.parts(kinds),
            _ if self.low == self.high => Vec::new(),
            _ => {
                let middle = self.low + (self.high - self.low) / 2;
                vec![Self { high: middle, ..self }, Self { low: middle + 1, ..self }]
            }
        }
    }

    /// The parameters that ask for it.
    fn parameters(self, query: Option<&str>) -> String {
        let mut parameters = format!("limit={LIMIT}");
        if let Some(kind) = self.kind {
            parameters.push_str(&format!("&type={kind}"));
        }
        let mut terms: Vec<String> = query.map(str::to_owned).into_iter().collect();
        if self.low > 0 {
            terms.push(format!("gti_score:{}+", self.low));
        }
        if self.high < 100 {
            terms.push(format!("gti_score:{}-", self.high));
        }
        if !terms.is_empty() {
            parameters.push_str(&format!("&query={}", percent_encoded(&terms.join(" "))));
        }
        parameters
    }

    /// Whether a record may be in the answer to this question.
    fn holds(self, data: &Data<'_>) -> bool {
        let score = data.attributes.0.gti_assessment.0.threat_score.0.value.score();
        let is_kind =
            self.kind.is_none_or(|kind| data.kind.text().is_some_and(|of| of.eq_ignore_ascii_case(kind)));
        let is_all = self.low == 0 && self.high == 100;
        is_kind && (is_all || score.is_some_and(|score| (self.low..=self.high).contains(&score)))
    }
}

/// One whole answer.
#[derive(Default)]
struct Read {
    records: usize,
    assessed: usize,
    /// By the hash of their ids.
    ids: HashSet<u64>,
    kinds: HashSet<&'static str>,
    /// Records that were not asked for.
    strangers: usize,
}

/// A package to read.
pub(super) struct Package<'a> {
    pub client: &'a Client,
    pub list: &'a str,
    pub hour: DateTime<Utc>,
    /// What is read goes here.
    pub into: &'a Mutex<Hour>,
}

impl Package<'_> {
    /// Reads the whole package.
    ///
    /// # Errors
    /// An error that is the same for every list, or one that lasts.
    pub async fn read(&self, deadline: &Deadline) -> Result<Outcome, RetryError<GtiError>> {
        let whole = match self.ask(Cell::WHOLE, deadline).await? {
            Ok(read) => read,
            Err(Told::NotYet) => return Ok(Outcome::NotYet),
            Err(Told::NotFound) => return self.missing(deadline).await,
            Err(Told::Forbidden | Told::Answered(_)) => return Ok(Outcome::Closed(forbidden(self.list))),
        };
        self.client.note_existing(self.list);
        if whole.records < LIMIT {
            return Ok(if whole.records == 0 { Outcome::Empty } else { Outcome::Read });
        }
        // Some lists hold more types than the documentation says, and what was read shows which.
        let documented = types(self.list);
        let may_be = |kind: &&'static str| documented.contains(kind) || whole.kinds.contains(kind);
        let kinds: Vec<&'static str> = TYPES.into_iter().filter(may_be).collect();
        // Whatever the parts show, these records are in the package.
        let mut expected = whole.ids;
        let mut open = Cell::WHOLE.parts(&kinds);
        let mut full = Vec::new();
        while let Some(cell) = open.pop() {
            let read = match self.ask(cell, deadline).await {
                Ok(Ok(read)) => read,
                // The server does not take such a question.
                Ok(Err(_)) | Err(RetryError::GaveUp(GtiError::BadRequest { .. })) => {
                    full.push(cell);
                    continue;
                }
                Err(error) => return Err(error),
            };
            expected.retain(|id| !read.ids.contains(id));
            if read.records < LIMIT {
                continue;
            }
            let parts = if read.strangers == 0 { cell.parts(&kinds) } else { Vec::new() };
            if parts.is_empty() {
                full.push(cell);
            }
            open.extend(parts);
        }
        if full.is_empty() && expected.is_empty() {
            return Ok(Outcome::Read);
        }
        warn!("the package of {} of the list {} may be incomplete", self.hour, self.list);
        Ok(Outcome::Incomplete(format!(
            "possibly incomplete, because an answer holds {LIMIT} records at most and asking for parts did not give all"
        )))
    }

    /// The package is not there: it is missing, or there is no such list. Of one that is documented it is missing, even
    /// if the newest package is: that may be the same one.
    async fn missing(&self, deadline: &Deadline) -> Result<Outcome, RetryError<GtiError>> {
        if find(self.list).is_some() || self.client.is_known(self.list) {
            return Ok(Outcome::Missing);
        }
        let path = format!("threat_lists/{}/latest?limit=1", self.list);
        let ask = || async { self.client.get(&path, &mut |_| {}).await };
        match patiently(deadline, ask).await? {
            Told::NotFound => Ok(Outcome::Closed(UNKNOWN.to_owned())),
            Told::Forbidden => Ok(Outcome::Closed(forbidden(self.list))),
            Told::Answered(_) | Told::NotYet => {
                self.client.note_existing(self.list);
                Ok(Outcome::Missing)
            }
        }
    }

    /// Asks for a part of the package.
    async fn ask(&self, cell: Cell, deadline: &Deadline) -> Result<Result<Read, Told>, RetryError<GtiError>> {
        let path = format!(
            "threat_lists/{}/{}?{}",
            self.list,
            self.hour.format("%Y%m%d%H"),
            cell.parameters(self.client.query.as_deref())
        );
        let ask = || async {
            let (mut splitter, mut read) = (Splitter::default(), Read::default());
            let mut take = |part: &[u8]| splitter.push(part, |found| self.take(&found, cell, &mut read));
            let told = self.client.get(&path, &mut take).await?;
            let Told::Answered(answer) = told else { return Ok(Err(told)) };
            if answer.status.as_u16() == 200 {
                splitter.finish().map_err(|reason| GtiError::Unreadable { reason })?;
            }
            if read.records >= TELLING && read.assessed == 0 {
                return Err(GtiError::NotAssessed { list: self.list.to_owned(), records: read.records });
            }
            Ok(Ok(read))
        };
        patiently(deadline, ask).await
    }

    fn take(&self, found: &Found<'_>, cell: Cell, read: &mut Read) {
        read.records += 1;
        let end = self.hour + TimeDelta::hours(1);
        let unreadable = |value: String, id: String, detail: String| {
            let about = About { value, kind: UNREADABLE.to_owned() };
            Err(Unusable { id, about, reason: DropReason::Malformed, detail, held_as: None })
        };
        let made = match found {
            Found::TooLong => unreadable(
                UNREADABLE.to_owned(),
                "a record without a readable id".to_owned(),
                "it is longer than any record".to_owned(),
            ),
            Found::Record(bytes) => match serde_json::from_slice::<Object<Record<'_>>>(bytes) {
                Ok(Object(record)) => {
                    let Object(data) = &record.data;
                    let kind = data.kind.text().unwrap_or_default();
                    let id = format!("{kind}/{}", data.id.text().unwrap_or_default());
                    read.kinds.extend(TYPES.iter().find(|of| kind.eq_ignore_ascii_case(of)));
                    read.ids.insert(xxh3_64(id.as_bytes()));
                    read.assessed += usize::from(is_assessed(&record));
                    read.strangers += usize::from(!cell.holds(data));
                    sighting(&record, self.list, end)
                }
                Err(error) => {
                    let value = excerpt(&bytes[..bytes.len().min(80)]);
                    let id = format!("without a readable id, {value:?}");
                    unreadable(value, id, format!("it is not JSON: {error}"))
                }
            },
        };
        self.into.lock().unwrap_or_else(PoisonError::into_inner).add(made);
    }
}

/// Tries as long as it may help.
pub(super) async fn patiently<T, F>(
    deadline: &Deadline,
    ask: impl Fn() -> F,
) -> Result<T, RetryError<GtiError>>
where
    F: Future<Output = Result<T, GtiError>>,
{
    let attempt = || async { deadline.within(ask()).await?.map_err(RetryError::GaveUp) };
    deadline.check()?;
    retry(Patience::SERVICE, deadline, attempt, |error: &GtiError, wait| {
        warn!(delay_ms = wait.as_millis(), "{error}; asking again in {:.1} s", wait.as_secs_f64());
    })
    .await
}
