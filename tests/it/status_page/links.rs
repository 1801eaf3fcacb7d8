//! Links between the pages, the key that travels with them, and how a page is loaded again.

use std::{
    io,
    sync::{Arc, Mutex},
};

use mati_sync::telemetry;
use serde_json::{Value, json};
use tracing_subscriber::layer::SubscriberExt;

use super::{BROWSER, busy, document::Document, page, page_of, served_with_faults, world};
use crate::protocol::{http, post, serve};

/// As function keys look: characters that mean something in an address.
const KEY: &str = "mF8x+/Q&a=b #\"<%41==";
const HEADER_KEY: &str = "header-key-7f3a9c";

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What the host makes of the query of a link.
fn query(href: &str) -> Value {
    let url = url::Url::parse(&format!("https://app.invalid/api/status{href}")).expect("an address");
    url.query_pairs().map(|(name, value)| (name.into_owned(), Value::from(value.into_owned()))).collect()
}

/// The host answers 401 to an address without the key. Nothing is printed here but whether it went well.
#[tokio::test(start_paused = true)]
async fn the_key_in_the_address_travels_with_every_link_and_goes_nowhere_else() {
    let world = busy(2).await;
    world.mandiant.set(|knobs| knobs.secret = "another".to_owned());
    let report = world.tick().await;
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::registry()
        .with(telemetry::filter(tracing_subscriber::filter::LevelFilter::TRACE))
        .with(tracing_subscriber::fmt::layer().json().with_writer(move || writer.clone()));
    // As long as there is but one subscriber in the process, tests beside this one switch its events off.
    let _another = tracing::Dispatch::new(tracing_subscriber::registry());
    let guard = tracing::subscriber::set_default(subscriber);
    let app = serve(&world);
    let headers =
        json!({ "Accept": [BROWSER], "x-functions-key": [HEADER_KEY], "X-Functions-Key": [HEADER_KEY] });
    let faults = mati_sync::settings::Settings::parse(&std::collections::BTreeMap::<String, String>::new());
    let faulty = served_with_faults(faults.expect_err("nothing is set"));
    let queries = [
        json!({}),
        json!({ "run": report.run_id }),
        json!({ "run": "unknown" }),
        json!({ "check": "true" }),
        json!({ "runbook": "mandiant" }),
        json!({ "refresh": "off" }),
    ];
    for (app, mut asked) in queries.into_iter().map(|asked| (&app, asked)).chain([(&faulty, json!({}))]) {
        asked["code"] = KEY.into();
        let (_, body) = post(app, "Status", http(None, asked, headers.clone())).await;
        let html = body["Outputs"]["response"]["body"].as_str().expect("a page");
        assert!(
            !html.contains(HEADER_KEY) && !body.to_string().contains(HEADER_KEY),
            "the header's key is told"
        );
        let document = Document::parse(html);
        document.check();
        let mut links = 0;
        for link in document.all("a") {
            links += 1;
            let asked = query(link.attribute("href"));
            assert!(asked["code"] == KEY, "a link without the key");
            // The link leads to what it says, however odd the key is.
            assert!(asked.as_object().is_some_and(|asked| asked.len() <= 2), "a key became more than a key");
        }
        assert!(links >= 4, "only {links} links");
        assert!(!document.text().contains(KEY), "the key is shown");

        // By header alone: no link has it, and so none needs it.
        let (_, body) = post(app, "Status", http(None, json!({}), headers.clone())).await;
        assert!(!body.to_string().contains(HEADER_KEY), "the header's key is told");
        // JSON tells no key either.
        let json = json!({ "x-functions-key": [HEADER_KEY] });
        let (_, body) = post(app, "Status", http(None, json!({ "code": KEY }), json)).await;
        let text = body.to_string();
        assert!(!text.contains(HEADER_KEY) && !text.contains(&KEY[..8]), "a key is told");
    }
    drop(guard);
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("MATI_KEY"), "nothing was logged");
    assert!(
        !log.contains(HEADER_KEY) && !log.contains(&KEY[..8]) && !log.contains("mF8x%2B"),
        "a key is logged"
    );
}

#[tokio::test(start_paused = true)]
async fn a_click_leads_to_the_pass_and_back() {
    let world = busy(1).await;
    let report = world.tick().await;
    let overview = page(&world, json!({}), "links").await;
    let when = report.started_at.format("%Y-%m-%d %H:%M UTC").to_string();
    let asked = query(&overview.link(&when).expect("a link to the newest pass"));
    assert_eq!(asked, json!({ "run": report.run_id }));
    let pass = page(&world, asked, "links-pass").await;
    assert!(pass.section("pass").contains(&report.run_id));
    assert_eq!(query(&pass.link("Overview").unwrap()), json!({}));
    let missing = page(&world, json!({ "run": "20260101T000000000Z-0001" }), "links-missing").await;
    assert_eq!(missing.headline(), "There is no such pass");
    assert!(missing.text().contains("20260101T000000000Z-0001"));
}

/// A page that reloads itself by its markup cannot be stopped by a slow reader (WCAG 2.2.1), so a header does it.
#[tokio::test(start_paused = true)]
async fn the_page_is_loaded_again_every_minute_unless_that_is_stopped() {
    let world = world();
    let app = serve(&world);
    let refresh = async |query: Value| {
        let (_, body) = post(&app, "Status", http(None, query, json!({ "Accept": [BROWSER] }))).await;
        body["Outputs"]["response"]["headers"]["Refresh"].clone()
    };
    assert_eq!(refresh(json!({})).await, "60");
    assert_eq!(refresh(json!({ "refresh": "off" })).await, Value::Null);
    // Every call of these reaches out to all services, or shows what does not change.
    for query in [json!({ "check": "true" }), json!({ "runbook": "all" })] {
        assert_eq!(refresh(query.clone()).await, Value::Null, "{query}");
    }
    let overview = page_of(&app, json!({}), json!({}), "refresh").await;
    let stop = query(&overview.link("stop that").expect("a way to stop it"));
    let still = page_of(&app, stop, json!({}), "refresh-off").await;
    assert!(!still.text().contains("loaded again"), "{}", still.text());
}
