//! A host that runs already: where the tests that are pointed at it serve the stand-ins, and the settings it needs to
//! find them.

use std::path::PathBuf;

use chrono::Timelike;

use crate::{clock, host::Settings, world::World};

/// The stand-ins' first port.
pub const FIRST_PORT: u16 = 17_171;

/// Where the program under the running host keeps its state. The tests empty it, so it is theirs alone.
pub fn state() -> PathBuf {
    std::env::temp_dir().join("mati-sync-running-host").join("state")
}

/// The app settings for the running host.
///
/// # Errors
/// The ports are taken.
pub async fn settings() -> std::io::Result<Settings> {
    let mut settings = World::start_at(clock::system(), Some(FIRST_PORT)).await?.settings();
    // Only the tests fire the timer. A schedule that fires more rarely than once a day would have all renewed always.
    let far = (clock::system()().hour() + 12) % 24;
    let more = [
        ("STATE_DIR", state().display().to_string()),
        ("FUNCTIONS_WORKER_RUNTIME", "custom".to_owned()),
        ("AzureWebJobsStorage", "UseDevelopmentStorage=true".to_owned()),
        ("SYNC_CRON", format!("0 0 {far} * * *")),
        ("SENTINEL_REQUESTS_PER_MINUTE", "100000".to_owned()),
    ];
    settings.extend(more.map(|(name, value)| (name.to_owned(), value)));
    Ok(settings)
}
