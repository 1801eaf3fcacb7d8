//! Why a value is where it is: what the source says of it now, what was decided, what each lane holds, and what comes
//! next. Everything is read, nothing is written.

use std::{collections::BTreeMap, time::Duration};

use tracing::{Instrument, info_span};

use super::{
    Lane,
    asked::{Question, Records, spelt},
    context::Context,
    engine::Engine,
    explained::{Explanation, Standing},
    gauge::Gauge,
    standing::standing,
    work::{Audits, Pass},
};
use crate::{
    clock::Deadline,
    domain::{explain::Verdict, observable::Observable, report::Trigger, request::RunOptions},
    source::SourceError,
};

/// Why nothing is known of what the source says, if it was asked in vain.
const UNREACHED: &str = "the source could not be asked";
/// A person waits for the source's answer.
const PATIENCE: Duration = Duration::from_secs(60);

impl Engine {
    /// Explains a value: an address, a name, a URL, a digest; or an id of ours or of the source's.
    pub async fn explain(&self, text: &str, deadline: &Deadline) -> Explanation {
        let question = Question::of(text);
        let mut errors = Vec::new();
        let asked_until = Deadline::after(deadline.left().map_or(PATIENCE, |left| left.min(PATIENCE)));
        let records = match question.wanted() {
            None => Records::unsaid(question.unasked().unwrap_or(UNREACHED)),
            Some(wanted) => match self.source.look_up(&wanted, &asked_until).await {
                Ok(page) => Records::of(page, &question, self.clock.now()),
                Err(error) => {
                    errors.push(told(error, self.source.label()));
                    Records::unsaid(UNREACHED)
                }
            },
        };
        let said = records.said();
        let found = records.indicators.first().map(|indicator| &indicator.observable);
        let is_another = |found: &&Observable| {
            question.observable.as_ref().is_none_or(|asked| asked.indicator_type() != found.indicator_type())
        };
        let observable = found.filter(is_another).or(question.observable.as_ref()).cloned();
        let mut lanes = BTreeMap::new();
        if let Err(error) = self.stand(&question, &records, &asked_until, &mut lanes).await {
            errors.push(error);
        }
        let first = self.lanes.first().and_then(|lane| lanes.get(lane.name));
        let decision = match (first, self.lanes.first()) {
            (Some(standing), _) => standing.decision.clone(),
            (None, Some(lane)) => records.verdict(&lane.policy),
            (None, None) => Verdict::default(),
        };
        // An entry keeps the type of its value.
        let of_entry = || lanes.values().flat_map(|lane| &lane.entries).find_map(|row| row.indicator_type);
        Explanation {
            indicator_type: observable.as_ref().map(Observable::indicator_type).or_else(of_entry),
            is_id: question.key.is_some(),
            value: observable.as_ref().map_or(question.text, spelt),
            source: said,
            decision,
            lanes,
            error: (!errors.is_empty()).then(|| errors.join("; ")),
        }
    }

    /// How the value stands at each lane; `Err`: what could not be found out.
    async fn stand(
        &self,
        question: &Question,
        records: &Records,
        deadline: &Deadline,
        lanes: &mut BTreeMap<&'static str, Standing>,
    ) -> Result<(), String> {
        let store = (self.open_store)().map_err(|error| error.to_string())?;
        let all: Vec<&Lane> = self.lanes.iter().collect();
        let policies = self.policies(&store, &all).await.map_err(|error| error.to_string())?;
        let pass = Pass {
            invocation_id: None,
            run_id: self.new_run_id(),
            trigger: Trigger::Cli,
            order: RunOptions { dry_run: true, ..RunOptions::default() },
            audits: Audits::Never,
            started_at: self.clock.now(),
            continues: None,
        };
        let mut problems = Vec::new();
        for (lane, policy) in all.into_iter().zip(&policies) {
            let context = Context {
                store: &store,
                clock: &self.clock,
                source: &self.source,
                gauge: &Gauge::default(),
                lane,
                policy,
                pass: &pass,
                lease: None,
                continuation_id: "",
                deadline,
            };
            let span = info_span!("explain", lane = lane.name);
            let found = Box::pin(standing(context, question, records)).instrument(span).await;
            let (standing, problem) = found.map_err(|halt| halt.end().1)?;
            lanes.insert(lane.name, standing);
            problems.extend(problem.map(|problem| {
                format!(
                    "what {} has room for, so that what comes next is told as if it had: {problem}",
                    lane.name
                )
            }));
        }
        if problems.is_empty() { Ok(()) } else { Err(problems.join("; ")) }
    }
}

fn told(error: SourceError, source: &str) -> String {
    match error {
        SourceError::OutOfTime(out_of_time) => {
            out_of_time.last_error.unwrap_or_else(|| format!("{source} did not answer in time"))
        }
        SourceError::PagesLost(problem) | SourceError::Stalled(problem) => problem.message,
    }
}
