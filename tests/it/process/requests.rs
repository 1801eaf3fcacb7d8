//! Manual reruns and the status page, over the host's HTTP.

use reqwest::{Response, header};
use serde_json::{Value, json};

use super::{Bench, PATIENCE, assert_adds_up, assert_disciplined, client, corpus::records, count, tick};

async fn body(response: Response) -> Value {
    serde_json::from_slice(&response.bytes().await.unwrap()).unwrap()
}

#[tokio::test]
async fn a_manual_rerun_goes_through_the_queue_and_can_be_followed() {
    let bench = Bench::new().await;
    bench.world.mandiant.put_all(records(3, 300, 0.0));
    let host = bench.host().await;
    let first = tick(&host).await;
    let client = client();
    let get = async |place: &str| client.get(format!("{}{place}", host.http_base())).send().await.unwrap();

    let sync = format!("{}/api/sync", host.http_base());
    let accepted = client.post(&sync).body(r#"{"lookback_days": 7}"#).send().await.unwrap();
    assert_eq!(accepted.status(), 202);
    let place = accepted.headers()[header::LOCATION].to_str().unwrap().to_owned();
    let run_id = body(accepted).await["run_id"].as_str().unwrap().to_owned();
    assert_eq!(place, format!("/api/status?run={run_id}"));
    let waiting = body(get(&place).await).await;
    assert_eq!((&waiting["run_id"], &waiting["end"]), (&json!(run_id), &Value::Null));
    let message = serde_json::from_str::<Value>(&host.queue("mati-sync").messages()[0]).unwrap();
    assert_eq!((&message["kind"], &message["run_id"]), (&json!("request"), &json!(run_id)));

    // Delivered twice, applied once.
    host.queue("mati-sync").duplicate_next();
    host.drain(PATIENCE).await.unwrap();
    let report = body(get(&place).await).await;
    assert_eq!((&report["trigger"], &report["end"]), (&json!("manual"), &json!("caught_up")));
    assert_adds_up(&report);
    assert!(count(&report, "read") >= count(&first, "read"));
    assert_eq!(count(&report, "requests"), 0);

    let overview = body(get("/api/status").await).await;
    let runs: Vec<_> = overview["runs"].as_array().unwrap().iter().map(|run| &run["run_id"]).collect();
    assert_eq!(runs, [&report["run_id"], &first["run_id"]]);
    let page = client.get(format!("{}/api/status", host.http_base())).header(header::ACCEPT, "text/html");
    let page = page.send().await.unwrap();
    assert!(page.headers()[header::CONTENT_TYPE].to_str().unwrap().starts_with("text/html"));
    assert!(page.text().await.unwrap().contains(&run_id));
    assert_disciplined(&host.output());
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_and_starts_nothing() {
    let bench = Bench::new().await;
    let host = bench.host().await;
    let client = client();
    let unknown = format!("{}/api/status?run=20260101T000000000Z-0000", host.http_base());
    assert_eq!(client.get(unknown).send().await.unwrap().status(), 404);
    let longest = 64 * 1024;
    for (text, status, word) in [
        (r#"{"lookback": 7}"#.to_owned(), 400, "lookback_days"),
        (r#"{"lookback_days": "seven"}"#.to_owned(), 400, "lookback_days"),
        (r#"{"lookback_days": 90}"#.to_owned(), 400, "89"),
        (r#"{"destinations": ["splunk"]}"#.to_owned(), 400, "sentinel"),
        ("[]".to_owned(), 400, "object"),
        ("{".to_owned(), 400, "dry_run"),
        (format!("{{}}{}", " ".repeat(longest)), 413, "65536"),
    ] {
        let answer =
            client.post(format!("{}/api/sync", host.http_base())).body(text.clone()).send().await.unwrap();
        let start = &text[..text.len().min(40)];
        assert_eq!(answer.status(), status, "{start}");
        let error = body(answer).await["error"].as_str().unwrap().to_owned();
        assert!(error.contains(word), "{start}: {error}");
    }
    assert!(host.queue("mati-sync").messages().is_empty());
}
