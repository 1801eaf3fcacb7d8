//! Six passes, told in numbers and checked.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{IsTerminal, Write},
    time::Duration,
};

use anyhow::{Result, ensure};
use chrono::TimeDelta;
use sandbox::corpus::Record;
use serde_json::json;

use crate::{
    lanes::{Lane, told},
    plural,
    report::Report,
    say,
    stage::Stage,
};

/// Tells the story of a feed that holds `records`.
pub async fn tell(stage: &Stage, records: Vec<Record>) -> Result<()> {
    stage.world.mandiant.put_all(records);
    let mut story = Story { stage, held: Vec::new() };
    story.first_pass().await?;
    story.second_pass().await?;
    story.third_pass().await?;
    story.fourth_pass().await?;
    story.fifth_pass().await?;
    story.rerun().await?;
    Ok(())
}

struct Story<'a> {
    stage: &'a Stage,
    /// What each destination must hold, by Mandiant's ids.
    held: Vec<(Lane, BTreeSet<String>)>,
}

impl Story<'_> {
    async fn first_pass(&mut self) -> Result<()> {
        let stage = self.stage;
        let records = stage.world.mandiant.records();
        let unsure = records.iter().filter(|record| record.indexed_mscore() < 80).count();
        let open =
            records.iter().filter(|record| record.indexed_mscore() >= 80 && record.osint_only()).count();
        let given = records.len() - unsure - open;

        let report = self.watched(stage.timer_pass()).await?;
        report.check(&stage.lanes)?;
        let mut label = "first pass";
        for lane in &stage.lanes {
            let (read, uploaded) = (report.count(*lane, "read"), report.uploaded(*lane));
            let requests = report.count(*lane, "requests");
            expect(&format!("requests to {}", lane.title()), requests, lane.requests(&stage.world))?;
            let requests = plural(requests, "request");
            say(label, format!("{read} read, {uploaded} uploaded to {} in {requests}", lane.title()));
            label = "";
        }
        let first = stage.lanes[0];
        if report.dropped(first) > 0 {
            say("", format!("not uploaded: {}", report.reasons(first)));
        }
        for lane in &stage.lanes {
            let rejected = report.count(*lane, "rejected");
            if rejected > 0 {
                say("", format!("not taken by {}, kept with the reason: {rejected}", lane.title()));
            }
        }

        let answered: usize = stage.world.mandiant.requests().iter().map(|request| request.records).sum();
        let read: u64 = stage.lanes.iter().map(|lane| report.count(*lane, "read")).sum();
        expect("records read", read, answered)?;
        let wanted = given * stage.lanes.len();
        ensure!(answered >= wanted, "Mandiant was to give {wanted} records and was asked for {answered}");
        expect(
            "objects sent to Sentinel",
            report.uploaded(Lane::Sentinel),
            stage.world.sentinel.log().len(),
        )?;
        self.take_stock(&report)?;
        match report.uploaded(first) {
            0 => say("", "nothing here passes the default thresholds"),
            _ => say("", format!("{}: exactly these", self.told())),
        }
        Ok(())
    }

    /// Notes what is held after the first pass: as many as were created, and nothing that is not wanted.
    fn take_stock(&mut self, report: &Report) -> Result<()> {
        let records = self.stage.world.mandiant.records();
        let records: BTreeMap<&str, &Record> = records.iter().map(|record| (record.key(), record)).collect();
        for lane in &self.stage.lanes {
            let held = lane.held(&self.stage.world, self.stage.now());
            let title = lane.title();
            expect(&format!("indicators at {title}"), report.count(*lane, "created"), held.len())?;
            for id in &held {
                let wanted = records.get(id.as_str()).is_some_and(|record| passes(record));
                ensure!(wanted, "{title} holds {id:?}, which is not wanted");
            }
            self.held.push((*lane, held.into_iter().collect()));
        }
        Ok(())
    }

    async fn second_pass(&self) -> Result<()> {
        let report = self.stage.timer_pass().await?;
        report.check(&self.stage.lanes)?;
        for lane in &self.stage.lanes {
            expect("uploads of the second pass", report.uploaded(*lane), 0)?;
            expect("requests of the second pass", report.count(*lane, "requests"), 0)?;
        }
        say("second pass", "nothing changed at Mandiant: 0 uploaded, 0 requests");
        Ok(())
    }

    async fn third_pass(&self) -> Result<()> {
        let Some(record) = self.lowest(Record::indexed_mscore) else { return Ok(()) };
        let (value, confidence) = (readable(&record), record.indexed_mscore());
        let (changed, what) = if confidence < 100 {
            (record.mscore(100), format!("confidence {confidence} → 100"))
        } else {
            let mut categories = record.json().get("category").cloned().unwrap_or_default();
            match categories.as_array_mut() {
                Some(known) => known.push(json!("ransomware")),
                None => categories = json!(["ransomware"]),
            }
            (record.set("category", categories), "a new category, ransomware".to_owned())
        };
        let report = self.after(changed).await?;
        for lane in &self.stage.lanes {
            expect("updates of the third pass", report.count(*lane, "updated"), 1)?;
            expect("uploads of the third pass", report.uploaded(*lane), 1)?;
        }
        let each = if self.stage.lanes.len() > 1 { " at each" } else { "" };
        say("third pass", format!("one record changed ({value}: {what}): 1 updated{each}"));
        Ok(())
    }

    async fn fourth_pass(&mut self) -> Result<()> {
        // Not one without a score, or with an odd one.
        let threat_score =
            |record: &Record| record.indexed_threat_score().filter(|score| *score >= 80).unwrap_or(101);
        let Some(record) = self.lowest(threat_score) else { return Ok(()) };
        let (id, value, before) = (record.key().to_owned(), readable(&record), record.indexed_threat_score());
        // What was updated before the first pass is asked for with the confidence that is wanted at least. A drop of
        // the confidence would be seen only in a pass two minutes later, the threat score's is seen at once.
        let report = self.after(record.threat_score(Some(10))).await?;
        for (lane, held) in &mut self.held {
            expect("retractions of the fourth pass", report.count(*lane, "retracted"), 1)?;
            expect("uploads of the fourth pass", report.uploaded(*lane), 0)?;
            held.remove(&id);
        }
        self.compare()?;
        let fates: Vec<_> = self.stage.lanes.iter().map(|lane| lane.retracted()).collect();
        let before = before.map_or("none".to_owned(), |score| score.to_string());
        let what = format!("{value}: threat score {before} → 10");
        say("fourth pass", format!("one record's score fell ({what}): {}", fates.join(", ")));
        Ok(())
    }

    /// The user's own list: what is held and becomes excluded is retracted, at once and by its line.
    async fn fifth_pass(&mut self) -> Result<()> {
        let is_address = |record: &Record| if record.kind() == "ipv4" { 0 } else { 1 };
        let record = self.lowest(is_address).filter(|record| record.kind() == "ipv4");
        let Some(record) = record else { return Ok(()) };
        let value = record.value();
        self.stage.exclude(&format!("# ours\n{value}\n"))?;
        let report = self.stage.timer_pass().await?;
        report.check(&self.stage.lanes)?;
        for (lane, held) in &mut self.held {
            expect("retractions of the fifth pass", report.count(*lane, "retracted"), 1)?;
            expect("uploads of the fifth pass", report.uploaded(*lane), 0)?;
            held.remove(record.key());
        }
        self.compare()?;
        let each = if self.stage.lanes.len() > 1 { " at each" } else { "" };
        let said = self.stage.explain(value).await?;
        let (detail, held) = (&said["decision"]["detail"], &said["lanes"]["sentinel"]["held"]);
        ensure!(detail == "own.txt, line 2 excludes it" && *held == false, "explain says {said:#}");
        let value = readable(&record);
        say("fifth pass", format!("{value} became excluded by own.txt, line 2: 1 retracted{each}"));
        say(
            "",
            format!("GET /api/status?value={value} explains it: {}", detail.as_str().unwrap_or_default()),
        );
        Ok(())
    }

    async fn rerun(&self) -> Result<()> {
        let sent = self.stage.world.sentinel.log().len();
        let report = self.watched(self.stage.rerun(r#"{"lookback_days": 30}"#)).await?;
        report.check(&self.stage.lanes)?;
        say(
            "manual rerun",
            r#"POST /api/sync {"lookback_days": 30} → 202, followed until its report was there"#,
        );
        for lane in &self.stage.lanes {
            expect("uploads of the rerun", report.uploaded(*lane) + report.count(*lane, "retracted"), 0)?;
        }
        expect("objects that the rerun sent", 0, self.stage.world.sentinel.log().len() - sent)?;
        let read = report.count(self.stage.lanes[0], "read");
        let each = if self.stage.lanes.len() > 1 { " for each" } else { "" };
        say("", format!("{read} read{each}, nothing to send: 0 uploaded"));
        self.compare()?;
        if self.held.iter().any(|(_, held)| !held.is_empty()) {
            say("", format!("{}: exactly these", self.told()));
        }
        Ok(())
    }

    /// The pass after Mandiant changed a record.
    async fn after(&self, changed: Record) -> Result<Report> {
        // The newest two minutes are left alone, because Mandiant is still indexing them.
        self.stage.world.mandiant.put(changed.updated(self.stage.now() - TimeDelta::minutes(3)));
        let report = self.stage.timer_pass().await?;
        report.check(&self.stage.lanes)?;
        Ok(report)
    }

    /// Each destination holds exactly what it must.
    fn compare(&self) -> Result<()> {
        for (lane, expected) in &self.held {
            let held = lane.held(&self.stage.world, self.stage.now());
            let found: BTreeSet<String> = held.iter().cloned().collect();
            let differing: Vec<_> = found.symmetric_difference(expected).collect();
            let title = lane.title();
            ensure!(differing.is_empty(), "{title} holds too much or too little: {differing:?}");
            expect(&format!("indicators at {title}"), expected.len() as u64, held.len())?;
        }
        Ok(())
    }

    /// How many each destination holds, in words.
    fn told(&self) -> String {
        let counts: Vec<_> = self.held.iter().map(|(lane, held)| (*lane, held.len())).collect();
        told(&counts)
    }

    /// Of the records that every destination holds, the one with the lowest score.
    fn lowest(&self, score: impl Fn(&Record) -> i64) -> Option<Record> {
        let records = self.stage.world.mandiant.records().into_iter();
        let held = records.filter(|record| self.held.iter().all(|(_, held)| held.contains(record.key())));
        // A long URL tells a reader nothing.
        held.min_by_key(|record| (record.kind() == "url", score(record)))
    }

    /// Shows on a terminal that something moves: uploads keep to what a destination takes in a minute.
    async fn watched(&self, pass: impl Future<Output = Result<Report>>) -> Result<Report> {
        tokio::pin!(pass);
        let terminal = std::io::stdout().is_terminal();
        loop {
            tokio::select! {
                report = &mut pass => {
                    if terminal {
                        print!("\r\x1b[K");
                    }
                    return report;
                }
                () = tokio::time::sleep(Duration::from_millis(200)), if terminal => {
                    let stored = |lane: &Lane| {
                        let held = lane.held(&self.stage.world, self.stage.now());
                        format!("{} at {}", held.len(), lane.title())
                    };
                    let stored: Vec<_> = self.stage.lanes.iter().map(stored).collect();
                    print!("\r  at work        {}; uploads keep to a pace", stored.join(", "));
                    _ = std::io::stdout().flush();
                }
            }
        }
    }
}

/// Whether the default thresholds let a record pass. A threat score that is no number counts as none.
fn passes(record: &Record) -> bool {
    let score = record.json().get("threat_rating").map(|rating| &rating["threat_score"]);
    let score = score.and_then(|score| score.as_f64().or_else(|| score.as_str()?.parse().ok()));
    record.indexed_mscore() >= 80 && score.is_none_or(|score| score >= 80.0) && !record.osint_only()
}

/// A value that cannot be clicked on by mistake.
fn readable(record: &Record) -> String {
    record.value().replace('.', "[.]")
}

fn expect(what: &str, reported: u64, seen: usize) -> Result<()> {
    ensure!(reported == seen as u64, "{what}: {reported} by the report, {seen} seen by the stand-ins");
    Ok(())
}
