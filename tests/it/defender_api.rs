//! The client of Defender for Endpoint's indicators API against its stand-in.

mod deletion;
mod list;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use mati_sync::{
    app::secret_store,
    azure::{
        api::{Api, ApiError},
        identity::Identity,
        upload_identity::UploadIdentity,
    },
    clock::{Deadline, SharedClock},
    destination::defender::{
        client::{ANSWER_BYTES, BATCH, Defender, REQUESTS_PER_MINUTE},
        convert::{Action, Style, indicator},
        wire::Import,
    },
    domain::{
        entry::{Handle, Rank},
        observable::{HashType, IndicatorType},
        outcome::RecordOutcome,
        plan::Planned,
    },
    http::{limiter::Limiter, traffic::Traffic},
    settings::Settings,
    source::mandiant,
    source::mandiant::PROVIDER,
};
use sandbox::{
    corpus::Record,
    defender::{Knobs, Operation},
};
use serde_json::{Value, json};

use crate::harness::world::World;

/// The client as the program builds it, and what is counted of it.
struct Bench {
    world: World,
    defender: Defender,
    deadline: Deadline,
    traffic: Traffic,
}

impl Bench {
    fn new() -> Self {
        let world = World::new();
        let clock: SharedClock = Arc::clone(&world.clock) as _;
        let mut vars = world.vars().clone();
        vars.insert("TARGET_APPLICATION".to_owned(), "defender".to_owned());
        let settings = Arc::new(Settings::parse(&vars).unwrap());
        let identity = |principal| Identity::new(principal, world.transport(), Arc::clone(&clock));
        let platform = Arc::new(identity(settings.azure.platform()));
        let secrets = Arc::new(secret_store(&settings, settings.source_kind, &world.transport(), &platform));
        let app = identity(settings.azure.uploader(true));
        let own = settings.defender.clone().unwrap();
        let defender = Defender {
            api: Api {
                name: "Defender for Endpoint",
                scope: own.scope,
                longest_answer: ANSWER_BYTES,
                uploader: Arc::new(UploadIdentity::new(Some(app), platform, secrets)),
                limiter: Arc::new(Limiter::new(REQUESTS_PER_MINUTE)),
                transport: world.transport(),
                clock,
            },
            base_url: own.base_url,
            style: Style { action: Action::Audit, provider: PROVIDER },
            limit: own.indicator_limit,
        };
        let deadline = Deadline::after(Duration::from_secs(24 * 3600));
        Self { world, defender, deadline, traffic: Traffic::default() }
    }

    fn knobs(&self, change: impl FnOnce(&mut Knobs)) {
        self.world.defender.knobs(change);
    }

    async fn import(&self, batch: &[Planned]) -> Result<Vec<RecordOutcome>, ApiError> {
        self.defender.import(batch, &self.deadline, &self.traffic).await
    }

    fn planned(&self, record: Record) -> Planned {
        planned(&record, self.world.now())
    }

    fn domains(&self, count: usize) -> Vec<Planned> {
        (0..count).map(|number| self.planned(Record::fqdn(&format!("{number}.example")))).collect()
    }

    /// What was asked of the API, and with what status it answered.
    fn requests(&self) -> Vec<(Option<Operation>, usize, u16)> {
        let requests = self.world.defender.requests();
        requests.iter().map(|request| (request.operation, request.items, request.status)).collect()
    }

    /// The numbers of what the tenant holds, by value.
    fn numbers(&self) -> BTreeMap<String, u64> {
        let stored = self.world.defender.stored();
        let value = |indicator: &Value| indicator["indicatorValue"].as_str().unwrap().to_owned();
        stored.iter().map(|(number, indicator)| (value(indicator), *number)).collect()
    }
}

/// A record of the feed as the lane plans it.
fn planned(record: &Record, now: DateTime<Utc>) -> Planned {
    let text = serde_json::to_string(record.json()).unwrap();
    let indicator = mandiant::convert::indicator(&serde_json::from_str(&text).unwrap()).unwrap();
    let is_file = indicator.observable.indicator_type() == IndicatorType::Hash;
    Planned::alone(indicator, HashType::Sha256, now + TimeDelta::days(if is_file { 90 } else { 7 }))
}

fn held(delivery: &RecordOutcome) -> u64 {
    match delivery {
        RecordOutcome::Acknowledged(Some(Handle::Numbered { id, .. })) => *id,
        other => panic!("{other:?}"),
    }
}

fn reason(delivery: &RecordOutcome) -> &str {
    match delivery {
        RecordOutcome::Rejected(rejection) => &rejection.reason,
        other => panic!("{other:?}"),
    }
}

/// One of every type, against a body written by hand from the API's documentation.
#[tokio::test(start_paused = true)]
async fn the_body_of_an_import_is_what_the_documentation_asks_for() {
    let text = include_str!("../fixtures/defender/import.json");
    let golden: Value = serde_json::from_str(text).unwrap();
    let bench = Bench::new();
    let (md5, sha1) = ("098f6bcd4621d373cade4e832627b4f6", "a94a8fe5ccb19ba61c4c0873d391e987982fbbd3");
    let sha256 = "9F86D081884C7D659A2FEAA0C55AD015A3BF4F1B2B0B822CD15D6C15B0F00A08";
    let batch = [
        Record::ipv4("203.0.113.7")
            .mscore(92)
            .malware("EMOTET")
            .actor("APT99")
            .categories(&["c2"])
            .threat_score(Some(85))
            .set("id", "ipv4--1"),
        Record::ipv6("2001:DB8::1").threat_score(None).set("id", "ipv6--2"),
        Record::fqdn("Login.Example.net.")
            .mscore(81)
            .threat_score(Some(20))
            .categories(&["phishing"])
            .set("id", "fqdn--3"),
        Record::url("http://example.net/Get?id=1&x='2'")
            .categories(&["phishing", "delivery"])
            .set("id", "url--4"),
        Record::file(Some(md5), Some(sha1), Some(sha256))
            .threat_score(Some(50))
            .campaign("CAMP.26.001", "A campaign")
            .set("id", "md5--5"),
    ]
    .map(|record| planned(&record, crate::harness::world::START.parse().unwrap()));
    let style = Style { action: Action::Block, provider: PROVIDER };
    let indicators: Vec<_> = batch.iter().map(|planned| indicator(planned, &style)).collect();
    let body = serde_json::to_value(Import { indicators: &indicators }).unwrap();
    assert_eq!(body, golden, "{body:#}");

    let deliveries = bench.import(&batch).await.unwrap();
    assert_eq!(deliveries.iter().map(held).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    let rank = Rank { threat_score: 0, confidence: 90 };
    assert_eq!(deliveries[1], RecordOutcome::Acknowledged(Some(Handle::Numbered { id: 2, rank })));
}

#[tokio::test(start_paused = true)]
async fn every_record_of_an_import_has_its_own_outcome() {
    let bench = Bench::new();
    bench.world.defender.put(json!({"indicatorValue": "theirs.example", "indicatorType": "DomainName"}));
    bench.knobs(|knobs| {
        knobs.capacity = 3;
        knobs.reject_md5 = true;
        knobs.reverse_answers = true;
        knobs.reject =
            Some(Arc::new(|item| (item["indicatorValue"] == "1.example").then(|| "Not this.".into())));
    });
    let file = Record::file(Some(&"a".repeat(32)), None, None);
    let mut batch = bench.domains(4);
    batch.insert(1, bench.planned(file));
    batch.push(bench.planned(Record::url(&format!("http://long.example/{}", "x".repeat(800)))));
    let mut ended = bench.planned(Record::fqdn("ended.example"));
    ended.valid_until = bench.world.now() + TimeDelta::seconds(30);
    batch.insert(0, ended);

    let deliveries = bench.import(&batch).await.unwrap();
    assert!(reason(&deliveries[0]).contains("its validity ends within a minute"), "{deliveries:#?}");
    assert!(reason(&deliveries[2]).contains("FileMd5"), "{deliveries:#?}");
    assert_eq!(reason(&deliveries[3]), "Not this.");
    assert!(reason(&deliveries[6]).contains("800 characters"), "{deliveries:#?}");
    assert_eq!((held(&deliveries[1]), held(&deliveries[4])), (2, 3));
    assert_eq!(deliveries[5], RecordOutcome::OverLimit);
    assert_eq!(bench.requests(), [(Some(Operation::Import), 5, 200)]);

    // Sending again is an update, and needs no room.
    let again = bench.import(&batch[1..2]).await.unwrap();
    assert_eq!(held(&again[0]), 2);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_where_nothing_is_left_to_send() {
    let bench = Bench::new();
    let mut ended = bench.domains(2);
    ended.iter_mut().for_each(|planned| planned.valid_until = bench.world.now());
    let deliveries = bench.import(&ended).await.unwrap();
    assert!(deliveries.iter().all(|delivery| reason(delivery).contains("not sent")), "{deliveries:?}");
    assert!(bench.requests().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_rejected_whole_says_so() {
    let bench = Bench::new();
    bench.knobs(|knobs| {
        knobs.reject_whole =
            Some(Arc::new(|item| (item["indicatorValue"] == "1.example").then(|| "Bad one.".into())));
    });
    let Err(ApiError::Rejected(rejection)) = bench.import(&bench.domains(3)).await else { panic!("taken") };
    assert_eq!(rejection.reason, "400: BadRequest: Bad one.");
    assert!(rejection.request_id.is_some());
    // Our clock is slow: by theirs, all of it has ended.
    bench.world.clock.jump(TimeDelta::days(-8));
    let behind: Vec<Planned> = bench
        .domains(1)
        .into_iter()
        .map(|item| Planned { valid_until: bench.world.ago(TimeDelta::days(1)), ..item })
        .collect();
    let Err(ApiError::Rejected(rejection)) = bench.import(&behind).await else { panic!("taken") };
    assert!(rejection.reason.contains("is inactive"), "{rejection}");
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_and_throttling_delay_and_change_nothing() {
    let bench = Bench::new();
    let batch = bench.domains(BATCH);
    bench.world.net.on_request(|exchange| {
        (exchange.uri.path().ends_with("/import") && exchange.number < 2)
            .then_some(sandbox::net::Fault::ResetAfter)
    });
    let first = bench.import(&batch).await.unwrap();
    assert_eq!(bench.requests().len(), 2);
    bench.knobs(|knobs| (knobs.per_minute, knobs.retry_after_header) = (1, false));
    let again = bench.import(&batch).await.unwrap();
    assert_eq!(first, again);
    assert_eq!(bench.numbers().len(), BATCH);
    assert!(bench.traffic.numbers()[1] > 0, "it was throttled");
}

/// Both limits at once, over hours.
#[tokio::test(start_paused = true)]
async fn no_minute_and_no_hour_holds_too_many_requests() {
    let bench = Bench::new();
    let (one, start) = (bench.domains(1), bench.world.now());
    for _ in 0..3000 {
        bench.import(&one).await.unwrap();
    }
    let requests = bench.requests();
    assert_eq!(requests.iter().filter(|(_, _, status)| *status == 200).count(), 3000);
    assert_eq!(requests.len(), 3000, "none was throttled");
    assert!(bench.world.now() - start < TimeDelta::minutes(125), "as many as the limits permit, almost");
}

#[tokio::test(start_paused = true)]
async fn rejected_tokens_are_renewed_and_a_missing_permission_is_named() {
    let bench = Bench::new();
    let one = bench.domains(1);
    bench.import(&one).await.unwrap();
    bench.world.entra.revoke_all();
    bench.import(&one).await.unwrap();
    let scopes: Vec<_> =
        bench.world.entra.issued().into_iter().map(|issued| issued.scope_or_resource).collect();
    assert_eq!(scopes, ["https://api.securitycenter.microsoft.com/.default"; 2]);
    bench.knobs(|knobs| knobs.permission = false);
    let Err(ApiError::Stalled(told)) = bench.import(&one).await else { panic!("taken") };
    let told = told.message;
    for part in ["Ti.ReadWrite.All", "infra/grant-defender.sh", "Missing application roles"] {
        assert!(told.contains(part), "{told}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_person_sees_what_is_sent() {
    let bench = Bench::new();
    let planned = bench.planned(Record::fqdn("evil.example"));
    let preview = bench.defender.preview(&planned);
    assert_eq!((&preview["indicatorValue"], &preview["action"]), (&json!("evil.example"), &json!("Audit")));
}
