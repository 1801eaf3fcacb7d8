//! What is chosen of what Google lists, and what the status page says of a source of several lists.

use chrono::TimeDelta;
use mati_sync::domain::outcome::End;
use sandbox::{
    corpus::Record,
    gti::{Ioc, Rate},
};
use serde_json::json;

use super::{hours_ago, lane, pass_hours, world};
use crate::{
    harness::world::World,
    protocol::{http, post, serve},
};

/// The past cannot be read again for longer than Google keeps it: that is done, and what is older ends with its validity.
#[tokio::test(start_paused = true)]
async fn a_change_of_settings_reads_seven_days_again_and_says_what_becomes_of_the_rest() {
    let mut world = world();
    world.set("INITIAL_LOOKBACK", "7");
    let named = |value: &str| Ioc::domain(value).related("threat_actors", "APT1");
    world.gti.put("malware", hours_ago(&world, 6 * 24), &Ioc::domain("old.example"));
    world.gti.put("malware", hours_ago(&world, 2), &Ioc::domain("nameless.example"));
    world.gti.put("malware", hours_ago(&world, 2), &named("actor.example"));
    let report = world.tick().await;
    assert_eq!((world.held().len(), &lane(&report).message), (3, &None), "{report:#?}");

    pass_hours(2 * 24).await;
    world.tick().await;
    world.set("ATTRIBUTED_ONLY", "true");
    let report = world.tick().await;
    assert_eq!(report.totals().retracted, 1, "{report:#?}");
    assert_eq!(world.held(), ["actor.example", "old.example"]);
    let told = lane(&report).message.clone().unwrap_or_default();
    assert!(told.contains("in the last 7 days is read again"), "{told}");
    assert!(told.contains("was listed before ages out unless it is listed again"), "{told}");
    assert_eq!(lane(&world.tick().await).message, None, "it is told once");

    while world.held().contains(&"old.example".to_owned()) {
        assert!(world.now() < hours_ago(&world, 0) + TimeDelta::days(90), "it does not age out");
        pass_hours(24).await;
        assert_eq!(world.tick().await.totals().retracted, 0, "silence retracts nothing");
    }
}

#[tokio::test(start_paused = true)]
async fn files_are_sent_under_their_sha256_where_sha1_stands_for_them() {
    let mut world = world();
    world.set("HASH_TYPE", "sha1");
    let notices = world.settings().notices;
    assert!(notices.iter().any(|told| told.contains("HASH_TYPE names sha1")), "{notices:?}");
    let digest = "a".repeat(63) + "b";
    world.gti.put("malware", hours_ago(&world, 2), &Ioc::file(&digest, Some(&"c".repeat(32))));
    world.tick().await;
    assert_eq!(world.held(), [digest]);
    world.set("SOURCE", "mandiant").set("MATI_KEY", "key").set("MATI_SECRET", "secret");
    let notices = world.settings().notices;
    assert!(!notices.iter().any(|told| told.contains("sha1")), "Mandiant tells it: {notices:?}");
}

/// The guard is for both sources: what Mandiant says unasked counts.
#[tokio::test(start_paused = true)]
async fn what_mandiant_calls_benign_is_not_sent_either() {
    let mut world = World::new();
    let at = world.ago(TimeDelta::hours(1));
    let judged = |value: &str, verdict| Record::fqdn(value).updated(at).set("verdict", verdict);
    let benign = json!({ "verdict": "benign" });
    world.mandiant.put(judged("analyst.example", json!({ "analystVerdict": benign })));
    world
        .mandiant
        .put(judged("model.example", json!({ "authoritativeVerdict": "mlVerdict", "mlVerdict": benign })));
    let contradicted = json!({
        "authoritativeVerdict": "analystVerdict",
        "analystVerdict": { "verdict": "malicious" },
        "mlVerdict": benign,
    });
    world.mandiant.put(judged("contradicted.example", contradicted));
    let report = world.tick().await;
    assert_eq!((report.end, lane(&report).counts.dropped.benign), (End::CaughtUp, 2), "{report:#?}");
    assert_eq!(world.held(), ["contradicted.example"]);
    world.set("EXCLUDE_BENIGN", "false");
    world.tick().await;
    assert_eq!(world.held(), ["analyst.example", "contradicted.example", "model.example"]);
}

#[tokio::test(start_paused = true)]
async fn the_status_page_shows_the_quota_and_what_is_amiss_with_the_lists() {
    let mut world = world();
    world.set("GTI_LISTS", "malware,phishing,trending");
    let missing = hours_ago(&world, 5 * 24);
    world.gti.set(|knobs| {
        knobs.holes.insert(("malware".to_owned(), missing));
        knobs.forbidden.insert("phishing".to_owned());
        knobs.daily_quota = Some(20_000);
        knobs.rate = None::<Rate>;
    });
    world.tick().await;
    pass_hours(1).await;
    world.tick().await;
    let page = async || {
        let request = http(None, json!({}), json!({ "Accept": ["text/html"] }));
        let (_, body) = post(&serve(&world), "Status", request).await;
        body["Outputs"]["response"]["body"].to_string()
    };
    let shown = page().await;
    assert!(shown.contains("of 20,000 of the day"), "{shown}");
    assert!(shown.contains("Lists that cannot be read") && shown.contains("phishing: "), "{shown}");
    assert!(shown.contains("Packages that are missing") && !shown.contains("Lost at the source"), "{shown}");
    pass_hours(3 * 24).await;
    let report = world.tick().await;
    assert_eq!(report.losses.len(), 1, "{report:#?}");
    let shown = page().await;
    assert!(shown.contains("Lost at the source in 90 days") && shown.contains("malware, from "), "{shown}");
    assert!(!shown.contains("Packages that are missing"), "{shown}");
}
