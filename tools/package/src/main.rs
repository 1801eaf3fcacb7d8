//! `cargo package-function`: the package that a function app is deployed from, in `dist`.

mod release;

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result};
use clap::Parser;
use package_function::{
    EXECUTABLE, archive, contents,
    linkage::{Linkage, OLDEST_GLIBC},
};

/// Builds mati-sync for any Functions host on Linux, and the package to deploy.
#[derive(Parser)]
#[command(name = "cargo package-function", bin_name = "cargo package-function --")]
struct Arguments {
    /// Package this executable instead of building one.
    #[arg(long, value_name = "PATH")]
    executable: Option<PathBuf>,
    /// Accept an executable that needs a newer C library than the host may have.
    #[arg(long)]
    allow_any_glibc: bool,
    /// Where to write the package; `dist` in the checkout if not given.
    #[arg(long, value_name = "FOLDER")]
    output: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("No package: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
    // First what takes no time.
    let names = contents::contents(&root)?;
    let executable = match &arguments.executable {
        Some(path) => path.clone(),
        None => release::build(&root)?,
    };
    let path = executable.display();
    let executable = fs::read(&executable).with_context(|| path.to_string())?;
    let linkage = Linkage::read(&executable).with_context(|| path.to_string())?;
    if !arguments.allow_any_glibc {
        linkage.check(OLDEST_GLIBC).with_context(|| path.to_string())?;
    }
    let folder = arguments.output.clone().unwrap_or_else(|| root.join("dist"));
    let package = archive::write(&folder, env!("CARGO_PKG_VERSION"), &root, &names, &executable)?;

    println!("{}", package.path.display());
    println!("  size        {} bytes", package.size);
    println!("  SHA-256     {}", package.sha256);
    println!("  executable  {EXECUTABLE}, {} bytes, {linkage}", executable.len());
    Ok(())
}
