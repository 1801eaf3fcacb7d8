//! What the demo's Mandiant holds.

use std::{
    collections::{BTreeSet, HashSet},
    path::PathBuf,
};

use anyhow::{Result, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use sandbox::corpus::{CorpusSettings, Generator, Record, load_recorded};

use crate::say;

/// Indicators of the last days, the same at every start but for their dates. A day takes a request at each destination
/// at least, and Defender takes one every 2.4 seconds.
pub fn generated(count: u32, now: DateTime<Utc>) -> Vec<Record> {
    let (from, to) = (now - TimeDelta::days(4), now - TimeDelta::minutes(10));
    let settings = CorpusSettings::new(7, 2 * count as usize, from, to).hostile(1.0 / 7.0);
    // Of two records of one value the later speaks for it. The story reads everything again, and would have to
    // explain how the earlier one takes its turn.
    let mut values = HashSet::new();
    let first_of_value =
        |record: &Record| values.insert((record.kind().to_owned(), record.value().to_owned()));
    let records: Vec<_> = Generator::new(&settings).filter(first_of_value).take(count as usize).collect();
    say("Mandiant", format!("{} generated indicators, updated within the last 4 days", records.len()));
    records
}

/// Recorded answers, moved into the present.
pub fn recorded(files: &[PathBuf], now: DateTime<Utc>) -> Result<Vec<Record>> {
    let recorded = load_recorded(files, now)?;
    ensure!(!recorded.records.is_empty(), "there is no indicator in any of the files");
    let from = files.len();
    say(
        "Mandiant",
        format!(
            "{} indicators recorded in {from} files, moved into the last 20 days",
            recorded.records.len()
        ),
    );
    let names: BTreeSet<_> = recorded.skipped.iter().filter_map(|skipped| skipped.path.file_name()).collect();
    if !names.is_empty() {
        let names: Vec<_> = names.iter().map(|name| name.to_string_lossy()).collect();
        say("", format!("skipped, as they hold no indicators in the form of the feed: {}", names.join(", ")));
    }
    Ok(recorded.records)
}
