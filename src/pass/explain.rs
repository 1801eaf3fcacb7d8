//! Why a value is where it is: what the source says of it now, what was decided, what each lane holds, and what comes
//! next. Everything is read, nothing is written.

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, Utc};

use super::{
    Lane,
    begin::refresh_span,
    engine::Engine,
    explained::{Explanation, Row, Said, Standing},
};
use crate::{
    clock::Deadline,
    domain::{
        deciding_record::RecordVersion,
        entry::{Entry, Handle},
        explain::{Foresight, Next, Verdict},
        filter::DropReason,
        indicator::Indicator,
        manifest::Manifest,
        observable::{HashType, Key, Observable},
        outcome::Counts,
        page::{Page, SourceId, Unusable},
        plan::{Plan, plan_excluded, plan_page},
        policy::{Circumstances, Policy},
        progress::Progress,
        purpose::Purpose,
        rejected::RejectedRecord,
    },
    source::{SourceError, Wanted},
    state::{commit::read_manifest, error::StateError, store::Store},
};

/// A person waits for the source's answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is asked for.
struct Question {
    /// As it was given.
    text: String,
    observable: Option<Observable>,
    /// Of ours, or of the source's.
    key: Option<Key>,
    id: Option<SourceId>,
}

impl Question {
    fn of(text: &str) -> Self {
        let text = text.trim();
        let (key, id) = (Key::of_stix_id(text), SourceId::of(text));
        let is_value = key.is_none() && id.is_none();
        let observable = Some(text).filter(|_| is_value).and_then(|text| Observable::of_text(text).ok());
        Self { text: text.to_owned(), observable, key, id }
    }

    /// What to look up at the source; one of our ids tells no value.
    fn wanted(&self) -> Option<Wanted> {
        match (&self.key, &self.id) {
            (Some(_), _) => None,
            (None, Some(id)) => Some(Wanted::Id(id.clone())),
            (None, None) => {
                let ours = self.observable.as_ref().map(spelt);
                let mut spellings: Vec<String> = ours.into_iter().chain([self.text.clone()]).collect();
                spellings.dedup();
                Some(Wanted::Value { spellings, observable: self.observable.clone() })
            }
        }
    }

    /// Whether `found` is what was asked for: the source compares without case, and a URL that differs in it is another.
    fn is_met_by(&self, found: &Indicator) -> bool {
        match (&self.observable, &found.observable) {
            (None, _) => true,
            (Some(Observable::File(asked)), Observable::File(theirs)) => {
                asked.all().any(|(hash_type, digest)| theirs.get(hash_type) == Some(digest))
            }
            // What is asked for reads as something else than what the source takes it for, such as a digest that is none.
            (Some(asked), theirs) => asked == theirs || asked.indicator_type() != theirs.indicator_type(),
        }
    }
}

/// The records of a value as the source lists them.
#[derive(Default)]
struct Records {
    /// Each decides where those after it do not.
    indicators: Vec<Indicator>,
    unusable: Vec<Unusable>,
}

impl Records {
    fn of(page: Page, question: &Question, now: DateTime<Utc>) -> Self {
        let mut indicators = page.indicators;
        indicators.retain(|indicator| question.is_met_by(indicator));
        indicators.sort_by_key(|indicator| std::cmp::Reverse(RecordVersion::of(indicator, now)));
        Self { indicators, unusable: page.unusable }
    }

    fn said(&self) -> Said {
        let count = self.indicators.len() + self.unusable.len();
        let Some(deciding) = self.indicators.first() else {
            let id = self.unusable.first().map(|unusable| unusable.id.clone());
            return Said {
                found: Some(count > 0),
                id,
                others: count.saturating_sub(1) as u64,
                ..Said::default()
            };
        };
        Said {
            found: Some(true),
            id: Some(deciding.source_id.clone()),
            last_updated: deciding.last_updated,
            confidence: deciding.confidence,
            threat_score: deciding.threat_score,
            others: count as u64 - 1,
        }
    }

    fn verdict(&self, policy: &Policy) -> Verdict {
        match (self.indicators.first(), self.unusable.first()) {
            (Some(deciding), _) => policy.verdict(deciding),
            (None, Some(Unusable { reason: DropReason::Type, detail, .. })) => {
                Verdict::dropped(DropReason::Type, detail.clone())
            }
            (None, Some(unusable)) => Verdict::dropped(unusable.reason, unusable.detail.clone()),
            (None, None) => Verdict::default(),
        }
    }
}

impl Engine {
    /// Explains a value: an address, a name, a URL, a digest; or an id of ours or of the source's.
    pub async fn explain(&self, text: &str, deadline: &Deadline) -> Explanation {
        let question = Question::of(text);
        let mut errors = Vec::new();
        let asked_until = Deadline::after(deadline.left().map_or(PATIENCE, |left| left.min(PATIENCE)));
        let records = match question.wanted() {
            None => {
                errors.push(
                    "the id does not tell its value, so the source cannot be asked; ask for the value"
                        .to_owned(),
                );
                None
            }
            Some(wanted) => match self.source.look_up(&wanted, &asked_until).await {
                Ok(page) => Some(Records::of(page, &question, self.clock.now())),
                Err(error) => {
                    errors.push(told(error, self.source.label()));
                    None
                }
            },
        };
        let said = records.as_ref().map(Records::said).unwrap_or_default();
        let records = records.unwrap_or_default();
        let found = records.indicators.first().map(|indicator| &indicator.observable);
        let is_another = |found: &&Observable| {
            question.observable.as_ref().is_none_or(|asked| asked.indicator_type() != found.indicator_type())
        };
        let observable = found.filter(is_another).or(question.observable.as_ref()).cloned();
        let mut lanes = BTreeMap::new();
        if let Err(error) = self.stand(&question, &records, said.found, &mut lanes).await {
            errors.push(error);
        }
        let first = self.lanes.first().and_then(|lane| lanes.get(lane.name));
        let decision = match (first, self.lanes.first()) {
            (Some(standing), _) => standing.decision.clone(),
            (None, Some(lane)) => records.verdict(&lane.policy),
            (None, None) => Verdict::default(),
        };
        Explanation {
            value: observable.as_ref().map_or(question.text, spelt),
            indicator_type: observable.as_ref().map(Observable::indicator_type),
            source: said,
            decision,
            lanes,
            error: (!errors.is_empty()).then(|| errors.join("; ")),
        }
    }

    /// How the value stands at each lane.
    async fn stand(
        &self,
        question: &Question,
        records: &Records,
        found: Option<bool>,
        lanes: &mut BTreeMap<&'static str, Standing>,
    ) -> Result<(), String> {
        let store = (self.open_store)().map_err(|error| error.to_string())?;
        let all: Vec<&Lane> = self.lanes.iter().collect();
        let policies = self.policies(&store, &all).await.map_err(|error| error.to_string())?;
        for (lane, policy) in all.into_iter().zip(&policies) {
            let standing = self.standing(&store, lane, policy, question, records, found).await;
            lanes.insert(lane.name, standing.map_err(|error| error.to_string())?);
        }
        Ok(())
    }

    async fn standing(
        &self,
        store: &Store,
        lane: &Lane,
        policy: &Policy,
        question: &Question,
        records: &Records,
        found: Option<bool>,
    ) -> Result<Standing, StateError> {
        let now = self.clock.now();
        let progress = store.progress(lane.name).await?;
        let mut manifest = read_manifest(store, lane.name).await?;
        let bare = question.observable.clone().map(Indicator::bare);
        let of_unusable = records.unusable.iter().filter_map(|unusable| unusable.held_as.as_deref());
        let known: Vec<&Indicator> = records.indicators.iter().chain(&bare).chain(of_unusable).collect();
        let entries = entries(&known, question.key, policy, &mut manifest, now);
        let verdict = records.verdict(policy);
        let plan = plan(records, &bare, policy, &mut manifest, progress.as_ref(), now);
        let deciding = records.indicators.first();
        let held = entries.iter().find(|entry| entry.is_held(now));
        let shown = held.or(entries.first());
        let sent_as =
            deciding.or(bare.as_ref()).and_then(|one| policy.names(one).first().map(|name| name.key));
        let validity = known.first().map(|one| policy.expirations.validity(one.observable.indicator_type()));
        let known_by = |key: Key| match manifest.handle(key) {
            Some(Handle::Numbered { id, .. }) => id.to_string(),
            Some(Handle::Foreign(id)) => Key(id).stix_id(),
            None => key.stix_id(),
        };
        let excluded = known.iter().find_map(|one| policy.exclusions.find(&one.observable));
        let is_gone = |entry: &&Entry| held.is_some_and(|held| held.key != entry.key) && !entry.is_held(now);
        let is_rejected = entries.iter().any(|entry| entry.state().is_rejection());
        let foresight = Foresight {
            entries: &entries,
            plan: &plan,
            is_admitted: verdict.admitted == Some(true),
            is_met: self.is_met(lane, progress.as_ref(), deciding, now)
                || deciding.is_none() && found == Some(false),
            withholds: progress.as_ref().is_some_and(|progress| progress.withheld.is_some()),
            now,
        };
        let next = if found == Some(false) && plan.send.is_empty() && held.is_some() {
            Next::Expire
        } else {
            foresight.next()
        };
        Ok(Standing {
            held: held.is_some(),
            id: shown.map(|entry| entry.key).or(sent_as).map(known_by),
            since: held.zip(validity).map(|(held, validity)| (held.valid_until() - validity).min(now)),
            valid_until: shown.map(Entry::valid_until),
            renewed_before: progress.as_ref().map(|progress| progress.renew_before(&policy.renewal, now)),
            rejected: if is_rejected { rejection(store, lane.name, &known).await? } else { None },
            excluded_by: excluded.map(|hit| hit.to_string()),
            displaced_by: entries.iter().find(is_gone).and(held).map(|held| known_by(held.key)),
            decision: verdict,
            next,
            entries: entries
                .iter()
                .map(|entry| Row {
                    id: known_by(entry.key),
                    state: entry.state().to_string(),
                    valid_until: entry.valid_until(),
                })
                .collect(),
        })
    }

    /// Whether a pass reads the record although the source does not touch it: it is newer than what was read, or a refresh
    /// reaches back to it.
    fn is_met(
        &self,
        lane: &Lane,
        progress: Option<&Progress>,
        deciding: Option<&Indicator>,
        now: DateTime<Utc>,
    ) -> bool {
        let Some(updated) = deciding.and_then(|deciding| deciding.last_updated) else {
            return deciding.is_some();
        };
        let begin = progress.map_or(now - lane.initial_lookback, |progress| {
            progress.begin.min(now - refresh_span(lane, self.source.limits()))
        });
        updated >= begin
    }
}

/// What the manifest knows under any name of the value.
fn entries(
    known: &[&Indicator],
    key: Option<Key>,
    policy: &Policy,
    manifest: &mut Manifest,
    now: DateTime<Utc>,
) -> Vec<Entry> {
    let names = known.iter().flat_map(|one| policy.possible_names(one));
    let mut keys: Vec<Key> = names.map(|name| name.key).chain(key).collect();
    // What an earlier state of a file's record was sent under.
    for one in known.iter().filter(|one| !one.source_id.is_empty()) {
        keys.extend(manifest.files_of(RecordVersion::of(one, now).tag));
    }
    let mut seen = std::collections::HashSet::new();
    keys.retain(|key| seen.insert(*key));
    keys.iter().filter_map(|key| manifest.get(*key).copied()).collect()
}

/// What the next reading of the records calls for.
fn plan(
    records: &Records,
    bare: &Option<Indicator>,
    policy: &Policy,
    manifest: &mut Manifest,
    progress: Option<&Progress>,
    now: DateTime<Utc>,
) -> Plan {
    let circumstances = Circumstances {
        purpose: Purpose::Live,
        refreshes: progress.map(|progress| progress.refreshes).unwrap_or_default(),
        horizon: now,
        renew_before: progress.map_or(now, |progress| progress.renew_before(&policy.renewal, now)),
        now,
    };
    if records.indicators.is_empty() {
        let excluded = bare.iter().map(|bare| &bare.observable);
        let excluded: Vec<Observable> =
            excluded.filter(|value| policy.exclusions.find(value).is_some()).cloned().collect();
        let retracts = policy.retract || policy.exclusions.acts;
        let values = if retracts { excluded } else { Vec::new() };
        return plan_excluded(values, policy, manifest, &circumstances);
    }
    let named = policy.named(records.indicators.clone());
    plan_page(named, policy, manifest, &circumstances, &mut Counts::default())
}

/// Why the destination rejected the value, by the newest line about it.
async fn rejection(store: &Store, lane: &str, known: &[&Indicator]) -> Result<Option<String>, StateError> {
    for name in store.rejected_in(lane).await?.iter().rev() {
        let content = store.rejected(lane, name).await?;
        let is_about = |record: &RejectedRecord| known.iter().any(|one| record.is_about(&one.observable));
        let newest = content.lines().rev().map(RejectedRecord::of_line).find(is_about);
        if let Some(record) = newest {
            return Ok(Some(record.reason));
        }
    }
    Ok(Some("the reason is no longer on file".to_owned()))
}

fn told(error: SourceError, source: &str) -> String {
    match error {
        SourceError::OutOfTime(out_of_time) => {
            out_of_time.last_error.unwrap_or_else(|| format!("{source} did not answer in time"))
        }
        SourceError::PagesLost(problem) | SourceError::Stalled(problem) => problem.message,
    }
}

/// A value as we send it; of a file the digest that is strongest.
fn spelt(observable: &Observable) -> String {
    observable.subject(HashType::Sha256).value.into_owned()
}
