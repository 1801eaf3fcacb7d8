//! The stand-in of Google Threat Intelligence: the hourly threat lists, and the quota.
//!
//! What the service does in public is followed; where its behaviour varies or is unknown, [`Knobs`] decide. Packages
//! are there from when they are ready until they are no longer kept, by the service's own clock.

mod ioc;
mod knobs;
mod query;

use std::{
    collections::{BTreeMap, VecDeque},
    io::Write,
    sync::{Arc, Mutex, MutexGuard},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract,
    http::{
        HeaderMap, HeaderValue, Response, StatusCode, Uri,
        header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, DATE, RETRY_AFTER},
    },
    routing::get,
};
use chrono::{DateTime, DurationRound, NaiveDateTime, TimeDelta, Utc};
use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};

use self::query::Question;
use crate::clock::Now;

pub use self::{
    ioc::Ioc,
    knobs::{AnswerOverride, Empty, Factors, Filters, Generate, Knobs, Package, Rate, Tier},
};

/// Every list, with the licence that gives it.
pub const LISTS: [(&str, Tier); 14] = [
    ("ransomware", Tier::Standard),
    ("malicious-network-infrastructure", Tier::Standard),
    ("malware", Tier::Enterprise),
    ("threat-actor", Tier::Enterprise),
    ("trending", Tier::Enterprise),
    ("mobile", Tier::EnterprisePlus),
    ("osx", Tier::EnterprisePlus),
    ("linux", Tier::EnterprisePlus),
    ("iot", Tier::EnterprisePlus),
    ("first-stage-delivery-vectors", Tier::EnterprisePlus),
    ("infostealer", Tier::EnterprisePlus),
    ("phishing", Tier::EnterprisePlus),
    ("cryptominer", Tier::EnterprisePlus),
    ("vulnerability-weaponization", Tier::EnterprisePlus),
];

/// One request, and what came of it.
#[derive(Clone, Debug)]
pub struct Request {
    pub at: DateTime<Utc>,
    /// The list, or empty.
    pub list: String,
    /// `2026030210`, `latest`, or empty.
    pub package: String,
    pub parameters: BTreeMap<String, String>,
    pub headers: HeaderMap,
    pub status: StatusCode,
    pub records: usize,
}

/// The service. Cloning gives another handle on the same one.
#[derive(Clone)]
pub struct Gti(Arc<Mutex<Service>>);

struct Service {
    now: Now,
    knobs: Knobs,
    packages: BTreeMap<Package, Vec<Value>>,
    requests: Vec<Request>,
    /// The packages that were made up last: a full one is asked for in parts.
    generated: VecDeque<(Package, Arc<Vec<Value>>)>,
    /// The times of the requests of the last minute.
    counted: VecDeque<DateTime<Utc>>,
    /// Requests of each day.
    used: BTreeMap<chrono::NaiveDate, u64>,
}

/// The beginning of the hour that `time` lies in.
pub fn hour_of(time: DateTime<Utc>) -> DateTime<Utc> {
    time.duration_trunc(TimeDelta::hours(1)).expect("an hour is no odd length")
}

impl Gti {
    pub fn new(now: Now) -> Self {
        Self(Arc::new(Mutex::new(Service {
            now,
            knobs: Knobs::default(),
            packages: BTreeMap::new(),
            requests: Vec::new(),
            generated: VecDeque::new(),
            counted: VecDeque::new(),
            used: BTreeMap::new(),
        })))
    }

    pub fn router(&self) -> Router {
        Router::new()
            .route("/api/v3/threat_lists/{list}/{package}", get(answer))
            .route("/api/v3/users/{key}/overall_quotas", get(answer))
            .route("/api/v3/files/{id}", get(answer))
            .route("/api/v3/urls/{id}", get(answer))
            .route("/api/v3/domains/{id}", get(answer))
            .route("/api/v3/ip_addresses/{id}", get(answer))
            .with_state(self.clone())
    }

    /// Lists an object in the package of the hour that `at` lies in.
    pub fn put(&self, list: &str, at: DateTime<Utc>, ioc: &Ioc) {
        self.put_all(list, at, [ioc.clone()]);
    }

    pub fn put_all(&self, list: &str, at: DateTime<Utc>, iocs: impl IntoIterator<Item = Ioc>) {
        let mut service = self.service();
        let package = service.packages.entry((list.to_owned(), hour_of(at))).or_default();
        package.extend(iocs.into_iter().map(|ioc| ioc.json(list)));
    }

    /// The same, in the place of the object with the same type and id, if the package has it.
    pub fn replace(&self, list: &str, at: DateTime<Utc>, ioc: &Ioc) {
        let record = ioc.clone().json(list);
        let mut service = self.service();
        let package = service.packages.entry((list.to_owned(), hour_of(at))).or_default();
        let is_it =
            |known: &Value| ["type", "id"].iter().all(|name| known["data"][name] == record["data"][name]);
        match package.iter_mut().find(|known| is_it(known)) {
            Some(known) => *known = record,
            None => package.push(record),
        }
    }

    /// Lists records as they stand in a recorded answer.
    pub fn put_recorded(&self, list: &str, at: DateTime<Utc>, answer: &Value) {
        let records = answer["iocs"].as_array().cloned().unwrap_or_default();
        self.service().packages.entry((list.to_owned(), hour_of(at))).or_default().extend(records);
    }

    pub fn set(&self, change: impl FnOnce(&mut Knobs)) {
        change(&mut self.service().knobs);
    }

    /// Every request so far, the oldest first.
    pub fn requests(&self) -> Vec<Request> {
        self.service().requests.clone()
    }

    /// Every package there ever was, with the values in it.
    pub fn packages(&self) -> BTreeMap<Package, Vec<Value>> {
        self.service().packages.clone()
    }

    /// How many requests to threat lists were answered so far.
    pub fn asked(&self, list: &str) -> usize {
        self.service().requests.iter().filter(|request| request.list == list).count()
    }

    pub fn forget_requests(&self) {
        self.service().requests.clear();
    }

    fn service(&self) -> MutexGuard<'_, Service> {
        self.0.lock().unwrap()
    }
}

/// An answer before it is on its way.
struct Answer {
    status: StatusCode,
    retry_after: Option<u64>,
    body: String,
    records: usize,
}

impl Answer {
    fn ok(body: &Value) -> Self {
        Self { status: StatusCode::OK, retry_after: None, body: body.to_string(), records: 0 }
    }

    fn error(status: u16, code: &str, message: &str) -> Self {
        let status = StatusCode::from_u16(status).expect("a status code");
        let body = json!({"error": {"code": code, "message": message}}).to_string();
        Self { status, retry_after: None, body, records: 0 }
    }
}

impl Service {
    fn answer(&mut self, uri: &Uri, headers: &HeaderMap) -> Answer {
        let number = self.requests.len();
        let segments: Vec<&str> = uri.path().split('/').skip(3).collect();
        let (list, package) = match segments[..] {
            ["threat_lists", list, package] => (list.to_owned(), package.to_owned()),
            _ => Default::default(),
        };
        let parameters = query::parameters(uri.query().unwrap_or_default());
        let answer =
            match self.knobs.answer_override.as_ref().and_then(|answer| answer(number, &list, &package)) {
                Some((status, body)) => Answer { status, retry_after: None, body, records: 0 },
                None if matches!(segments[..], [kind, _] if kind != "users") => {
                    self.object(segments[1], headers)
                }
                None if list.is_empty() => self.quotas(segments.get(1).copied().unwrap_or_default(), headers),
                None => self.package(&list, &package, &parameters, headers),
            };
        let (status, records) = (answer.status, answer.records);
        let headers = headers.clone();
        let at = (self.now)();
        self.requests.push(Request { at, list, package, parameters, headers, status, records });
        answer
    }

    fn admit(&mut self, headers: &HeaderMap) -> Result<(), Answer> {
        match headers.get("x-apikey") {
            None => {
                return Err(Answer::error(401, "AuthenticationRequiredError", "X-Apikey header is missing"));
            }
            Some(key) if key != self.knobs.key.as_str() => {
                return Err(Answer::error(401, "WrongCredentialsError", "Wrong API key"));
            }
            Some(_) => {}
        }
        let now = (self.now)();
        if let Some(Rate { per_minute, retry_after }) = self.knobs.rate {
            while self.counted.front().is_some_and(|at| now - at >= TimeDelta::minutes(1)) {
                self.counted.pop_front();
            }
            if self.counted.len() >= per_minute {
                let mut answer = Answer::error(429, "TooManyRequestsError", "Too many requests");
                answer.retry_after = retry_after.then_some(60);
                return Err(answer);
            }
            self.counted.push_back(now);
        }
        let used = self.used.entry(now.date_naive()).or_default();
        if self.knobs.daily_quota.is_some_and(|quota| *used >= quota) {
            let mut answer = Answer::error(429, "QuotaExceededError", "Quota exceeded");
            answer.retry_after = self.knobs.quota_says_when.then_some(3600);
            return Err(answer);
        }
        *used += 1;
        Ok(())
    }

    fn quotas(&self, user: &str, headers: &HeaderMap) -> Answer {
        if headers.get("x-apikey").is_none_or(|key| key != self.knobs.key.as_str()) {
            return Answer::error(401, "WrongCredentialsError", "Wrong API key");
        }
        if user != self.knobs.key || !self.knobs.serves_quotas {
            return Answer::error(404, "NotFoundError", "Not found");
        }
        let used = self.used.get(&(self.now)().date_naive()).copied().unwrap_or(0);
        let allowed = self.knobs.daily_quota.unwrap_or(20_000);
        let of = |allowed: u64, used: u64| {
            json!({"user": {"allowed": allowed, "used": used},
                "group": {"allowed": allowed * 10, "used": used, "inherited_from": "example-group"}})
        };
        Answer::ok(&json!({"data": {
            "api_requests_hourly": of(allowed, used),
            "api_requests_daily": of(allowed, used),
            "api_requests_monthly": of(allowed * 30, used),
        }}))
    }

    /// The object with this id, as the newest package shows it: of a file any digest, of a URL its base64.
    fn object(&mut self, id: &str, headers: &HeaderMap) -> Answer {
        if let Err(rejection) = self.admit(headers) {
            return rejection;
        }
        let is_it = |record: &&Value| {
            let data = &record["data"];
            let names = ["md5", "sha1", "sha256"].map(|name| &data["attributes"][name]);
            let url = data["attributes"]["url"].as_str().map(query::url_id);
            data["id"] == id || names.iter().any(|name| *name == id) || url.as_deref() == Some(id)
        };
        let newest_first = self.packages.iter().rev();
        match newest_first.flat_map(|(_, records)| records.iter().rev()).find(is_it) {
            Some(record) => Answer { records: 1, ..Answer::ok(record) },
            None => Answer::error(404, "NotFoundError", "Not found"),
        }
    }

    /// The records that are made up for a package.
    fn generated(&mut self, list: &str, hour: DateTime<Utc>) -> Arc<Vec<Value>> {
        let Some(generate) = &self.knobs.generate else { return Arc::default() };
        let wanted = (list.to_owned(), hour);
        if let Some((_, records)) = self.generated.iter().find(|(known, _)| *known == wanted) {
            return Arc::clone(records);
        }
        let records = Arc::new(generate(list, hour));
        self.generated.push_back((wanted, Arc::clone(&records)));
        if self.generated.len() > 8 {
            self.generated.pop_front();
        }
        records
    }

    fn package(
        &mut self,
        list: &str,
        package: &str,
        parameters: &BTreeMap<String, String>,
        headers: &HeaderMap,
    ) -> Answer {
        if let Err(rejection) = self.admit(headers) {
            return rejection;
        }
        let question = match Question::of(parameters, &self.knobs) {
            Ok(question) => question,
            Err(message) => return Answer::error(400, "BadRequestError", &message),
        };
        let Some((_, tier)) = LISTS.iter().find(|(id, _)| *id == list) else {
            return Answer::error(404, "NotFoundError", "Not found");
        };
        if self.knobs.forbidden.contains(list) || *tier > self.knobs.tier {
            return Answer::error(
                403,
                "ForbiddenError",
                "You are not authorized to perform the requested operation",
            );
        }
        let now = (self.now)();
        let hour = match package {
            "latest" => hour_of(now - self.knobs.delay),
            hour => match NaiveDateTime::parse_from_str(&format!("{hour}00"), "%Y%m%d%H%M") {
                Ok(hour) => hour.and_utc(),
                Err(_) => return Answer::error(400, "InvalidArgumentError", "Invalid argument: package"),
            },
        };
        let ready = hour + self.knobs.delay;
        if now < ready || self.knobs.late.contains(&(list.to_owned(), hour)) {
            let message = format!(
                "Package {} is not available until {} UTC because of privacy policy.",
                hour.format("%Y%m%d%H"),
                ready.format("%Y-%m-%d at %H:%M")
            );
            return Answer::error(400, "NotAvailableYet", &message);
        }
        if hour < now - self.knobs.kept || self.knobs.holes.contains(&(list.to_owned(), hour)) {
            return Answer::error(404, "NotFoundError", "Not found");
        }
        let generated = self.generated(list, hour);
        let stored = self.packages.get(&(list.to_owned(), hour)).map(Vec::as_slice).unwrap_or_default();
        let records = if stored.is_empty() { &generated[..] } else { stored };
        let mut found: Vec<Value> =
            records.iter().filter(|record| question.holds(record)).take(question.limit).cloned().collect();
        let lacks_tool = !headers.contains_key("x-tool");
        for record in &mut found {
            self.knobs.shape(record, lacks_tool);
        }
        let body = match (found.is_empty(), self.knobs.empty) {
            (false, _) | (true, Empty::List) => json!({"iocs": found}),
            (true, Empty::Null) => json!({"iocs": null}),
            (true, Empty::Missing) => json!({}),
        };
        Answer { records: found.len(), ..Answer::ok(&body) }
    }
}

async fn answer(extract::State(gti): extract::State<Gti>, uri: Uri, headers: HeaderMap) -> Response<Body> {
    let (answer, at, delay, gzip) = {
        let mut service = gti.service();
        let answer = service.answer(&uri, &headers);
        let at = (service.now)() + service.knobs.clock_skew;
        (answer, at, service.knobs.body_delay, service.knobs.gzip)
    };
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    let accepted = headers.get(ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let is_packed = gzip && accepted.contains("gzip");
    let body: Bytes = match is_packed {
        true => {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(answer.body.as_bytes()).and_then(|()| encoder.finish()).expect("memory").into()
        }
        false => answer.body.into(),
    };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = answer.status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    let date = at.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    headers.insert(DATE, HeaderValue::try_from(date).expect("a date is ASCII"));
    if is_packed {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    if let Some(seconds) = answer.retry_after {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}
