//! Defender's lane beside Sentinel's.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, atomic::Ordering},
};

use super::{
    chaos::{Chaos, is_refused},
    dice::Dice,
    oracle,
    run::IN_FLIGHT,
};
use crate::harness::world::World;

/// The most records in a request.
const IMPORT: u64 = 500;
const REQUESTS_PER_MINUTE: u64 = 25;

/// Defender's lane, where there is one.
pub struct Second {
    pub limit: usize,
    /// How often each content was sent.
    sent: Arc<Mutex<HashMap<String, u64>>>,
}

impl Second {
    /// Makes Defender a destination, perhaps one that cannot hold everything.
    pub fn add(world: &mut World, dice: &mut Dice) -> Self {
        let limit = dice.pick(&[60, 300, 15_000]);
        world
            .set("TARGET_APPLICATION", "sentinel,defender")
            .set("DEFENDER_INDICATOR_LIMIT", &limit.to_string());
        let sent: Arc<Mutex<HashMap<String, u64>>> = Arc::default();
        let log = Arc::clone(&sent);
        world.defender.knobs(|knobs| {
            knobs.reject = Some(Arc::new(move |indicator| {
                let value = indicator["indicatorValue"].as_str()?;
                if is_refused(value) {
                    return Some("refused for ever".to_owned());
                }
                let content = format!("{value} {}", indicator["description"]);
                *log.lock().unwrap().entry(content).or_default() += 1;
                None
            }));
        });
        Self { limit, sent }
    }

    /// What must be true at the end.
    pub fn reckon(&self, world: &World, chaos: &Chaos, doubtful_ends: u64, fenced: u64) {
        oracle::check_defender(world, self.limit);
        let times = world.defender.requests().iter().map(|request| request.at).collect();
        oracle::check_times(times, REQUESTS_PER_MINUTE, IN_FLIGHT * fenced);
        let resent: u64 = self.sent.lock().unwrap().values().map(|times| times - 1).sum();
        let in_doubt = chaos.imports_in_doubt.load(Ordering::Relaxed);
        // A score that falls may rise again to what it was.
        let drops = chaos.drops.load(Ordering::Relaxed);
        let allowed = drops + IMPORT * (in_doubt + IN_FLIGHT * (doubtful_ends + fenced));
        // Where room is scarce, one that gave way may come back.
        assert!(self.limit < 15_000 || resent <= allowed, "{resent} imported twice; {allowed} were in doubt");
    }
}
