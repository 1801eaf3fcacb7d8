//! Nothing hangs: situations in which a lane once never moved again, or in which one thing that failed stopped others.

mod clock;
mod lease;
mod rejections;
mod requests;
mod source;

use std::time::Duration;

use chrono::TimeDelta;
use mati_sync::{
    domain::progress::Progress,
    pass::{Ended, Work},
};
use sandbox::corpus::Record;

use crate::harness::world::{World, over_the_queue};

/// What the host grants an invocation.
const LIMIT: Duration = Duration::from_secs(600);
const HOUR: Duration = Duration::from_secs(3600);

fn address(n: u32) -> String {
    format!("198.{}.{}.{}", n / 62_500, n / 250 % 250, n % 250 + 1)
}

/// Puts records of these numbers into the feed, updated so long ago, each a second before the one before it.
fn put(world: &World, numbers: std::ops::Range<u32>, newest: TimeDelta) {
    let newest = world.ago(newest);
    world.mandiant.put_all(
        numbers
            .enumerate()
            .map(|(place, n)| Record::ipv4(&address(n)).updated(newest - TimeDelta::seconds(place as i64))),
    );
}

/// Follows a chain to its end; every invocation in it. Panics where it is longer than `most`.
async fn follow(world: &World, first: Ended, limit: Duration, most: usize) -> Vec<Ended> {
    let mut chain = vec![first];
    while let Some(message) = chain.last().expect("it is not empty").continuation.clone() {
        assert!(chain.len() < most, "the chain goes on after {most} invocations: {:#?}", chain.last());
        chain.push(world.run(Work::QueueMessage(over_the_queue(&message)), limit).await);
    }
    chain
}

async fn progress(world: &World) -> Progress {
    let store = (world.start().engine.open_store)().expect("the store opens");
    store.progress("sentinel").await.expect("it can be read").expect("there is some")
}
