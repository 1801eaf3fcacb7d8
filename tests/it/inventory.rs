//! What a workspace holds, read through Azure Resource Manager: all of it, at a tolerable pace, and only what is ours
//! to go on with.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use chrono::TimeDelta;
use mati_sync::{
    app::secret_store,
    azure::{
        api::{Api, ApiError},
        identity::Identity,
        upload_identity::UploadIdentity,
    },
    clock::{Deadline, OutOfTime, SharedClock},
    destination::sentinel::inventory::{ANSWER_BYTES, Inventory, REQUESTS_PER_MINUTE, url},
    domain::{
        entry::Handle,
        fingerprint::Fingerprint,
        inventory::{Held, InventoryPage, Owner, PassedOver},
        observable::{HashType, Observable},
        outcome::End,
    },
    http::{limiter::Limiter, traffic::Traffic},
};
use sandbox::{
    corpus::Record,
    net::Fault,
    resource_manager::planted,
    sentinel::{Answer, Authorization},
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::world::World;

/// The inventory of `world`'s workspace, as its settings say.
fn inventory_of(world: &World) -> Inventory {
    let (settings, clock) = (Arc::new(world.settings()), Arc::clone(&world.clock) as SharedClock);
    let identity = |principal| Identity::new(principal, world.transport(), Arc::clone(&clock));
    let platform = Arc::new(identity(settings.azure.platform()));
    let secrets = secret_store(&settings, settings.source_kind, &world.transport(), &platform);
    let app = identity(settings.azure.uploader(true));
    let resource =
        settings.sentinel.as_ref().and_then(|sentinel| sentinel.resource.as_ref()).expect("the world adopts");
    Inventory {
        api: Api {
            name: "Azure Resource Manager",
            scope: settings.sentinel.as_ref().expect("a target").scope.to_owned(),
            longest_answer: ANSWER_BYTES,
            uploader: Arc::new(UploadIdentity::new(Some(app), platform, Arc::new(secrets))),
            limiter: Arc::new(Limiter::new(REQUESTS_PER_MINUTE)),
            transport: world.transport(),
            clock,
        },
        url: url(
            &resource.base_url,
            &resource.subscription_id,
            &resource.resource_group,
            &resource.workspace,
        ),
        source_system: settings.source_system.clone(),
    }
}

fn world() -> World {
    let mut world = World::new();
    world.adopts();
    world
}

async fn page(inventory: &Inventory, token: Option<&str>) -> Result<InventoryPage, ApiError> {
    let deadline = Deadline::after(Duration::from_secs(3600));
    inventory.page(token, &deadline, &Traffic::default()).await
}

/// Page after page, to the end.
async fn all(world: &World) -> (Vec<Held>, Vec<PassedOver>) {
    let inventory = inventory_of(world);
    let (mut held, mut passed_over, mut token) = (Vec::new(), Vec::new(), None);
    loop {
        let next = page(&inventory, token.as_deref()).await.unwrap();
        held.extend(next.held);
        passed_over.extend(next.passed_over);
        token = next.next;
        if token.is_none() {
            return (held, passed_over);
        }
    }
}

async fn stalls(world: &World, parts: &[&str]) {
    let ApiError::Stalled(problem) = page(&inventory_of(world), None).await.unwrap_err() else { panic!() };
    for part in parts {
        assert!(problem.message.contains(part), "{part} is not in {problem}");
    }
}

/// Another product's indicator, valid for a month.
fn theirs(world: &World, number: u128, pattern: &str) -> Value {
    let id = format!("indicator--{}", Uuid::from_u128(number));
    planted("Mandiant", &id, pattern, 75, &(world.now() + TimeDelta::days(30)).to_rfc3339())
}

#[tokio::test(start_paused = true)]
async fn all_pages_are_read_and_both_our_own_and_foreign_ids_are_recognised() {
    let world = world();
    let at = world.ago(TimeDelta::hours(3));
    let address = |n: u32| format!("198.51.{}.{}", n / 250, n % 250 + 1);
    world.mandiant.put_all((0..700).map(|n| Record::ipv4(&address(n)).updated(at)));
    world.mandiant.put(Record::url(r"https://bad.example/it's\here?A=b").updated(at));
    let report = world.tick().await;
    assert_eq!((report.end, report.totals().created), (End::CaughtUp, 701));
    let in_a_month = world.now() + TimeDelta::days(30);
    for n in 0..450 {
        let pattern = format!("[ ipv4-addr:value='{}' ]", address(n));
        world.resource_manager.plant(theirs(&world, n.into(), &pattern));
    }
    let (held, passed_over) = all(&world).await;
    assert_eq!((held.len(), passed_over), (1151, Vec::new()));
    let (ours, foreign): (Vec<_>, Vec<_>) = held.into_iter().partition(|held| held.owner == Owner::Us);
    assert_eq!((ours.len(), foreign.len()), (701, 450));
    let keys = |inventory: &[Held]| inventory.iter().map(|holding| holding.key).collect::<BTreeSet<_>>();
    assert_eq!(keys(&ours).len(), 701);
    assert!(keys(&foreign).is_subset(&keys(&ours)), "one value has one key, whichever product sent it");
    let first = Observable::ipv4(&address(0)).unwrap().subject(HashType::Md5).key();
    let holding = foreign.iter().find(|holding| holding.key == Some(first)).unwrap();
    assert_eq!(holding.handle, Some(Handle::Foreign(Uuid::from_u128(0))));
    assert_eq!(holding.fingerprint, Fingerprint::adopted(75));
    assert_eq!(holding.valid_until, Some(in_a_month));

    let queries = world.resource_manager.queries();
    assert_eq!(queries.len(), 1 + 12, "after the lane's own, when the workspace was empty");
    assert!(queries.iter().all(|query| query.body["sources"] == json!(["Mandiant"])), "{queries:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_not_ours_to_go_on_with_has_a_reason() {
    let world = world();
    world.resource_manager.knobs(|knobs| knobs.ignore_sources = true);
    let changed = |number, name: &str, value: Value| {
        let mut resource = theirs(&world, number, "[domain-name:value = 'bad.example']");
        resource["properties"][name] = value;
        resource
    };
    let mut of_another_kind = changed(1, "confidence", json!(1));
    of_another_kind["kind"] = "attack-pattern".into();
    let compound = "[file:name = 'a' AND file:hashes.MD5 = '0123456789abcdef0123456789abcdef']";
    world.resource_manager.plant(of_another_kind);
    world.resource_manager.plant(theirs(&world, 9, compound));
    for (number, name, value) in [
        (2, "source", json!("Another product")),
        (3, "source", json!("mandiant")),
        (4, "revoked", json!(true)),
        (5, "validUntil", json!("")),
        (6, "validUntil", json!("2026-03-01T00:00:00")),
        (7, "externalId", json!("intel-7")),
        (8, "validUntil", json!("2026-05-01T00:00:00.0000000")),
        (10, "confidence", Value::Null),
    ] {
        world.resource_manager.plant(changed(number, name, value));
    }
    let (held, passed_over) = all(&world).await;
    assert_eq!(
        held.iter().map(|held| held.fingerprint).collect::<Vec<_>>(),
        [75, 0].map(Fingerprint::adopted)
    );
    assert_eq!(held[0].valid_until.unwrap().to_rfc3339(), "2026-05-01T00:00:00+00:00");
    let reasons: String =
        passed_over.iter().map(|passed| format!("{} {}\n", passed.id, passed.reason)).collect();
    for reason in [
        "kind \"attack-pattern\"",
        "source \"Another product\"",
        "source \"mandiant\"",
        "revoked",
        "end of validity: \"\"",
        "expired at 2026-03-01",
        "intel-7 has an id",
        "file:name",
    ] {
        assert!(reasons.contains(reason), "{reason} is not in\n{reasons}");
    }
    assert_eq!(passed_over.len(), 8, "{reasons}");
}

#[tokio::test(start_paused = true)]
async fn the_pace_stays_below_the_limit_and_throttling_is_waited_out() {
    let world = world();
    for n in 0..400 {
        let pattern = format!("[ipv4-addr:value = '198.51.{}.{}']", n / 250, n % 250 + 1);
        world.resource_manager.plant(theirs(&world, n, &pattern));
    }
    world.resource_manager.knobs(|knobs| knobs.largest_page = 1);
    assert_eq!(all(&world).await.0.len(), 400);
    let queries = world.resource_manager.queries();
    assert!(queries.iter().all(|query| query.status == 200), "a bucket of 200, refilled in time");
    let pace = (queries[399].at - queries[0].at).num_seconds();
    assert!((79..=85).contains(&pace), "400 pages in {pace} s");

    // Another client has emptied the bucket.
    let world = self::world();
    for n in 1..=10 {
        world.resource_manager.plant(theirs(&world, n, &format!("[ipv4-addr:value = '198.51.100.{n}']")));
    }
    world.resource_manager.knobs(|knobs| {
        (knobs.largest_page, knobs.bucket, knobs.refill) = (1, 1, TimeDelta::seconds(30));
    });
    assert_eq!(all(&world).await.0.len(), 10);
    let queries = world.resource_manager.queries();
    let throttled = queries.iter().filter(|query| query.status == 429).count();
    assert!((1..=9).contains(&throttled), "each wait was long enough: {throttled}");
}

#[tokio::test(start_paused = true)]
async fn outages_and_lost_tokens_are_sat_out() {
    let world = world();
    for n in 1..=250 {
        world.resource_manager.plant(theirs(&world, n, &format!("[ipv4-addr:value = '198.51.100.{n}']")));
    }
    let answer = |status, body: &str| Answer { status, headers: Vec::new(), body: body.to_owned() };
    world.resource_manager.knobs(|knobs| {
        let token =
            r#"{"error":{"code":"ExpiredAuthenticationToken","message":"The access token has expired."}}"#;
        knobs.script = [answer(503, ""), answer(200, "<html>"), answer(401, token)].into();
    });
    let lost = AtomicBool::new(true);
    world.net.on_request(move |exchange| {
        let is_list = exchange.authority == "management.azure.com";
        (is_list && lost.swap(false, Ordering::Relaxed)).then_some(Fault::ResetAfter)
    });
    assert_eq!(all(&world).await.0.len(), 250);
    assert_eq!(world.entra.issued().len(), 2, "one token, and one in its place");
}

#[tokio::test(start_paused = true)]
async fn a_list_that_runs_in_circles_or_runs_out_is_an_error() {
    let world = world();
    for n in 1..=250 {
        world.resource_manager.plant(theirs(&world, n, &format!("[ipv4-addr:value = '198.51.100.{n}']")));
    }
    let inventory = inventory_of(&world);
    world.resource_manager.knobs(|knobs| knobs.token_pages = Some(1));
    let first = page(&inventory, None).await.unwrap();
    let ApiError::Rejected(rejection) = page(&inventory, first.next.as_deref()).await.unwrap_err() else {
        panic!()
    };
    assert!(rejection.reason.contains("expired"), "{rejection}");

    world.resource_manager.knobs(|knobs| (knobs.token_pages, knobs.loops) = (None, true));
    let first = page(&inventory, None).await.unwrap();
    let ApiError::Stalled(problem) = page(&inventory, first.next.as_deref()).await.unwrap_err() else {
        panic!()
    };
    assert!(problem.message.contains("same page"), "{problem}");
}

#[tokio::test(start_paused = true)]
async fn whatever_the_operator_can_mend_is_named() {
    let mut world = world();
    world.resource_manager.authorize(|_, _| Authorization::Forbidden);
    stalls(&world, &["AuthorizationFailed", "Microsoft Sentinel Reader", "remove AZURE_SUBSCRIPTION_ID"])
        .await;
    world.resource_manager.authorize(|_, _| Authorization::Unauthenticated);
    stalls(&world, &["does not accept the token", "AZURE_CLOUD"]).await;
    world.resource_manager.authorize(|_, _| Authorization::Valid);
    for (name, value, code) in [
        ("AZURE_SUBSCRIPTION_ID", "00000000-0000-4000-8000-000000000001", "SubscriptionNotFound"),
        ("AZURE_RESOURCE_GROUP_NAME", "another", "ResourceGroupNotFound"),
        ("AZURE_WORKSPACE_NAME", "another", "ResourceNotFound"),
    ] {
        world.adopts().set(name, value);
        stalls(&world, &[code, name]).await;
    }
    world.adopts();
    assert_eq!(page(&inventory_of(&world), None).await.unwrap().next, None);

    let deadline = Deadline::after(Duration::from_millis(100));
    let ended = inventory_of(&world).page(None, &deadline, &Traffic::default()).await;
    assert_eq!(ended, Err(ApiError::OutOfTime(OutOfTime::default())));
}
