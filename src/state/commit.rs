//! One lane's progress and manifest, and the commit that changes them.

use std::{collections::HashSet, sync::Arc};

use chrono::{DateTime, TimeDelta, Utc};
use tracing::{info, warn};
use uuid::Uuid;

use super::{
    error::StateError,
    files::Files,
    home::Home,
    lease::Lease,
    object::{Condition, Version},
    store::Store,
};
use crate::domain::{
    compaction::{FRAME, Stored, pays},
    entry::Known,
    manifest::Manifest,
    manifest_format,
    progress::{DestinationId, Progress, SCHEMA},
};

/// What a new lane starts from, and what an existing one must agree with.
pub struct Origin {
    pub target: DestinationId,
    pub settings_hash: String,
    /// Where a lane without progress begins to read.
    pub begin: DateTime<Utc>,
    pub now: DateTime<Utc>,
    /// How long the first window is.
    pub first_window: TimeDelta,
}

/// A lane's state as it stands in the store, and the one way to change it.
pub struct LaneState {
    home: Arc<Home>,
    lane: String,
    run_id: String,
    /// Change it freely; [`LaneState::commit`] makes it true.
    pub progress: Progress,
    /// Nothing is known of this target yet.
    is_new: bool,
    /// Progress of another target, to be set aside before it is replaced.
    replaced: Option<Progress>,
    /// Of the stored progress; `None` before the first commit.
    version: Option<Version>,
    pub manifest: Manifest,
    files: Files,
    /// Tells this load's writes from every other's: a request that was not applied runs again under its run id.
    writer: String,
    commits: u32,
}

impl LaneState {
    /// Reads a lane's state. With `drop_damaged`, segments that cannot be read are left out, because what they
    /// held is about to be sent again.
    ///
    /// A lane that delivers elsewhere than its state says starts anew; the first commit sets the old progress aside.
    ///
    /// # Errors
    /// State that cannot be read, or was written by a newer version.
    pub async fn load(
        store: &Store,
        lane: &str,
        run_id: &str,
        origin: Origin,
        drop_damaged: bool,
    ) -> Result<Self, StateError> {
        let home = Arc::clone(store.home());
        let name = format!("lanes/{lane}/progress.json");
        let (progress, version) = match home.read(&name).await? {
            None => (None, None),
            Some((bytes, version)) => (Some(parse_progress(&name, &bytes)?), Some(version)),
        };
        let writer = format!("{run_id}-{:08x}", Uuid::new_v4().as_fields().0);
        let mut state = Self {
            files: Files::new(Arc::clone(&home), lane, &writer),
            home,
            lane: lane.to_owned(),
            run_id: run_id.to_owned(),
            progress: Progress::new(
                origin.target.clone(),
                origin.settings_hash,
                origin.begin,
                origin.now,
                origin.first_window,
            ),
            is_new: true,
            replaced: None,
            version,
            manifest: Manifest::default(),
            writer,
            commits: 0,
        };
        match progress {
            None => {}
            Some(progress) if progress.target != origin.target => state.replaced = Some(progress),
            Some(progress) => {
                state.progress = Progress { schema: SCHEMA, ..progress };
                state.is_new = false;
                state.manifest = {
                    let Progress { segments, manifest_entries, .. } = &mut state.progress;
                    state.files.load(segments, *manifest_entries, drop_damaged).await?
                };
            }
        }
        Ok(state)
    }

    async fn set_aside(&self, old: &Progress) -> Result<(), StateError> {
        let name = format!("lanes/{}/aside/{}.json", self.lane, self.run_id);
        warn!(
            lane = self.lane,
            "the lane {} delivered to {} ({}) so far and is now pointed at {} ({}): it starts anew, and what it knew is set aside in {name}",
            self.lane,
            old.target.place,
            old.target.name,
            self.progress.target.place,
            self.progress.target.name,
        );
        self.home.write(&name, to_json(old), Condition::Always).await?;
        Ok(())
    }

    /// Makes `entries` and the current progress durable: first a frame in the manifest's newest file, behind what
    /// counts, then the swap of `progress.json`, which makes it count. Dies anywhere in between: nothing happened.
    /// A pass that was overtaken without knowing it fails at the swap, see [`Files`].
    ///
    /// # Errors
    /// Another instance took over, or the storage fails; then nothing was changed, except perhaps by an answer that
    /// was lost for good, and the pass must end.
    pub async fn commit(&mut self, lease: &Lease, mut entries: Vec<Known>) -> Result<(), StateError> {
        lease.hold().await?;
        if !entries.is_empty() {
            entries.sort_by_key(|known| known.entry.key);
            let frame = manifest_format::encode(entries.iter().copied());
            self.files.append(&mut self.progress.segments, frame, entries.len() as u64).await?;
            entries.into_iter().for_each(|known| self.manifest.put(known));
        }
        self.swap(lease).await
    }

    /// Replaces all files by new ones that hold the manifest as it is in memory, without entries that expired: one
    /// after another, in the order of the keys, and then one swap. Returns how many left.
    ///
    /// # Errors
    /// As [`LaneState::commit`]; the files that were written do not count then.
    pub async fn compact(&mut self, lease: &Lease, now: DateTime<Utc>) -> Result<usize, StateError> {
        lease.hold().await?;
        let left = self.manifest.compact(|entry| entry.is_kept(now.timestamp()));
        let (count, mut segments) = (self.manifest.len(), Vec::new());
        for start in (0..count).step_by(FRAME) {
            let known = self.manifest.known_in(start..count.min(start + FRAME));
            let entries = known.len() as u64;
            self.files.append(&mut segments, manifest_format::encode(known), entries).await?;
        }
        self.progress.segments = segments;
        self.swap(lease).await?;
        info!(lane = self.lane, entries = self.manifest.len(), aged_out = left, "manifest compacted");
        Ok(left)
    }

    /// Whether a compaction pays, see [`pays`].
    pub fn wants_compaction(&self, now: DateTime<Utc>) -> bool {
        let seconds = now.timestamp();
        let live = self.manifest.entries().iter().filter(|entry| entry.is_kept(seconds)).count() as u64;
        let segments = &self.progress.segments;
        let entries = segments.iter().map(|part| part.entries).sum();
        pays(Stored { entries, files: segments.len() as u64, live })
    }

    /// Whether the lane had no progress, or delivered elsewhere, when it was loaded.
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// Names of the segments that exist for this lane.
    pub fn listed(&self) -> HashSet<String> {
        self.progress.segments.iter().map(|part| part.name.clone()).collect()
    }

    async fn swap(&mut self, lease: &Lease) -> Result<(), StateError> {
        lease.hold().await?;
        if let Some(old) = &self.replaced {
            self.set_aside(old).await?;
            self.replaced = None;
        }
        self.commits += 1;
        self.progress.write_id = format!("{}-{}", self.writer, self.commits);
        self.progress.manifest_entries = self.manifest.len() as u64;
        let condition = match &self.version {
            Some(version) => Condition::Is(version.clone()),
            None => Condition::Absent,
        };
        let name = format!("lanes/{}/progress.json", self.lane);
        self.version = Some(self.home.write(&name, to_json(&self.progress), condition).await?);
        Ok(())
    }
}

fn parse_progress(name: &str, bytes: &[u8]) -> Result<Progress, StateError> {
    // The version first: a newer one may have fields of another form.
    #[derive(serde::Deserialize)]
    struct Header {
        schema: u32,
    }
    let damaged = |error: serde_json::Error| StateError::Damaged {
        name: name.to_owned(),
        reason: format!(
            "{error}; restore it from a backup, or delete it to start anew (everything is sent again under the same ids)"
        ),
    };
    let Header { schema } = serde_json::from_slice(bytes).map_err(damaged)?;
    if schema > SCHEMA {
        return Err(StateError::Newer { name: name.to_owned(), found: schema, known: SCHEMA });
    }
    serde_json::from_slice(bytes).map_err(damaged)
}

fn to_json(progress: &Progress) -> Vec<u8> {
    serde_json::to_vec(progress).expect("progress is JSON")
}

/// The manifest of a lane, for reading only.
///
/// # Errors
/// As [`LaneState::load`].
pub async fn read_manifest(store: &Store, lane: &str) -> Result<Manifest, StateError> {
    let Some(progress) = store.progress(lane).await? else { return Ok(Manifest::default()) };
    let origin = Origin {
        target: progress.target.clone(),
        settings_hash: progress.settings_hash.clone(),
        begin: progress.begin,
        now: progress.begin,
        first_window: TimeDelta::seconds(progress.window_seconds),
    };
    Ok(LaneState::load(store, lane, "reader", origin, false).await?.manifest)
}
