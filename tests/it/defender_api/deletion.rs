//! Deletions, of which one missing id makes the API reject all.

use std::sync::Arc;

use axum::{
    body::Bytes,
    http::{HeaderMap, StatusCode},
};
use mati_sync::azure::api::ApiError;
use sandbox::{defender::Operation, net::Fault};
use serde_json::json;

use super::{BATCH, Bench};

impl Bench {
    /// Holds so many indicators, and returns their numbers.
    fn hold(&self, count: usize) -> Vec<u64> {
        let hold = |number: usize| {
            let value = format!("{number}.example");
            self.world.defender.put(json!({"indicatorValue": value, "indicatorType": "DomainName"}))
        };
        (0..count).map(hold).collect()
    }

    async fn delete(&self, ids: &[u64]) -> Result<(), ApiError> {
        self.defender.delete(ids, &self.deadline, &self.traffic).await
    }

    fn count(&self, operation: Operation) -> usize {
        self.requests().iter().filter(|(asked, ..)| *asked == Some(operation)).count()
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_there_is_deleted_by_the_five_hundred() {
    let bench = Bench::new();
    let ids = bench.hold(2 * BATCH + 2);
    bench.delete(&ids[..2 * BATCH + 1]).await.unwrap();
    let delete = Some(Operation::BatchDelete);
    assert_eq!(bench.requests(), [(delete, 500, 204), (delete, 500, 204), (delete, 1, 204)]);
    assert_eq!(bench.world.defender.stored().into_keys().collect::<Vec<_>>(), [1002]);
    bench.delete(&[]).await.unwrap();
    assert_eq!(bench.requests().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn hundreds_of_missing_ids_cost_a_few_requests() {
    let bench = Bench::new();
    let ids = bench.hold(BATCH);
    for id in ids.iter().step_by(2) {
        assert!(bench.world.defender.remove(*id));
    }
    bench.delete(&ids).await.unwrap();
    assert!(bench.world.defender.stored().is_empty());
    assert_eq!(bench.requests().len(), 4, "rejected, listed to the end, deleted");
}

#[tokio::test(start_paused = true)]
async fn a_deletion_whose_answer_is_lost_counts() {
    let bench = Bench::new();
    let ids = bench.hold(BATCH);
    let losses = Arc::new(std::sync::Mutex::new(1));
    bench.world.net.on_request(move |exchange| {
        let mut losses = losses.lock().unwrap();
        let is_lost = exchange.uri.path().ends_with("/BatchDelete") && *losses > 0;
        *losses -= usize::from(is_lost);
        is_lost.then_some(Fault::ResetAfter)
    });
    bench.delete(&ids).await.unwrap();
    assert_eq!((bench.count(Operation::BatchDelete), bench.count(Operation::List)), (2, 1));
}

/// The list still names what is gone.
#[tokio::test(start_paused = true)]
async fn where_the_list_is_out_of_date_halving_finds_the_missing_ones() {
    let bench = Bench::new();
    let ids = bench.hold(64);
    let stale: Vec<_> = bench.world.defender.stored().into_values().collect();
    let stale = Bytes::from(json!({"value": stale}).to_string());
    bench.world.net.on_request(move |exchange| {
        (exchange.method == "GET" && exchange.uri.path() == "/api/indicators")
            .then(|| Fault::AnswerBefore(StatusCode::OK, HeaderMap::new(), stale.clone()))
    });
    for id in [ids[5], ids[40]] {
        assert!(bench.world.defender.remove(id));
    }
    bench.delete(&ids).await.unwrap();
    assert!(bench.world.defender.stored().is_empty());
    assert!(bench.count(Operation::BatchDelete) < 30, "{}", bench.count(Operation::BatchDelete));
    bench.delete(&ids[..1]).await.unwrap();
}

/// A 404 may also mean that no service is there at all: then nothing counts as deleted.
#[tokio::test(start_paused = true)]
async fn a_wrong_address_deletes_nothing() {
    let mut bench = Bench::new();
    let ids = bench.hold(1);
    bench.defender.base_url.push_str("/wrong");
    let Err(ApiError::Stalled(told)) = bench.delete(&ids).await else { panic!("deleted") };
    assert!(told.message.contains("DEFENDER_BASE_URL"), "{told}");
    assert_eq!(bench.world.defender.stored().len(), 1);
}
