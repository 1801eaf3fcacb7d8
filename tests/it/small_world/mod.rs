//! A small world, tried exhaustively: two values of two records each, a file whose digests come and go, Sentinel, and
//! Defender with room for two. Beside it the simulation draws large worlds by chance; most faults of identity and
//! retraction need no more than a few events, but those in an order that chance seldom draws.
//!
//! From each of a few starts every sequence of events up to a length is tried on the real engine, with its state in
//! memory. After each pass, and after two more refreshes in which nothing happens, the destinations must hold what
//! [`spec`] says. A sequence that is the prefix of others runs once: the stage is put back to where it ended.
//!
//! `cargo test` tries the first of each start's two lengths, which takes two cores about ten seconds;
//! `MATI_SYNC_WHOLE_SMALL_WORLD=1 cargo test`, as in `.ci/run`, the second in about a minute: every sequence of three
//! events, and of four from the first start.

mod events;
mod network;
mod spec;
mod stage;
mod things;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use self::{
    events::{Event, Id, Request, Stop},
    stage::{Snapshot, Stage},
};

/// Where sequences begin.
struct Start {
    events: &'static [Event],
    /// The records that anything happens to.
    records: &'static [Id],
    /// The longest sequences of an ordinary test run, and of a whole one.
    lengths: [usize; 2],
}

const PASS: Event = Event::Pass(Stop::Never);

const STARTS: [Start; 5] = [
    Start {
        // Nothing is held.
        events: &[PASS],
        records: &[Id::A1, Id::A2, Id::B1, Id::File],
        lengths: [2, 4],
    },
    Start {
        // Both records of A were delivered, one after the other, and there is no room for the file.
        events: &[
            Event::Emit(Id::A1),
            PASS,
            Event::Emit(Id::A2),
            Event::Emit(Id::B1),
            Event::Emit(Id::File),
            PASS,
        ],
        records: &[Id::A1, Id::A2],
        lengths: [3, 3],
    },
    Start {
        // A was delivered, and is rejected from now on.
        events: &[Event::Emit(Id::A1), PASS, Event::Refuse],
        records: &[Id::A1, Id::A2],
        lengths: [2, 3],
    },
    Start {
        // A was rejected when it was new.
        events: &[Event::Refuse, Event::Emit(Id::A1), PASS],
        records: &[Id::A1],
        lengths: [2, 3],
    },
    Start {
        // The file and both records of B were delivered.
        events: &[Event::Emit(Id::B1), PASS, Event::Emit(Id::B2), Event::Emit(Id::File), PASS],
        records: &[Id::B1, Id::B2, Id::File],
        lengths: [2, 3],
    },
];

/// The events that may come next, without those that would do no more than an ordinary pass.
fn next_events(start: &Start, here: &Snapshot, before: Option<Event>) -> Vec<Event> {
    let mut events = Vec::new();
    for id in start.records {
        match here.feed.get(id) {
            None if *id == id.first() || here.feed.contains_key(&id.first()) => events.push(Event::Emit(*id)),
            None => {}
            Some(listed) => {
                events.extend(listed.admitted().then_some(Event::Lower(*id)));
                events.extend((listed.confidence < 95).then_some(Event::Raise(*id)));
                events.extend((*id == Id::File).then_some(Event::Digest));
                events.push(Event::Withdraw(*id));
            }
        }
    }
    if start.records.contains(&Id::A1) {
        events.push(if here.rejecting { Event::Heal } else { Event::Refuse });
    }
    events.extend([PASS, Event::Refresh(Stop::Never), Event::Refresh(Stop::Killed)]);
    if here.is_fresh {
        events.extend([Stop::Killed, Stop::Paused].map(Event::Pass));
    }
    if here.has_rejected() {
        events.push(Event::Request(Request::RetryRejected));
    }
    events.extend([Request::Lookback, Request::ConfirmRetraction].map(Event::Request));
    events.retain(|event| event.is_new_after(before));
    events
}

/// A sequence after which something is wrong.
#[derive(Debug)]
struct Failure {
    sequence: String,
    fault: String,
}

struct Explorer<'a> {
    stage: Stage,
    start: &'a Start,
    sequence: Vec<Event>,
    failures: Vec<Failure>,
    sequences: u64,
}

impl Explorer<'_> {
    /// Tries everything that can follow on `snapshot`, up to `length` more events.
    async fn explore(&mut self, snapshot: &Snapshot, length: usize) {
        if length == 0 {
            return;
        }
        for event in next_events(self.start, snapshot, self.sequence.last().copied()) {
            self.follow(snapshot, event, length).await;
        }
    }

    /// Tries one event, and everything that can follow on it. A sequence that went wrong is not continued.
    async fn follow(&mut self, snapshot: &Snapshot, event: Event, length: usize) {
        self.stage.restore(snapshot);
        self.sequence.push(event);
        self.sequences += 1;
        match self.stage.step(event).await {
            Err(fault) => self.fail(fault),
            Ok(()) => {
                let here = self.stage.snapshot();
                // The calm begins with a pass anyway.
                let calm = if matches!(event, PASS | Event::Refresh(Stop::Never)) && length > 1 {
                    Ok(())
                } else {
                    self.stage.calm().await
                };
                match calm {
                    Err(fault) => self.fail(format!("in the calm: {fault}")),
                    Ok(()) => Box::pin(self.explore(&here, length - 1)).await,
                }
            }
        }
        self.sequence.pop();
    }

    fn fail(&mut self, fault: String) {
        let events = self.start.events.iter().chain(&self.sequence).map(ToString::to_string);
        self.failures.push(Failure { sequence: events.collect::<Vec<_>>().join(", "), fault });
    }
}

/// What came of all sequences of a run.
#[derive(Debug, Default)]
struct Outcome {
    failures: Vec<Failure>,
    sequences: u64,
    passes: u64,
    /// Both of each start.
    by_start: [(u64, u64); STARTS.len()],
}

/// Tries all that begins with one start and the event of this place. False if there is no such event.
async fn try_one(start: &Start, place: usize, length: usize, explorer: &mut Explorer<'_>) -> bool {
    for event in start.events {
        if let Err(fault) = explorer.stage.step(*event).await {
            explorer.fail(fault);
        }
    }
    let here = explorer.stage.snapshot();
    let events = next_events(start, &here, start.events.last().copied());
    let Some(event) = events.get(place) else { return false };
    explorer.follow(&here, *event, length).await;
    true
}

/// Tries everything, on threads that `prepare` themselves. Shorter sequences come first in what failed; with
/// `first_only` no new ones are begun once one has failed.
fn try_all(is_whole: bool, first_only: bool, prepare: &(dyn Fn() + Sync)) -> Outcome {
    let outcome = Mutex::new(Outcome::default());
    let work: Vec<(usize, usize)> =
        (0..STARTS.len()).flat_map(|start| (0..30).map(move |place| (start, place))).collect();
    let next = AtomicUsize::new(0);
    let worker = || {
        prepare();
        while let Some((number, place)) = work.get(next.fetch_add(1, Ordering::Relaxed)) {
            let start = &STARTS[*number];
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
            let runtime = runtime.expect("a runtime");
            let tried = catch_unwind(AssertUnwindSafe(|| {
                runtime.block_on(async {
                    let (sequence, failures) = (Vec::new(), Vec::new());
                    let mut explorer =
                        Explorer { stage: Stage::new(), start, sequence, failures, sequences: 0 };
                    try_one(start, *place, start.lengths[usize::from(is_whole)], &mut explorer).await;
                    (explorer.failures, explorer.sequences, explorer.stage.passes)
                })
            }));
            let mut outcome = outcome.lock().unwrap();
            match tried {
                Ok((mut failures, sequences, passes)) => {
                    outcome.failures.append(&mut failures);
                    outcome.sequences += sequences;
                    outcome.passes += passes;
                    outcome.by_start[*number].0 += sequences;
                    outcome.by_start[*number].1 += passes;
                }
                Err(_) => outcome.failures.push(Failure {
                    sequence: format!("start {number}, event {place}"),
                    fault: "a panic, told above".to_owned(),
                }),
            }
            if first_only && !outcome.failures.is_empty() {
                return;
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            // A sequence is followed by recursion, and a pass's future is large without optimisation.
            let thread = std::thread::Builder::new().stack_size(256 << 20);
            thread.spawn_scoped(scope, worker).expect("a thread");
        }
    });
    let mut outcome = outcome.into_inner().unwrap();
    outcome
        .failures
        .sort_by_key(|failure| (failure.sequence.matches(", ").count(), failure.sequence.clone()));
    outcome
}

/// Runs the part of an ordinary test run, for a test that plants a defect with `prepare` on each thread.
///
/// # Errors
/// The first sequence found after which something is wrong, and what.
pub fn run(prepare: &(dyn Fn() + Sync)) -> Result<(), String> {
    match try_all(false, true, prepare).failures.first() {
        None => Ok(()),
        Some(Failure { sequence, fault }) => Err(format!("{sequence}: {fault}")),
    }
}

#[test]
fn every_short_sequence_ends_as_the_specification_says() {
    if std::env::var("MATI_SYNC_WHOLE_SMALL_WORLD").is_ok_and(|text| text == "1") {
        let Outcome { failures, sequences, passes, by_start } = try_all(true, false, &|| ());
        println!("{sequences} sequences, {passes} passes; by start: {by_start:?}");
        for Failure { sequence, fault } in &failures {
            println!("{sequence}: {fault}");
        }
        assert!(failures.is_empty(), "{} of {sequences} sequences went wrong", failures.len());
    } else if let Err(failure) = run(&|| ()) {
        panic!("{failure}");
    }
}
