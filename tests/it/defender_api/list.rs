//! The list of what the tenant holds, page by page.

use axum::http::header;
use mati_sync::{azure::api::ApiError, destination::defender::wire::Listed, source::mandiant::PROVIDER};
use sandbox::{corpus::Record, defender::Operation};
use serde_json::json;

use super::Bench;
use crate::harness::world::DEFENDER;

impl Bench {
    async fn list(&self) -> Result<Vec<Listed>, ApiError> {
        self.defender.list(&self.deadline, &self.traffic).await
    }

    fn put(&self, count: usize) {
        for number in 0..count {
            let value = format!("{number}.example");
            self.world.defender.put(json!({"indicatorValue": value, "indicatorType": "DomainName"}));
        }
    }
}

fn ids(listed: &[Listed]) -> Vec<u64> {
    listed.iter().map(|listed| listed.id.unwrap()).collect()
}

#[tokio::test(start_paused = true)]
async fn ours_and_others_are_listed_with_all_that_matters() {
    let bench = Bench::new();
    bench.put(1);
    let planned = bench.planned(Record::ipv4("203.0.113.7"));
    bench.import(std::slice::from_ref(&planned)).await.unwrap();
    let listed = bench.list().await.unwrap();
    let ours = Listed {
        id: Some(2),
        external_id: Some(planned.key.stix_id()),
        application: Some("mati-sync".to_owned()),
        value: "203.0.113.7".to_owned(),
        indicator_type: "IpAddress".to_owned(),
        expiration: Some(planned.valid_until),
        action: Some("Audit".to_owned()),
        generate_alert: Some(true),
        ..listed[1].clone()
    };
    assert!(ours.recommended_actions.is_some() && ours.created_by.is_some() && ours.last_updated.is_some());
    assert_eq!(listed[1], ours);
    assert_eq!(
        listed[1].source_id(PROVIDER),
        Some(planned.indicator.source_id.as_str()),
        "it says whose it is"
    );
    let theirs = &listed[0];
    assert_eq!((theirs.id, &theirs.application, theirs.expiration), (Some(1), &None, None));
}

#[tokio::test(start_paused = true)]
async fn full_pages_are_followed_by_the_next_and_an_empty_tenant_is_none() {
    let bench = Bench::new();
    assert_eq!(bench.list().await, Ok(Vec::new()));
    bench.put(10_000);
    assert_eq!(ids(&bench.list().await.unwrap()).len(), 10_000);
    assert_eq!(bench.requests().len(), 3, "a full page says nothing about the next");
    bench.world.defender.put(json!({"indicatorValue": "x", "indicatorType": "Url"}));
    assert_eq!(ids(&bench.list().await.unwrap()), (1..=10_001).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn links_are_followed_on_this_host_and_no_token_goes_to_another() {
    let bench = Bench::new();
    bench.put(7);
    for link in [format!("https://{DEFENDER}"), "https://elsewhere.example".to_owned()] {
        bench.knobs(|knobs| (knobs.page, knobs.next_link) = (3, Some(link.clone())));
        let before = bench.requests().len();
        assert_eq!(ids(&bench.list().await.unwrap()), [1, 2, 3, 4, 5, 6, 7], "{link}");
        assert_eq!(bench.requests().len() - before, 3 + 1, "the last one brings nothing: {link}");
    }
    let bearers =
        bench.world.net.log().into_iter().filter(|sent| sent.headers.contains_key(header::AUTHORIZATION));
    assert!(bearers.into_iter().all(|sent| sent.authority == DEFENDER));
}

#[tokio::test(start_paused = true)]
async fn a_list_that_goes_round_in_circles_ends() {
    let bench = Bench::new();
    let page = |ids: &[u64]| {
        let values: Vec<_> = ids
            .iter()
            .map(|id| json!({"id": id.to_string(), "indicatorValue": "x", "indicatorType": "Url"}))
            .collect();
        let link = format!("https://{DEFENDER}/api/indicators?$skip=77");
        let body = json!({"value": values, "@odata.nextLink": link}).to_string();
        sandbox::sentinel::Answer { status: 200, headers: Vec::new(), body }
    };
    bench.knobs(|knobs| knobs.script.extend([page(&[1, 2]), page(&[2, 3]), page(&[1, 2])]));
    assert_eq!(ids(&bench.list().await.unwrap()), [1, 2, 3]);
    let log = bench.world.net.log();
    let followed = log.iter().filter(|sent| sent.uri.query() == Some("$skip=77")).count();
    assert_eq!(followed, 2, "the link decides which page is next");

    let endless = (0..200).map(|id| page(&[id]));
    bench.knobs(|knobs| knobs.script.extend(endless));
    let Err(ApiError::Stalled(told)) = bench.list().await else { panic!("it ended") };
    assert!(told.message.contains("has no end"), "{told}");
    assert!(bench.requests().iter().all(|(asked, ..)| *asked == Some(Operation::List)));
}
