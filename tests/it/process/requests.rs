//! Manual reruns and the status page, over the host's HTTP: what needs a look into the double.

use reqwest::header;
use sandbox::host::FunctionsHost;
use serde_json::{Value, json};

use super::{Bench, PATIENCE, assert_adds_up, assert_disciplined, client, corpus::records, tick};

#[tokio::test]
async fn a_message_that_is_delivered_twice_is_applied_once() {
    let bench = Bench::new().await;
    bench.world.mandiant.put_all(records(3, 300, 0.0));
    let host = bench.host().await;
    tick(&host).await;
    let sync = format!("{}/api/sync", host.http_base());
    let accepted = client().post(&sync).body(r#"{"lookback_days": 7}"#).send().await.unwrap();
    let place = accepted.headers()[header::LOCATION].to_str().unwrap().to_owned();
    let run_id = place.rsplit('=').next().unwrap();
    let get = async || {
        let answer = client().get(format!("{}{place}", host.http_base())).send().await.unwrap();
        serde_json::from_slice::<Value>(&answer.bytes().await.unwrap()).unwrap()
    };
    let waiting = get().await;
    assert_eq!((&waiting["run_id"], &waiting["end"]), (&json!(run_id), &Value::Null));
    let message = serde_json::from_str::<Value>(&host.queue("mati-sync").messages()[0]).unwrap();
    assert_eq!((&message["kind"], &message["run_id"]), (&json!("request"), &json!(run_id)));

    host.queue("mati-sync").duplicate_next();
    host.drain(PATIENCE).await.unwrap();
    let report = get().await;
    assert_eq!((&report["trigger"], &report["end"]), (&json!("manual"), &json!("caught_up")));
    assert_adds_up(&report);
    let overview = client().get(format!("{}/api/status", host.http_base())).send().await.unwrap();
    let overview: Value = serde_json::from_slice(&overview.bytes().await.unwrap()).unwrap();
    assert_eq!(overview["runs"].as_array().unwrap().len(), 2);
    assert_disciplined(&host.output());
}

/// The host hands the caller's key to the handler: in the address, in the query, in a header.
#[tokio::test]
async fn a_function_key_shows_nowhere() {
    let mut bench = Bench::new().await;
    bench.settings.insert("LOG_LEVEL".into(), "trace".into());
    let mut options = bench.options();
    options.enable_auth = true;
    let host = FunctionsHost::start(options).await.unwrap();
    let key = host.function_key().unwrap().to_owned();
    let mut answers = Vec::new();
    for place in ["/api/status", "/api/status?run=x", "/api/status?check=true", "/api/sync"] {
        for (body, accept) in [("{", "*/*"), (r#"{"dry_run": true}"#, "text/html")] {
            let mark = if place.contains('?') { '&' } else { '?' };
            let base = host.http_base();
            let addresses =
                [(true, format!("{base}{place}{mark}code={key}")), (false, format!("{base}{place}"))];
            for (is_in_address, request) in addresses {
                let request = if place == "/api/sync" {
                    client().post(&request).body(body)
                } else {
                    client().get(&request)
                };
                let request = request.header("accept", accept).header("x-functions-key", &key);
                let answer = request.send().await.unwrap();
                assert_ne!(answer.status(), 401, "{place}");
                // The page's links and its search carry a key that came in its address, and nothing else shows one.
                let in_links = format!("code={key}");
                let in_search = format!("name=\"code\" value=\"{key}\"");
                let text = answer.text().await.unwrap();
                let is_page = text.starts_with("<!doctype html>");
                answers.push(if is_page && is_in_address {
                    text.replace(&in_links, "").replace(&in_search, "")
                } else {
                    text
                });
            }
        }
    }
    host.drain(PATIENCE).await.unwrap();
    tick(&host).await;
    assert!(host.output().iter().any(|line| line.text.contains("\"level\":\"DEBUG\"")));
    let told = host.output().into_iter().map(|line| line.text).chain(answers);
    told.for_each(|text| assert!(!text.contains(&key), "{text}"));
    let mut folders = vec![bench.path().to_owned()];
    while let Some(folder) = folders.pop() {
        for file in std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()) {
            match file.is_dir() {
                true => folders.push(file),
                false => {
                    let content = String::from_utf8_lossy(&std::fs::read(&file).unwrap()).into_owned();
                    assert!(!content.contains(&key), "{}", file.display());
                }
            }
        }
    }
    assert_disciplined(&host.output());
}
