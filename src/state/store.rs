//! Handle on the state: reports, small files of a lane, and tidying up. The commit is in [`commit`](super::commit).

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Serialize, de::DeserializeOwned};
use tracing::warn;

use super::{
    error::StateError,
    home::Home,
    lease::Lease,
    object::{Condition, Holder, Item},
};
use crate::{
    clock::Deadline,
    domain::{
        arrival::Arrivals,
        comparison::Comparison,
        days::Day,
        exclusions::Fingerprints,
        findings::{Audit, Unfinished},
        indicator::Indicator,
        outcome::End,
        progress::Progress,
        report::{Report, is_run_id},
    },
};

/// Where files go that cannot be used.
pub(super) const ASIDE: &str = "aside/";
pub(super) const RUNS: &str = "runs/";
const COMPARISON: &str = "compare.json";
const AUDIT: &str = "audit.json";
/// The user's lists of what is never sent.
const EXCLUSIONS: &str = "exclusions/";
/// Reports kept.
const REPORTS_KEPT: usize = 500;
/// Rejected records, and what was set aside, are kept this long.
const REJECTIONS_KEPT: TimeDelta = TimeDelta::days(90);
/// A segment that is not listed may belong to a commit under way; after this it does not.
const ORPHANS_KEPT: TimeDelta = TimeDelta::days(1);

/// Handle on the state of all lanes.
#[derive(Clone)]
pub struct Store {
    home: Arc<Home>,
}

impl Store {
    pub fn new(home: Home) -> Self {
        Self { home: Arc::new(home) }
    }

    pub(super) fn home(&self) -> &Arc<Home> {
        &self.home
    }

    /// Makes sure that the container or directory exists.
    pub async fn prepare(&self) -> Result<(), StateError> {
        self.home.prepare().await
    }

    /// The right to write, see [`Lease::acquire`].
    pub async fn lease(&self, run_id: &str, deadline: &Deadline) -> Result<Option<Lease>, StateError> {
        Lease::acquire(&self.home, run_id, deadline).await
    }

    /// The same; `tell` hears who is waited for, if anybody is.
    pub async fn lease_telling(
        &self,
        run_id: &str,
        deadline: &Deadline,
        tell: impl FnOnce(Holder),
    ) -> Result<Option<Lease>, StateError> {
        if let Some(lease) = Lease::try_acquire(&self.home, run_id).await? {
            return Ok(Some(lease));
        }
        // Only for a person to read: whatever is wrong with the storage, the next try finds out.
        if let Ok(Some(holder)) = self.home.lease_holder().await {
            tell(holder);
        }
        self.lease(run_id, deadline).await
    }

    /// The pass that is running, if one is. Creates and changes nothing.
    pub async fn running(&self) -> Result<Option<Holder>, StateError> {
        if self.home.is_leased().await? { self.home.lease_holder().await } else { Ok(None) }
    }

    /// Whether the lease can be acquired: `None`, and it was released at once; otherwise its holder, in words.
    pub async fn probe_lease(&self, run_id: &str) -> Result<Option<String>, StateError> {
        match Lease::try_acquire(&self.home, run_id).await? {
            Some(lease) => {
                lease.release().await;
                Ok(None)
            }
            None => {
                let holder = self.home.lease_holder().await?;
                Ok(Some(holder.map_or_else(|| "an unknown instance".to_owned(), |holder| holder.to_string())))
            }
        }
    }

    /// Writes something of no use, reads it back and deletes it again.
    ///
    /// # Errors
    /// The storage rejects one of the three, or gives back something else.
    pub async fn probe(&self, run_id: &str) -> Result<(), StateError> {
        let name = format!("check-{run_id}");
        let bytes = run_id.as_bytes().to_vec();
        self.home.write(&name, bytes.clone(), Condition::Absent).await?;
        let read = self.home.read(&name).await;
        self.home.delete(&name).await?;
        match read? {
            Some((read, _)) if read == bytes => Ok(()),
            _ => Err(StateError::Unavailable(format!(
                "{} did not give back what was written to it",
                self.place()
            ))),
        }
    }

    /// Where the state is, for a person.
    pub fn place(&self) -> String {
        self.home.place()
    }

    pub async fn write_report(&self, report: &Report) -> Result<(), StateError> {
        self.write_json(&format!("{RUNS}{}.json", report.run_id), report).await
    }

    /// The report of one pass, seen as one with the passes that went on with it.
    pub async fn report(&self, run_id: &str) -> Result<Option<Report>, StateError> {
        if !is_run_id(run_id) {
            return Ok(None);
        }
        let name = format!("{RUNS}{run_id}.json");
        let Some(mut report) = self.read_json::<Report>(&name).await? else { return Ok(None) };
        if report.lanes.values().any(|lane| lane.end == End::Paused) {
            for item in self.home.list(RUNS).await?.iter().filter(|item| item.name > name) {
                if let Some(later) = self.other_report(&item.name).await? {
                    report.continued_by(&later);
                }
            }
        }
        Ok(Some(report))
    }

    /// How each lane ended last, in the passes since `run_id` and in that one.
    ///
    /// # Errors
    /// The storage fails.
    pub async fn last_ends_since(&self, run_id: &str) -> Result<BTreeMap<String, End>, StateError> {
        let first = format!("{RUNS}{run_id}.json");
        let items = self.home.list(RUNS).await?;
        // A request has an older name than the passes since it was made, so it is the time of writing that counts.
        let since = items.iter().find(|item| item.name == first).map(|item| item.modified);
        let mut reports = Vec::new();
        for item in items.iter().filter(|item| since.is_none_or(|since| item.modified >= since)) {
            reports.extend(self.other_report(&item.name).await?.filter(|report| !report.dry_run));
        }
        reports.sort_by_key(|report| report.ended_at);
        let lanes = reports.into_iter().flat_map(|report| report.lanes);
        Ok(lanes.map(|(name, lane)| (name, lane.end)).collect())
    }

    /// A report among others: one that cannot be read does not block them.
    pub(super) async fn other_report(&self, name: &str) -> Result<Option<Report>, StateError> {
        match self.read_json(name).await {
            Err(error @ StateError::Damaged { .. }) => {
                warn!("{error}");
                Ok(None)
            }
            read => read,
        }
    }

    /// The newest reports, newest first. One that cannot be read is passed over and logged.
    pub async fn newest_reports(&self, count: usize) -> Result<Vec<Report>, StateError> {
        let mut reports = Vec::new();
        for item in self.home.list(RUNS).await?.iter().rev().take(count) {
            match self.read_json(&item.name).await {
                Ok(report) => reports.extend(report),
                Err(error) => warn!("{error}"),
            }
        }
        Ok(reports)
    }

    /// The indicator that is sent again when a destination accepts nothing else, if one was kept.
    pub async fn control(&self, lane: &str) -> Result<Option<Indicator>, StateError> {
        self.read_json(&format!("lanes/{lane}/control.json")).await
    }

    pub async fn write_control(
        &self,
        lease: &Lease,
        lane: &str,
        control: &Indicator,
    ) -> Result<(), StateError> {
        lease.hold().await?;
        self.write_json(&format!("lanes/{lane}/control.json"), control).await
    }

    /// The records whose values another application holds at the destination, one JSON line each.
    pub async fn foreign(&self, lane: &str) -> Result<String, StateError> {
        let content = self.home.read(&format!("lanes/{lane}/foreign.jsonl")).await?;
        Ok(content.map(|(bytes, _)| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default())
    }

    pub async fn write_foreign(&self, lease: &Lease, lane: &str, lines: &str) -> Result<(), StateError> {
        lease.hold().await?;
        let name = format!("lanes/{lane}/foreign.jsonl");
        if lines.is_empty() {
            return self.home.delete(&name).await;
        }
        self.home.write(&name, lines.as_bytes().to_vec(), Condition::Always).await?;
        Ok(())
    }

    /// What the lane did on each of the last days, in their order.
    pub async fn days(&self, lane: &str) -> Result<Vec<Day>, StateError> {
        Ok(self.read_json(&format!("lanes/{lane}/days.json")).await?.unwrap_or_default())
    }

    pub async fn write_days(&self, lease: &Lease, lane: &str, days: &[Day]) -> Result<(), StateError> {
        lease.hold().await?;
        let rows: Vec<String> =
            days.iter().map(|day| serde_json::to_string(day).expect("a day is JSON")).collect();
        let bytes = format!("[\n{}\n]\n", rows.join(",\n")).into_bytes();
        self.home.write(&format!("lanes/{lane}/days.json"), bytes, Condition::Always).await?;
        Ok(())
    }

    /// What a lane waits to see at its destination.
    pub async fn arrivals(&self, lane: &str) -> Result<Arrivals, StateError> {
        Ok(self.read_json(&format!("lanes/{lane}/arrival.json")).await?.unwrap_or_default())
    }

    pub async fn write_arrivals(
        &self,
        lease: &Lease,
        lane: &str,
        arrivals: &Arrivals,
    ) -> Result<(), StateError> {
        lease.hold().await?;
        self.write_json(&format!("lanes/{lane}/arrival.json"), arrivals).await
    }

    /// The last comparison of two sources, if one was made.
    pub async fn comparison(&self) -> Result<Option<Comparison>, StateError> {
        self.read_json(COMPARISON).await
    }

    pub async fn write_comparison(&self, comparison: &Comparison) -> Result<(), StateError> {
        self.write_json(COMPARISON, comparison).await
    }

    /// What the last audit of each lane found, if there was one.
    pub async fn audit(&self) -> Result<Option<Audit>, StateError> {
        self.read_json(AUDIT).await
    }

    pub async fn write_audit(&self, audit: &Audit) -> Result<(), StateError> {
        self.write_json(AUDIT, audit).await
    }

    /// A lane's audit, or repair, that is under way. One that is damaged is begun anew.
    pub async fn unfinished_audit(&self, lane: &str) -> Result<Option<Unfinished>, StateError> {
        let name = format!("lanes/{lane}/audit.bin");
        let Some((bytes, _)) = self.home.read(&name).await? else { return Ok(None) };
        let unfinished = Unfinished::from_bytes(&bytes);
        if unfinished.is_none() {
            warn!("{name} cannot be read; the audit begins anew");
        }
        Ok(unfinished)
    }

    pub async fn write_unfinished_audit(
        &self,
        lease: &Lease,
        lane: &str,
        unfinished: &Unfinished,
    ) -> Result<(), StateError> {
        lease.hold().await?;
        let name = format!("lanes/{lane}/audit.bin");
        self.home.write(&name, unfinished.to_bytes(), Condition::Always).await?;
        Ok(())
    }

    /// The names of the user's lists.
    pub async fn exclusion_lists(&self) -> Result<Vec<String>, StateError> {
        let items = self.home.tree(EXCLUSIONS).await?;
        let names = items.into_iter().filter_map(|item| Some(item.name.strip_prefix(EXCLUSIONS)?.to_owned()));
        // Some tools make an empty blob of a folder.
        Ok(names.filter(|name| !name.is_empty() && !name.ends_with('/')).collect())
    }

    /// The content of one of them; `None`: it is gone.
    pub async fn exclusion_list(&self, name: &str) -> Result<Option<Vec<u8>>, StateError> {
        Ok(self.home.read(&format!("{EXCLUSIONS}{name}")).await?.map(|(bytes, _)| bytes))
    }

    /// What stands for the entries of all lists as the lane heard of them last.
    pub async fn known_exclusions(&self, lane: &str) -> Result<Fingerprints, StateError> {
        let content = self.home.read(&format!("lanes/{lane}/exclusions.bin")).await?;
        Ok(content.map(|(bytes, _)| Fingerprints::from_bytes(&bytes)).unwrap_or_default())
    }

    pub async fn write_known_exclusions(
        &self,
        lease: &Lease,
        lane: &str,
        known: &Fingerprints,
    ) -> Result<(), StateError> {
        lease.hold().await?;
        let name = format!("lanes/{lane}/exclusions.bin");
        self.home.write(&name, known.to_bytes(), Condition::Always).await?;
        Ok(())
    }

    /// A lane's progress, if it ever committed any.
    pub async fn progress(&self, lane: &str) -> Result<Option<Progress>, StateError> {
        self.read_json(&format!("lanes/{lane}/progress.json")).await
    }

    /// Removes what is kept no longer. `listed` are the segments that the lanes' progress lists.
    pub async fn tidy(
        &self,
        lease: &Lease,
        lane: &str,
        listed: &HashSet<String>,
        now: DateTime<Utc>,
    ) -> Result<(), StateError> {
        lease.hold().await?;
        let reports = self.home.list(RUNS).await?;
        let surplus = reports.len().saturating_sub(REPORTS_KEPT);
        self.delete_all(reports.into_iter().take(surplus)).await?;
        for folder in ["rejected", "aside"] {
            let old = self.home.list(&format!("lanes/{lane}/{folder}/")).await?;
            self.delete_all(old.into_iter().filter(|item| item.modified < now - REJECTIONS_KEPT)).await?;
        }
        let aside = self.home.list(ASIDE).await?;
        self.delete_all(aside.into_iter().filter(|item| item.modified < now - REJECTIONS_KEPT)).await?;
        let aside = self.segments_set_aside(lane).await?;
        let segments = self.home.list(&format!("lanes/{lane}/manifest/")).await?;
        let is_orphan = |item: &Item| {
            let name = item.name.rsplit('/').next().unwrap_or_default();
            item.modified < now - ORPHANS_KEPT && !listed.contains(name) && !aside.contains(name)
        };
        self.delete_all(segments.into_iter().filter(is_orphan)).await
    }

    async fn segments_set_aside(&self, lane: &str) -> Result<HashSet<String>, StateError> {
        let mut names = HashSet::new();
        for item in self.home.list(&format!("lanes/{lane}/aside/")).await? {
            let progress: Option<Progress> = self.read_json(&item.name).await?;
            names.extend(progress.into_iter().flat_map(|progress| progress.segments).map(|part| part.name));
        }
        Ok(names)
    }

    async fn delete_all(&self, items: impl Iterator<Item = Item>) -> Result<(), StateError> {
        for item in items {
            self.home.delete(&item.name).await?;
        }
        Ok(())
    }

    pub(super) async fn write_json(&self, name: &str, value: &impl Serialize) -> Result<(), StateError> {
        let mut bytes = serde_json::to_vec_pretty(value).expect("our own types are JSON");
        bytes.push(b'\n');
        self.home.write(name, bytes, Condition::Always).await?;
        Ok(())
    }

    pub(super) async fn read_json<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, StateError> {
        let Some((bytes, _)) = self.home.read(name).await? else { return Ok(None) };
        let value = serde_json::from_slice(&bytes)
            .map_err(|error| StateError::Damaged { name: name.to_owned(), reason: error.to_string() })?;
        Ok(Some(value))
    }
}
