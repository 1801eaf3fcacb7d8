//! Loading a manifest of millions: CPU time and memory, in a process of its own.

use std::{path::Path, process::Command, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use mati_sync::{
    clock::Deadline,
    domain::{
        deciding_record::RecordVersion,
        entry::{Entry, Known, State},
        fingerprint::Fingerprint,
        progress::DestinationId,
    },
    state::{
        commit::{LaneState, Origin},
        directory::DirectoryHome,
        home::Home,
        store::Store,
    },
};
use tempfile::TempDir;

use crate::{at_most, program::own_cpu};

pub const ROLE: &str = "loading";
/// A file of the manifest is full with so many; an upload brings so many.
const FILE: u64 = 1 << 18;
const UPLOAD: u64 = 100;

/// Loads so many that were stored in no order.
pub fn rows(entries: u64, seconds: f64) {
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() { TempDir::new_in(memory) } else { TempDir::new() }.expect("a folder");
    runtime().block_on(store(folder.path(), entries));
    let (mut cpu, mut peak) = (f64::MAX, 0.0_f64);
    for _ in 0..3 {
        let this = std::env::current_exe().expect("this executable");
        let output = Command::new(this).arg(ROLE).arg(folder.path()).output().expect("start a process");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).expect("numbers");
        let numbers: Vec<f64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        (cpu, peak) = (cpu.min(numbers[0]), peak.max(numbers[1]));
    }
    at_most(&format!("load of {entries}: CPU"), seconds, "s", cpu);
    // 40 bytes, 8 of the table, and a file beside it.
    let most = (48 * entries + 40 * FILE) as f64 / 1_048_576.0 + 8.0;
    at_most(&format!("load of {entries}: peak memory"), most.round(), "MiB", peak);
}

/// The process's own part.
pub fn measure(folder: &Path) {
    let state = runtime().block_on(load(folder));
    let cpu = own_cpu();
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap_or_default();
    let kib: f64 = line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("Linux");
    assert!(!state.manifest.is_empty());
    println!("{cpu} {}", kib / 1024.0);
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

fn home(folder: &Path) -> Store {
    Store::new(Home::Directory(DirectoryHome::new(folder.to_owned())))
}

async fn load(folder: &Path) -> LaneState {
    let begin: DateTime<Utc> = DateTime::UNIX_EPOCH + TimeDelta::days(20_000);
    let origin = Origin {
        target: DestinationId { place: "workspace".to_owned(), name: "Mandiant".to_owned() },
        settings_hash: "0123456789abcdef".to_owned(),
        begin,
        now: begin,
        first_window: TimeDelta::days(1),
    };
    LaneState::load(&home(folder), "sentinel", "20260302T120000000Z-0001", origin, false)
        .await
        .expect("sound state")
}

/// Files as commits leave them: frames of an upload each, and in no order.
async fn store(folder: &Path, entries: u64) {
    let store = home(folder);
    store.prepare().await.expect("make the folder");
    let run_id = "20260302T120000000Z-0001";
    let lease = store.lease(run_id, &Deadline::after(Duration::from_secs(1))).await.expect("it is free");
    let (lease, mut state) = (lease.expect("it is free"), load(folder).await);
    for start in (0..entries).step_by(UPLOAD as usize) {
        let known = (start..entries.min(start + UPLOAD)).map(known).collect();
        state.commit(&lease, known).await.expect("it is stored");
    }
    lease.release().await;
}

fn known(number: u64) -> Known {
    let mixed = |seed: u64| {
        let mut bits = (number + 1).wrapping_mul(seed);
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        u128::from(bits ^ (bits >> 31))
    };
    let key = mixed(0x9e37_79b9_7f4a_7c15) << 64 | mixed(0xd1b5_4a32_d192_ed03);
    let until = DateTime::UNIX_EPOCH + TimeDelta::days(20_100);
    Entry::new(key.to_be_bytes().into(), Fingerprint(7), until, RecordVersion::default(), State::Held).into()
}
