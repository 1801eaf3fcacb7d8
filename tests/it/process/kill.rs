//! The executable is killed at any moment, again and again.

use std::time::Duration;

use tokio::process::Command;

use super::{
    Bench, EXECUTABLE,
    corpus::{held, records, wanted},
};

/// Kills, at moments that differ from run to run.
const KILLS: u64 = 60;
/// Records in a request, and requests in flight.
const IN_DOUBT: usize = 100 * 4;

#[tokio::test]
async fn sixty_kills_lose_nothing() {
    let mut bench = Bench::new().await;
    // Slow enough that a pass takes longer than a process is left alive.
    bench.settings.insert("SENTINEL_REQUESTS_PER_MINUTE".to_owned(), "600".to_owned());
    let records = records(23, 8000, 0.05);
    bench.world.mandiant.put_all(records.clone());
    let wanted = wanted(&records);
    let start = || {
        let mut command = Command::new(EXECUTABLE);
        let command = command.arg("sync").env_clear().envs(&bench.settings).kill_on_drop(true);
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap()
    };
    let (mut cut_short, mut moment) = (0, 0x2545_f491_u64);
    for _ in 0..KILLS {
        let mut process = start();
        moment = moment.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let life = Duration::from_millis(20 + (moment >> 33) % 500);
        if tokio::time::timeout(life, process.wait()).await.is_err() {
            process.kill().await.unwrap();
            cut_short += 1;
        }
        let held = held(&bench.world.sentinel);
        assert!(held.iter().all(|(pattern, confidence)| wanted.get(pattern) == Some(confidence)));
    }
    assert!(cut_short >= 10, "only {cut_short} processes were still at work");
    assert!(start().wait().await.unwrap().success());
    assert_eq!(held(&bench.world.sentinel), wanted);
    let resent = bench.world.sentinel.log().len() - wanted.len();
    assert!(resent <= cut_short as usize * IN_DOUBT, "{resent} records were sent twice");
    let uploads = bench.world.sentinel.requests().len();
    assert!(start().wait().await.unwrap().success());
    assert_eq!(bench.world.sentinel.requests().len(), uploads, "nothing is left to send");
}
