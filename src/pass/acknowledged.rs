//! What a destination acknowledged in a pass, as far as it is measured and looked for.

use chrono::{DateTime, Utc};

use crate::domain::{
    arrival::{ArrivalReport, Arrivals, Awaited},
    outcome::{Change, RecordOutcome},
    plan::Planned,
    sample::{Percentiles, Spread},
    window::Range,
};

/// So many requests of a pass are looked for, by one indicator each.
const REQUESTS: usize = 10;
/// So many delays are measured of a pass.
const DELAYS: usize = 1_000;

/// What was acknowledged in a pass, and what the lane waits to see.
#[derive(Default)]
pub(super) struct Acknowledged {
    /// What the lane waits to see from earlier passes.
    pub known: Arrivals,
    /// As it is stored, if that can be read.
    pub stored: Option<Arrivals>,
    pub report: ArrivalReport,
    /// Of what was seen: seconds from its acknowledgement to the last look that did not find it, and to the one that did.
    pub seen: Vec<(u64, u64)>,
    /// What people should know of what is missing.
    pub remark: Option<String>,
    requests: Option<Spread<Awaited>>,
    delays: Spread<u64>,
}

impl Acknowledged {
    /// `verifies`: it is looked for what was acknowledged.
    pub fn new(verifies: bool) -> Self {
        let requests = verifies.then(|| Spread::new(REQUESTS));
        Self { requests, delays: Spread::new(DELAYS), ..Self::default() }
    }

    /// What people should know: what has not arrived, and why it could not be looked for.
    pub fn remarks(&self) -> Vec<String> {
        self.remark.iter().chain(&self.report.problem).cloned().collect()
    }

    /// Notes the answer to a request of records that were read for `range`.
    pub fn note(
        &mut self,
        range: &Range,
        request: &[Planned],
        outcomes: &[RecordOutcome],
        now: DateTime<Utc>,
    ) {
        let answered = request.iter().zip(outcomes);
        let is_held = |(item, outcome): &(&Planned, &RecordOutcome)| {
            matches!(outcome, RecordOutcome::Acknowledged(_)) && !item.change.removes()
        };
        let held: Vec<&Planned> = answered.filter(is_held).map(|(item, _)| item).collect();
        let is_news = |item: &&&Planned| {
            *range == Range::Live && matches!(item.change, Change::Created | Change::Updated)
        };
        for updated in held.iter().filter(is_news).filter_map(|item| item.indicator.last_updated) {
            let delay = (now - updated).num_seconds();
            self.delays.offer(|| u64::try_from(delay).unwrap_or_default());
        }
        if let Some(requests) = self.requests.as_mut().filter(|_| !held.is_empty()) {
            requests.offer(|| Awaited::one_of(&held, now).expect("it is not empty"));
        }
    }

    /// Waits to see a sample of what was acknowledged since this was last called.
    pub fn await_sample(&mut self) {
        let sample = self.requests.as_mut().map(Spread::take).unwrap_or_default();
        if !sample.is_empty() {
            self.known.await_all(sample);
        }
    }

    /// How long it took to deliver, and what looking has found.
    pub fn conclude(self) -> (Percentiles, ArrivalReport) {
        let Self { seen, mut report, mut delays, .. } = self;
        report.seen = seen.len() as u64;
        let (after, within) = seen.into_iter().unzip();
        (report.after, report.visible) = (Percentiles::of(after), Percentiles::of(within));
        (Percentiles::of(delays.take()), report)
    }
}
