//! What a delivery has come to so far.

use std::collections::VecDeque;

use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use tokio::task::yield_now;

use super::{control::Control, halt::Halt};
use crate::domain::{
    entry::Known,
    handles::ByKey,
    observable::Key,
    outcome::{Delivery, Refusal, UploadError},
    plan::Planned,
    task::Range,
};

/// Uploads in flight, or answered and not yet committed: what is sent again at worst after a kill.
pub(super) const IN_FLIGHT: usize = 4;
/// So many requests refused one after another, and none accepted: then it is not the records.
pub(super) const SUSPICIOUS: usize = 8;

pub(super) type Outcome = (Vec<Planned>, Result<Vec<Delivery>, UploadError>);

/// What a delivery has come to so far. It outlives a page: while the last uploads of one are under way, the first of
/// the next begin, else the destination's rate would go unused at every page's end.
pub(super) struct Desk<'a> {
    /// What the records were read for.
    pub(super) range: Range,
    /// Records that have no fate yet.
    open: u64,
    pub(super) waiting: VecDeque<Vec<Planned>>,
    pub(super) uploads: FuturesUnordered<BoxFuture<'a, Outcome>>,
    /// Answered, and not looked at yet.
    pub(super) arrived: Vec<Outcome>,
    /// What was begun and is not settled: the manifest knows nothing of it yet.
    pub(super) under_way: ByKey<()>,
    /// Entries for the next commit.
    pub(super) settled: Vec<Known>,
    /// Records whose request was refused although they were alone in it.
    pub(super) suspects: Vec<(Planned, Refusal)>,
    pub(super) control: Control,
    /// Of the control, while it waits or is under way.
    pub(super) control_key: Option<Key>,
    pub(super) halt: Option<Halt>,
}

impl Desk<'_> {
    /// An empty one, for records that were read for `range`.
    pub(super) fn for_range(range: Range) -> Self {
        Self {
            range,
            open: 0,
            waiting: VecDeque::new(),
            uploads: FuturesUnordered::new(),
            arrived: Vec::new(),
            under_way: ByKey::default(),
            settled: Vec::new(),
            suspects: Vec::new(),
            control: Control::NotAsked,
            control_key: None,
            halt: None,
        }
    }

    /// Sends `item` before everything that waits, by itself.
    pub(super) fn put_first(&mut self, item: Planned) {
        self.waiting.push_front(vec![item]);
    }

    /// Notes what is known of an indicator that is no record's, for the next commit.
    pub(super) fn note(&mut self, known: Known) {
        self.under_way.remove(&known.entry.key);
        self.settled.push(known);
    }

    /// Nothing more is begun.
    pub(super) fn halt_for(&mut self, halt: Halt) {
        self.halt = Some(halt);
        self.waiting.clear();
    }

    /// The destination refuses everything: no record is blamed.
    pub(super) fn refuse_all(&mut self) {
        let reason = self.suspects.first().map(|(_, refusal)| refusal.reason.as_str()).unwrap_or_default();
        self.halt_for(Halt::Stalled(format!(
            "the destination refuses every request, also one with an indicator that it holds, if it holds any: {reason}"
        )));
    }

    /// Takes on records that have no fate yet.
    pub(super) fn take_on(&mut self, items: &[Planned]) {
        self.open += items.iter().filter(|item| item.change.is_fate()).count() as u64;
    }

    /// Records that were taken on and have no fate yet.
    pub(super) fn open(&self) -> u64 {
        self.open
    }

    /// Notes that what `item` was planned for has its fate. What is displaced is no record that was read.
    pub(super) fn close(&mut self, item: &Planned) {
        self.open -= u64::from(item.change.is_fate());
    }

    /// Whether something about `key` is under way.
    pub(super) fn knows(&self, key: Key) -> bool {
        self.under_way.contains_key(&key)
    }

    /// Takes along whatever else was answered by now, so that one commit does for all of it: a commit waits for the
    /// disk or the network, and under a destination that answers at once it would be most of the work.
    pub(super) async fn gather(&mut self) {
        // The first turn lets the connections read, the second lets the uploads hear of it.
        for _ in 0..2 {
            yield_now().await;
            while let Some(Some(outcome)) = self.uploads.next().now_or_never() {
                self.arrived.push(outcome);
            }
        }
    }
}
