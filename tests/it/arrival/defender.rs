//! The same at Defender, by its list.

use sandbox::defender::Operation;

use super::*;

fn defender() -> World {
    let mut world = World::new();
    world.set("TARGET_APPLICATION", "defender").set("VERIFY_ARRIVAL", "true");
    world
}

fn lose_imports(world: &World, lost: impl Fn(usize) -> bool + Send + Sync + 'static) {
    let number = AtomicUsize::new(0);
    world.defender.knobs(|knobs| {
        knobs.lose = Some(Arc::new(move |_| lost(number.fetch_add(1, Ordering::Relaxed) + 1)));
    });
}

fn lists(world: &World) -> usize {
    let requests = world.defender.requests();
    requests.iter().filter(|request| request.operation == Some(Operation::List)).count()
}

fn of_defender(report: &Report) -> (u64, u64, u64) {
    assert_eq!(report.end, End::CaughtUp, "{report:#?}");
    let ArrivalReport { sampled, seen, missing, .. } = report.lanes["defender"].arrival;
    (sampled, seen, missing)
}

#[tokio::test(start_paused = true)]
async fn a_lost_import_is_found_by_one_reading_of_the_list_and_healed() {
    let world = defender();
    list(&world, 0, 20);
    world.tick().await;
    let report = tick_after(&world, HOUR).await;
    assert_eq!(of_defender(&report), (1, 1, 0), "{report:#?}");
    let before = lists(&world);
    let report = tick_after(&world, HOUR).await;
    assert_eq!((of_defender(&report), lists(&world)), ((0, 0, 0), before), "nothing is awaited");

    lose_imports(&world, |number| number == 1);
    tokio::time::advance(HOUR).await;
    // Longer ago than the next pass reads again by itself.
    let at = world.ago(TimeDelta::minutes(40));
    world.mandiant.put_all((100..110).map(|n| Record::ipv4(&address(n)).updated(at).mscore(95)));
    assert_eq!(world.tick().await.totals().created, 10);
    assert_eq!(world.defender.stored().len(), 20);
    for _ in 0..2 {
        let before = lists(&world);
        let report = tick_after(&world, HOUR).await;
        assert_eq!(of_defender(&report), (1, 0, 0), "{report:#?}");
        assert!(lists(&world) - before <= 2, "one reading: a page, and one that is empty");
    }
    let before = lists(&world);
    let report = tick_after(&world, HOUR + HOUR / 10).await;
    assert_eq!((of_defender(&report).2, report.totals().created), (1, 10), "{report:#?}");
    assert_eq!(world.defender.stored().len(), 30);
    assert!(lists(&world) - before <= 2, "{}", lists(&world) - before);
    let message = report.lanes["defender"].message.clone().unwrap_or_default();
    assert!(message.contains("accepted but not arrived: Defender for Endpoint accepted"), "{message}");
    let report = tick_after(&world, HOUR).await;
    assert_eq!(of_defender(&report).2, 0, "{report:#?}");
    assert!(complaints(&world).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_list_that_cannot_be_read_proves_nothing() {
    let world = defender();
    list(&world, 0, 5);
    world.tick().await;
    world.defender.knobs(|knobs| knobs.permission = false);
    let report = tick_after(&world, 4 * HOUR).await;
    assert_eq!(of_defender(&report), (0, 0, 0), "{report:#?}");
    assert!(report.lanes["defender"].arrival.problem.is_some(), "{report:#?}");
    world.defender.knobs(|knobs| knobs.permission = true);
    let report = tick_after(&world, HOUR).await;
    assert_eq!(of_defender(&report), (1, 1, 0), "{report:#?}");
}

#[tokio::test(start_paused = true)]
async fn what_made_way_for_better_ones_is_not_missing() {
    let mut world = defender();
    world.set("DEFENDER_INDICATOR_LIMIT", "10");
    list(&world, 0, 10);
    world.tick().await;
    let at = world.ago(TimeDelta::minutes(3));
    world.mandiant.put_all((50..60).map(|n| Record::ipv4(&address(n)).updated(at).mscore(100)));
    let report = world.tick().await;
    assert_eq!((of_defender(&report).2, report.totals().displaced), (0, 10), "{report:#?}");
    let report = tick_after(&world, 4 * HOUR).await;
    assert_eq!(of_defender(&report).2, 0, "{report:#?}");
}
