//! Google Threat Intelligence as the source: the hours of its lists are put together in memory.

use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::{at_most, program::Program, settings, stand_ins::StandIns};

/// Lists that there are.
const LISTS: u64 = 14;

/// One hour of all lists, each as full as an answer can be.
pub fn hour(executable: &Path) {
    let stand_ins = StandIns::lists(4000, false);
    let (passes, read, program) = run(executable, &stand_ins, "00:10:00");
    assert!(passes == 1 && read > LISTS * 1000, "{passes} passes read {read}");
    at_most("an hour of 14 lists of 4000: CPU", 1.0, "s", program.cpu());
    at_most("an hour of 14 lists of 4000: peak memory", 64.0, "MiB", program.peak_mib());
}

/// A day of all lists, of more records than an answer holds, in passes that pause.
pub fn day(executable: &Path) {
    let stand_ins = StandIns::lists(5000, true);
    let (passes, read, program) = run(executable, &stand_ins, "00:01:00");
    assert!(read >= 24 * LISTS * 1250, "{passes} passes read {read}");
    at_most(&format!("a day of 14 lists of 5000, in {passes} passes: CPU"), 25.0, "s", program.cpu());
    at_most("a day of 14 lists of 5000: peak memory", 64.0, "MiB", program.peak_mib());
}

/// Ticks until everything is delivered: how many, what they read, and the program that made them.
fn run(executable: &Path, stand_ins: &StandIns, limit: &str) -> (usize, u64, Program) {
    let folder = TempDir::new().expect("a folder");
    let mut vars = settings(&stand_ins.vars, folder.path());
    vars.insert("INITIAL_LOOKBACK".to_owned(), "2".to_owned());
    vars.insert("AzureFunctionsJobHost__functionTimeout".to_owned(), limit.to_owned());
    let program = Program::start(executable, &vars, folder.path());
    let (mut passes, mut read) = (0, 0);
    loop {
        let report = program.turn();
        passes += 1;
        read += report["lanes"]["sentinel"]["read"].as_u64().unwrap_or_default();
        assert_eq!(report["losses"].as_array().map(Vec::len), Some(0), "{report:#}");
        match report["end"].as_str() {
            Some("caught_up") => return (passes, read, program),
            Some("paused") if passes < 100 => {}
            _ => panic!("{:#}", without_lanes(report)),
        }
    }
}

fn without_lanes(mut report: Value) -> Value {
    report["lanes"] = Value::Null;
    report
}
