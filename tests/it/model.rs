//! The store against a simple model, over any sequence of commits, compactions, crashes and rivals: what is loaded
//! is what was committed, whole. A commit whose reply was lost may have happened or not, but never in part.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::http::Method;
use chrono::{DateTime, TimeDelta, Utc};
use mati_sync::{
    clock::Deadline,
    domain::{
        deciding_record::RecordVersion,
        entry::{Entry, Known, State},
        fingerprint::Fingerprint,
        observable::Key,
        progress::DestinationId,
    },
    source::mandiant::LIMITS,
    state::{
        commit::{LaneState, Origin, read_manifest},
        error::StateError,
        lease::Lease,
        store::Store,
    },
};
use proptest::{collection::vec, prelude::*, sample::select};
use sandbox::net::{Exchange, Fault};

use crate::harness::world::World;

const LANE: &str = "sentinel";

#[derive(Clone, Debug)]
enum Change {
    Commit(Vec<Entry>),
    /// The watermark moves, and nothing was sent.
    Advance(i64),
    Compact,
}

#[derive(Clone, Debug)]
enum Step {
    Change(Change),
    /// The change, while a write goes wrong.
    Crash(Change, Crash),
    /// Another instance commits between our loading and our change.
    Rival(Vec<Entry>, Change),
    Restart,
}

/// What goes wrong with a write.
#[derive(Clone, Debug)]
struct Crash {
    /// Which one, counted from 0 in the change.
    write: usize,
    fault: Fault,
    /// Whether nothing else gets through either, until the process is started anew.
    lasts: bool,
}

fn any_entries() -> impl Strategy<Value = Vec<Entry>> {
    let entry = (0..60_u8, 1..5_u64, select(State::ALL.to_vec())).prop_map(|(key, fingerprint, state)| {
        // Every fifth has expired so long ago that it leaves at the next compaction.
        let days = if key % 5 == 0 { -99 } else { 9 };
        let valid_until = now() + TimeDelta::days(days);
        Entry::new([key; 16].into(), Fingerprint(fingerprint), valid_until, RecordVersion::default(), state)
    });
    vec(entry, 1..12)
}

fn any_change() -> impl Strategy<Value = Change> {
    prop_oneof![
        6 => any_entries().prop_map(Change::Commit),
        2 => (1..1000_i64).prop_map(Change::Advance),
        1 => Just(Change::Compact),
    ]
}

fn any_step() -> impl Strategy<Value = Step> {
    let faults = vec![Fault::ResetBefore, Fault::ResetAfter, Fault::status(503)];
    let crash = (0..4_usize, select(faults), any::<bool>()).prop_map(|(write, fault, lasts)| Crash {
        write,
        fault,
        lasts,
    });
    prop_oneof![
        6 => any_change().prop_map(Step::Change),
        3 => (any_change(), crash).prop_map(|(change, crash)| Step::Crash(change, crash)),
        1 => (any_entries(), any_change()).prop_map(|(theirs, ours)| Step::Rival(theirs, ours)),
        1 => Just(Step::Restart),
    ]
}

fn now() -> DateTime<Utc> {
    crate::harness::world::START.parse().expect("a date")
}

/// What a lane's state is meant to be.
#[derive(Clone, Debug, PartialEq)]
struct Model {
    entries: BTreeMap<Key, Entry>,
    watermark: DateTime<Utc>,
}

impl Model {
    fn after(&self, change: &Change) -> Self {
        let mut model = self.clone();
        match change {
            Change::Commit(entries) => model.entries.extend(entries.iter().map(|entry| (entry.key, *entry))),
            Change::Advance(seconds) => model.watermark += TimeDelta::seconds(*seconds),
            Change::Compact => model.entries.retain(|_, entry| entry.is_kept(now().timestamp())),
        }
        model
    }

    fn of(state: &mut LaneState) -> Self {
        let entries = state.manifest.entries().iter().map(|entry| (entry.key, *entry)).collect();
        Self { entries, watermark: state.progress.watermark }
    }
}

/// A process at work on the lane.
struct Process {
    lease: Lease,
    state: LaneState,
}

impl Process {
    async fn start(store: &Store, number: usize) -> Self {
        let run_id = format!("run-{number:04}");
        let patience = Deadline::after(Duration::from_secs(120));
        let lease =
            store.lease(&run_id, &patience).await.expect("ask for the lease").expect("it has run out");
        Self { lease, state: load(store, &run_id).await }
    }

    async fn make(&mut self, change: &Change) -> Result<(), StateError> {
        match change {
            Change::Commit(entries) => {
                self.state.commit(&self.lease, entries.iter().copied().map(Known::from).collect()).await
            }
            Change::Advance(seconds) => {
                self.state.progress.watermark += TimeDelta::seconds(*seconds);
                self.state.commit(&self.lease, Vec::new()).await
            }
            Change::Compact => self.state.compact(&self.lease, now()).await.map(|_| ()),
        }
    }
}

async fn load(store: &Store, run_id: &str) -> LaneState {
    let target = DestinationId { place: "workspace".to_owned(), name: "Mandiant".to_owned() };
    let begin = now() - TimeDelta::days(30);
    let origin =
        Origin { target, settings_hash: String::new(), begin, now: now(), first_window: LIMITS.longest };
    LaneState::load(store, LANE, run_id, origin, false).await.expect("what is stored can be loaded")
}

/// The network with a crash on it: true while it lasts.
fn strike(world: &World, crash: Crash) -> Arc<AtomicBool> {
    let (is_on, is_dead, writes) =
        (Arc::new(AtomicBool::new(true)), AtomicBool::new(false), AtomicUsize::new(0));
    let strikes = Arc::clone(&is_on);
    world.net.on_request(move |exchange| {
        if !strikes.load(Ordering::Relaxed) {
            return None;
        }
        if is_dead.load(Ordering::Relaxed) {
            return Some(Fault::Refuse);
        }
        let is_struck = is_write(exchange) && writes.fetch_add(1, Ordering::Relaxed) == crash.write;
        is_dead.store(is_struck && crash.lasts, Ordering::Relaxed);
        is_struck.then(|| crash.fault.clone())
    });
    is_on
}

fn is_write(exchange: &Exchange) -> bool {
    exchange.method == Method::PUT && exchange.uri.path().contains("lanes")
}

async fn run(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let (world, _blobs) = World::with_blobs();
    let store = (world.start().engine.open_store)().expect("the settings are sound");
    store.prepare().await.expect("make the container");
    let mut process = Process::start(&store, 0).await;
    let mut model = Model::of(&mut process.state);
    for (number, step) in steps.into_iter().enumerate() {
        let mut candidates = vec![model.clone()];
        let restarts = match &step {
            Step::Change(change) => {
                process.make(change).await.expect("nothing stands in the way");
                candidates = vec![model.after(change)];
                false
            }
            Step::Crash(change, crash) => {
                let strikes = strike(&world, crash.clone());
                let made = process.make(change).await;
                strikes.store(false, Ordering::Relaxed);
                prop_assert!(made.is_ok() || crash.lasts, "one lost request is made good: {:?}", made);
                if made.is_ok() {
                    candidates.clear();
                }
                candidates.push(model.after(change));
                made.is_err()
            }
            Step::Rival(theirs, ours) => {
                let mut rival = load(&store, &format!("rival-{number:04}")).await;
                rival
                    .commit(&process.lease, theirs.iter().copied().map(Known::from).collect())
                    .await
                    .expect("it comes first");
                let made = process.make(ours).await;
                prop_assert!(matches!(made, Err(StateError::Conflict { .. })), "{:?}", made);
                candidates = vec![model.after(&Change::Commit(theirs.clone()))];
                true
            }
            Step::Restart => true,
        };
        if restarts {
            drop(process);
            process = Process::start(&store, number + 1).await;
        }
        let mut loaded = load(&store, "reader").await;
        let stored = Model::of(&mut loaded);
        prop_assert!(candidates.contains(&stored), "{:?}: {:?} is none of {:#?}", step, stored, candidates);
        prop_assert_eq!(Model::of(&mut process.state), stored.clone(), "memory and store after {:?}", step);
        let read = read_manifest(&store, LANE).await.expect("the same again").len();
        prop_assert_eq!((read, loaded.manifest.len()), (stored.entries.len(), stored.entries.len()));
        model = stored;
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn what_is_loaded_is_what_was_committed(steps in vec(any_step(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(run(steps))?;
    }
}
