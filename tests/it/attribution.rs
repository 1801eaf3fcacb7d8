//! What is wanted by attribution: to threat actors, malware families and campaigns, and by category.

use chrono::TimeDelta;
use mati_sync::domain::outcome::End;
use sandbox::corpus::Record;

use crate::harness::world::World;

/// Five records of the last hours: two attributed ones, one of a campaign, one whose actor is withheld, one of none.
fn world() -> World {
    let world = World::new();
    let hours = |hours| world.ago(TimeDelta::hours(hours));
    world.mandiant.put_all([
        Record::fqdn("actor.example").actor("FIN7").mscore(85).updated(hours(3)),
        Record::fqdn("malware.example").malware("LOCKBIT").mscore(70).updated(hours(4)),
        Record::fqdn("campaign.example")
            .campaign("CAMP.26.001", "Silent Storm")
            .categories(&["phishing"])
            .mscore(85)
            .updated(hours(5)),
        Record::fqdn("withheld.example").actor("redacted").mscore(85).updated(hours(6)),
        Record::fqdn("none.example").mscore(85).updated(hours(7)),
    ]);
    world
}

async fn held_with(settings: &[(&str, &str)]) -> Vec<String> {
    let mut world = world();
    for (name, value) in settings {
        world.set(name, value);
    }
    let report = world.tick().await;
    assert_eq!(report.end, End::CaughtUp, "{report:#?}");
    world.held().into_iter().map(|value| value.trim_end_matches(".example").to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn names_and_categories_choose_among_the_records() {
    assert_eq!(held_with(&[]).await, ["actor", "campaign", "none", "withheld"]);
    assert_eq!(held_with(&[("ATTRIBUTED_ONLY", "true")]).await, ["actor"], "a withheld name is none");
    assert_eq!(held_with(&[("ACTORS", " fin7 , APT1")]).await, ["actor"], "case does not matter");
    assert_eq!(held_with(&[("CAMPAIGNS", "silent storm")]).await, ["campaign"], "by its title");
    assert_eq!(held_with(&[("CAMPAIGNS", "camp.26.001")]).await, ["campaign"], "by its name");
    assert_eq!(held_with(&[("ACTORS", "FIN7"), ("CATEGORIES", "Phishing")]).await, ["actor", "campaign"]);
    assert_eq!(held_with(&[("MALWARE", "LOCKBIT")]).await, [""; 0], "its confidence is too low all the same");
}

#[tokio::test(start_paused = true)]
async fn a_threshold_by_attribution_wins_over_the_general_one() {
    let lower = held_with(&[("ATTRIBUTION_THRESHOLDS", "LockBit=60")]).await;
    assert_eq!(lower, ["actor", "campaign", "malware", "none", "withheld"]);
    let higher = held_with(&[("ATTRIBUTION_THRESHOLDS", "FIN7=90")]).await;
    assert_eq!(higher, ["campaign", "none", "withheld"]);
    let both = held_with(&[
        ("MINIMUM_CONFIDENCE", "90"),
        ("ATTRIBUTION_THRESHOLDS", "FIN7=60"),
        ("MALWARE", "LOCKBIT"),
    ]);
    assert_eq!(both.await, [""; 0], "a threshold does not make a name wanted");
}

/// The filter counts its own, and a changed choice applies to what is held.
#[tokio::test(start_paused = true)]
async fn a_changed_choice_retracts_what_it_no_longer_wants() {
    let mut world = world();
    world.tick().await;
    world.set("ACTORS", "FIN7");
    let report = world.tick().await;
    assert_eq!((report.end, report.totals().retracted), (End::CaughtUp, 3), "{report:#?}");
    assert_eq!(world.held(), ["actor.example"]);

    let mut fresh = self::world();
    fresh.set("ATTRIBUTED_ONLY", "true");
    let dropped = fresh.tick().await.totals().dropped;
    assert_eq!((dropped.attribution, dropped.confidence), (3, 1), "{dropped:?}");
}
