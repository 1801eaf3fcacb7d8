//! Whether Google Threat Intelligence answers us, and which lists the licence gives.

use std::sync::Mutex;

use futures::FutureExt;

use super::{
    client::{Client, Told},
    convert::is_assessed,
    error::GtiError,
    lists::{UNKNOWN, find, forbidden},
    package::patiently,
    split::{Found, Splitter},
    wire::Record,
};
use crate::{
    clock::Deadline,
    domain::problem::Problem,
    http::{probe::Probe, retry::RetryError},
    source::lenient::Object,
};

/// Why nothing else was tried.
const UNASKED: &str = "nothing was asked, because Google Threat Intelligence does not take the request for the quotas; see that check";

/// What the newest package of a list shows.
struct Seen {
    told: Told,
    records: usize,
    assessed: usize,
}

impl Client {
    /// The connections to try, before `deadline`: the key and its quota, each list, and whether records are assessed.
    pub fn probes<'a>(&'a self, deadline: &'a Deadline) -> Vec<Probe<'a>> {
        let asked = async move {
            patiently(deadline, || async { self.quota(&mut None).await }).await.map_err(problem)
        };
        let asked = asked.boxed().shared();
        let answered = asked.clone();
        let key = async move {
            Ok(match answered.await? {
                Some(quota) => format!(
                    "{} of {} requests of today are used",
                    grouped(quota.used),
                    grouped(quota.allowed)
                ),
                None => "the key is accepted; how much quota is used was not told".to_owned(),
            })
        };
        // One cause is told once.
        let reached = async move {
            let is_answered = asked.await.is_ok();
            is_answered.then_some(()).ok_or_else(|| RetryError::GaveUp(UNASKED.to_owned().into()))
        };
        let reached = reached.boxed().shared();
        let mut probes =
            vec![Probe::new("Google Threat Intelligence", "the quotas of the API key were asked for", key)];
        for list in self.lists() {
            let tried = format!("one record of the newest package of {list} was to be asked for");
            let name = format!("Threat list {list}");
            let reached = reached.clone();
            let attempt = async move {
                reached.await?;
                self.try_list(&list, deadline).await
            };
            probes.push(Probe::new(name, tried, attempt));
        }
        let assessed = async move {
            reached.await?;
            self.try_assessment(deadline).await
        };
        let tried =
            "records were to be looked at for gti_assessment, which Google gives with the header x-tool";
        probes.push(Probe::new("Assessments", tried, assessed));
        probes
    }

    async fn try_list(&self, list: &str, deadline: &Deadline) -> Result<String, RetryError<Problem>> {
        let licence = find(list).map(|list| format!("; it comes with {}", list.licence.words()));
        let licence = licence.unwrap_or_else(|| "; Google's documents do not name it".to_owned());
        let left_out = |why: String| match self.names_lists() {
            true => Err(RetryError::GaveUp(format!("{list}: {why}; passes leave it out").into())),
            false => Ok(format!("{why}; passes leave it out")),
        };
        match self.newest(list, 1, deadline).await.map_err(problem)?.told {
            Told::Answered(_) => Ok(format!("it can be read{licence}")),
            Told::NotYet => Ok(format!("it can be read; its newest package is not made yet{licence}")),
            Told::Forbidden => left_out(forbidden(list)),
            Told::NotFound => left_out(UNKNOWN.to_owned()),
        }
    }

    async fn try_assessment(&self, deadline: &Deadline) -> Result<String, RetryError<Problem>> {
        let mut readable = 0;
        let mut seen = 0;
        for list in self.lists() {
            let newest = self.newest(&list, 20, deadline).await.map_err(problem)?;
            readable += usize::from(matches!(newest.told, Told::Answered(_) | Told::NotYet));
            seen += newest.records;
            if newest.assessed > 0 {
                return Ok(format!("{} of {} records of {list} have it", newest.assessed, newest.records));
            }
        }
        if readable == 0 {
            let why = "the licence gives none of the lists: nothing can be read. Check GTI_LISTS, or ask Google which lists the licence has";
            return Err(RetryError::GaveUp(why.to_owned().into()));
        }
        if seen > 0 {
            let error = GtiError::NotAssessed { list: "that was looked at".to_owned(), records: seen };
            return Err(RetryError::GaveUp(error.problem()));
        }
        Ok("the newest packages hold no record, so it was not seen".to_owned())
    }

    /// Asks for some records of the newest package of a list.
    async fn newest(
        &self,
        list: &str,
        limit: usize,
        deadline: &Deadline,
    ) -> Result<Seen, RetryError<GtiError>> {
        let path = format!("threat_lists/{list}/latest?limit={limit}");
        let counts = Mutex::new((0, 0));
        let ask = || async {
            let mut splitter = Splitter::default();
            if let Ok(mut counts) = counts.lock() {
                *counts = (0, 0);
            }
            let mut take = |part: &[u8]| {
                splitter.push(part, |found| {
                    let Found::Record(bytes) = found else { return };
                    let record = serde_json::from_slice::<Object<Record<'_>>>(bytes);
                    let is_assessed = record.is_ok_and(|Object(record)| is_assessed(&record));
                    if let Ok(mut counts) = counts.lock() {
                        counts.0 += 1;
                        counts.1 += usize::from(is_assessed);
                    }
                });
            };
            let told = self.get(&path, &mut take).await?;
            if matches!(&told, Told::Answered(answer) if answer.status.as_u16() == 200) {
                splitter.finish().map_err(|reason| GtiError::Unreadable { reason })?;
            }
            Ok(told)
        };
        let told = patiently(deadline, ask).await?;
        let (records, assessed) = counts.lock().map(|counts| *counts).unwrap_or_default();
        Ok(Seen { told, records, assessed })
    }
}

fn problem(failed: RetryError<GtiError>) -> RetryError<Problem> {
    failed.map(|error| error.problem())
}

/// `20000` as `20,000`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}
