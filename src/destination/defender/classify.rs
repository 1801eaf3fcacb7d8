//! What the answers of the indicators API mean.

use std::collections::{HashMap, HashSet};

use axum::http::HeaderMap;
use chrono::{DateTime, Utc};

use super::wire::{ErrorAnswer, ImportAnswer, ItemAnswer, Page, PageAnswer, folded};
use crate::{
    azure::api::Verdict,
    domain::{
        entry::{Handle, Rank},
        outcome::{RecordOutcome, Rejection},
    },
    http::{
        error::excerpt,
        transport::Answer,
        unexpected::{error, error_in, object},
    },
};

/// What the API says of an indicator for which the tenant has no room; seen in the field, not documented.
const FULL: &str = "max capacity exceeded";

/// One indicator of an import, as far as its answer is concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// As it was sent.
    pub value: String,
    pub rank: Rank,
}

/// The result of a deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deletion {
    Done,
    /// At least one of the ids does not exist, and nothing was deleted.
    SomeMissing,
}

/// Reads the answer to an import of `sent`.
pub fn import(answer: &Answer, sent: &[Sent], now: DateTime<Utc>) -> Verdict<Vec<RecordOutcome>> {
    match answer.status.as_u16() {
        200 => settled(&answer.body, sent, told(answer).1),
        // The field saw it only as the failure of single indicators. Whole or not, nothing is wrong with them.
        400 if told(answer).0.to_lowercase().contains(FULL) => {
            Verdict::Answered(vec![RecordOutcome::OverLimit; sent.len()])
        }
        _ => otherwise(answer, now),
    }
}

/// Reads the answer to a deletion.
pub fn deletion(answer: &Answer, now: DateTime<Utc>) -> Verdict<Deletion> {
    match answer.status.as_u16() {
        204 => Verdict::Answered(Deletion::Done),
        // Nothing is documented that a body could say.
        200 if answer.body.trim_ascii().is_empty() || answer.body.trim_ascii() == b"{}" => {
            Verdict::Answered(Deletion::Done)
        }
        200 => unclear(error_in(&answer.body).unwrap_or_else(|| excerpt(&answer.body))),
        404 => Verdict::Answered(Deletion::SomeMissing),
        _ => otherwise(answer, now),
    }
}

/// Reads a page of the list.
pub fn page(answer: &Answer, now: DateTime<Utc>) -> Verdict<Page> {
    match answer.status.as_u16() {
        200 => match list(&answer.body) {
            Ok(page) => Verdict::Answered(page),
            Err(problem) => unclear(problem),
        },
        _ => otherwise(answer, now),
    }
}

fn list(body: &[u8]) -> Result<Page, String> {
    let PageAnswer { value, next_link, others } = object(body)?;
    match error(&others) {
        Some(told) => Err(told),
        None => Ok(Page {
            count: value.len(),
            value: value.into_iter().filter_map(|listed| serde_json::from_value(listed).ok()).collect(),
            next_link,
        }),
    }
}

/// Every answer that is not the one asked for.
fn otherwise<T>(answer: &Answer, now: DateTime<Utc>) -> Verdict<T> {
    let (reason, id) = told(answer);
    let asked = id.as_ref().map(|id| format!(" (request id {id})")).unwrap_or_default();
    if let Some(later) = Verdict::later("Defender for Endpoint", answer, &format!("{reason}{asked}"), now) {
        return later;
    }
    match answer.status.as_u16() {
        status @ (400 | 413) => {
            Verdict::Rejected(Rejection { reason: format!("{status}: {reason}"), request_id: id })
        }
        401 => Verdict::Unauthorized(format!(
            "Defender for Endpoint does not accept the token: {reason}{asked}; check that AZURE_CLOUD and DEFENDER_BASE_URL are the tenant's"
        )),
        403 => Verdict::blocked(format!(
            "Defender for Endpoint rejected the request: {reason}{asked}; the identity that uploads needs the application permission Ti.ReadWrite.All of the API WindowsDefenderATP with an administrator's consent: run infra/grant-defender.sh (a managed identity's tokens are kept for some hours, so that a new permission shows late)"
        )),
        404 => Verdict::blocked(format!(
            "Defender for Endpoint's indicators API is not there: {reason}{asked}; check DEFENDER_BASE_URL (host alone, without /api)"
        )),
        status => Verdict::blocked(format!(
            "Defender for Endpoint answered {status}: {reason}{asked}; check DEFENDER_BASE_URL"
        )),
    }
}

/// An answer that is the API's neither in form nor in content: perhaps the next one is.
fn unclear<T>(problem: String) -> Verdict<T> {
    let reason = format!("an answer that is not Defender's, perhaps a proxy's in between: {problem}");
    Verdict::Later { reason, wait: None, throttled: false }
}

/// 200 does not mean accepted: every indicator has an answer of its own.
fn settled(body: &[u8], sent: &[Sent], request_id: Option<String>) -> Verdict<Vec<RecordOutcome>> {
    let answers = match object::<ImportAnswer>(body) {
        Ok(ImportAnswer { value, others }) => match error(&others) {
            Some(told) => return unclear(told),
            None => value,
        },
        Err(problem) => return unclear(problem),
    };
    if answers.len() != sent.len() {
        return unclear(format!("{} answers to {} indicators", answers.len(), sent.len()));
    }
    let Some(answers) = in_order(sent, answers) else {
        return unclear("the answers name other indicators than the request".to_owned());
    };
    let delivery = |(sent, answer): (&Sent, ItemAnswer)| {
        if !answer.is_failed {
            // Held, whatever the id looks like. Without a number it cannot be deleted before it ends.
            let handle = answer.id.map(|id| Handle::Numbered { id, rank: sent.rank });
            return RecordOutcome::Acknowledged(handle);
        }
        match answer.failure_reason {
            Some(reason) if reason.to_lowercase().contains(FULL) => RecordOutcome::OverLimit,
            reason => RecordOutcome::Rejected(Rejection {
                reason: reason.unwrap_or_else(|| "no reason given".to_owned()),
                request_id: request_id.clone(),
            }),
        }
    };
    Verdict::Answered(sent.iter().zip(answers).map(delivery).collect())
}

/// The answers in the order in which the indicators were sent, whatever order they came in; `None` where they do
/// not fit. There are as many of both.
fn in_order(sent: &[Sent], answers: Vec<ItemAnswer>) -> Option<Vec<ItemAnswer>> {
    let wanted: Vec<String> = sent.iter().map(|sent| folded(&sent.value)).collect();
    let known: HashSet<&String> = wanted.iter().collect();
    let mut got: Vec<(String, ItemAnswer)> =
        answers.into_iter().map(|answer| (folded(&answer.indicator), answer)).collect();
    // At its own place even a value that the API spells in a way we do not foresee is known for what it is: a
    // single one must not make the whole batch unclear for ever.
    let is_in_order = wanted.iter().zip(&got).all(|(wanted, (got, _))| wanted == got || !known.contains(got));
    if !is_in_order {
        let places: HashMap<&String, usize> =
            wanted.iter().enumerate().map(|(place, value)| (value, place)).collect();
        let place = |value: &String| places.get(value).copied();
        got.sort_by_key(|(value, _)| place(value));
        // Each value once: a domain and a URL may be the same text, and then only the order tells them apart.
        let fits = wanted.iter().zip(&got).all(|(wanted, (got, _))| wanted == got);
        if !fits || places.len() != sent.len() {
            return None;
        }
    }
    Some(got.into_iter().map(|(_, answer)| answer).collect())
}

/// What the body says is wrong, and the id by which Microsoft's support finds the request.
fn told(answer: &Answer) -> (String, Option<String>) {
    let error = object::<ErrorAnswer>(&answer.body).unwrap_or_default().error.unwrap_or_default();
    let parts: Vec<String> = [error.code, error.message].into_iter().flatten().collect();
    let reason = if parts.is_empty() { excerpt(&answer.body) } else { parts.join(": ") };
    let reason = if reason.is_empty() { "no reason given".to_owned() } else { reason };
    (reason, request_id(&answer.headers).or(error.target))
}

fn request_id(headers: &HeaderMap) -> Option<String> {
    let names = ["x-ms-request-id", "x-ms-correlation-request-id", "request-id"];
    names.iter().find_map(|name| headers.get(*name)?.to_str().ok()).map(str::to_owned)
}

#[cfg(test)]
mod tests;
