//! Defender's lane beside Sentinel's.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, atomic::Ordering},
};

use super::{
    chaos::Chaos,
    dice::Dice,
    oracle::{self, Truth},
    run::{IN_FLIGHT, rejection},
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
        let second = Self { limit, sent: Arc::default() };
        second.reject(world, true);
        second
    }

    /// Makes Defender reject what it rejects for ever, and in the chaos also what heals; the rest is written down.
    pub fn reject(&self, world: &World, is_chaos: bool) {
        let log = Arc::clone(&self.sent);
        world.defender.knobs(|knobs| {
            knobs.reject = Some(Arc::new(move |indicator| {
                let value = indicator["indicatorValue"].as_str()?;
                if let Some(reason) = rejection(value, is_chaos) {
                    return Some(reason);
                }
                let content = format!("{value} {}", indicator["description"]);
                *log.lock().unwrap().entry(content).or_default() += 1;
                None
            }));
        });
    }

    /// A content is imported once, but for what was in flight when something broke.
    pub fn check_resent(&self, chaos: &Chaos, doubtful_ends: u64, fenced: u64, is_open: bool) {
        let resent: u64 = self.sent.lock().unwrap().values().map(|times| times - 1).sum();
        let in_doubt = chaos.imports_in_doubt.load(Ordering::Relaxed);
        // A score that falls may rise again to what it was.
        let drops = chaos.drops.load(Ordering::Relaxed);
        let allowed = drops + IMPORT * (in_doubt + IN_FLIGHT * (doubtful_ends + fenced));
        // Where room is scarce, one that gave way may come back.
        let is_open = is_open || self.limit < 15_000;
        assert!(is_open || resent <= allowed, "{resent} imported twice; {allowed} were in doubt");
    }

    /// What must be true at the end.
    pub fn reckon(&self, world: &World, truth: &Truth, fenced: u64) {
        oracle::check_defender(world, truth, self.limit);
        let times = world.defender.requests().iter().map(|request| request.at).collect();
        oracle::check_times(times, REQUESTS_PER_MINUTE, IN_FLIGHT * fenced);
    }
}
