//! What a lane knows and changes during a pass: its state, and the fate of every record.

use std::collections::{BTreeMap, HashSet};

use chrono::{DateTime, Utc};

use super::{acknowledged::Acknowledged, context::Context, halt::Halt, rejections::log::RejectionLog};
use crate::{
    domain::{
        entry::Known,
        feeds::Loss,
        findings::{Findings, Unfinished},
        observable::Key,
        outcome::{Change, Counts, Rejection},
        plan::Planned,
        policy::Circumstances,
        progress::{Adoption, Progress},
        purpose::Purpose,
        report::{ByType, WithheldExample, WithheldReport},
        tally,
    },
    http::traffic::Traffic,
    state::commit::LaneState,
};

/// What a lane knows and changes during a pass.
pub(super) struct Ledger<'a> {
    pub context: Context<'a>,
    /// Requests to the destination.
    pub traffic: &'a Traffic,
    pub state: LaneState,
    pub counts: Counts,
    pub by_type: ByType,
    /// Objects created or updated that one of the destination's own rules can match; `None` if it has no rules.
    pub matchable: Option<u64>,
    /// Records dropped as excluded, by the list.
    pub excluded_by: BTreeMap<String, u64>,
    /// What waits for confirmation, as far as this pass met it.
    pub withheld: WithheldReport,
    /// Of the retractions that were withheld or marked, the first ones: told if any wait in the end.
    pub unwanted: Vec<WithheldExample>,
    /// What was held when a dry run began.
    pub held_before: tally::ByType,
    /// Records that a survey of this pass marked. What becomes of them, its judgement says.
    pub surveyed: u64,
    /// Records that spoke against what is held and retracted nothing. While a retraction waits they are left to a later pass;
    /// if none does, others spoke for their indicators after them.
    pub kept_from_retraction: u64,
    /// What was wanted and could not be done, of the records offered last: withheld, or without room.
    pub unsettled: HashSet<Key>,
    /// When the pass began, by the source's clock if that told it.
    pub began: DateTime<Utc>,
    /// What this pass created of a source that keeps what it said, after the first sync.
    pub brought: HashSet<Key>,
    /// What this pass found that the source could no longer give.
    pub losses: Vec<Loss>,
    /// What an audit of this pass, or its repair, came to.
    pub audit: Option<Findings>,
    /// The repair that this pass began.
    pub repairing: Option<Unfinished>,
    /// What people should know although the lane caught up.
    pub remarks: Vec<String>,
    /// What was acknowledged, and what the lane waits to see.
    pub arrival: Acknowledged,
    rejections: RejectionLog,
    movement: Movement,
}

impl<'a> Ledger<'a> {
    pub fn new(context: Context<'a>, traffic: &'a Traffic, state: LaneState) -> Self {
        let movement = Movement { position: Position::of(&state.progress), has_moved: false };
        Self {
            context,
            traffic,
            state,
            counts: Counts::default(),
            by_type: ByType::new(),
            matchable: context.lane.destination.has_rules().then_some(0),
            excluded_by: BTreeMap::new(),
            withheld: WithheldReport::default(),
            unwanted: Vec::new(),
            held_before: tally::ByType::default(),
            surveyed: 0,
            kept_from_retraction: 0,
            unsettled: HashSet::new(),
            began: context.pass.started_at,
            brought: HashSet::new(),
            losses: Vec::new(),
            audit: None,
            repairing: None,
            remarks: Vec::new(),
            arrival: Acknowledged::new(context.lane.verifies_arrival),
            rejections: RejectionLog::default(),
            movement,
        }
    }

    pub fn now(&self) -> DateTime<Utc> {
        self.context.now()
    }

    /// Under what records are decided about that came in a window with the end `horizon`.
    pub fn circumstances(&self, purpose: Purpose, horizon: DateTime<Utc>) -> Circumstances {
        let (Context { policy, source, .. }, progress, now) =
            (self.context, &self.state.progress, self.now());
        Circumstances {
            purpose,
            refreshes: progress.refreshes,
            recalls: source.limits().recalls,
            horizon,
            renew_before: progress.renew_before(&policy.renewal, now),
            now,
        }
    }

    /// The counts, once nothing more is read in this pass.
    pub fn conclude(&self) -> Counts {
        let mut counts = self.counts;
        // Records that a survey marked which this pass did not see the end of.
        counts.left += self.surveyed;
        *if self.state.progress.withheld.is_some() { &mut counts.left } else { &mut counts.unchanged } +=
            self.kept_from_retraction;
        counts
    }

    /// After a defect: what the records without a fate were to become died with it.
    pub fn leave_the_rest(&mut self) {
        (self.surveyed, self.kept_from_retraction) = (0, 0);
        let counts = &mut self.counts;
        counts.left = counts.read.saturating_sub(counts.settled() + self.withheld.created);
    }

    /// Whether this is a first sync under the settings of its begin, of a source that keeps what it said.
    pub fn is_first_sync_of_the_past(&self) -> bool {
        let Progress { caught_up, settings_changed, .. } = &self.state.progress;
        !self.context.source.limits().recalls && caught_up.is_none() && settings_changed.is_none()
    }

    /// Counts an object that was acknowledged, by its type; its record is counted once all its objects are answered.
    pub fn note_sent(&mut self, item: &Planned) {
        if item.is_unasked {
            let now = self.now();
            self.state.progress.unasked.note_created(now, 1);
        }
        // Of a first sync it would be a million, and its own rule does for them.
        let is_noted = !self.context.source.limits().recalls && !self.is_first_sync_of_the_past();
        if is_noted && item.change == Change::Created {
            self.brought.insert(item.key);
        }
        self.counts.displaced += u64::from(item.change == Change::Displaced);
        if matches!(item.change, Change::Created | Change::Updated)
            && let Some(matchable) = &mut self.matchable
        {
            *matchable += u64::from(self.context.lane.destination.is_matchable(item) == Some(true));
        }
        self.by_type.entry(item.indicator.observable.indicator_type()).or_default().add(item.change);
    }

    /// Notes a rejected object with its reason for the next commit.
    pub fn reject(&mut self, item: &Planned, rejection: &Rejection) {
        self.rejections.note(&self.context, item, rejection);
    }

    /// Makes settled records durable: the rejected ones with their reasons first, so that none is known as rejected
    /// without one.
    pub async fn commit_settled(&mut self, settled: &mut Vec<Known>) -> Result<(), Halt> {
        if settled.is_empty() {
            return Ok(());
        }
        self.rejections.write(&self.context).await?;
        self.commit(std::mem::take(settled)).await
    }

    /// Makes durable that the content of what is held is in doubt, before `planned` replaces it: see
    /// [`Planned::in_doubt`].
    pub async fn doubt(&mut self, planned: &[Planned]) -> Result<(), Halt> {
        let manifest = &self.state.manifest;
        let doubtful: Vec<Known> =
            planned.iter().filter_map(|item| item.in_doubt(manifest.get(item.key)?)).collect();
        if doubtful.is_empty() { Ok(()) } else { self.commit(doubtful).await }
    }

    /// Commits, except in a dry run, where the manifest in memory alone remembers.
    pub async fn commit(&mut self, entries: Vec<Known>) -> Result<(), Halt> {
        match self.context.lease {
            Some(lease) => self.state.commit(lease, entries).await?,
            None => entries.into_iter().for_each(|known| self.state.manifest.put(known)),
        }
        Ok(())
    }

    /// Notes that something was settled that was not settled before.
    pub fn note_movement(&mut self) {
        self.movement.has_moved = true;
    }

    /// Whether the lane has moved in this pass: a range went on, or a record was settled anew.
    pub fn has_moved(&mut self) -> bool {
        let position = Position::of(&self.state.progress);
        let before = std::mem::replace(&mut self.movement.position, position);
        self.movement.has_moved |= before != self.movement.position;
        self.movement.has_moved
    }

    /// Looks from here on whether ranges go on: what the pass itself scheduled is no movement.
    pub fn look_from_here(&mut self) {
        self.movement.position = Position::of(&self.state.progress);
    }
}

/// Whether a lane moves.
struct Movement {
    /// Where the lane stood when it was looked at last.
    position: Position,
    has_moved: bool,
}

/// How far a lane's ranges are.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Position {
    watermark: DateTime<Utc>,
    reread: Option<DateTime<Utc>>,
    window_seconds: i64,
    backfills: Vec<(String, DateTime<Utc>)>,
    /// Where each feed is, and how many of its packages are missing.
    feeds: Vec<(String, DateTime<Utc>, usize)>,
    adoption: Option<Adoption>,
}

impl Position {
    fn of(progress: &Progress) -> Self {
        let backfills =
            progress.backfills.iter().map(|backfill| (backfill.run_id.clone(), backfill.position));
        let feeds =
            progress.feeds.iter().map(|(name, feed)| (name.to_owned(), feed.position, feed.holes.len()));
        Self {
            watermark: progress.watermark,
            reread: progress.reread,
            window_seconds: progress.window_seconds,
            backfills: backfills.collect(),
            feeds: feeds.collect(),
            adoption: progress.adoption.clone(),
        }
    }
}
