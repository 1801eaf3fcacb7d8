//! A request that Sentinel acknowledges and never shows.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, Mutex},
};

use chrono::{DateTime, TimeDelta, Utc};
use mati_sync::domain::{arrival::Arrivals, observable::Key};
use serde_json::Value;

use super::{dice::Dice, nature::sha256};
use crate::harness::world::{TestClock, World};

/// What was lost, in a world whose lane looks for what was acknowledged.
#[derive(Default)]
pub struct Losses {
    /// The values of the lost objects, by their ids.
    lost: Arc<Mutex<BTreeMap<Key, String>>>,
    /// What the lane waited for when the world had calmed down, with all that was sent beside it.
    awaited: HashSet<Key>,
}

impl Losses {
    /// Makes Sentinel lose one of the first requests of `world`, and the lane look.
    pub fn add(world: &mut World, dice: &mut Dice) -> Self {
        world.verifies();
        let losses = Self::default();
        let (lost, clock) = (Arc::clone(&losses.lost), Arc::clone(&world.clock));
        let left = Mutex::new(dice.below(12));
        world.sentinel.knobs(|knobs| {
            knobs.lose = Some(Arc::new(move |objects| {
                let mut left = left.lock().unwrap();
                // A retraction that is lost ends with the validity of what it was to end.
                if !objects.iter().all(|object| is_valid(object, &clock)) || !lost.lock().unwrap().is_empty()
                {
                    return false;
                }
                if *left > 0 {
                    *left -= 1;
                    return false;
                }
                let named = |object: &Value| {
                    let key = Key::of_stix_id(object["id"].as_str()?)?;
                    Some((key, object["name"].as_str()?.to_owned()))
                };
                lost.lock().unwrap().extend(objects.iter().filter_map(named));
                true
            }));
        });
        losses
    }

    /// Takes in what the lane waits for.
    pub fn note(&mut self, stored: &str) {
        let arrivals: Arrivals = serde_json::from_str(stored).expect("what waits to be seen");
        self.awaited =
            arrivals.awaited.iter().flat_map(|awaited| awaited.request.values().flatten()).copied().collect();
    }

    /// Whether a value was lost and is not to be found out by looking: its request was not in the sample, or the pass that
    /// sent it was killed.
    pub fn are_open(&self, value: &str) -> bool {
        self.keys_of(value).iter().any(|key| !self.awaited.contains(key))
    }

    /// The keys of what was lost of a value.
    pub fn keys_of(&self, value: &str) -> Vec<Key> {
        let lost = self.lost.lock().unwrap();
        let digest = sha256(value);
        let of_value = lost.iter().filter(|(_, lost)| *lost == value || **lost == digest);
        of_value.map(|(key, _)| *key).collect()
    }

    /// Whether something was lost that the lane waits for.
    pub fn are_awaited(&self) -> bool {
        self.lost.lock().unwrap().keys().any(|key| self.awaited.contains(key))
    }
}

fn is_valid(object: &Value, clock: &TestClock) -> bool {
    let until = object["valid_until"].as_str().and_then(|text| text.parse::<DateTime<Utc>>().ok());
    until.is_some_and(|until| until > clock.true_time() + TimeDelta::days(1))
}
