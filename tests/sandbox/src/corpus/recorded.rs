//! Answers that were recorded from the API, moved into the present.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use anyhow::Context;
use chrono::{DateTime, Duration, Timelike, Utc};
use serde_json::{Map, Value};

use super::{date::parse_date, record::Record};

/// What [`load_recorded`] found.
#[derive(Clone, Debug, Default)]
pub struct Recorded {
    /// One record per id, in the order of their ids.
    pub records: Vec<Record>,
    pub skipped: Vec<Skipped>,
}

/// A file, or one record of a file, that was not taken over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    pub path: PathBuf,
    pub reason: String,
}

/// Reads recorded API answers: lists of indicators and single ones. Of records with the same id the newest wins.
///
/// The feed reaches back 90 days only and recordings are older, so all dates are moved by one straight line:
/// the newest `last_updated` becomes an hour before `now`, and the oldest date of all comes to lie within the last
/// 20 days. Order and form of the dates stay.
pub fn load_recorded(paths: &[PathBuf], now: DateTime<Utc>) -> anyhow::Result<Recorded> {
    let mut skipped = Vec::new();
    let mut newest: HashMap<String, Record> = HashMap::new();
    for path in paths {
        let text = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        for record in read(path, &text, &mut skipped) {
            // Of two equally new answers the one that was asked for more is the better.
            let rank = |record: &Record| (record.last_updated_at(), record.json().len());
            match newest.get(record.key()) {
                Some(known) if rank(known) >= rank(&record) => {}
                _ => {
                    newest.insert(record.key().to_owned(), record);
                }
            }
        }
    }
    let mut records: Vec<Record> = newest.into_values().collect();
    records.sort_by(|a, b| a.key().cmp(b.key()));
    Ok(Recorded { records: into_present(records, now)?, skipped })
}

fn read(path: &Path, text: &[u8], skipped: &mut Vec<Skipped>) -> Vec<Record> {
    let mut skip = |reason: String| skipped.push(Skipped { path: path.to_owned(), reason });
    let answer = match serde_json::from_slice(text) {
        Ok(Value::Object(answer)) => answer,
        Ok(_) => {
            skip("not a JSON object".into());
            return Vec::new();
        }
        Err(error) => {
            skip(format!("not JSON: {error}"));
            return Vec::new();
        }
    };
    let indicators = match answer.get("indicators") {
        Some(Value::Array(indicators)) => indicators.clone(),
        Some(Value::Null) => Vec::new(),
        _ if ["id", "type", "value", "mscore"].iter().all(|key| answer.contains_key(*key)) => {
            vec![Value::Object(answer)]
        }
        _ => {
            skip("neither a list of indicators nor an indicator".into());
            return Vec::new();
        }
    };
    let mut records = Vec::new();
    for (position, indicator) in indicators.into_iter().enumerate() {
        let record = match indicator {
            Value::Object(json) => Record::from_json(json),
            _ => Err(anyhow::anyhow!("not an object")),
        };
        match record {
            Ok(record) => records.push(record),
            Err(error) => skip(format!("indicator {position}: {error}")),
        }
    }
    records
}

fn into_present(records: Vec<Record>, now: DateTime<Utc>) -> anyhow::Result<Vec<Record>> {
    let mut dates = Vec::new();
    for record in &records {
        each_date(&mut record.json().clone(), &mut |date| dates.extend(parse_date(date).map(|(at, _)| at)));
    }
    let newest = records.iter().map(Record::last_updated_at).max();
    let (Some(newest), Some(oldest)) = (newest, dates.iter().min()) else { return Ok(records) };
    let line = Line { newest, span: newest - *oldest, to: now - Duration::hours(1) };
    records
        .into_iter()
        .map(|record| {
            let mut json = record.json().clone();
            each_date(&mut json, &mut |date| {
                if let Some((at, form)) = parse_date(date) {
                    *date = form.write(line.map(at));
                }
            });
            Record::from_json(json)
        })
        .collect()
}

/// The dates of the record itself and of its sources.
fn each_date(json: &mut Map<String, Value>, visit: &mut impl FnMut(&mut String)) {
    for key in ["last_updated", "first_seen", "last_seen"] {
        if let Some(Value::String(date)) = json.get_mut(key) {
            visit(date);
        }
    }
    let sources = json.get_mut("sources").and_then(Value::as_array_mut);
    for source in sources.into_iter().flatten().filter_map(Value::as_object_mut) {
        each_date(source, visit);
    }
}

/// The straight line from the time of the recording to the present.
struct Line {
    newest: DateTime<Utc>,
    span: Duration,
    to: DateTime<Utc>,
}

impl Line {
    fn map(&self, at: DateTime<Utc>) -> DateTime<Utc> {
        let room = Duration::days(20) - Duration::hours(2);
        let age = i128::from((self.newest - at).num_milliseconds());
        let (room, span) = (i128::from(room.num_milliseconds()), i128::from(self.span.num_milliseconds()));
        let age = if span > room { age * room / span } else { age };
        let moved = self.to - Duration::milliseconds(i64::try_from(age).unwrap_or_default());
        // Dates that were given to the second stay so.
        if at.nanosecond() == 0 { moved.with_nanosecond(0).unwrap_or(moved) } else { moved }
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeZone;
    use serde_json::json;

    use super::*;

    fn indicator(id: &str, updated: &str, extra: &str) -> Value {
        json!({
            "id": id, "type": "fqdn", "value": "recorded.example", "mscore": 88, "extra": extra,
            "last_updated": updated, "first_seen": "2021-06-19T23:34:03.000Z", "last_seen": "2022-07-05T19:37:47Z",
            "sources": [{"source_name": "Mandiant", "osint": false, "category": [],
                "first_seen": "2021-06-19T23:34:03.500+0000", "last_seen": "2022-07-05T19:37:47.000+0000"}],
        })
    }

    #[test]
    fn answers_are_read_merged_and_moved_into_the_present() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, content: String| {
            let path = folder.path().join(name);
            std::fs::write(&path, content).unwrap();
            path
        };
        let old = indicator("fqdn--1", "2022-10-11T08:41:49.77Z", "old");
        let new = indicator("fqdn--1", "2022-12-11T08:41:49.123Z", "new");
        let other = indicator("fqdn--2", "2023-01-26T08:19:05.976Z", "other");
        let paths = [
            write("page.json", json!({"indicators": [new, {"value": "no id"}], "next": "x"}).to_string()),
            write("single.json", old.to_string()),
            write("last.json", json!({"indicators": [other]}).to_string()),
            write("end.json", json!({"indicators": null}).to_string()),
            write("token.json", json!({"access_token": "x"}).to_string()),
            write("broken.json", "{".into()),
        ];
        let now = Utc.with_ymd_and_hms(2026, 6, 30, 12, 0, 0).unwrap();
        let recorded = load_recorded(&paths, now).unwrap();

        let names: Vec<_> = recorded.skipped.iter().filter_map(|skipped| skipped.path.file_name()).collect();
        assert_eq!(names, ["page.json", "token.json", "broken.json"]);
        let [first, second] = &recorded.records[..] else { panic!("{:?}", recorded.records) };
        assert_eq!((first.json()["extra"].as_str(), first.indexed_mscore()), (Some("new"), 88));
        assert_eq!(second.last_updated_at(), now - Duration::hours(1));
        assert!(first.last_updated_at() < second.last_updated_at());
        for record in &recorded.records {
            each_date(&mut record.json().clone(), &mut |date| {
                let (at, _) = parse_date(date).unwrap();
                assert!(at <= now && at >= now - Duration::days(20), "{at}");
            });
            assert!(record.json()["first_seen"].as_str().unwrap().ends_with(".000Z"));
            assert!(record.json()["sources"][0]["first_seen"].as_str().unwrap().ends_with("+0000"));
            assert_eq!(record.json()["last_seen"].as_str().unwrap().len(), "2022-07-05T19:37:47Z".len());
        }
    }

    #[test]
    fn dates_that_fit_are_only_shifted() {
        let now = Utc.with_ymd_and_hms(2026, 6, 30, 12, 0, 0).unwrap();
        let at = |hour| Utc.with_ymd_and_hms(2023, 1, 1, hour, 0, 0).unwrap();
        let record = |value, hour| {
            Record::fqdn(value).sources(&[]).first_seen(at(1)).last_seen(at(2)).updated(at(hour))
        };
        let moved = into_present(vec![record("a.example", 3), record("b.example", 5)], now).unwrap();
        assert_eq!(moved[1].last_updated_at() - moved[0].last_updated_at(), Duration::hours(2));
    }
}
