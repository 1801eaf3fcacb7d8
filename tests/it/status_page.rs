//! `GET /api/status` as a person sees it: what it tells, that nothing in it can do anything, and that it can be read
//! with any sight and without a mouse. The pages are left beneath the build's temporary directory, to be looked at.

mod axe;
mod document;
mod links;
mod states;
mod trouble;
mod values;

use std::{path::PathBuf, sync::Arc, time::Duration};

use axum::Router;
use chrono::{DateTime, TimeDelta, Utc};
use mati_sync::{
    host::{Server, router},
    settings::Faults,
};
use sandbox::corpus::Record;
use serde_json::{Value, json};

use self::document::Document;
use crate::{
    harness::world::World,
    protocol::{http, post, serve},
};

const HOSTILE: [&str; 4] = [
    "</title></style><script>alert(1)</script>",
    "\"><img src=x onerror='alert(1)'>",
    "' onmouseover=alert(1) x='",
    "]]>--><svg/onload=alert(1)>&lt;b&gt;",
];
/// The most that a page may weigh, in bytes.
const MOST: usize = 100_000;

/// What a browser accepts.
const BROWSER: &str = "text/html,application/xhtml+xml";

/// Where the page of this name is left.
fn file_of(name: &str) -> PathBuf {
    let name =
        if name.starts_with("state-") { format!("{name}.html") } else { format!("status-{name}.html") };
    std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// The page that a browser gets for this query, checked for everything that any page must keep to.
pub async fn page(world: &World, query: Value, name: &str) -> Document {
    page_of(&serve(world), query, json!({}), name).await
}

/// The same of a process that runs already, with more headers.
async fn page_of(app: &Router, query: Value, mut headers: Value, name: &str) -> Document {
    headers["Accept"] = json!([BROWSER]);
    let (_, body) = post(app, "Status", http(None, query, headers)).await;
    let response = &body["Outputs"]["response"];
    let html = response["body"].as_str().unwrap_or_else(|| panic!("{body}"));
    std::fs::write(file_of(name), html).unwrap();
    assert!(html.len() <= MOST, "{name} weighs {} bytes", html.len());
    assert_eq!(response["headers"]["Content-Type"], "text/html; charset=utf-8");
    let document = Document::parse(html);
    document.check();
    let nonce = document.all("style").next().unwrap().attribute("nonce").to_owned();
    let policy = response["headers"]["Content-Security-Policy"].as_str().unwrap();
    assert!(
        policy.starts_with("default-src 'none';") && policy.contains(&format!("style-src 'nonce-{nonce}';"))
    );
    assert!(!policy.contains("unsafe") && !policy.contains("script"), "{policy}");
    document
}

/// A process whose settings cannot be used.
fn served_with_faults(faults: Faults) -> Router {
    let (_, stop) = tokio::sync::watch::channel(false);
    let function_timeout = Duration::from_secs(600);
    router(Arc::new(Server { engine: Err(faults), schedule: None, function_timeout, stop }))
}

/// A world with both destinations and an hourly timer.
fn world() -> World {
    let mut world = World::new();
    world.set("TARGET_APPLICATION", "sentinel,defender").set("SYNC_CRON", "0 23 * * * *");
    world
}

async fn an_hour_passes() {
    tokio::time::sleep(std::time::Duration::from_secs(3600)).await;
}

/// Some records of every type, two of which Sentinel rejects, and hourly passes.
async fn busy(hours: u32) -> World {
    let mut world = world();
    world.set("SYNC_CRON", "0 45 * * * *");
    world.sentinel.knobs(|knobs| {
        knobs.reject = Some(std::sync::Arc::new(|object: &Value| {
            let pattern = object["pattern"].as_str().unwrap_or_default();
            pattern.contains("reject").then(|| format!("this is not <b>wanted</b> here: {pattern}"))
        }));
    });
    for hour in 0..hours {
        let at = world.ago(TimeDelta::minutes(30));
        for number in 0..(hour * 7 % 11) {
            world.mandiant.put(Record::ipv4(&format!("198.51.{hour}.{}", number + 1)).updated(at));
        }
        world.mandiant.put(Record::fqdn(&format!("evil-{hour}.example")).updated(at));
        world.mandiant.put(Record::url(&format!("http://evil-{hour}.example/a?b=<c>&d")).updated(at));
        if hour % 20 == 3 {
            world.mandiant.put(Record::fqdn(&format!("reject-{hour}.example")).updated(at));
        }
        world.tick().await;
        an_hour_passes().await;
    }
    world
}

#[tokio::test(start_paused = true)]
async fn before_the_first_pass_the_page_says_what_to_do() {
    let world = world();
    let page = page(&world, json!({}), "empty").await;
    assert!(page.section("first").contains("mati-sync check"), "{}", page.text());
    assert!(page.text().contains("Next pass2026-03-02 12:23 UTC, in 23 minutes"), "{}", page.text());
    assert_eq!(page.title(), "mati-sync: Nothing has run yet");
    assert_eq!(page.headline(), "Nothing has run yet");
    // What there is nothing of is left out.
    assert_eq!(
        page.all("table").count() + page.all("svg").count() + page.all("h2").count(),
        2,
        "{}",
        page.text()
    );
    assert!(page.text().contains(concat!("version ", env!("CARGO_PKG_VERSION"))));
}

#[tokio::test(start_paused = true)]
async fn requests_that_cannot_be_used_are_named_with_what_to_do() {
    const RUN_ID: &str = "20260302T115900000Z-00aa";
    let world = world();
    write(&world, &format!("requests/{RUN_ID}.json"), "{\"order\":");
    for (file, aside) in [("aside-before", "requests"), ("aside-after", "aside")] {
        let text = page(&world, json!({}), file).await.text();
        assert!(text.contains(&format!("{aside}/{RUN_ID}.json cannot be used")), "{text}");
        assert!(text.contains("send the request again") && text.contains("Requests set aside1"), "{text}");
        let text = page(&world, json!({"run": RUN_ID}), &format!("{file}-run")).await.text();
        assert!(text.contains("This request is set aside") && text.contains("EOF while parsing"), "{text}");
        world.tick().await;
    }
}

#[tokio::test(start_paused = true)]
async fn when_all_is_well_the_page_says_since_when_and_what_is_held() {
    let world = busy(34).await;
    let page = page(&world, json!({}), "healthy").await;
    let text = page.text();
    assert_eq!(page.title(), "mati-sync: healthy");
    // Thirty passes are looked at, so that is as far back as is known.
    assert_eq!(page.headline(), "Healthy since at least 2026-03-02 16:00 UTC");
    assert!(!text.contains("What to do now") && !text.contains("Last failure"), "{text}");
    let sentinel = page.section("lane-sentinel");
    for (label, number) in [("Domain names", "34"), ("URLs", "34")] {
        assert!(sentinel.contains(&format!("{label}{number}")), "{label}: {sentinel}");
    }
    // What there is nothing of is left out.
    for label in ["IPv6", "File hashes", "unknown type", "throttled", "Ranges", "capacity"] {
        assert!(!sentinel.contains(label), "{label}: {sentinel}");
    }
    assert!(sentinel.starts_with("Microsoft Sentinel caught up"), "{sentinel}");
    let rejected = page.section("rejected");
    assert!(rejected.contains("this is not <b>wanted</b> here"), "{rejected}");
    assert!(rejected.contains("reject-23.example") && rejected.contains("reject-3.example"));
    assert!(!rejected.contains("Defender"), "{rejected}");
    assert!(sentinel.contains("In the last 30 days: ") && sentinel.contains(" rejected."), "{sentinel}");
    // One trend for each destination, with the number of each day in words and the days below it.
    let charts: Vec<String> = page.all("svg").map(|chart| chart.text()).collect();
    assert_eq!(charts.len(), 2);
    assert!(charts[1].starts_with("Indicators held at the end of each day: 2026-03-02 "), "{charts:?}");
    assert_eq!(charts[1].matches("2026-03-0").count(), 2, "{charts:?}");
    assert!(sentinel.contains("2026-02-01") && sentinel.contains("2026-03-03"), "{sentinel}");
}

/// A row for each pass, with its destinations inside and every number that is not zero.
#[tokio::test(start_paused = true)]
async fn a_pass_is_one_row_with_its_trigger_its_time_and_why_records_were_dropped() {
    let world = world();
    let at = world.ago(TimeDelta::minutes(30));
    world.mandiant.put(Record::ipv4("198.51.100.1").updated(at));
    world.mandiant.put(Record::ipv4("198.51.100.2").updated(at).threat_score(Some(10)));
    world.mandiant.put(Record::new("registry-key", "x").updated(at));
    world.mandiant.put(Record::fqdn("a.example").updated(at).claiming("value", 7));
    world.tick().await;
    an_hour_passes().await;
    let order = mati_sync::domain::request::RunOptions { dry_run: true, ..Default::default() };
    world.command(order).await;
    let overview = page(&world, json!({}), "rows").await;
    let rows: Vec<String> = overview.all("tr").map(|row| row.text()).collect();
    assert_eq!(rows.len(), 3, "{rows:?}");
    assert!(rows[1].contains("command line, dry run"), "{rows:?}");
    let first = &rows[2];
    assert!(first.starts_with("2026-03-02 12:00 UTC") && first.contains("timer"), "{first}");
    // Both fared alike, so that is told once.
    assert!(
        first.contains("caught up Defender for Endpoint and Microsoft Sentinel 4 read: 1 created"),
        "{first}"
    );
    assert!(first.contains("dropped (") && first.contains("1 threat score"), "{first}");
    for zero in [" 0 ", "updated", "renewed", "rejected", "left"] {
        assert!(!first.contains(zero), "{zero}: {first}");
    }
}

/// The host disables a timer whose schedule it cannot read, alone and in silence.
#[tokio::test(start_paused = true)]
async fn a_schedule_that_the_host_does_not_fire_by_is_told_on_the_page() {
    for (setting, word) in
        [("every hour", "cannot read"), ("0 0 0 31 2 *", "never comes"), ("", "SYNC_CRON is not set")]
    {
        let mut world = busy(2).await;
        world.set("SYNC_CRON", setting);
        let page = page(&world, json!({}), "schedule").await;
        assert_eq!(page.headline(), "The timer never fires");
        let now = page.section("now");
        assert!(now.contains(word) && now.contains("0 23 * * * *"), "{setting}: {now}");
        let (_, body) = post(&serve(&world), "Status", http(None, json!({}), json!({}))).await;
        let schedule = &crate::protocol::answered(&body).1["schedule"];
        assert!(schedule["fault"].as_str().unwrap().contains(word), "{setting}: {schedule}");
        assert_eq!(schedule["next"], Value::Null);
    }
    let (_, body) = post(&serve(&busy(1).await), "Status", http(None, json!({}), json!({}))).await;
    let schedule = &crate::protocol::answered(&body).1["schedule"];
    assert_eq!(schedule["fault"], Value::Null);
    assert_eq!(schedule["next"], "2026-03-02T13:45:00Z", "{schedule}");
}

/// Files as an attacker might have written them who wants the page to do something, and as heavy as they can be.
async fn hostile() -> World {
    let mut world = busy(2).await;
    world.set("SYNC_CRON", "0 23 * * * </code><script>");
    let long = |index: usize| format!("{}\u{202e}{}", HOSTILE[index % 4], "\"".repeat(2000));
    let now = world.now();
    for number in 0..40 {
        let started_at = now - TimeDelta::minutes(number);
        let counts: Value =
            ["read", "created", "updated", "renewed", "retracted", "unchanged", "rejected", "left"]
                .into_iter()
                .map(|name| (name.to_owned(), json!(1_000_000_000_000_000_000_u64 - number.unsigned_abs())))
                .collect::<serde_json::Map<_, _>>()
                .into();
        let mut lane = json!({"end": "stalled", "message": long(1), "watermark": null});
        lane.as_object_mut().unwrap().extend(counts.as_object().unwrap().clone());
        let report = json!({
            "run_id": long(0), "trigger": "timer", "dry_run": false, "started_at": started_at, "ended_at": now,
            "end": "stalled", "message": long(2),
            "lanes": {"sentinel": lane, "defender": lane, (HOSTILE[3]): lane},
        });
        write(&world, &format!("runs/{}.json", run_id(started_at)), &report.to_string());
    }
    let line = |index: usize| json!({"at": now, "id": long(3), "reason": long(index), "indicator": {"observable": {"url": long(index + 1)}}});
    let lines: Vec<String> =
        (0..9).map(|index| line(index).to_string()).chain(["{\"at\"".to_owned()]).collect();
    for lane in ["sentinel", "defender"] {
        write(&world, &format!("lanes/{lane}/rejected/{}.jsonl", run_id(now)), &lines.join("\n"));
    }
    let day = |held: u64| json!({ "day": now.date_naive() - TimeDelta::days(i64::from(held == 9)), "held": { "ipv4": held } });
    write(&world, "lanes/sentinel/days.json", &json!([day(9), day(u64::MAX)]).to_string());
    world
}

#[tokio::test(start_paused = true)]
async fn nothing_that_is_told_becomes_part_of_the_page() {
    let mut world = hostile().await;
    let now = world.now();
    let overview = page(&world, json!({}), "hostile").await;
    let text = overview.text();
    for hostile in HOSTILE {
        assert!(text.contains(hostile), "{hostile} is not shown as it is");
    }
    assert!(!text.contains('\u{202e}') && text.contains("damaged"));

    // A single pass, with every lane that its report names.
    page(&world, json!({ "run": run_id(now) }), "pass").await;
    // State that cannot be read.
    world.set("STATE_DIR", "/dev/null/<script>alert(1)</script>");
    let unreadable = page(&world, json!({}), "unreadable").await;
    assert!(unreadable.section("now").contains("STATE_DIR"), "{}", unreadable.text());
}

#[tokio::test(start_paused = true)]
async fn the_other_pages_keep_to_the_same() {
    let world = busy(1).await;
    let report = world.tick().await;
    let pass = page(&world, json!({ "run": report.run_id }), "pass-of-a-timer").await;
    assert!(pass.text().contains(&report.run_id) && pass.title() == "mati-sync: pass caught up");
    let checks = page(&world, json!({ "check": "1" }), "checks").await;
    assert_eq!(checks.headline(), "All 15 checks are well, and 1 could not be proven");
    assert!(checks.text().contains("not proven"), "{}", checks.text());
}

/// WCAG 2.2, 1.4.3 and 1.4.11: text stands out 4.5 to 1, and what only has to be seen 3 to 1.
#[test]
fn every_colour_stands_out_in_light_and_in_dark() {
    const STYLE: &str = include_str!("../../src/host/status_page/style.css");
    const PAIRS: [(&str, &[&str], f64); 8] = [
        ("--text", &["--page", "--card"], 4.5),
        ("--muted", &["--page", "--card"], 4.5),
        // Links are text in this colour, and lines are drawn in it, also over the area below them.
        ("--bar", &["--page", "--card"], 4.5),
        ("--bar", &["--area"], 3.0),
        ("--text", &["--good", "--open", "--bad"], 4.5),
        ("--good-text", &["--good"], 4.5),
        ("--open-text", &["--open"], 4.5),
        ("--bad-text", &["--bad"], 4.5),
    ];
    let (light, dark) = STYLE.split_once("prefers-color-scheme: dark").expect("both schemes");
    for (scheme, style) in [("light", light), ("dark", dark)] {
        for (front, backs, least) in PAIRS {
            for back in backs {
                let contrast = document::contrast(&colour(style, front), &colour(style, back));
                assert!(contrast >= least, "{scheme}: {front} on {back} has {contrast:.2} to 1");
            }
        }
    }
    // No colour stands anywhere but in the variables that were compared.
    let rules = STYLE.split_once("* {").expect("the rules").1;
    assert!(!rules.contains('#') && !rules.contains("rgb"), "{rules}");
}

fn colour(style: &str, name: &str) -> String {
    let (_, rest) = style.split_once(&format!("{name}: ")).unwrap_or_else(|| panic!("{name} is not set"));
    rest.chars().take_while(|character| *character != ';').collect()
}

fn run_id(at: DateTime<Utc>) -> String {
    mati_sync::domain::report::run_id(at, 7)
}

fn write(world: &World, name: &str, content: &str) {
    let path = world.state.path().join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_lane_says_how_much_microsoft_s_rules_can_match() {
    let mut world = world();
    world.set("HASH_TYPE", "md5");
    let at = world.ago(TimeDelta::hours(40));
    world.mandiant.put_all([
        Record::ipv6("2a01:4f8:c0c:1234::1").updated(at),
        Record::ipv4("198.51.101.7").updated(at),
        Record::file(Some(&"a".repeat(32)), None, None).updated(at),
    ]);
    world.tick().await;
    let text = page(&world, json!({}), "rules").await.text();
    assert!(text.contains("2 of 3 objects sent in the newest passes"), "{text}");
    assert!(text.contains("with HASH_TYPE=md5 Microsoft's endpoint rules"), "{text}");
    // Defender compares by itself.
    assert_eq!(text.matches("Matchable by Microsoft's rules").count(), 1, "{text}");
}
