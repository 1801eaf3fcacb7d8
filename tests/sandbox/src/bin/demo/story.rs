//! Four passes, told in numbers and checked.

use std::{collections::BTreeSet, io::IsTerminal, io::Write, time::Duration};

use anyhow::{Result, ensure};
use chrono::TimeDelta;
use sandbox::corpus::Record;
use serde_json::json;

use crate::{plural, report::Report, say, stage::Stage};

/// Tells the story of a feed that holds `records`.
pub async fn tell(stage: &Stage, records: Vec<Record>) -> Result<()> {
    stage.world.mandiant.put_all(records);
    first_pass(stage).await?;
    second_pass(stage).await?;
    third_pass(stage).await?;
    rerun(stage).await?;
    println!();
    Ok(())
}

async fn first_pass(stage: &Stage) -> Result<()> {
    let held = stage.world.mandiant.records();
    let unsure = held.iter().filter(|record| record.indexed_mscore() < 80).count();
    let open = held.iter().filter(|record| record.indexed_mscore() >= 80 && record.osint_only()).count();
    let given = held.len() - unsure - open;
    say("", format!("not asked for: {unsure} below confidence 80, {open} open source only"));

    let report = watched(stage, stage.timer_pass()).await?;
    report.check()?;
    let (uploaded, requests) = (report.uploaded(), report.count("requests"));
    say(
        "first pass",
        format!(
            "{} read, {uploaded} uploaded to Sentinel in {}",
            report.count("read"),
            plural(requests, "request")
        ),
    );
    if report.dropped() > 0 {
        say("", format!("not uploaded: {}", report.reasons()));
    }

    let sentinel = &stage.world.sentinel;
    let answered: usize = stage.world.mandiant.requests().iter().map(|request| request.records).sum();
    expect("records read", report.count("read"), answered)?;
    ensure!(answered >= given, "Mandiant was to give {given} records and was asked for {answered}");
    expect("indicators at Sentinel", sentinel.stored().len() as u64, report.count("created") as usize)?;
    expect("objects sent to Sentinel", uploaded, sentinel.log().len())?;
    expect("requests to Sentinel", requests, sentinel.requests().len())?;
    match uploaded {
        0 => say("", "nothing here passes the default thresholds"),
        _ => say("", format!("Sentinel holds {}: exactly these", plural(uploaded, "indicator"))),
    }
    Ok(())
}

async fn second_pass(stage: &Stage) -> Result<()> {
    let report = stage.timer_pass().await?;
    report.check()?;
    expect("uploads of the second pass", report.uploaded(), 0)?;
    expect("requests of the second pass", report.count("requests"), 0)?;
    say("second pass", "nothing changed at Mandiant: 0 uploaded, 0 requests");
    Ok(())
}

async fn third_pass(stage: &Stage) -> Result<()> {
    let Some(record) = least_certain(stage) else { return Ok(()) };
    let value = record.value().replace('.', "[.]");
    let confidence = record.indexed_mscore();
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
    // The newest two minutes are left alone, because Mandiant is still indexing them.
    stage.world.mandiant.put(changed.updated(stage.now() - TimeDelta::minutes(3)));

    let report = stage.timer_pass().await?;
    report.check()?;
    expect("updates of the third pass", report.count("updated"), 1)?;
    expect("uploads of the third pass", report.uploaded(), 1)?;
    say("third pass", format!("one record changed ({value}: {what}): 1 updated"));
    Ok(())
}

/// Of the records that Sentinel holds, the one Mandiant is least sure of.
fn least_certain(stage: &Stage) -> Option<Record> {
    let stored = stage.world.sentinel.stored();
    let id = |object: &serde_json::Value| {
        object["external_references"][0]["external_id"].as_str().map(str::to_owned)
    };
    let held: BTreeSet<String> = stored.values().filter_map(id).collect();
    let records = stage.world.mandiant.records().into_iter().filter(|record| held.contains(record.key()));
    // A long URL tells a reader nothing.
    records.min_by_key(|record| (record.kind() == "url", record.indexed_mscore()))
}

async fn rerun(stage: &Stage) -> Result<()> {
    let before = stage.world.sentinel.log().len();
    let report = watched(stage, stage.rerun(r#"{"lookback_days": 30}"#)).await?;
    report.check()?;
    expect("uploads of the rerun", report.uploaded(), 0)?;
    expect("objects that the rerun sent", 0, stage.world.sentinel.log().len() - before)?;
    let (read, unchanged) = (report.count("read"), report.count("unchanged"));
    say("manual rerun", r#"POST /api/sync {"lookback_days": 30} → 202, followed until its report was there"#);
    say("", format!("{read} read again, {unchanged} just as Sentinel holds them: 0 uploaded"));
    Ok(())
}

fn expect(what: &str, reported: u64, seen: usize) -> Result<()> {
    ensure!(reported == seen as u64, "{what}: {reported} by the report, {seen} seen by the stand-ins");
    Ok(())
}

/// Shows on a terminal that something moves: uploads keep to Sentinel's 100 requests a minute.
async fn watched(stage: &Stage, pass: impl Future<Output = Result<Report>>) -> Result<Report> {
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
                let stored = stage.world.sentinel.stored().len();
                print!("\r  at work        {stored} at Sentinel, which takes 100 requests a minute");
                _ = std::io::stdout().flush();
            }
        }
    }
}
