//! Metrics, decoded as OpenTelemetry's own library decodes them.

use std::{collections::BTreeMap, time::Duration};

use chrono::TimeDelta;
use mati_sync::{
    check,
    domain::{outcome::End, report::Report},
};
use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    common::v1::{KeyValue, any_value::Value},
    metrics::v1::{AggregationTemporality, Metric, metric::Data, number_data_point},
};
use prost::Message;
use sandbox::{
    corpus::Record,
    net::{Fault, serve},
    receiver::Receiver,
};

use super::{hour, reject_key};
use crate::harness::world::World;

const HOST: &str = "collector:4318";

fn world() -> (World, Receiver) {
    let mut world = World::new();
    let receiver = Receiver::new();
    world.net.host(HOST, receiver.router());
    world.set("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");
    (world, receiver)
}

fn decoded(receiver: &Receiver) -> Vec<ExportMetricsServiceRequest> {
    let received = receiver.received().into_iter();
    received
        .map(|request| ExportMetricsServiceRequest::decode(request.body).expect("the protocol's form"))
        .collect()
}

fn attributes(list: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |pair: &KeyValue| match pair.value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => (pair.key.clone(), text.clone()),
        other => panic!("{other:?}"),
    };
    list.iter().map(text).collect()
}

fn metric<'a>(request: &'a ExportMetricsServiceRequest, name: &str) -> &'a Metric {
    let scopes = request.resource_metrics.iter().flat_map(|resource| &resource.scope_metrics);
    let mut metrics = scopes.flat_map(|scope| &scope.metrics);
    metrics.find(|metric| metric.name == name).unwrap_or_else(|| panic!("no {name} in {request:?}"))
}

/// The values of a counter or gauge by their attributes, in the order of those.
fn numbers(request: &ExportMetricsServiceRequest, name: &str) -> BTreeMap<String, f64> {
    let points = match metric(request, name).data.as_ref().unwrap() {
        Data::Gauge(gauge) => &gauge.data_points,
        Data::Sum(sum) => &sum.data_points,
        other => panic!("{other:?}"),
    };
    let value = |value: &number_data_point::Value| match value {
        number_data_point::Value::AsInt(number) => *number as f64,
        number_data_point::Value::AsDouble(number) => *number,
    };
    let key = |list: &[KeyValue]| attributes(list).into_values().rev().collect::<Vec<_>>().join(" ");
    points.iter().map(|point| (key(&point.attributes), value(point.value.as_ref().unwrap()))).collect()
}

fn put(world: &World, from: usize, count: usize) {
    world.mandiant.put_all((from..from + count).map(|n| {
        Record::ipv4(&format!("198.51.{}.{}", n / 200, n % 200 + 1))
            .updated(world.ago(TimeDelta::minutes(20)))
    }));
}

fn check(request: &ExportMetricsServiceRequest, report: &Report, held: f64, created: f64) {
    assert_eq!(numbers(request, "mati_sync.held"), [("sentinel".to_owned(), held)].into());
    let records = numbers(request, "mati_sync.records");
    assert_eq!(records["sentinel created"], created, "{records:?}");
    assert!(records.contains_key("sentinel dropped") && records.contains_key("sentinel rejected"));
    let age = numbers(request, "mati_sync.watermark.age")["sentinel"];
    let expected = (report.ended_at - report.lanes["sentinel"].watermark.unwrap()).as_seconds_f64();
    assert!((age - expected).abs() < 0.001, "{age} and not {expected}");
}

#[tokio::test(start_paused = true)]
async fn each_pass_sends_how_it_stands_and_counters_over_restarts() {
    let (world, receiver) = world();
    put(&world, 0, 150);
    let first = world.tick().await;
    hour().await;
    put(&world, 150, 20);
    let second = world.tick().await;
    let requests = decoded(&receiver);
    let [one, two] = &*requests else { panic!("{requests:?}") };
    check(one, &first, 150.0, 150.0);
    check(two, &second, 170.0, 170.0);
    let made = (first.totals().requests + second.totals().requests) as f64;
    assert_eq!(numbers(two, "mati_sync.requests")["sentinel"], made);
    for (name, unit) in [
        ("mati_sync.held", "{indicator}"),
        ("mati_sync.records", "{record}"),
        ("mati_sync.watermark.age", "s"),
        ("mati_sync.pass.duration", "s"),
        ("mati_sync.requests", "{request}"),
        ("mati_sync.throttled", "{request}"),
    ] {
        assert_eq!(metric(two, name).unit, unit, "{name}");
        assert!(!metric(two, name).description.is_empty());
    }
    let Some(Data::Sum(sum)) = &metric(two, "mati_sync.records").data else { panic!() };
    assert!(sum.is_monotonic);
    assert_eq!(sum.aggregation_temporality(), AggregationTemporality::Cumulative);
    let nanoseconds = |time: chrono::DateTime<chrono::Utc>| time.timestamp_nanos_opt().unwrap() as u64;
    for point in &sum.data_points {
        assert_eq!(point.start_time_unix_nano, nanoseconds(first.started_at));
        assert_eq!(point.time_unix_nano, nanoseconds(second.ended_at));
    }
    let Some(Data::Histogram(durations)) = &metric(two, "mati_sync.pass.duration").data else { panic!() };
    let [durations] = &*durations.data_points else { panic!("{durations:?}") };
    assert_eq!(durations.count, 2);
    assert_eq!(durations.bucket_counts.iter().sum::<u64>(), 2);
    assert_eq!(durations.bucket_counts.len(), durations.explicit_bounds.len() + 1);
    let named = attributes(&durations.attributes);
    assert_eq!((named["trigger"].as_str(), named["end"].as_str()), ("timer", "caught_up"));
    let took = [&first, &second].map(|report| (report.ended_at - report.started_at).as_seconds_f64());
    assert!((durations.sum.unwrap() - took.iter().sum::<f64>()).abs() < 0.001);
    let resource = attributes(&two.resource_metrics[0].resource.as_ref().unwrap().attributes);
    assert_eq!(resource["service.name"], "mati-sync");
    assert_eq!(resource["service.version"], env!("CARGO_PKG_VERSION"));
    let request = &receiver.received()[0];
    assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/v1/metrics"));
    assert_eq!(request.headers["content-type"], "application/x-protobuf");
}

#[tokio::test(start_paused = true)]
async fn the_settings_of_opentelemetry_are_honoured() {
    let (mut world, receiver) = world();
    for (name, value) in [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318/otlp/"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=secret%20value, x-scope = a"),
        ("OTEL_SERVICE_NAME", "threats"),
        ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=prod,service.name=other,team=a%2Cb"),
        ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "Delta"),
    ] {
        world.set(name, value);
    }
    put(&world, 0, 5);
    world.tick().await;
    hour().await;
    put(&world, 5, 2);
    let second = world.tick().await;
    let request = decoded(&receiver).pop().unwrap();
    assert_eq!(numbers(&request, "mati_sync.records")["sentinel created"], 2.0);
    assert_eq!(numbers(&request, "mati_sync.held")["sentinel"], 7.0);
    let Some(Data::Sum(sum)) = &metric(&request, "mati_sync.records").data else { panic!() };
    assert_eq!(sum.aggregation_temporality(), AggregationTemporality::Delta);
    let start = second.started_at.timestamp_nanos_opt().unwrap() as u64;
    assert_eq!(sum.data_points[0].start_time_unix_nano, start);
    let resource = attributes(&request.resource_metrics[0].resource.as_ref().unwrap().attributes);
    assert_eq!(resource["service.name"], "threats");
    assert_eq!(
        (resource["deployment.environment.name"].as_str(), resource["team"].as_str()),
        ("prod", "a,b")
    );
    let received = receiver.received().pop().unwrap();
    assert_eq!(received.path, "/otlp/v1/metrics");
    assert!(received.headers["api-key"] == "secret value" && received.headers["x-scope"] == "a");
    assert!(world.net.log().iter().all(|exchange| {
        exchange.headers.get("api-key").is_none_or(axum::http::HeaderValue::is_sensitive)
    }));
    world.set("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://collector:4318/as/it/stands");
    world.tick().await;
    assert_eq!(receiver.received().pop().unwrap().path, "/as/it/stands");
}

#[tokio::test(start_paused = true)]
async fn it_is_off_without_an_endpoint_and_where_it_is_switched_off() {
    let (mut world, receiver) = world();
    for (name, value) in [
        ("OTEL_SDK_DISABLED", "true"),
        ("OTEL_METRICS_EXPORTER", "none"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", ""),
    ] {
        world.set(name, value);
        world.tick().await;
        assert!(receiver.received().is_empty(), "{name}");
        world.set(name, "");
    }
    assert!(!world.state.path().join("signals.json").exists(), "nothing is counted for nobody");
    world
        .set("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4317")
        .set("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");
    let notices = world.settings().notices;
    assert!(notices.iter().any(|notice| notice.contains("over HTTP alone")), "{notices:?}");
    for wrong in ["collector:4318", "grpc://collector", "http://user:secret@collector"] {
        world.set("OTEL_EXPORTER_OTLP_ENDPOINT", wrong);
        let faults = mati_sync::settings::Settings::parse(world.vars()).expect_err("a fault").to_string();
        assert!(faults.contains("OTEL_EXPORTER_OTLP_ENDPOINT is") && !faults.contains("secret"), "{faults}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_collector_that_fails_fails_no_pass() {
    for fault in [Fault::Hang, Fault::Refuse, Fault::status(503), Fault::status(401)] {
        let (world, _receiver) = world();
        world.net.on_request(move |exchange| (exchange.authority == HOST).then(|| fault.clone()));
        put(&world, 0, 5);
        let began = tokio::time::Instant::now();
        assert_eq!(world.tick().await.end, End::CaughtUp);
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_pass_that_stalled_sends_its_duration_by_its_end() {
    let (world, receiver) = world();
    world.tick().await;
    reject_key(&world, true);
    world.tick().await;
    let request = decoded(&receiver).pop().unwrap();
    let Some(Data::Histogram(durations)) = &metric(&request, "mati_sync.pass.duration").data else {
        panic!()
    };
    let ends = durations.data_points.iter().map(|point| attributes(&point.attributes)["end"].clone());
    assert_eq!(ends.collect::<Vec<_>>(), ["caught_up", "stalled"]);
}

#[tokio::test(start_paused = true)]
async fn a_check_sends_a_message_without_metrics() {
    let (world, receiver) = world();
    let finding = |findings: Vec<check::Finding>| {
        findings.into_iter().find(|finding| finding.check == "metrics").expect("it is checked")
    };
    assert!(finding(check::run(&world.start().engine, None).await).ok);
    assert!(decoded(&receiver)[0].resource_metrics.is_empty());
    receiver.answer_with([404]);
    let told = finding(check::run(&world.start().engine, None).await);
    assert!(!told.ok && told.cure.unwrap().contains("/v1/metrics is added to it"));
}

#[tokio::test]
async fn what_arrives_over_a_socket_is_the_same() {
    use mati_sync::{domain::totals::Totals, http::transport::Transport, signals::metrics::Metrics};
    let receiver = Receiver::new();
    let address = serve(receiver.router(), None).await.unwrap();
    let report: Report =
        serde_json::from_slice(&std::fs::read("tests/fixtures/state/report-v2.json").unwrap()).unwrap();
    let mut totals = Totals::begin(report.started_at);
    totals.add(&report);
    let url = format!("http://{address}/v1/metrics");
    let metrics = Metrics::new(url, Vec::new(), false, Vec::new(), Transport::network());
    metrics.export(&report, &totals, Duration::from_secs(5)).await.unwrap();
    let request = decoded(&receiver).pop().unwrap();
    let lane = report.lanes.keys().next().unwrap();
    let created = numbers(&request, "mati_sync.records")[&format!("{lane} created")];
    assert_eq!(created, report.lanes[lane].counts.created as f64);
    receiver.answer_with([400]);
    let problem = metrics.probe(Duration::from_secs(5)).await.unwrap_err();
    assert!(problem.contains("answered 400"), "{problem}");
}
