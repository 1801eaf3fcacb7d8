//! The rows of the program as it is deployed: over TLS, Mandiant's pages compressed, state in blobs, secrets in Key
//! Vault.

use std::{path::Path, time::Instant};

use tempfile::TempDir;

use crate::{
    TURNS, Vars, at_most, at_most_of, azurite::Azurite, independent, pipe, program::Program, row, sent,
    settings, stand_ins::StandIns,
};

/// Settings that leave the state where the stand-ins say.
pub fn vars(stand_ins: &StandIns, folder: &Path) -> Vars {
    let mut vars = settings(&stand_ins.vars, folder);
    vars.remove("STATE_DIR");
    vars
}

/// First passes, each with a state of its own.
pub fn first_pass(executable: &Path, records: usize, seconds: f64) {
    let cpu = (0..TURNS).map(|_| {
        let stand_ins = StandIns::deployed(records);
        let folder = TempDir::new().expect("a folder");
        let program = Program::start(executable, &vars(&stand_ins, folder.path()), folder.path());
        sent(&program.tick(), records);
        program.cpu()
    });
    at_most_of(&format!("deployed: first pass of {records}: CPU"), seconds, "s", cpu.collect());
}

/// Passes that find nothing new, each from the start of a process on.
pub fn idle(executable: &Path, records: usize, millis: f64) {
    let stand_ins = StandIns::deployed(records);
    let folder = TempDir::new().expect("a folder");
    let vars = vars(&stand_ins, folder.path());
    sent(&Program::start(executable, &vars, folder.path()).tick(), records);
    let (mut cold, mut warm) = (Vec::new(), Vec::new());
    for _ in 0..3 * TURNS {
        let program = Program::start(executable, &vars, folder.path());
        assert_eq!(program.tick()["requests"], 0);
        cold.push(program.cpu() * 1000.0);
        let before = program.cpu();
        assert_eq!(program.tick()["requests"], 0);
        warm.push((program.cpu() - before) * 1000.0);
    }
    at_most_of(&format!("deployed: start and idle pass, {records} known: CPU"), millis, "ms", cold);
    at_most_of(&format!("deployed: the next idle pass, {records} known: CPU"), millis, "ms", warm);
}

/// State in Microsoft's own emulator instead of the stand-in: what the storage does is Microsoft's.
pub fn on_azurite(executable: &Path, records: usize) {
    let (stand_ins, azurite) = (StandIns::deployed(records), Azurite::plain());
    let folder = TempDir::new().expect("a folder");
    let mut vars = vars(&stand_ins, folder.path());
    vars.insert("AzureWebJobsStorage".to_owned(), azurite.connection_string());
    let program = Program::start(executable, &vars, folder.path());
    sent(&program.tick(), records);
    at_most(&format!("Azurite: first pass of {records}: CPU"), 0.12, "s", program.cpu());
    drop(program);
    let cpu = (0..TURNS).map(|_| {
        let program = Program::start(executable, &vars, folder.path());
        assert_eq!(program.tick()["requests"], 0);
        program.cpu() * 1000.0
    });
    at_most_of(&format!("Azurite: start and idle pass, {records} known: CPU"), 10.0, "ms", cpu.collect());
}

/// The services a third of a second away: what of it is waiting, and what is work.
pub fn far(executable: &Path, records: usize) {
    let mut stand_ins = StandIns::deployed(records);
    stand_ins.move_away();
    let folder = TempDir::new().expect("a folder");
    let began = Instant::now();
    let program = Program::start(executable, &vars(&stand_ins, folder.path()), folder.path());
    sent(&program.tick(), records);
    let (cpu, took) = (program.cpu(), began.elapsed().as_secs_f64());
    at_most(&format!("deployed, 300 ms away: first pass of {records}: CPU"), 0.2, "s", cpu);
    at_most(&format!("deployed, 300 ms away: first pass of {records}: duration"), 20.0, "s", took);
}

/// Everything read again, and nothing of it changed.
pub fn refresh(executable: &Path, records: usize, seconds: f64) {
    let stand_ins = StandIns::deployed(records);
    let folder = TempDir::new().expect("a folder");
    let mut vars = vars(&stand_ins, folder.path());
    sent(&Program::start(executable, &vars, folder.path()).tick(), records);
    let cpu = (0..TURNS).map(|turn| {
        // Another setting calls for a refresh, and one a day longer changes nothing that is held.
        vars.insert("HASH_INDICATOR_EXPIRATION".to_owned(), (80 - turn).to_string());
        let program = Program::start(executable, &vars, folder.path());
        let report = program.tick();
        assert!(report["unchanged"].as_u64() > Some(records as u64 * 9 / 10), "{report:#}");
        program.cpu()
    });
    at_most_of(&format!("deployed: refresh of {records}, unchanged: CPU"), seconds, "s", cpu.collect());
}

/// Two destinations, each with a lane of its own.
pub fn two_lanes(executable: &Path, records: usize, seconds: f64) {
    let cpu = (0..TURNS).map(|_| {
        let stand_ins = StandIns::deployed(records);
        let folder = TempDir::new().expect("a folder");
        let mut vars = vars(&stand_ins, folder.path());
        vars.insert("TARGET_APPLICATION".to_owned(), "sentinel,defender".to_owned());
        let program = Program::start(executable, &vars, folder.path());
        let lanes = program.pass();
        sent(&lanes["sentinel"], records);
        assert!(lanes["defender"]["created"].as_u64() > Some(records as u64 / 2), "{lanes:#}");
        program.cpu()
    });
    at_most_of(&format!("deployed: first pass of {records}, two lanes: CPU"), seconds, "s", cpu.collect());
}

/// More than Defender can hold, oldest first.
pub fn ranking(executable: &Path, records: usize) {
    let mut stand_ins = StandIns::deployed(records);
    let folder = TempDir::new().expect("a folder");
    let mut vars = vars(&stand_ins, folder.path());
    vars.insert("TARGET_APPLICATION".to_owned(), "defender".to_owned());
    let began = Instant::now();
    let program = Program::start(executable, &vars, folder.path());
    let report = program.pass()["defender"].clone();
    assert_eq!(report["created"], 15_000, "{report:#}");
    let [requests, imported, deleted] = stand_ins.counted().defender;
    let name = format!("deployed: Defender, {records} for 15000 places:");
    at_most(&format!("{name} requests"), 35.0, "", requests as f64);
    at_most(&format!("{name} imported"), 16_500.0, "", imported as f64);
    at_most(&format!("{name} deleted"), 0.0, "", deleted as f64);
    let took = began.elapsed().as_secs_f64();
    at_most(&format!("{name} duration"), 120.0, "s", took);
    at_most(&format!("{name} peak memory"), 64.0, "MiB", program.peak_mib());
}

/// A million that are known: a pass that finds nothing new, and the status page, which counts them.
pub fn million(executable: &Path) {
    let records = 1_000_000;
    let stand_ins = StandIns::deployed(records);
    let folder = TempDir::new().expect("a folder");
    let vars = vars(&stand_ins, folder.path());
    sent(&Program::start(executable, &vars, folder.path()).tick(), records);
    let (mut cpu, mut memory, mut page) = (Vec::new(), 0.0_f64, Vec::new());
    for _ in 0..TURNS {
        let program = Program::start(executable, &vars, folder.path());
        assert_eq!(program.tick()["requests"], 0);
        cpu.push(program.cpu());
        memory = memory.max(program.peak_mib());
        let before = program.cpu();
        program.status_page();
        page.push(program.cpu() - before);
    }
    at_most_of("deployed: nothing new, 1000000 known: CPU", 0.12, "s", cpu);
    at_most("deployed: nothing new, 1000000 known: peak memory", 64.0, "MiB", memory);
    at_most_of("deployed: status page, 1000000 known: CPU", 0.15, "s", page);
}

/// The whole pass beside a pipe that anyone could write, in turns.
pub fn beside_an_independent_pipe(executable: &Path, records: usize) {
    let stand_ins = StandIns::deployed(records);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        let folder = TempDir::new().expect("a folder");
        let mut vars = vars(&stand_ins, folder.path());
        let lane = folder.path().file_name().expect("a name").to_string_lossy().to_lowercase();
        vars.insert("STORAGE_CONTAINER_NAME".to_owned(), lane.replace('.', "x"));
        let program = Program::start(executable, &vars, folder.path());
        sent(&program.tick(), records);
        ours.push(program.cpu());
        vars.extend(stand_ins.secrets.clone());
        theirs.push(pipe::run(independent::ROLE, &vars));
    }
    let least = |figures: &[f64]| figures.iter().copied().fold(f64::MAX, f64::min);
    let median = |figures: &mut Vec<f64>| {
        figures.sort_by(f64::total_cmp);
        figures[figures.len() / 2]
    };
    let (ratio, between) = (least(&ours) / least(&theirs), median(&mut ours) / median(&mut theirs));
    let name = format!("deployed: first pass of {records} by an independent pipe");
    row(&name, "≤ 2.0", format!("{ratio:.2} ({between:.2})"), ratio <= 2.0);
}
