//! How one value stands at one lane: what the manifest knows of it, and what comes next by a rehearsal.

use std::collections::HashSet;

use chrono::{DateTime, Utc};

use super::{
    asked::{Question, Records},
    begin::refresh_span,
    context::Context,
    explained::{Row, SINCE_IS, Standing},
    halt::Halt,
    lane,
    ledger::Ledger,
    rehearsal::{Part, Rehearsed, rehearse},
};
use crate::{
    domain::{
        deciding_record::RecordVersion,
        entry::{Entry, Handle, Known},
        explain::{Awaited, Foresight, Next},
        indicator::Indicator,
        manifest::Manifest,
        observable::Key,
        policy::Policy,
        rejected::RejectedRecord,
    },
    http::traffic::Traffic,
    state::{error::StateError, store::Store},
};

/// How the value stands at one lane, and why its destination could not be asked what it has room for.
///
/// # Errors
/// The lane's state cannot be read.
pub(super) async fn standing(
    context: Context<'_>,
    question: &Question,
    records: &Records,
) -> Result<(Standing, Option<String>), Halt> {
    let Context { store, lane, policy, source, .. } = context;
    let (now, traffic) = (context.now(), Traffic::default());
    let mut ledger = Ledger::new(context, &traffic, lane::load(&context).await?);
    let (is_new, manifest) = (ledger.state.is_new(), &mut ledger.state.manifest);
    let bare = question.observable.clone().map(Indicator::bare);
    let of_unusable = records.unusable.iter().filter_map(|unusable| unusable.held_as.as_deref());
    let known: Vec<&Indicator> = records.indicators.iter().chain(&bare).chain(of_unusable).collect();
    let entries = entries(&known, question.key, policy, manifest, now);
    let rows: Vec<Row> = entries
        .iter()
        .map(|entry| Row {
            id: known_by(entry.key, manifest.handle(entry.key)),
            indicator_type: entry.indicator_type(),
            state: entry.state().to_string(),
            valid_until: entry.valid_until(),
        })
        .collect();
    let held = entries.iter().position(|entry| entry.is_held(now));
    let deciding = records.indicators.first();
    let shown = held.or((!entries.is_empty()).then_some(0));
    let sent_as = deciding.or(bare.as_ref()).and_then(|one| policy.names(one).first().map(|name| name.key));
    let sent_as = sent_as.map(|key| known_by(key, manifest.handle(key)));
    let is_adopted = |entry: &Entry| {
        entry.updated() == 0 || matches!(manifest.handle(entry.key), Some(Handle::Foreign(_)))
    };
    let since = held.map(|held| &entries[held]).filter(|entry| !is_adopted(entry)).zip(known.first());
    let since = since.and_then(|(entry, one)| last_sent(entry, one, &ledger));
    let excluded = known.iter().find_map(|one| policy.exclusions.find(&one.observable));
    let is_gone =
        |entry: &Entry| held.is_some_and(|held| entries[held].key != entry.key) && !entry.is_held(now);
    let is_rejected = entries.iter().any(|entry| entry.state().is_rejection());
    let verdict = records.verdict(policy);
    let progress = &ledger.state.progress;
    let renewed_before = (!is_new).then(|| progress.renew_before(&policy.renewal, now));
    let begin = if is_new {
        now - lane.initial_lookback
    } else {
        progress.begin.min(now - refresh_span(lane, source.limits()))
    };
    let is_met = match deciding {
        Some(Indicator { last_updated: Some(updated), .. }) => *updated >= begin,
        Some(_) => true,
        None => true,
    };
    let is_excluded = |one: &&Indicator| policy.exclusions.find(&one.observable).is_some();
    let retracts = deciding.is_none() && (policy.retract || policy.exclusions.acts);
    let excluded_now = bare.iter().filter(is_excluded).filter(|_| retracts).map(|one| one.observable.clone());
    let part = Part {
        indicators: &records.indicators,
        unusable: &records.unusable,
        excluded: excluded_now.collect(),
    };
    // What the source does not say cannot be rehearsed.
    let rehearsed = if records.silence.is_none() { Some(rehearse(&mut ledger, &part).await?) } else { None };
    let is_admitted = verdict.admitted == Some(true);
    let (next, waits_for) = match rehearsed.as_ref().map(|rehearsed| rehearsed.outlook) {
        None => (Next::Unknown, None),
        Some(outlook) => Foresight { entries: &entries, outlook, is_admitted, is_met, now }.next(),
    };
    let Rehearsed { displaced, weakest, creations_left, retractions_left, problem, .. } =
        rehearsed.unwrap_or_default();
    let is_unknown_to_the_source = records.said().found == Some(false);
    let next = match next {
        Next::None if is_unknown_to_the_source && held.is_some() => Next::Expire,
        next => next,
    };
    let displaces = if next == Next::Create { displaced } else { Vec::new() };
    let standing = Standing {
        held: held.is_some(),
        id: shown.map(|shown| rows[shown].id.clone()).or(sent_as),
        since,
        since_is: SINCE_IS,
        valid_until: shown.map(|shown| entries[shown].valid_until()),
        renewed_before,
        rejected: if is_rejected { rejection(store, lane.name, &known, question.key).await? } else { None },
        excluded_by: excluded.map(|hit| hit.to_string()),
        displaced_by: held.filter(|_| entries.iter().any(is_gone)).map(|held| rows[held].id.clone()),
        decision: verdict,
        next,
        waits_for,
        weakest: weakest.filter(|_| waits_for == Some(Awaited::Room)),
        displaces: displaces.into_iter().map(|(key, handle)| known_by(key, handle)).collect(),
        left_unasked: match next {
            Next::Create => creations_left,
            Next::Retract => Some(retractions_left),
            _ => None,
        },
        entries: rows,
    };
    Ok((standing, problem))
}

/// As the destination knows it.
fn known_by(key: Key, handle: Option<Handle>) -> String {
    match handle {
        Some(Handle::Numbered { id, .. }) => id.to_string(),
        Some(Handle::Foreign(id)) => Key(id).stix_id(),
        None => key.stix_id(),
    }
}

/// When the lane sent what is held as `entry`. An entry holds the end of validity alone, so this can be told only if the
/// validity was the same then.
fn last_sent(entry: &Entry, one: &Indicator, ledger: &Ledger<'_>) -> Option<DateTime<Utc>> {
    let (progress, context) = (&ledger.state.progress, ledger.context);
    let validity = context.policy.expirations.validity(one.observable.indicator_type());
    let sent = entry.valid_until() - validity;
    let is_same = progress.settings_hash == context.lane.settings_hash
        && progress.settings_changed.is_none_or(|changed| sent >= changed);
    (is_same && sent <= context.now()).then_some(sent)
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
    // What another product sent is known to the destination, and told by us, under that product's id.
    keys.extend(key.and_then(|Key(id)| {
        let is_theirs = |known: &Known| known.handle == Some(Handle::Foreign(id));
        manifest.known().find(is_theirs).map(|known| known.entry.key)
    }));
    let mut seen = HashSet::new();
    keys.retain(|key| seen.insert(*key));
    keys.iter().filter_map(|key| manifest.get(*key).copied()).collect()
}

/// Why the destination rejected the value, by the newest line about it.
async fn rejection(
    store: &Store,
    lane: &str,
    known: &[&Indicator],
    key: Option<Key>,
) -> Result<Option<String>, StateError> {
    for name in store.rejected_in(lane).await?.iter().rev() {
        let content = store.rejected(lane, name).await?;
        let is_about = |record: &RejectedRecord| {
            known.iter().any(|one| record.is_about(&one.observable))
                || key.is_some_and(|key| record.is_sent_as(key))
        };
        let newest = content.lines().rev().map(RejectedRecord::of_line).find(is_about);
        if let Some(record) = newest {
            return Ok(Some(record.reason));
        }
    }
    Ok(Some("the reason is no longer on file".to_owned()))
}
