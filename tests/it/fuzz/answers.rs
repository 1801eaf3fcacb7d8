//! The whole program against hosts, sources and destinations that say anything.

use std::{sync::Arc, time::Duration};

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use chrono::TimeDelta;
use mati_sync::{domain::outcome::End, pass::Work};
use proptest::{collection::vec, prelude::*, sample::select};
use sandbox::{corpus::Record, sentinel::Answer};
use serde_json::{Value, json};

use super::{any_json, any_record, any_text};
use crate::{
    harness::world::World,
    protocol::{post, serve},
};

const LIMIT: Duration = Duration::from_secs(600);

/// Runs a scenario to its end, on a paused clock of its own.
fn on_the_paused_clock(
    scenario: impl Future<Output = Result<(), TestCaseError>>,
) -> Result<(), TestCaseError> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async { tokio::time::timeout(10 * LIMIT, scenario).await.expect("it hangs") })
}

/// A body that is nearly an invocation.
fn any_invocation() -> impl Strategy<Value = Vec<u8>> {
    let http = (any_json(), any_json(), any_json()).prop_map(
        |(query, headers, body)| json!({ "request": { "Query": query, "Headers": headers, "Body": body } }),
    );
    let texts = (any_text(), any_text(), any_text()).prop_map(|(run, accept, body)| {
        json!({ "request": { "Query": { "run": run }, "Headers": { "Accept": [accept] }, "Body": body } })
    });
    let order = (any_json(), any_json(), any_json()).prop_map(|(dry_run, lookback_days, destinations)| {
        let order =
            json!({ "dry_run": dry_run, "lookback_days": lookback_days, "destinations": destinations });
        json!({ "request": { "Body": order.to_string() } })
    });
    let kinds = select(vec!["request", "continue"]);
    let message =
        (kinds, any_text(), any_json(), any::<u32>()).prop_map(|(kind, run_id, continuation_id, hop)| {
            let message =
                json!({ "kind": kind, "run_id": run_id, "continuation_id": continuation_id, "hop": hop });
            json!({ "message": Value::from(message.to_string()).to_string() })
        });
    let one = (select(vec!["timer", "message", "request"]), any_json())
        .prop_map(|(name, data)| json!({ name: data }));
    let data = prop_oneof![http, texts, order, message, one, any_json()];
    let invocation = data.prop_map(|data| json!({ "Data": data, "Metadata": {} }));
    prop_oneof![
        4 => invocation.prop_map(|invocation| invocation.to_string().into_bytes()),
        1 => any_json().prop_map(|value| value.to_string().into_bytes()),
        1 => vec(any::<u8>(), 0..300),
    ]
}

/// Headers that are read, with values that are odd.
fn any_headers() -> impl Strategy<Value = Vec<(String, String)>> {
    let names = vec!["retry-after", "x-ms-request-id", "content-type", "date", "content-length"];
    let odd = vec![
        "18446744073709551615",
        "99999999999999999999",
        "-1",
        "0.5",
        "soon",
        "Thu, 31 Dec 9999 23:59:59 GMT",
    ];
    let value = prop_oneof![select(odd).prop_map(str::to_owned), "[ -~]{0,20}"];
    vec((select(names).prop_map(str::to_owned), value), 0..4)
}

fn any_status() -> impl Strategy<Value = u16> {
    prop_oneof![select(vec![200, 204, 301, 400, 401, 403, 404, 408, 413, 429, 500, 503]), 200..=999_u16]
}

/// What cannot be taken for an acceptance of `sent` records, however it looks.
fn any_rejection(sent: usize) -> impl Strategy<Value = Answer> {
    let throttled =
        any::<u64>().prop_map(|seconds| format!("{{\"message\":\"Try again in {seconds} seconds.\"}}"));
    let body = prop_oneof![throttled, any_json().prop_map(|value| value.to_string()), any::<String>()];
    let rejected = (any_status().prop_filter("200 has its own forms", |status| *status != 200), body);
    let all = move |reason: Value| json!({ "errors": (0..sent).map(|n| json!({ "recordIndex": n, "errorMessages": reason })).collect::<Vec<_>>() });
    let beyond = (0..5_usize)
        .prop_map(move |more| json!({ "errors": [{ "recordIndex": sent + more, "errorMessages": [] }] }));
    let no_number = any_json().prop_filter("a number as a text is plain", |index| !index.is_number());
    let odd = no_number.prop_map(move |index| json!({ "errors": [{ "recordIndex": index.to_string() }] }));
    let not_ours = any_json().prop_filter("an object has its own forms", |value| !value.is_object());
    let partial = prop_oneof![
        any_json().prop_map(all),
        vec(any_text(), 0..3).prop_map(move |reasons| all(json!(reasons))),
        beyond,
        odd,
        not_ours,
    ];
    let partial = (Just(200), partial.prop_map(|value| value.to_string()));
    (prop_oneof![rejected, partial], any_headers()).prop_map(|((status, body), headers)| Answer {
        status,
        headers,
        body,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn every_invocation_is_answered_with_an_object(bodies in vec(any_invocation(), 1..6)) {
        on_the_paused_clock(async {
            let mut world = World::new();
            world.set("INITIAL_LOOKBACK", "1");
            world.mandiant.put(Record::ipv4("198.51.100.1").updated(world.ago(TimeDelta::hours(3))));
            let app = serve(&world);
            for body in bodies {
                for function in ["SyncTimer", "SyncContinue", "SyncNow", "Status", "Other"] {
                    let (status, answer) = post(&app, function, &body).await;
                    let expected = if function == "Other" { StatusCode::NOT_FOUND } else { StatusCode::OK };
                    prop_assert_eq!(status, expected, "{} {}", function, answer);
                }
            }
            Ok(())
        })?;
    }

    #[test]
    fn no_record_counts_as_sent_that_was_not_accepted(script in vec(any_rejection(20), 1..12)) {
        on_the_paused_clock(async {
            let mut world = World::new();
            world.set("INITIAL_LOOKBACK", "1");
            let at = world.ago(TimeDelta::hours(3));
            world.mandiant.put_all((1..=20).map(|n| Record::ipv4(&format!("198.51.100.{n}")).updated(at)));
            world.sentinel.knobs(|knobs| knobs.script = script.into());
            let ended = world.run(Work::Timer, LIMIT).await;
            prop_assert!(ended.reports[0].end != End::Failed, "{:#?}", ended);
            let totals = ended.reports[0].totals();
            prop_assert_eq!(totals.created, world.sentinel.stored().len() as u64, "{:#?}", ended);
            prop_assert_eq!(totals.created + totals.rejected + totals.left, 20, "{:#?}", ended);
            Ok(())
        })?;
    }

    #[test]
    fn a_feed_that_says_anything_ends_the_pass_with_a_fate_for_every_record(
        records in vec(any_record(), 0..6),
        next in prop::option::of(any_json()),
        answers in vec((any_status(), any_headers(), prop_oneof![vec(any::<u8>(), 0..100), any_json().prop_map(|value| value.to_string().into_bytes())]), 0..4),
    ) {
        on_the_paused_clock(async {
            let mut world = World::new();
            world.set("INITIAL_LOOKBACK", "1");
            let page = match next {
                Some(next) => json!({ "indicators": records, "next": next }),
                None => json!({ "indicators": records }),
            };
            world.mandiant.set(|knobs| knobs.answer_override = Some(Arc::new(move |number| {
                let Some((status, headers, body)) = answers.get(number) else {
                    return Some((StatusCode::OK, HeaderMap::new(), page.to_string().into()));
                };
                let headers = headers.iter().filter_map(|(name, value)| {
                    Some((HeaderName::from_bytes(name.as_bytes()).ok()?, HeaderValue::from_str(value).ok()?))
                });
                Some((StatusCode::from_u16(*status).expect("a status"), headers.collect(), body.clone().into()))
            })));
            // Every report and every object that arrives is checked in there.
            let ended = world.run(Work::Timer, LIMIT).await;
            prop_assert!(ended.reports.len() == 1 && ended.reports[0].end != End::Failed, "{:#?}", ended);
            Ok(())
        })?;
    }
}
