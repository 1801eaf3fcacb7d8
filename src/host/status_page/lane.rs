//! One destination's part of the page.

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    passes::Badge,
    trend::{self, Trend},
    words::{Piece, ago, count, cut, shown},
};
use crate::{
    domain::{
        days::Day,
        feeds::{NotedLoss, Quota},
        findings::Findings,
        health::Health,
        outcome::Counts,
        rejected::RejectedRecord,
        report::{Report, WithheldReport},
        tally::Tally,
    },
    pass::{LaneCost, LaneDetail, LaneOverview, Overview},
};

/// Days that are summed.
const SUMMED: TimeDelta = TimeDelta::days(30);

/// One destination.
pub struct Section {
    pub id: String,
    pub name: String,
    pub badge: Badge,
    pub facts: Vec<Fact>,
    /// What is held, by type; without what is not.
    pub types: Vec<(&'static str, String)>,
    pub trend: Option<Trend>,
    /// What the lane did in the last days.
    pub sums: Option<String>,
}

/// Something known, under its name.
pub struct Fact {
    pub name: &'static str,
    pub value: Vec<Piece>,
}

impl Fact {
    pub fn new(name: &'static str, value: Vec<Piece>) -> Self {
        Self { name, value }
    }
}

/// The section of the lane `name`.
pub fn section(name: &str, lane: Option<&LaneOverview>, health: &Health, overview: &Overview) -> Section {
    let badge = match health {
        Health::Unknown => Badge { class: "open", word: "has not run yet" },
        Health::Known(spell) => spell.end.into(),
    };
    let detail = lane.and_then(|lane| lane.detail.as_ref());
    let tally = detail.and_then(|detail| detail.tally.as_ref().ok());
    Section {
        id: format!("lane-{}", cut(name, 40)),
        name: shown(name),
        badge,
        facts: lane.map(|lane| facts(name, lane, overview)).unwrap_or_default(),
        types: tally.map(types).unwrap_or_default(),
        trend: detail.and_then(|detail| trend::of(name, &detail.days, overview.at)),
        sums: detail.and_then(|detail| sums(&detail.days, overview.at)),
    }
}

fn facts(name: &str, lane: &LaneOverview, overview: &Overview) -> Vec<Fact> {
    let mut facts = vec![
        Fact::new("Indicators held", vec![held(lane).into()]),
        Fact::new(
            "Settled up to",
            vec![lane.watermark.into(), format!(", {}", ago(overview.at - lane.watermark)).into()],
        ),
    ];
    let mut more = |name: &'static str, number: u64, about: &str| {
        if number > 0 {
            facts.push(Fact::new(name, vec![format!("{}{about}", count(number)).into()]));
        }
    };
    more("Ranges still to be read again", lane.backfills.len() as u64, "");
    let passes: Vec<&Counts> = counts(&overview.runs, name).collect();
    more(
        "Left out for lack of capacity",
        passes.first().map_or(0, |counts| counts.over_limit),
        " in the last pass",
    );
    if let Some(waiting) = &lane.waiting {
        more("Waiting to be created, until you confirm", waiting.total(), "");
    }
    let total = |number: fn(&Counts) -> u64| {
        passes.iter().fold(0_u64, |sum, counts| sum.saturating_add(number(counts)))
    };
    let (requests, throttled) = (total(|counts| counts.requests), total(|counts| counts.throttled));
    more("Requests throttled", throttled, &format!(" of {} in the newest passes", count(requests)));
    if let Some(until) = lane.waiting_until {
        facts.push(Fact::new("What waits first can be confirmed until", vec![until.into()]));
    }
    facts.append(&mut of_the_source(lane));
    let mut more = |name: &'static str, number: u64, about: &str| {
        if number > 0 {
            facts.push(Fact::new(name, vec![format!("{}{about}", count(number)).into()]));
        }
    };
    if let Some(LaneDetail { tally: Ok(Tally { rejected, retracted, foreign, .. }), .. }) = &lane.detail {
        more("Rejected, until they change", *rejected, "");
        more("Retracted", *retracted, "");
        more("Held by another application", *foreign, "");
    }
    let cost = lane.detail.as_ref().and_then(|detail| detail.cost.as_ref()).filter(|cost| cost.is_billed);
    if let Some(LaneCost { forecast, .. }) = cost {
        let rows =
            format!("{}, of which {} renew", count(forecast.rows_per_month), count(forecast.rows.renewed));
        facts.push(Fact::new("Rows in a month, as forecast", vec![rows.into()]));
    }
    facts.extend(audited(name, overview));
    facts.extend(matchable(name, overview));
    let blind_spots = lane.detail.as_ref().and_then(|detail| detail.blind_spots.clone());
    facts.extend(blind_spots.map(|text| Fact::new("What they cannot match", vec![text.into()])));
    facts
}

/// When a destination was audited last, and what that came to.
fn audited(name: &str, overview: &Overview) -> Option<Fact> {
    let findings = overview.audit.as_ref()?.lanes.get(name)?;
    let told = match findings {
        Findings { error: Some(error), .. } => format!("could not be made: {}", cut(error, 300)),
        Findings { missing: 0, changed: 0, unknown: 0, expired: 0, held, .. } => {
            format!("all {} as they were sent", count(*held))
        }
        Findings { missing, changed, unknown, expired, repaired, .. } => format!(
            "{} missing, {} changed, {} unknown, {} expired; {} repaired",
            count(*missing),
            count(*changed),
            count(*unknown),
            count(*expired),
            count(*repaired)
        ),
    };
    Some(Fact::new("Audited", vec![findings.at.into(), format!(": {told}").into()]))
}

/// How much of what the newest passes sent the destination's own rules can match.
fn matchable(name: &str, overview: &Overview) -> Option<Fact> {
    let lanes = overview.runs.iter().filter(|run| !run.dry_run).filter_map(|run| run.lanes.get(name));
    let (mut matchable, mut objects) = (None, 0_u64);
    for lane in lanes.filter(|lane| lane.matchable.is_some()) {
        matchable = Some(matchable.unwrap_or(0_u64).saturating_add(lane.matchable.unwrap_or_default()));
        objects = objects.saturating_add(lane.objects());
    }
    let text = match matchable? {
        _ if objects == 0 => "nothing was created or updated in the newest passes".to_owned(),
        matchable => format!("{} of {} objects sent in the newest passes", count(matchable), count(objects)),
    };
    Some(Fact::new("Matchable by Microsoft's rules", vec![text.into()]))
}

/// What is known of a source that has several lists: how much of its quota is used, which lists cannot be read, which
/// packages are missing, and what is lost.
fn of_the_source(lane: &LaneOverview) -> Vec<Fact> {
    /// So many of a kind are shown.
    const SHOWN: usize = 10;
    let mut facts = Vec::new();
    if let Some(Quota { used, allowed, at }) = lane.quota {
        let told = format!("{} of {} of the day, ", count(used), count(allowed));
        facts.push(Fact::new("Requests to the source", vec![told.into(), at.into()]));
    }
    let mut more = |name: &'static str, items: Vec<Vec<Piece>>| {
        let surplus = items.len().saturating_sub(SHOWN);
        let mut pieces = Vec::new();
        for (place, item) in items.into_iter().take(SHOWN).enumerate() {
            if place > 0 {
                pieces.push("; ".to_owned().into());
            }
            pieces.extend(item);
        }
        if surplus > 0 {
            pieces.push(format!("; and {} more", count(surplus as u64)).into());
        }
        if !pieces.is_empty() {
            facts.push(Fact::new(name, pieces));
        }
    };
    let closed = lane.feeds.iter().filter_map(|(name, feed)| Some((name, feed.closed.as_ref()?)));
    let closed = closed.map(|(name, why)| vec![format!("{}: {}", cut(name, 60), cut(why, 200)).into()]);
    more("Lists that cannot be read", closed.collect());
    let holes = lane.feeds.iter().flat_map(|(name, feed)| feed.holes.iter().map(move |at| (name, *at)));
    let holes = holes.map(|(name, at)| vec![format!("{} of ", cut(name, 60)).into(), at.into()]);
    more("Packages that are missing", holes.collect());
    let losses = lane.losses.iter().rev().map(|NotedLoss { loss, .. }| {
        let what = format!("{}, from ", cut(&loss.what, 200));
        vec![what.into(), loss.from.into(), " to ".to_owned().into(), loss.to.into()]
    });
    more("Lost at the source in 90 days", losses.collect());
    facts
}

/// What the passes counted for a lane, the newest first. A rehearsal changes nothing, so it is no part of the history.
fn counts<'a>(runs: &'a [Report], name: &'a str) -> impl Iterator<Item = &'a Counts> {
    runs.iter().filter(|run| !run.dry_run).filter_map(move |run| Some(&run.lanes.get(name)?.counts))
}

fn held(lane: &LaneOverview) -> String {
    let Some(detail) = &lane.detail else { return count(lane.manifest) };
    let Ok(tally) = &detail.tally else { return "not known: the manifest cannot be read".to_owned() };
    let held = count(tally.held.total());
    match detail.capacity {
        Some(capacity) => format!("{held}; the limit is {}", count(capacity)),
        None => held,
    }
}

fn types(tally: &Tally) -> Vec<(&'static str, String)> {
    let held = &tally.held;
    let types = [
        ("IPv4 addresses", held.ipv4),
        ("IPv6 addresses", held.ipv6),
        ("Domain names", held.fqdn),
        ("URLs", held.url),
        ("File hashes", held.hash),
        ("Adopted or of unknown type", held.unknown),
    ];
    types.into_iter().filter(|(_, held)| *held > 0).map(|(name, held)| (name, count(held))).collect()
}

type Number = fn(&Day) -> u64;

/// What the lane did in the last days, in one sentence; without what did not happen.
fn sums(days: &[Day], now: DateTime<Utc>) -> Option<String> {
    let first = (now - SUMMED).date_naive();
    let numbers: [(Number, &str); 5] = [
        (|day| day.rows.created, "created"),
        (|day| day.rows.updated, "updated"),
        (|day| day.rows.renewed, "renewed"),
        (|day| day.rows.retracted, "retracted"),
        (|day| day.fates.rejected, "rejected"),
    ];
    let sums: Vec<String> = numbers
        .iter()
        .map(|(number, word)| {
            let days = days.iter().filter(|row| row.day > first);
            (days.fold(0_u64, |sum, day| sum.saturating_add(number(day))), word)
        })
        .filter(|(number, _)| *number > 0)
        .map(|(number, word)| format!("{} {word}", count(number)))
        .collect();
    (!sums.is_empty()).then(|| format!("In the last {} days: {}.", SUMMED.num_days(), sums.join(", ")))
}

/// A rejected record as a row.
pub struct RejectedRow {
    pub lane: String,
    pub at: Option<DateTime<Utc>>,
    pub value: String,
    pub reason: String,
}

/// The newest rejected records of all lanes.
pub fn rejected(overview: &Overview) -> Vec<RejectedRow> {
    let lanes =
        overview.lanes.iter().filter_map(|(name, lane)| Some((name, lane.as_ref()?.detail.as_ref()?)));
    let row = |name: &str, RejectedRecord { at, value, reason, .. }: &RejectedRecord| RejectedRow {
        lane: shown(name),
        at: *at,
        value: cut(value, 100),
        reason: cut(reason, 200),
    };
    lanes.flat_map(|(name, detail)| detail.rejected.iter().map(move |record| row(name, record))).collect()
}

/// An indicator that waits for confirmation, as a row.
pub struct WaitingRow {
    pub lane: String,
    pub value: String,
    pub kind: &'static str,
    pub reason: String,
}

/// Of what waits for confirmation, the first ones that the newest pass named which named any.
pub fn waiting(overview: &Overview) -> Vec<WaitingRow> {
    let waits = |lane: &LaneOverview| lane.withheld.is_some() || lane.waiting.is_some();
    let lanes = overview.lanes.iter().filter(|(_, lane)| lane.as_ref().is_some_and(waits));
    let rows = lanes.flat_map(|(name, _)| {
        let reports = overview.runs.iter().filter_map(|report| report.lanes.get(name));
        let examples = reports.map(|lane| &lane.withheld.examples).find(|examples| !examples.is_empty());
        examples.into_iter().flatten().take(WithheldReport::EXAMPLES).map(|example| WaitingRow {
            lane: shown(name),
            value: cut(&example.value, 100),
            kind: example.indicator_type.name(),
            reason: cut(&example.reason, 200),
        })
    });
    rows.collect()
}
