//! `GET /api/status` as a person sees it: what it tells, that nothing in it can do anything, and that it can be read
//! with any sight and without a mouse. The pages are left beneath the build's temporary directory, to be looked at.

mod document;

use chrono::{DateTime, TimeDelta, Utc};
use sandbox::{corpus::Record, sentinel::Authorization};
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

/// The page that a browser gets for this query, checked for everything that any page must keep to.
async fn page(world: &World, query: Value, name: &str) -> Document {
    let app = serve(world);
    let invocation = http(None, query, json!({ "Accept": ["text/html,application/xhtml+xml"] }));
    let (_, body) = post(&app, "Status", invocation).await;
    let response = &body["Outputs"]["response"];
    let html = response["body"].as_str().unwrap_or_else(|| panic!("{body}"));
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("status-{name}.html"));
    std::fs::write(file, html).unwrap();
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

/// A world with both destinations and an hourly timer.
fn world() -> World {
    let mut world = World::new();
    world.set("TARGET_APPLICATION", "sentinel,defender").set("SYNC_CRON", "0 23 * * * *");
    world
}

async fn an_hour_passes() {
    tokio::time::sleep(std::time::Duration::from_secs(3600)).await;
}

/// Some records of every type, two of which Sentinel refuses, and hourly passes.
async fn busy(hours: u32) -> World {
    let mut world = world();
    world.set("SYNC_CRON", "0 45 * * * *");
    world.sentinel.knobs(|knobs| {
        knobs.reject = Some(std::sync::Arc::new(|object: &Value| {
            let pattern = object["pattern"].as_str().unwrap_or_default();
            pattern.contains("refuse").then(|| format!("this is not <b>wanted</b> here: {pattern}"))
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
            world.mandiant.put(Record::fqdn(&format!("refuse-{hour}.example")).updated(at));
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
    assert!(page.text().contains("Nothing has run yet") && page.text().contains("mati-sync check"));
    assert!(page.text().contains("2026-03-02 12:23 UTC, in 23 minutes"), "{}", page.text());
    assert_eq!(page.title(), "mati-sync: nothing has run yet");
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
        assert!(text.contains("Set aside") && text.contains("EOF while parsing"), "{text}");
        world.tick().await;
    }
}

#[tokio::test(start_paused = true)]
async fn when_all_is_well_the_page_says_since_when_and_what_is_held() {
    let world = busy(34).await;
    let page = page(&world, json!({}), "healthy").await;
    let text = page.text();
    assert_eq!(page.title(), "mati-sync: healthy");
    // Thirty passes are shown, so that is as far back as anybody knows.
    assert!(text.contains("Healthy since at least 2026-03-02 16:00 UTC"), "{text}");
    assert!(!text.contains("What to do now"));
    let sentinel = page.section("lane-sentinel");
    for (label, number) in
        [("Domain names", "34"), ("URLs", "34"), ("File hashes", "0"), ("Adopted or of unknown type", "0")]
    {
        assert!(sentinel.contains(&format!("{label}{number}")), "{label}: {sentinel}");
    }
    assert!(sentinel.contains("The last 30 passes") && sentinel.contains("caught up"));
    assert!(sentinel.contains("this is not <b>wanted</b> here"), "{sentinel}");
    assert!(sentinel.contains("refuse-23.example") && sentinel.contains("refuse-3.example"));
    assert!(page.section("lane-defender").contains("None on file"));
    // Twelve charts, each with its numbers in words.
    let charts: Vec<String> = page.all("svg").map(|chart| chart.text()).collect();
    assert_eq!(charts.len(), 12);
    let created = charts.iter().find(|chart| chart.starts_with("Created")).unwrap();
    assert!(
        created.contains("each of the last 30 passes, oldest first: ") && created.matches(", ").count() == 30
    );
}

#[tokio::test(start_paused = true)]
async fn when_a_lane_stalls_the_page_says_which_since_when_and_what_to_do() {
    let world = busy(3).await;
    world.sentinel.authorize(|_, _| Authorization::Forbidden);
    let at = world.ago(TimeDelta::minutes(30));
    world.mandiant.put(Record::ipv4("203.0.113.9").updated(at));
    world.tick().await;
    an_hour_passes().await;
    world.tick().await;
    let page = page(&world, json!({}), "stalled").await;
    let text = page.text();
    assert_eq!(page.title(), "mati-sync: needs attention");
    assert!(text.contains("Needs attention: Microsoft Sentinel stalled since 2026-03-02 15:"), "{text}");
    assert!(page.section("now").contains("the role Microsoft Sentinel Contributor"), "{text}");
    assert!(page.section("lane-defender").starts_with("Defender for Endpoint caught up"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_timer_that_stopped_is_no_health() {
    let world = busy(2).await;
    tokio::time::sleep(std::time::Duration::from_secs(3 * 86_400)).await;
    let page = page(&world, json!({}), "late").await;
    assert!(page.text().contains("Late: a pass was due at 2026-03-02 13:45 UTC"), "{}", page.text());
    assert!(page.section("now").contains("SyncTimer"));
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
        assert!(page.text().contains("Needs attention: the timer never fires"), "{}", page.text());
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

/// Files as somebody might have written them who wants the page to do something, and as heavy as they can be.
#[tokio::test(start_paused = true)]
async fn nothing_that_is_told_becomes_part_of_the_page() {
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
    let overview = page(&world, json!({}), "hostile").await;
    let text = overview.text();
    for hostile in HOSTILE {
        assert!(text.contains(hostile), "{hostile} is not shown as it is");
    }
    assert!(!text.contains('\u{202e}') && text.contains("damaged"));

    // A single pass, with every lane that its report names.
    page(&world, json!({ "run": run_id(now) }), "pass").await;
    // State that nobody can read.
    world.set("STATE_DIR", "/dev/null/<script>alert(1)</script>");
    let unreadable = page(&world, json!({}), "unreadable").await;
    assert!(unreadable.section("now").contains("STATE_DIR"), "{}", unreadable.text());
}

#[tokio::test(start_paused = true)]
async fn a_manifest_that_is_damaged_is_told_and_hides_nothing_else() {
    let world = busy(2).await;
    for segment in std::fs::read_dir(world.state.path().join("lanes/sentinel/manifest")).unwrap() {
        std::fs::write(segment.unwrap().path(), "no segment").unwrap();
    }
    let page = page(&world, json!({}), "damaged").await;
    assert_eq!(page.title(), "mati-sync: needs attention");
    assert!(page.text().contains("the manifest of Microsoft Sentinel cannot be read"), "{}", page.text());
    assert!(page.section("now").contains("--rebuild"), "{}", page.text());
    assert!(page.section("lane-sentinel").contains("not known"));
    assert!(page.section("lane-defender").contains("Domain names2"));
}

#[tokio::test(start_paused = true)]
async fn the_other_pages_keep_to_the_same() {
    let world = busy(1).await;
    let report = world.tick().await;
    let pass = page(&world, json!({ "run": report.run_id }), "pass-of-a-timer").await;
    assert!(pass.text().contains(&report.run_id) && pass.title() == "mati-sync: caught up");
    let checks = page(&world, json!({ "check": "1" }), "checks").await;
    assert!(checks.text().contains("Everything can be reached") && checks.text().contains("does not prove"));
}

/// WCAG 2.2, 1.4.3 and 1.4.11: text stands out 4.5 to 1, and what only has to be seen 3 to 1.
#[test]
fn every_colour_stands_out_in_light_and_in_dark() {
    const STYLE: &str = include_str!("../../src/host/status_page/style.css");
    const PAIRS: [(&str, &[&str], f64); 6] = [
        ("--text", &["--page", "--card"], 4.5),
        ("--muted", &["--page", "--card"], 4.5),
        ("--bar", &["--page", "--card"], 3.0),
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
