//! The feed and its pages.

use std::sync::Arc;

use axum::{
    extract::Query,
    http::{HeaderMap, StatusCode, Uri},
};
use chrono::{DateTime, Utc};
use rand::seq::SliceRandom;
use serde_json::{Value, json};

use super::{
    Answer, FeedRequest, Rejection, Service, cursor,
    document::Document,
    knobs::{EndOfData, FiltersBesideNext, LaterFlags, UsedCursor},
    query::{Filters, Flags, Order, Parameters},
};

/// How many queries can be continued at a time.
const SNAPSHOTS: usize = 64;

/// What a query matched when its first page was asked for.
pub(super) struct Snapshot {
    scroll: String,
    documents: Vec<Arc<Document>>,
    filters: Filters,
    /// Those of the first request.
    flags: Flags,
    used: DateTime<Utc>,
    /// The page that no request has asked for yet.
    position: usize,
}

impl Service {
    pub(super) fn answer(&mut self, uri: &Uri, headers: &HeaderMap) -> Answer {
        if uri.path().ends_with("/entitlements") {
            let entitlements = json!({"entitlements": [{"name": "Threat Intelligence", "active": true}]});
            return match self.admit(uri.path(), headers) {
                Ok(()) => Answer::new(StatusCode::OK, entitlements.to_string()),
                Err(rejection) => rejection.into(),
            };
        }
        let parameters = Query::<Vec<(String, String)>>::try_from_uri(uri);
        let parameters: Parameters =
            parameters.map(|Query(pairs)| pairs).unwrap_or_default().into_iter().collect();
        let replacement = self.knobs.answer_override.as_ref().and_then(|answer| answer(self.requests.len()));
        let answer = match replacement {
            Some((status, headers, body)) => Answer { status, headers, body, records: 0 },
            None => self
                .admit(uri.path(), headers)
                .and_then(|()| match uri.path().split_once("indicator/") {
                    Some((_, id)) => self.record(id, &parameters),
                    None => self.read(&parameters),
                })
                .unwrap_or_else(Answer::from),
        };
        self.requests.push(FeedRequest {
            at: (self.now)(),
            path: uri.path().to_owned(),
            parameters,
            headers: headers.clone(),
            status: answer.status,
            records: answer.records,
        });
        answer
    }

    fn read(&mut self, parameters: &Parameters) -> Result<Answer, Rejection> {
        let heeded = |(name, _): &(&String, &String)| !self.knobs.ignored_parameters.contains(*name);
        let parameters: Parameters =
            parameters.iter().filter(heeded).map(|(name, value)| (name.clone(), value.clone())).collect();
        let flags = Flags::parse(&parameters).map_err(Rejection::bad_request)?;
        self.forget_stale_snapshots();
        match (parameters.get("next"), parameters.get("value")) {
            (Some(next), _) if !next.is_empty() => self.continue_query(next, &parameters, flags),
            (_, Some(value)) if !parameters.contains_key("start_epoch") => {
                Ok(self.look_up(parameters.get("type").map(String::as_str), value, flags))
            }
            _ => self.start_query(&parameters, flags),
        }
    }

    /// The record with an id, alone.
    fn record(&self, id: &str, parameters: &Parameters) -> Result<Answer, Rejection> {
        let flags = Flags::parse(parameters).map_err(Rejection::bad_request)?;
        let document =
            self.documents.get(id).ok_or_else(|| Rejection::new(StatusCode::NOT_FOUND, "not found"))?;
        let mut text = String::new();
        document.write(flags, &mut text);
        Ok(Answer { records: 1, ..Answer::new(StatusCode::OK, text) })
    }

    /// `POST` of `{"requests":[{"values":[…]}]}`: every record of one of the values, in whatever case, and files by any
    /// digest.
    pub(super) fn by_values(&mut self, uri: &Uri, headers: &HeaderMap, body: &[u8]) -> Answer {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let values: Vec<&str> = body["requests"][0]["values"]
            .as_array()
            .map(|values| values.iter().filter_map(Value::as_str).collect())
            .unwrap_or_default();
        let flag = |name: &str, plain| body[name].as_bool().unwrap_or(plain);
        let flags = Flags {
            threat_rating: flag("include_threat_rating", false),
            category: flag("include_category", false),
            campaigns: flag("include_campaigns", false),
            reports: flag("include_reports", false),
            misp: flag("include_misp", true),
        };
        let is_asked = |document: &&Arc<Document>| values.iter().any(|value| document.is(None, value));
        let answer = self.admit(uri.path(), headers).map(|()| {
            let found: Vec<_> = self.documents.values().filter(is_asked).cloned().collect();
            match found.is_empty() {
                true => nothing(EndOfData::NoContent204),
                false => page(&found, flags, None),
            }
        });
        answer.unwrap_or_else(Answer::from)
    }

    fn look_up(&self, kind: Option<&str>, value: &str, flags: Flags) -> Answer {
        let found: Vec<_> =
            self.documents.values().filter(|document| document.is(kind, value)).cloned().collect();
        match found.is_empty() {
            true => nothing(self.knobs.empty_window),
            false => page(&found, flags, None),
        }
    }

    fn start_query(&mut self, parameters: &Parameters, flags: Flags) -> Result<Answer, Rejection> {
        let now = (self.now)();
        let knobs = &self.knobs;
        let filters = Filters::parse(parameters, now, knobs.limit_behaviour, knobs.unrated_pass)
            .map_err(Rejection::bad_request)?;
        let mut documents: Vec<_> =
            self.documents.values().filter(|document| filters.admit(document)).cloned().collect();
        // Without a sort the order is not to be relied on, and with one it is open among ties.
        documents.shuffle(&mut self.dice);
        match filters.order {
            Some(Order::Ascending) => documents.sort_by_key(|document| document.last_updated),
            Some(Order::Descending) => {
                documents.sort_by_key(|document| std::cmp::Reverse(document.last_updated))
            }
            None => {}
        }
        let scroll = cursor::new_scroll(&mut self.dice);
        let snapshot = Snapshot { scroll, documents, filters, flags, used: now, position: 2 };
        let answer = self.page_of(&snapshot, 1, flags);
        self.snapshots.push_back(snapshot);
        if self.snapshots.len() > SNAPSHOTS {
            self.snapshots.pop_front();
        }
        Ok(answer)
    }

    fn continue_query(
        &mut self,
        next: &str,
        parameters: &Parameters,
        flags: Flags,
    ) -> Result<Answer, Rejection> {
        let stale = Rejection::new(self.knobs.stale_cursor_status, "The cursor is not known, or no longer");
        let Some((scroll, asked)) = cursor::decode(next) else { return Err(stale) };
        let Some(index) = self.snapshots.iter().position(|snapshot| snapshot.scroll == scroll) else {
            return Err(stale);
        };
        let snapshot = &mut self.snapshots[index];
        let filtered = Filters::NAMES.iter().any(|name| parameters.contains_key(*name));
        let number = match (self.knobs.filters_beside_next, self.knobs.used_cursor) {
            (FiltersBesideNext::Rejected, _) if filtered => {
                return Err(Rejection::bad_request("next must be the only parameter"));
            }
            (FiltersBesideNext::Restarted, _) if filtered => 1,
            (_, UsedCursor::SamePage) => asked,
            (_, UsedCursor::NextPage) => asked.max(snapshot.position),
            (_, UsedCursor::Rejected) if asked == snapshot.position => asked,
            (_, UsedCursor::Rejected) => return Err(stale),
        };
        snapshot.used = (self.now)();
        snapshot.position = number + 1;
        let flags = match self.knobs.later_flags {
            LaterFlags::Kept => snapshot.flags,
            LaterFlags::Dropped => Flags::default(),
            LaterFlags::RepeatedRequired => flags,
        };
        Ok(self.page_of(&self.snapshots[index], number, flags))
    }

    fn forget_stale_snapshots(&mut self) {
        let Some(life) = self.knobs.cursor_ttl else { return };
        let now = (self.now)();
        self.snapshots.retain(|snapshot| (now - snapshot.used).to_std().is_ok_and(|idle| idle < life));
    }

    /// The page of that number, counted from 1; beyond the last one, the end.
    fn page_of(&self, snapshot: &Snapshot, number: usize, flags: Flags) -> Answer {
        let limit = snapshot.filters.limit.min(self.knobs.longest_page);
        let total = snapshot.documents.len();
        let start = (number - 1).saturating_mul(limit).min(total);
        let end = (start + limit).min(total);
        let looping = self.knobs.cursor_loop_from.is_some_and(|from| number >= from);
        let form = if total == 0 { self.knobs.empty_window } else { self.knobs.end_of_data };
        if start == end && !looping {
            return nothing(form);
        }
        let following = if looping { number } else { number + 1 };
        let next = match form {
            _ if looping || end < total || form.needs_extra_page() => {
                Some(cursor::encode(&snapshot.scroll, &snapshot.filters, following).into())
            }
            EndOfData::EmptyNextString => Some("".into()),
            EndOfData::NullNext => Some(Value::Null),
            _ => None,
        };
        page(&snapshot.documents[start..end], flags, next)
    }
}

fn page(documents: &[Arc<Document>], flags: Flags, next: Option<Value>) -> Answer {
    let mut text = String::with_capacity(documents.len() * if flags.misp { 3200 } else { 1200 } + 4096);
    text.push_str("{\"indicators\":[");
    for (position, document) in documents.iter().enumerate() {
        if position > 0 {
            text.push(',');
        }
        document.write(flags, &mut text);
    }
    text.push(']');
    if let Some(next) = next {
        text.push_str(&format!(",\"next\":{next}"));
    }
    text.push('}');
    Answer { records: documents.len(), ..Answer::new(StatusCode::OK, text) }
}

/// An answer without records that is the last one.
fn nothing(form: EndOfData) -> Answer {
    let body = match form {
        EndOfData::NoNextOnLastPage | EndOfData::ExtraEmptyPage => r#"{"indicators":[]}"#,
        EndOfData::NullIndicators => r#"{"indicators":null}"#,
        EndOfData::MissingIndicators => "{}",
        EndOfData::NoContent204 => {
            return Answer {
                status: StatusCode::NO_CONTENT,
                headers: HeaderMap::new(),
                body: Default::default(),
                records: 0,
            };
        }
        EndOfData::EmptyNextString => r#"{"indicators":[],"next":""}"#,
        EndOfData::NullNext => r#"{"indicators":[],"next":null}"#,
    };
    Answer::new(StatusCode::OK, body)
}
