//! Metrics by the OpenTelemetry protocol over HTTP (opentelemetry.io, "OTLP Specification", and `metrics.proto` of
//! opentelemetry-proto 1.9): one message at the end of a pass, made by hand, see ARCHITECTURE.md.

use std::time::Duration;

use axum::{
    body::Bytes,
    http::{HeaderMap, HeaderName, HeaderValue, Request, header},
};
use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret, SecretString};

use super::{Trouble, protobuf::Message};
use crate::{
    domain::{
        report::Report,
        totals::{BOUNDS, Durations, LaneTotals, Totals},
    },
    http::{
        error::excerpt,
        transport::{Answer, Transport},
        unexpected::{redirect, redirected},
    },
};

const ANSWER_BYTES: usize = 64 * 1024;
const SETTINGS: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

/// `AggregationTemporality` of metrics.proto.
const DELTA: u64 = 1;
const CUMULATIVE: u64 = 2;

/// A collector.
pub struct Metrics {
    url: String,
    headers: HeaderMap,
    /// Counters say what the pass added, and not what all passes came to.
    pub is_delta: bool,
    resource: Vec<(String, String)>,
    transport: Transport,
    pub trouble: Trouble,
}

/// One value of a metric, with what tells it from others.
struct Point {
    attributes: Vec<(&'static str, String)>,
    value: Value,
}

enum Value {
    Count(u64),
    Seconds(f64),
    Distribution(Durations),
}

/// How the values of a metric go together over time.
#[derive(Clone, Copy)]
enum Kind {
    Gauge,
    Counter,
    Histogram,
}

impl Metrics {
    /// A collector at `url`; a header that HTTP does not carry is left out.
    pub fn new(
        url: String,
        headers: Vec<(String, SecretString)>,
        is_delta: bool,
        resource: Vec<(String, String)>,
        transport: Transport,
    ) -> Self {
        let header = |(name, value): (String, SecretString)| {
            let mut value = HeaderValue::from_str(value.expose_secret()).ok()?;
            value.set_sensitive(true);
            Some((HeaderName::try_from(name).ok()?, value))
        };
        let headers = headers.into_iter().filter_map(header).collect();
        Self { url, headers, is_delta, resource, transport, trouble: Trouble::default() }
    }

    /// Sends how the lanes stand after the pass of `report`, and the counters: `totals` are of all passes, or of this one
    /// where the collector wants that.
    ///
    /// # Errors
    /// Why the collector did not take it.
    pub async fn export(&self, report: &Report, totals: &Totals, limit: Duration) -> Result<(), String> {
        self.send(self.request(report, totals), limit).await
    }

    /// Sends a message without metrics, which every collector takes.
    ///
    /// # Errors
    /// As [`Metrics::export`].
    pub async fn probe(&self, limit: Duration) -> Result<(), String> {
        self.send(Vec::new(), limit).await
    }

    async fn send(&self, body: Vec<u8>, limit: Duration) -> Result<(), String> {
        let mut request = Request::post(&self.url)
            .body(Bytes::from(body))
            .map_err(|_| format!("{SETTINGS} is no address that HTTP can use"))?;
        request.headers_mut().extend(self.headers.clone());
        let media = HeaderValue::from_static("application/x-protobuf");
        request.headers_mut().insert(header::CONTENT_TYPE, media);
        let answer = self.transport.fetch(request, limit, ANSWER_BYTES).await;
        let answer = answer.map_err(|error| {
            format!("the collector of {SETTINGS} cannot be reached: {error}; check {SETTINGS}")
        })?;
        verdict(&answer)
    }

    /// `ExportMetricsServiceRequest`.
    fn request(&self, report: &Report, totals: &Totals) -> Vec<u8> {
        let temporality = if self.is_delta { DELTA } else { CUMULATIVE };
        let (since, at) = (nanoseconds(totals.since), nanoseconds(report.ended_at));
        let metric = |name: &str, unit: &str, about: &str, kind: Kind, points: Vec<Point>| {
            let points = points.into_iter().map(|point| point.message(kind, since, at));
            let data = Message::default().messages(1, points);
            let metric = Message::default().text(1, name).text(2, about).text(3, unit);
            match kind {
                Kind::Gauge => metric.message(5, data),
                Kind::Counter => metric.message(7, data.number(2, temporality).number(3, 1)),
                Kind::Histogram => metric.message(9, data.number(2, temporality)),
            }
        };
        let metrics = [
            metric(
                "mati_sync.held",
                "{indicator}",
                "Indicators that the lane holds at its destination.",
                Kind::Gauge,
                held(report),
            ),
            metric(
                "mati_sync.watermark.age",
                "s",
                "Time since which what the source updated is not settled.",
                Kind::Gauge,
                ages(report),
            ),
            metric(
                "mati_sync.records",
                "{record}",
                "Records that were read, by what became of them.",
                Kind::Counter,
                records(totals),
            ),
            metric(
                "mati_sync.requests",
                "{request}",
                "Requests to the destination.",
                Kind::Counter,
                of_lanes(totals, |lane| lane.requests),
            ),
            metric(
                "mati_sync.throttled",
                "{request}",
                "Requests that the destination throttled.",
                Kind::Counter,
                of_lanes(totals, |lane| lane.throttled),
            ),
            metric(
                "mati_sync.pass.duration",
                "s",
                "How long passes took.",
                Kind::Histogram,
                durations(totals),
            ),
        ];
        let scope = Message::default().text(1, "mati-sync").text(2, env!("CARGO_PKG_VERSION"));
        let scope = Message::default().message(1, scope).messages(2, metrics);
        let resource = self.resource.iter().map(|(name, value)| attribute(name, value));
        let resource = Message::default().messages(1, resource);
        Message::default().message(1, Message::default().message(1, resource).message(2, scope)).bytes()
    }
}

/// What the collector made of it.
fn verdict(answer: &Answer) -> Result<(), String> {
    let status = answer.status.as_u16();
    if answer.status.is_success() {
        return Ok(());
    }
    if let Some(target) = redirect(answer) {
        return Err(format!("the collector of {SETTINGS} {}", redirected(status, &target, SETTINGS)));
    }
    let advice = match status {
        401 | 403 => "; check OTEL_EXPORTER_OTLP_HEADERS",
        404 | 405 => "; check the path of OTEL_EXPORTER_OTLP_ENDPOINT: /v1/metrics is added to it",
        _ => "",
    };
    Err(format!("the collector of {SETTINGS} answered {status}: {}{advice}", excerpt(&answer.body)))
}

fn held(report: &Report) -> Vec<Point> {
    let lanes = report.lanes.iter();
    lanes.filter_map(|(name, lane)| Some(Point::of_lane(name, Value::Count(lane.held?)))).collect()
}

fn ages(report: &Report) -> Vec<Point> {
    let age = |watermark: DateTime<Utc>| (report.ended_at - watermark).as_seconds_f64();
    let lanes = report.lanes.iter();
    lanes
        .filter_map(|(name, lane)| Some(Point::of_lane(name, Value::Seconds(age(lane.watermark?)))))
        .collect()
}

fn records(totals: &Totals) -> Vec<Point> {
    let of_lane = |(name, lane): (&String, &LaneTotals)| {
        let name = name.clone();
        let fates = lane.records.clone().into_iter();
        fates.map(move |(fate, count)| Point {
            attributes: vec![("lane", name.clone()), ("fate", fate)],
            value: Value::Count(count),
        })
    };
    totals.lanes.iter().flat_map(of_lane).collect()
}

fn of_lanes(totals: &Totals, count: impl Fn(&LaneTotals) -> u64) -> Vec<Point> {
    totals.lanes.iter().map(|(name, lane)| Point::of_lane(name, Value::Count(count(lane)))).collect()
}

fn durations(totals: &Totals) -> Vec<Point> {
    let mut points = Vec::new();
    for (trigger, ends) in &totals.passes {
        for (end, durations) in ends {
            let attributes = vec![("trigger", word(trigger)), ("end", word(end))];
            points.push(Point { attributes, value: Value::Distribution(durations.clone()) });
        }
    }
    points
}

/// The word that stands for a value in the report.
fn word(value: &impl serde::Serialize) -> String {
    let value = serde_json::to_value(value).unwrap_or_default();
    value.as_str().unwrap_or_default().to_owned()
}

impl Point {
    fn of_lane(lane: &str, value: Value) -> Self {
        Self { attributes: vec![("lane", lane.to_owned())], value }
    }

    /// `NumberDataPoint` or `HistogramDataPoint`. A gauge has no beginning.
    fn message(self, kind: Kind, since: u64, at: u64) -> Message {
        let begin = match kind {
            Kind::Gauge => Message::default(),
            Kind::Counter | Kind::Histogram => Message::default().fixed(2, since),
        };
        let message = begin.fixed(3, at);
        let attributes = self.attributes.iter().map(|(name, value)| attribute(name, value));
        match self.value {
            Value::Count(count) => message.fixed(6, count).messages(7, attributes),
            Value::Seconds(seconds) => message.double(4, seconds).messages(7, attributes),
            Value::Distribution(Durations { count, seconds, buckets }) => message
                .fixed(4, count)
                .double(5, seconds)
                .packed(6, buckets)
                .packed(7, BOUNDS.map(f64::to_bits))
                .messages(9, attributes),
        }
    }
}

/// `KeyValue` with a text.
fn attribute(name: &str, value: &str) -> Message {
    Message::default().text(1, name).message(2, Message::default().text(1, value))
}

fn nanoseconds(time: DateTime<Utc>) -> u64 {
    time.timestamp_nanos_opt().and_then(|time| u64::try_from(time).ok()).unwrap_or_default()
}
