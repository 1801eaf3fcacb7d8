//! `cargo demo`, `cargo simulate` and `cargo defects`: says what the command does and how long that takes, builds it
//! with cargo's own progress, and runs it.
//!
//! Without dependencies this program is built within a second. The commands themselves are a part of the stand-ins, whose
//! first build takes minutes.

use std::{
    env,
    ffi::OsString,
    path::Path,
    process::{Command, ExitCode, ExitStatus},
    thread,
    time::{Duration, Instant},
};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// What a first build takes of all cores together: 230 seconds of processor time were measured, and the cores are not
/// busy all the time.
const FIRST_BUILD: Duration = Duration::from_secs(300);

/// A command that is built before it runs.
struct Announced {
    name: &'static str,
    /// What the command does, as the rest of a sentence.
    does: &'static str,
    takes: &'static str,
    /// The executables that the command consists of. The first one is run.
    executables: &'static [&'static str],
}

const COMMANDS: [Announced; 3] = [
    Announced {
        name: "demo",
        does: "shows mati-sync at work against stand-ins for Mandiant, Entra ID and Microsoft",
        takes: "5 to 30 seconds, by what it is asked to show",
        executables: &["demo", "mati-sync"],
    },
    Announced {
        name: "simulate",
        does: "builds the tests and runs the simulation of the whole program under faults and kills",
        takes: "two more minutes for the first build of the tests, and then about a minute for its 300 seeds on two cores",
        executables: &["simulate"],
    },
    Announced {
        name: "defects",
        does: "plants known defects in a copy of the program and has the tests find each of them",
        takes: "about five minutes, two of them to build the copy",
        executables: &["defects"],
    },
];

fn main() -> ExitCode {
    let mut arguments = env::args_os().skip(1).peekable();
    let name = arguments.next().unwrap_or_default();
    let Some(command) = COMMANDS.iter().find(|command| name == command.name) else {
        eprintln!("announce: there is no command {name:?}; .cargo/config.toml has those that there are");
        return ExitCode::FAILURE;
    };
    // Both `cargo demo --once` and `cargo demo -- --once` are meant for the command.
    arguments.next_if(|argument| argument == "--");
    match run(command, arguments.collect()) {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(problem) => {
            eprintln!("cargo {}: {problem}", command.name);
            ExitCode::FAILURE
        }
    }
}

/// Announces the command, builds it and runs it.
fn run(command: &Announced, arguments: Vec<OsString>) -> Result<ExitStatus, String> {
    let own = env::current_exe().map_err(|error| format!("the path of this program is unknown: {error}"))?;
    let executable = own.with_file_name(format!("{}{}", command.executables[0], env::consts::EXE_SUFFIX));
    eprintln!("{}", announcement(command, executable.exists()));
    let began = Instant::now();
    let built = build(command)?;
    if !built.success() {
        return Err("it could not be built; the lines above say why".to_owned());
    }
    let seconds = began.elapsed().as_secs();
    eprintln!("Built in {seconds} s.\n");
    let mut running = Command::new(&executable);
    running.args(arguments).env("MATI_SYNC_BUILD_SECONDS", seconds.to_string());
    hand_over(running).map_err(|error| format!("{}: {error}", executable.display()))
}

/// Says what the command does and how long it takes.
fn announcement(command: &Announced, is_built: bool) -> String {
    let Announced { name, does, takes, .. } = command;
    let cores = thread::available_parallelism().map_or(2, usize::from);
    let build = match is_built {
        true => "It was built before, so cargo compiles only what changed since".to_owned(),
        false => format!("The first build takes {} on {cores} cores", about(FIRST_BUILD, cores)),
    };
    format!("\ncargo {name} {does}.\n{build}; after that it takes {takes}.\n")
}

/// Returns in words how long `work` takes if `cores` share it.
fn about(work: Duration, cores: usize) -> String {
    match work.as_secs().div_ceil(cores as u64).div_ceil(60) {
        1 => "about a minute".to_owned(),
        minutes => format!("about {minutes} minutes"),
    }
}

/// Builds the command's executables beside this one, all at once, with cargo's own progress.
fn build(command: &Announced) -> Result<ExitStatus, String> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    // By the root's manifest cargo takes the default members, as `cargo test` does: then both share what they compiled.
    build.arg("build").arg("--manifest-path").arg(Path::new(ROOT).join("Cargo.toml"));
    for executable in command.executables {
        build.args(["--bin", executable]);
    }
    build.status().map_err(|error| format!("cargo did not start: {error}"))
}

/// Puts the command in the place of this process, so that Ctrl-C ends nothing but the command.
#[cfg(unix)]
fn hand_over(mut command: Command) -> std::io::Result<ExitStatus> {
    Err(std::os::unix::process::CommandExt::exec(&mut command))
}

/// Runs the command and waits for its end: Windows cannot put it in the place of this process.
#[cfg(not(unix))]
fn hand_over(mut command: Command) -> std::io::Result<ExitStatus> {
    command.status()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_first_build_is_announced_with_its_time_and_a_later_one_without() {
        for command in &COMMANDS {
            let first = announcement(command, false);
            assert!(first.contains(command.name) && first.contains(command.takes), "{first}");
            assert!(first.contains("minute") && first.contains("cores"), "{first}");
            let later = announcement(command, true);
            assert!(later.contains(command.name) && later.contains("only what changed"), "{later}");
        }
    }

    #[test]
    fn more_cores_take_less_time() {
        let work = Duration::from_secs(300);
        let told = [1, 2, 4, 16].map(|cores| about(work, cores));
        assert_eq!(told, ["about 5 minutes", "about 3 minutes", "about 2 minutes", "about a minute"]);
    }

    #[test]
    fn every_command_has_its_alias() {
        let aliases = std::fs::read_to_string(Path::new(ROOT).join(".cargo/config.toml")).unwrap();
        for Announced { name, .. } in &COMMANDS {
            let alias = format!("\n{name} = \"run --package announce -- {name}\"\n");
            assert!(aliases.contains(&alias), "{aliases}");
        }
    }
}
