//! The search for the planted defects. `cargo defects` adds this file to its copy of the program as
//! `tests/it/planted.rs` and says in the environment what to look for.

use std::{
    process::{Command, Output},
    sync::Mutex,
};

use mati_sync::planted::plant;

use crate::{simulation, small_world};

/// A defect, and the test that must find it.
struct Task {
    defect: String,
    test: String,
}

/// Looks for `task.defect` with `task.test`: returns how it showed, or why it was not found.
///
/// A test that tries many worlds has an arm of its own here. Any other is the path of one scenario of this binary.
fn search(task: &Task, seeds: u64) -> Result<String, String> {
    match task.test.as_str() {
        "simulation" => {
            let found = (0..seeds).find_map(|seed| {
                let outcome = with(Some(&task.defect), || simulation::run(seed));
                outcome.err().map(|failure| (seed, failure))
            });
            let (seed, failure) = found.ok_or_else(|| format!("not within {seeds} seeds"))?;
            // A seed that fails anyway finds nothing.
            with(None, || simulation::run(seed))
                .map_err(|failure| format!("seed {seed} fails without the defect: {failure}"))?;
            Ok(format!("seed {seed}: {}", first_line(&failure)))
        }
        "small_world" => {
            let found = small_world::run(&|| plant(Some(&task.defect))).err();
            let found = found.ok_or_else(|| "no sequence of the small world".to_owned())?;
            small_world::run(&|| plant(None)).map_err(|failure| format!("without the defect: {failure}"))?;
            Ok(first_line(&found).to_owned())
        }
        scenario => {
            let sound = run_alone(scenario, None);
            if !text(&sound).contains("1 passed") {
                return Err(format!("it must exist and pass without the defect: {}", text(&sound)));
            }
            let output = run_alone(scenario, Some(&task.defect));
            if output.status.success() {
                return Err("it passes all the same".to_owned());
            }
            let text = text(&output);
            let said = text.lines().skip_while(|line| !line.contains("panicked at")).nth(1);
            Ok(said.unwrap_or("it did not come to its end").to_owned())
        }
    }
}

/// Runs `work` with a defect switched on, or with none.
fn with<T>(defect: Option<&str>, work: impl FnOnce() -> T) -> T {
    plant(defect);
    let outcome = work();
    plant(None);
    outcome
}

/// Runs one scenario in a process of its own.
fn run_alone(scenario: &str, defect: Option<&str>) -> Output {
    let mut test = Command::new(std::env::current_exe().expect("this binary has a path"));
    test.args(["--exact", scenario]).env_remove("MATI_SYNC_PLANTED");
    test.envs(defect.map(|defect| ("MATI_SYNC_PLANTED", defect)));
    test.output().expect("this binary starts again")
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is missing: start this test with `cargo defects`"))
}

#[test]
fn every_defect_is_found() {
    let seeds = variable("MATI_SYNC_DEFECT_SEEDS").parse().expect("a number of seeds");
    let tasks = variable("MATI_SYNC_DEFECTS");
    let mut tasks = tasks.lines().map(|line| {
        let (defect, test) = line.split_once('\t').expect("a defect and a test");
        Task { defect: defect.to_owned(), test: test.to_owned() }
    });
    let count = tasks.clone().count();
    let (tasks, missed) = (Mutex::new(&mut tasks), Mutex::new(Vec::new()));
    // The panics below are what is looked for, and thousands of lines would hide what was found.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                loop {
                    let Some(task) = tasks.lock().unwrap().next() else { return };
                    match search(&task, seeds) {
                        Ok(found) => println!("{}: found by {}, {found}", task.defect, task.test),
                        Err(reason) => {
                            let line = format!("{}: NOT found by {}, {reason}", task.defect, task.test);
                            println!("{line}");
                            missed.lock().unwrap().push(line);
                        }
                    }
                }
            });
        }
    });
    std::panic::set_hook(hook);
    let missed = missed.into_inner().unwrap();
    assert!(missed.is_empty(), "{} of {count} searches found nothing:\n{}", missed.len(), missed.join("\n"));
    println!("all {count} searches found their defect");
}
