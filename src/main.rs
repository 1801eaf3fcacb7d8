//! The executable. Everything else is in the library: what is used here would be compiled a second time.

use std::process::ExitCode;

fn main() -> ExitCode {
    mati_sync::program::run()
}
