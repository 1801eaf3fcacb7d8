//! `cargo defects`: plants the defects of `tests/defects` in a copy of the program, and demands that the tests find each.

mod copy;
mod defect;

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use serde_json::Value;

use self::defect::{Defect, FOLDER};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// Plants known defects in a copy of the program, one at a time, and demands that the tests find each of them.
#[derive(Parser)]
struct Arguments {
    /// Look for these defects alone.
    names: Vec<String>,
    /// List the defects and the tests that must find them.
    #[arg(long)]
    list: bool,
    /// Only check that every edit fits the program's text.
    #[arg(long, conflicts_with = "list")]
    check: bool,
    /// How many seeds the simulation tries for each defect.
    #[arg(long, default_value_t = 150)]
    seeds: u64,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let root = Path::new(ROOT).canonicalize().context(ROOT)?;
    let defects = Defect::all(&root)?;
    let chosen = choose(&defects, &arguments.names)?;
    if arguments.list {
        for defect in chosen {
            println!("{}: {} (found by {})", defect.name, defect.summary, defect.found_by.join(", "));
        }
        return Ok(());
    }
    let edited = defect::apply(&defects, &root)?;
    if arguments.check {
        let edits: usize = defects.iter().map(|defect| defect.edits.len()).sum();
        println!("{} defects: each of the {edits} texts to replace stands exactly once", defects.len());
        return Ok(());
    }
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let folders = Folders::of(&root, &cargo)?;
    let copy = folders.artifacts.join("defects/tree");
    copy::make(&root, &copy, &edited)?;
    let searches: Vec<String> = chosen
        .iter()
        .flat_map(|defect| defect.found_by.iter().map(|test| format!("{}\t{test}", defect.name)))
        .collect();
    let mut test = Command::new(cargo);
    // The same packages as `cargo test` takes, and its intermediate files: then cargo finds every dependency compiled.
    // The executables go elsewhere, because the copy's must not take the place of the program's.
    test.args(["test", "--test", "it", "--", "--exact", "planted::every_defect_is_found", "--nocapture"]);
    test.current_dir(&copy)
        .env("CARGO_BUILD_BUILD_DIR", folders.intermediate)
        .env("CARGO_TARGET_DIR", folders.artifacts.join("defects/target"))
        .env("MATI_SYNC_DEFECTS", searches.join("\n"))
        .env("MATI_SYNC_DEFECT_SEEDS", arguments.seeds.to_string());
    ensure!(test.status().context("cargo did not start")?.success(), "not every defect was found");
    Ok(())
}

/// Returns the defects of those names, or all.
fn choose<'d>(defects: &'d [Defect], names: &[String]) -> Result<Vec<&'d Defect>> {
    let unknown = names.iter().find(|name| defects.iter().all(|defect| defect.name != **name));
    if let Some(name) = unknown {
        bail!("there is no {FOLDER}/{name}.txt; `cargo defects -- --list` shows what there is");
    }
    Ok(defects.iter().filter(|defect| names.is_empty() || names.contains(&defect.name)).collect())
}

/// Where cargo puts what it makes of the program.
struct Folders {
    artifacts: PathBuf,
    intermediate: PathBuf,
}

impl Folders {
    fn of(root: &Path, cargo: &std::ffi::OsStr) -> Result<Self> {
        let mut metadata = Command::new(cargo);
        metadata.args(["metadata", "--no-deps", "--offline", "--format-version", "1"]).current_dir(root);
        let output = metadata.output().context("cargo did not start")?;
        ensure!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
        let metadata: Value = serde_json::from_slice(&output.stdout).context("cargo metadata")?;
        let folder = |name: &str| metadata[name].as_str().map(PathBuf::from);
        let artifacts = folder("target_directory").context("cargo metadata names no target directory")?;
        let intermediate = folder("build_directory").unwrap_or_else(|| artifacts.clone());
        Ok(Self { artifacts, intermediate })
    }
}
