//! How much is written, in bytes: for what changed, and when nothing did.

use std::{fs, path::Path, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use mati_sync::{
    clock::Deadline,
    domain::{
        compaction::{Stored, pays},
        deciding_record::RecordVersion,
        entry::{Entry, Known, State},
        fingerprint::Fingerprint,
        outcome::End,
        progress::DestinationId,
    },
    source::mandiant::LIMITS,
    state::{
        commit::{LaneState, Origin},
        directory::DirectoryHome,
        home::Home,
        store::Store,
    },
};
use sandbox::corpus::Record;

use crate::harness::world::World;

const LANE: &str = "sentinel";
const ENTRIES: u64 = 1_000_000;
/// What may be written for so many changed records.
const CHANGES: u64 = 1000;
const MOST_PER_CHANGES: u64 = 72 << 10;
/// What a pass may write that found nothing new, by its destinations.
const MOST_FOR_NOTHING: [(&str, u64); 2] = [("sentinel", 3 << 10), ("sentinel,defender", 9 << 9)];

fn now() -> DateTime<Utc> {
    crate::harness::world::START.parse().expect("a date")
}

/// Entries whose keys lie in no order.
fn known(number: u64, fingerprint: u64) -> Known {
    let key = u128::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    let valid_until = now() + TimeDelta::days(30);
    Entry::new(
        key.to_be_bytes().into(),
        Fingerprint(fingerprint),
        valid_until,
        RecordVersion::default(),
        State::Held,
    )
    .into()
}

async fn load(store: &Store, run_id: &str) -> LaneState {
    let target = DestinationId {
        place: "5f1c2d3e-0a1b-4c2d-8e3f-5a6b7c8d9e0f".to_owned(),
        name: "Mandiant".to_owned(),
    };
    let begin = now() - TimeDelta::days(30);
    let origin = Origin {
        target,
        settings_hash: "0123456789abcdef".to_owned(),
        begin,
        now: now(),
        first_window: LIMITS.longest,
    };
    LaneState::load(store, LANE, run_id, origin, false).await.expect("sound state")
}

/// The bytes of all files of the manifest, and of progress.json.
fn sizes(root: &Path) -> (u64, u64) {
    let lane = root.join("lanes").join(LANE);
    let files = fs::read_dir(lane.join("manifest")).expect("a manifest");
    let manifest = files.map(|file| file.expect("a file").metadata().expect("its size").len()).sum();
    (manifest, fs::metadata(lane.join("progress.json")).expect("progress").len())
}

/// With a million entries, 20,000 changes in commits of a hundred. A compaction is not waited for: its share is what
/// the rule makes of so many entries, when each change is to one that is known.
#[tokio::test]
async fn little_is_written_for_what_changed() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::new(Home::Directory(DirectoryHome::new(folder.path().to_owned())));
    store.prepare().await.expect("make the folder");
    let run_id = "20260302T120000000Z-0001";
    let lease = store.lease(run_id, &Deadline::after(Duration::from_secs(1))).await.unwrap().unwrap();
    let mut state = load(&store, run_id).await;
    for start in (0..ENTRIES).step_by(125_000) {
        state
            .commit(&lease, (start..start + 125_000).map(|number| known(number, 1)).collect())
            .await
            .unwrap();
    }

    let (before, _) = sizes(folder.path());
    let (mut progress, mut smallest) = (0, u64::MAX);
    for start in (0..20_000).step_by(100) {
        state.commit(&lease, (start..start + 100).map(|number| known(number, 2)).collect()).await.unwrap();
        let of_progress = sizes(folder.path()).1;
        progress += of_progress;
        smallest = smallest.min(of_progress);
    }
    let frames = sizes(folder.path()).0 - before;
    assert!(!state.wants_compaction(now()));

    let files = |entries: u64| entries.div_ceil(250_000);
    let stored = |entries| Stored { entries, files: files(entries), live: ENTRIES };
    let until_compaction = (0..).step_by(1000).find(|changes| pays(stored(ENTRIES + changes))).unwrap();
    let compaction = ENTRIES * 40 * CHANGES / until_compaction;
    // As many more files as are listed on the way there, half of them on average.
    let a_file = serde_json::to_vec(&state.progress.segments[0]).unwrap().len() as u64 + 1;
    let listed = a_file * files(until_compaction) / 2 * CHANGES / 100;
    let per_changes = (frames + progress) * CHANGES / 20_000 + listed + compaction;
    assert!(
        per_changes <= MOST_PER_CHANGES,
        "{per_changes} bytes for {CHANGES} changes, progress from {smallest}"
    );
    println!(
        "{per_changes} bytes for {CHANGES} changes: frames {}, progress {} and {listed}, compaction {compaction}",
        frames * CHANGES / 20_000,
        progress * CHANGES / 20_000,
    );

    let loaded = load(&store, run_id).await;
    assert!(loaded.manifest.entries() == state.manifest.entries());
    state.compact(&lease, now()).await.unwrap();
    assert_eq!(state.progress.segments.len(), 4);
    assert!(load(&store, run_id).await.manifest.entries() == state.manifest.entries());
    lease.release().await;
}

#[tokio::test(start_paused = true)]
async fn next_to_nothing_is_written_when_nothing_changed() {
    let (mut world, blobs) = World::with_blobs();
    for (targets, most) in MOST_FOR_NOTHING {
        world.set("TARGET_APPLICATION", targets);
        let records = (1..=250)
            .map(|n| Record::ipv4(&format!("198.51.100.{n}")).updated(world.ago(TimeDelta::hours(3))));
        world.mandiant.put_all(records.collect::<Vec<_>>());
        world.tick().await;
        let before = blobs.bytes_written();
        let report = world.tick().await;
        assert_eq!((report.end, report.totals().unchanged), (End::CaughtUp, 0), "{report:#?}");
        let written = blobs.bytes_written() - before;
        assert!(written <= most, "{written} bytes by a pass with nothing new to {targets}");
    }
}
