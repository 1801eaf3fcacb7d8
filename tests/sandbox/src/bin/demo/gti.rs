//! The story of Google Threat Intelligence as the source: its lists, what is put together of them, an answer that is
//! full, and the change of source.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use sandbox::{
    corpus::Record,
    gti::{Ioc, LISTS, Tier, hour_of},
};

use crate::{
    lanes::{Lane, told},
    plural,
    report::Report,
    say,
    stage::Stage,
};

/// What both sources list.
const BOTH: &str = "c2.example.net";
/// Records of the full package: more than one answer holds.
const FULL: usize = 4200;

/// Tells what a lane reads at Google Threat Intelligence, and how it changes to Mandiant and back.
pub async fn tell(stage: &mut Stage) -> Result<()> {
    let now = stage.now();
    let hour = |hours: i64| hour_of(now) - TimeDelta::hours(hours);
    list(stage, hour);
    let settings = stage.world.gti_settings();
    stage.change_source(&settings).await?;
    let report = stage.timer_pass().await?;
    report.check(&stage.lanes)?;
    let first = stage.lanes[0];
    say(
        "first pass",
        format!(
            "SOURCE=gti, seven days of every list that the licence gives: {} records read, {} sent to each destination",
            report.count(first, "read"),
            report.count(first, "created")
        ),
    );
    lists(stage, &report)?;
    merged(stage)?;
    split(stage, &report)?;
    falls(stage, &report, hour).await?;
    nothing_twice(stage).await?;
    there_and_back(stage, now).await
}

/// To Mandiant, which lists one value of Google's and one of its own, and back.
async fn there_and_back(stage: &mut Stage, now: DateTime<Utc>) -> Result<()> {
    let id = |stage: &Stage| {
        let stored = stage.world.sentinel.stored();
        stored.into_iter().find(|(_, object)| object["name"] == BOTH).map(|(id, _)| id)
    };
    let before = id(stage);
    for value in [BOTH, "mandiant-only.example.net"] {
        stage.world.mandiant.put(Record::fqdn(value).updated(now - TimeDelta::hours(9)));
    }
    stage.change_source(&[("SOURCE".to_owned(), "mandiant".to_owned())].into()).await?;
    let report = stage.timer_pass().await?;
    report.check(&stage.lanes)?;
    for lane in &stage.lanes {
        let sent = (report.count(*lane, "created"), report.count(*lane, "retracted"));
        ensure!(sent == (1, 0), "one is new, and nothing is retracted: {sent:?}");
    }
    say("the change", "SOURCE=mandiant: what only Mandiant lists is new, what both list keeps its id");
    let settings = stage.world.gti_settings();
    stage.change_source(&settings).await?;
    let report = stage.timer_pass().await?;
    report.check(&stage.lanes)?;
    for lane in &stage.lanes {
        ensure!(report.uploaded(*lane) == 0, "nothing is sent twice: {}", report.message());
    }
    ensure!(id(stage) == before && before.is_some(), "the id of {BOTH} stays");
    ensure!(report.0["losses"].as_array().is_some_and(Vec::is_empty), "nothing is lost between");
    let held: Vec<(Lane, usize)> =
        stage.lanes.iter().map(|lane| (*lane, lane.held(&stage.world, stage.now()).len())).collect();
    ensure!(held.iter().all(|(_, held)| *held == 3), "three are wanted: {held:?}");
    say("and back", format!("SOURCE=gti: 0 uploaded, no hole between; {}", told(&held)));
    say("", "what only Mandiant lists stays until its validity ends: silence never retracts");
    Ok(())
}

/// What Google lists. The newest package is not made yet.
fn list(stage: &Stage, hour: impl Fn(i64) -> DateTime<Utc>) {
    let gti = &stage.world.gti;
    gti.set(|knobs| {
        knobs.tier = Tier::Enterprise;
        knobs.late.extend(LISTS.map(|(list, _)| (list.to_owned(), hour(2))));
    });
    let known = Ioc::domain(BOTH).related("threat_actors", "UNC0001");
    gti.put("threat-actor", hour(3), &known.clone().score(85));
    gti.put("malware", hour(3), &known.score(95).related("malware_families", "examplerat"));
    gti.put("malware", hour(3), &Ioc::url("http://bad.example.com/a?b=c"));
    gti.put("trending", hour(3), &Ioc::address("198.51.100.7"));
    gti.put("trending", hour(3), &Ioc::domain("cdn.example.org").factor("pervasive_indicator", true));
    let noise =
        (0..FULL).map(|n| Ioc::domain(&format!("quiet{n}.example.com")).score(i64::from(n as u32 % 40)));
    gti.put_all("malicious-network-infrastructure", hour(3), noise);
    // It comes with the newest package.
    gti.put("trending", hour(2), &Ioc::address("198.51.100.7").score(20));
}

fn lists(stage: &Stage, report: &Report) -> Result<()> {
    let first = stage.lanes[0];
    let read: BTreeSet<String> = (stage.world.gti.requests().into_iter())
        .filter(|request| request.status == 200 && !request.list.is_empty())
        .map(|request| request.list)
        .collect();
    ensure!(read.len() == 5, "an Enterprise licence gives five lists: {read:?}");
    let message = report.0["lanes"][first.name()]["message"].as_str().unwrap_or_default();
    ensure!(message.contains("phishing") && message.contains("Enterprise Plus"), "{message:?}");
    say(
        "lists",
        format!("{} read; {} come with Enterprise Plus and are left out", read.len(), LISTS.len() - 5),
    );
    Ok(())
}

fn merged(stage: &Stage) -> Result<()> {
    let stored = stage.world.sentinel.stored();
    let of_both: Vec<_> = stored.values().filter(|object| object["name"] == BOTH).collect();
    let [object] = of_both[..] else { anyhow::bail!("{BOTH} is there {} times", of_both.len()) };
    let labels = object["labels"].to_string();
    for label in ["category:malware", "category:threat-actor", "malware:examplerat", "threat-actor:UNC0001"] {
        ensure!(labels.contains(label), "{label} is missing in {labels}");
    }
    let description = object["description"].as_str().unwrap_or_default();
    ensure!(description.contains("threat score 95"), "the highest score speaks: {description}");
    say(
        "merged",
        "c2[.]example[.]net stands in two lists: one indicator, with the highest score and all labels",
    );
    Ok(())
}

fn split(stage: &Stage, report: &Report) -> Result<()> {
    const FULL_LIST: &str = "malicious-network-infrastructure";
    let requests = stage.world.gti.requests();
    let parts = requests
        .iter()
        .filter(|request| request.list == FULL_LIST && request.parameters.contains_key("type"));
    let parts = parts.count() / stage.lanes.len();
    let first = stage.lanes[0];
    ensure!(parts > 3, "a full answer is asked for in parts");
    ensure!(report.count(first, "dropped/threat_score") == FULL as u64, "{}", report.message());
    ensure!(report.count(first, "dropped/pervasive") == 1, "{}", report.message());
    ensure!(report.0["losses"].as_array().is_some_and(Vec::is_empty), "nothing is lost");
    say(
        "a full answer",
        format!(
            "4000 of {FULL} records of a list came; {} more gave the rest",
            plural(parts as u64, "request")
        ),
    );
    say("", format!("not uploaded: {}", report.reasons(first)));
    Ok(())
}

async fn falls(stage: &Stage, report: &Report, hour: impl Fn(i64) -> DateTime<Utc>) -> Result<()> {
    for lane in &stage.lanes {
        ensure!(report.count(*lane, "created") == 3, "three are wanted: {}", report.message());
    }
    let late = LISTS.map(|(list, _)| (list.to_owned(), hour(2)));
    stage.world.gti.set(|knobs| knobs.late.retain(|package| !late.contains(package)));
    let report = stage.timer_pass().await?;
    report.check(&stage.lanes)?;
    for lane in &stage.lanes {
        ensure!(report.count(*lane, "retracted") == 1, "{}", report.message());
    }
    let fates: Vec<_> = stage.lanes.iter().map(|lane| lane.retracted()).collect();
    say("the next hour", format!("198[.]51[.]100[.]7: threat score 90 → 20: {}", fates.join(", ")));
    Ok(())
}

async fn nothing_twice(stage: &Stage) -> Result<()> {
    let asked = stage.world.gti.requests().len();
    let report = stage.timer_pass().await?;
    report.check(&stage.lanes)?;
    for lane in &stage.lanes {
        ensure!(report.uploaded(*lane) + report.count(*lane, "read") == 0, "{}", report.message());
    }
    let asked = stage.world.gti.requests().len() - asked;
    say("another pass", format!("no package is ready: {asked} requests, 0 uploaded"));
    Ok(())
}
