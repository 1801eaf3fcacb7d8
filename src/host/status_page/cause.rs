//! What stands in the way, told once for all lanes that wait for the same thing.

use chrono::{DateTime, Utc};

use super::{
    links::Links,
    runbook,
    words::{Link, Piece, ago, count, cut, readable, shown},
};
use crate::{
    domain::{
        expiry::Lapse,
        health::{Spell, replaced_timer},
        schedule::{Schedule, fault},
        withheld::{WaitingCreations, Withheld},
    },
    pass::Overview,
};

/// What to do about a request that cannot be used.
pub const SET_ASIDE: &str = "If a newer version wrote it, deploy that version and move the file back to requests/; otherwise send the request again and delete the file.";
const LATE: &str = "The timer does not fire. See that the function app runs, that the function SyncTimer is enabled, and that SYNC_CRON and AzureWebJobsStorage are set.";
const REPLACED: &str = "Each pass leaves a message that starts another one if the timer starts none for twice its schedule, so nothing is lost meanwhile. Restart the function app; if the timer still does not fire, look at the function SyncTimer in the portal and at SYNC_CRON.";
/// The longest cause in a headline, in characters.
const HEADLINE: usize = 110;
/// The longest message of a pass that is shown.
pub const MESSAGE: usize = 700;

/// Causes in a few words, by what their messages contain. Of every other message the first clause is taken.
const KNOWN: [(&[&str], &str); 6] = [
    (&["Mandiant", "MATI_KEY"], "Mandiant rejects the API key"),
    (&["Sentinel", "the role Microsoft Sentinel Contributor"], "Sentinel rejects the identity that uploads"),
    (&["Defender for Endpoint", "Ti.ReadWrite"], "Defender for Endpoint rejects the identity that uploads"),
    (&["no token from Entra ID"], "Entra ID issues no token"),
    (&["the storage", "Storage Blob Data"], "The storage of the state rejects the identity"),
    (&["key vault", "Key Vault Secrets User"], "The key vault rejects the identity"),
];

/// Something that an operator should do.
pub struct Task {
    /// In a few words, for the headline.
    pub headline: String,
    /// Whom it is about.
    pub who: String,
    pub since: Option<String>,
    /// What happened and what to do.
    pub text: Vec<Piece>,
    pub runbook: Option<Link>,
}

impl Task {
    pub fn new(headline: impl Into<String>, text: Vec<Piece>) -> Self {
        Self { headline: headline.into(), who: String::new(), since: None, text, runbook: None }
    }
}

/// Lanes that do not fare well for one reason.
struct Cause<'a> {
    headline: String,
    lanes: Vec<&'a str>,
    /// As the passes told it; usually all lanes tell the same.
    messages: Vec<&'a str>,
    /// When the first indicator of each lapses.
    lapses: Vec<String>,
    since: DateTime<Utc>,
    is_open: bool,
}

/// A message in a few words.
pub fn in_short(message: &str) -> String {
    let is_known = |fragments: &&[&str]| fragments.iter().all(|fragment| message.contains(fragment));
    let known = KNOWN.iter().find(|(fragments, _)| is_known(fragments));
    known.map_or_else(|| first_clause(message), |(_, headline)| (*headline).to_owned())
}

fn first_clause(message: &str) -> String {
    let end = [": ", "; ", ". "].iter().filter_map(|end| message.find(end)).min();
    cut(message[..end.unwrap_or(message.len())].trim_end_matches('.'), HEADLINE)
}

/// The destinations `lanes` as the subject of a sentence, of `all` that there are.
pub fn destinations(lanes: &[&str], all: usize) -> String {
    match lanes {
        [] => "nothing".to_owned(),
        [one] => shown(one),
        [_, _] if all == 2 => "both destinations".to_owned(),
        many if many.len() == all => "all destinations".to_owned(),
        [others @ .., last] => {
            let others: Vec<String> = others.iter().map(|lane| shown(lane)).collect();
            format!("{} and {}", others.join(", "), shown(last))
        }
    }
}

/// As the first word of a line.
pub fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// Everything that an operator should do, the most important first. `schedule` is `SYNC_CRON`, and `due` when it should
/// have fired.
pub fn tasks(
    overview: &Overview,
    spells: &[(&str, &Spell)],
    schedule: Option<&str>,
    due: Option<DateTime<Utc>>,
    links: &Links,
) -> Vec<Task> {
    let all = overview.lanes.len();
    let withheld = withheld(overview);
    let waiting = waiting(overview);
    let waits = |name: &str| {
        withheld.iter().any(|(lane, _)| *lane == name) || waiting.iter().any(|(lane, _)| *lane == name)
    };
    let mut tasks = Vec::new();
    for cause in causes(spells, waits) {
        let who = destinations(&cause.lanes, all);
        let verb = if cause.lanes.len() == 1 { "waits" } else { "wait" };
        let least = if cause.is_open { "at least " } else { "" };
        let mut task = Task::new(format!("{}: {who} {verb}", cause.headline), Vec::new());
        let mut known = cause.messages.iter().filter_map(|message| runbook::section_of(message));
        task.runbook = known.next().map(|section| to_runbook(links, &section));
        task.text = cause.messages.iter().map(|message| cut(message, MESSAGE).into()).collect();
        task.text.extend(cause.lapses.into_iter().map(Piece::from));
        task.since =
            Some(format!("Since {least}{} ({})", readable(&cause.since), ago(overview.at - cause.since)));
        task.who = capitalized(&who);
        tasks.push(task);
    }
    tasks.extend(confirmation(&withheld, all, links));
    tasks.extend(creation(&waiting, confirmable_until(overview), all, links));
    tasks.extend(repairs(overview, links));
    tasks.extend(damaged(overview, spells, links));
    tasks.extend(timer(overview, schedule, due, links));
    tasks.extend(overview.aside.iter().map(|name| {
        let text = vec![
            "The request ".into(),
            Piece::Code(cut(name, 120)),
            " cannot be used. ".into(),
            SET_ASIDE.into(),
        ];
        Task::new("A request cannot be used", text)
    }));
    tasks
}

/// The lanes that do not fare well, by what stands in the way; what most lanes wait for comes first. A lane whose
/// retractions wait for confirmation is no such lane, if that is all: everything else is delivered.
fn causes<'a>(spells: &[(&'a str, &'a Spell)], waits: impl Fn(&str) -> bool) -> Vec<Cause<'a>> {
    let mut causes: Vec<Cause<'a>> = Vec::new();
    for (name, spell) in spells.iter().filter(|(_, spell)| !spell.is_well()) {
        let message = spell.message.as_deref().unwrap_or("the pass gave no reason; see its log");
        if waits(name) && (message.contains("confirm_retraction") || message.contains("confirm_creation")) {
            continue;
        }
        let (message, lapse) = Lapse::split(message);
        let lapse = lapse.map(|lapse| format!(" {}: {lapse}.", shown(name)));
        let headline = in_short(message);
        match causes.iter_mut().find(|cause| cause.headline == headline) {
            None => {
                let (since, is_open) = (spell.since, spell.is_open);
                let (lanes, messages, lapses) = (vec![*name], vec![message], lapse.into_iter().collect());
                causes.push(Cause { headline, lanes, messages, lapses, since, is_open });
            }
            Some(cause) => {
                cause.lanes.push(*name);
                cause.lapses.extend(lapse);
                if !cause.messages.contains(&message) {
                    cause.messages.push(message);
                }
                if spell.since < cause.since {
                    (cause.since, cause.is_open) = (spell.since, spell.is_open);
                }
            }
        }
    }
    causes.sort_by_key(|cause| std::cmp::Reverse(cause.lanes.len()));
    causes
}

pub fn to_runbook(links: &Links, section: &runbook::Section) -> Link {
    Link { href: links.runbook(&section.name), text: format!("Runbook: {}", section.title) }
}

/// The lanes of which retractions wait.
fn withheld(overview: &Overview) -> Vec<(&str, Withheld)> {
    let lanes = overview.lanes.iter();
    lanes.filter_map(|(name, lane)| Some((name.as_str(), lane.as_ref()?.withheld?))).collect()
}

/// One word of the operator's confirms for all lanes.
fn confirmation(withheld: &[(&str, Withheld)], all: usize, links: &Links) -> Option<Task> {
    let lanes: Vec<&str> = withheld.iter().map(|(lane, _)| *lane).collect();
    if lanes.is_empty() {
        return None;
    }
    let total: u64 = withheld.iter().map(|(_, withheld)| withheld.retractions).sum();
    let who = destinations(&lanes, all);
    let numbers = withheld.iter().map(|(lane, Withheld { retractions, of })| {
        format!("{} of {} at {}", count(*retractions), count(*of), shown(lane))
    });
    let numbers: Vec<String> = numbers.collect();
    let mut text = vec![
        format!(
            "{} are no longer wanted, which is too many to be retracted unasked; everything else is delivered. If the settings, or the source's scores, are meant to do that, confirm it with ",
            numbers.join(", ")
        )
        .into(),
    ];
    text.extend(command("retraction"));
    let headline = format!("{} retractions wait for your confirmation at {who}", count(total));
    let section = runbook::sections().into_iter().find(|section| section.name == "records-and-retractions");
    let runbook = section.map(|section| to_runbook(links, &section));
    Some(Task { who: capitalized(&who), runbook, ..Task::new(headline, text) })
}

/// The lanes of which creations wait.
fn waiting(overview: &Overview) -> Vec<(&str, &WaitingCreations)> {
    let lanes = overview.lanes.iter();
    lanes.filter_map(|(name, lane)| Some((name.as_str(), lane.as_ref()?.waiting.as_ref()?))).collect()
}

/// Until when the first of what waits can be confirmed, where the source gives it no more after that.
fn confirmable_until(overview: &Overview) -> Option<DateTime<Utc>> {
    overview.lanes.values().filter_map(|lane| lane.as_ref()?.waiting_until).min()
}

/// The same of what is new.
fn creation(
    waiting: &[(&str, &WaitingCreations)],
    until: Option<DateTime<Utc>>,
    all: usize,
    links: &Links,
) -> Option<Task> {
    let lanes: Vec<&str> = waiting.iter().map(|(lane, _)| *lane).collect();
    if lanes.is_empty() {
        return None;
    }
    let total: u64 = waiting.iter().map(|(_, waiting)| waiting.total()).sum();
    let who = destinations(&lanes, all);
    let numbers = waiting.iter().map(|(lane, waiting)| {
        let types =
            waiting.by_type.iter().map(|(kind, number)| format!("{} {}", count(*number), kind.name()));
        let types: Vec<String> = types.collect();
        format!("{} at {} ({})", types.join(", "), shown(lane), waiting.reason.words())
    });
    let numbers: Vec<String> = numbers.collect();
    let mut text = vec![
        format!(
            "{} wait, which is too many to be created unasked; everything else is delivered. If that is meant, confirm it with ",
            numbers.join("; ")
        )
        .into(),
    ];
    text.extend(command("creation"));
    if let Some(until) = until {
        text.extend([
            " The first of them can be confirmed until ".into(),
            until.into(),
            ": after that the source gives them no more.".into(),
        ]);
    }
    let headline = format!("{} new indicators wait for your confirmation at {who}", count(total));
    let section = runbook::sections().into_iter().find(|section| section.name == "records-and-retractions");
    let runbook = section.map(|section| to_runbook(links, &section));
    Some(Task { who: capitalized(&who), runbook, ..Task::new(headline, text) })
}

/// How to confirm what waits.
fn command(what: &str) -> Vec<Piece> {
    vec![
        Piece::Code(format!("mati-sync sync --confirm-{what}")),
        ", or ".into(),
        Piece::Code("POST /api/sync".to_owned()),
        " with ".into(),
        Piece::Code(format!("{{\"confirm_{what}\": true}}")),
        "; if not, change the settings back.".into(),
    ]
}

/// Repairs that an operator should ask for.
fn repairs(overview: &Overview, links: &Links) -> Vec<Task> {
    let lanes = overview.lanes.keys().filter_map(|name| Some((name, overview.amiss(name)?)));
    let tasks = lanes.map(|(name, findings)| {
        let text = vec![
            format!(
                "{} of {} indicators are not as they were sent (",
                count(findings.open()),
                count(findings.held)
            )
            .into(),
            Piece::Link(Link { href: links.audit(), text: "what the audit found".to_owned() }),
            "). ".into(),
            Piece::Code("mati-sync audit --repair".to_owned()),
            " sends again or adopts what is still wanted; the next audit tells whether all is well.".into(),
        ];
        let headline =
            format!("{} indicators are not as they were sent at {}", count(findings.open()), shown(name));
        Task { who: shown(name), ..Task::new(headline, text) }
    });
    tasks.collect()
}

/// Lanes whose manifest cannot be read, so that their next pass will fail; those whose last pass said so are told.
fn damaged(overview: &Overview, spells: &[(&str, &Spell)], links: &Links) -> Vec<Task> {
    let damaged = overview.lanes.iter().filter_map(|(name, lane)| {
        let problem = lane.as_ref()?.detail.as_ref()?.tally.as_ref().err()?;
        let is_told =
            spells.iter().any(|(lane, spell)| lane == name && spell.message.as_ref() == Some(problem));
        if is_told {
            return None;
        }
        let runbook = runbook::section_of(problem).map(|section| to_runbook(links, &section));
        let headline = format!("The manifest of {} cannot be read", shown(name));
        Some(Task { who: shown(name), runbook, ..Task::new(headline, vec![cut(problem, MESSAGE).into()]) })
    });
    damaged.collect()
}

/// A timer that does not fire, and why as far as is known.
fn timer(
    overview: &Overview,
    schedule: Option<&str>,
    due: Option<DateTime<Utc>>,
    links: &Links,
) -> Option<Task> {
    let section = || runbook::sections().into_iter().next();
    let runbook = section().map(|section| to_runbook(links, &section));
    if let Some(fault) = fault(schedule) {
        return Some(Task {
            runbook,
            ..Task::new("The timer never fires", vec![cut(&fault, MESSAGE).into()])
        });
    }
    if let Some(timer) = replaced_timer(&overview.runs) {
        let since = timer.map(|at| format!("Its last pass began at {}.", readable(&at)));
        let headline = "The timer does not fire: a watchdog message started the newest pass";
        return Some(Task { runbook, since, ..Task::new(headline, vec![REPLACED.into()]) });
    }
    let due = due?;
    let headline = format!("Late: a pass was due at {} and has not begun", readable(&due));
    let since = Some(format!("It was due {}.", ago(overview.at - due)));
    Some(Task { runbook, since, ..Task::new(headline, vec![LATE.into()]) })
}

/// What to do before the first pass.
pub fn first_steps(schedule: Option<&str>) -> Vec<Piece> {
    let fires = fault(schedule).is_none() && schedule.and_then(Schedule::parse).is_some();
    vec![
        if fires { "Wait for the timer, or run " } else { "Run " }.into(),
        Piece::Code("mati-sync sync".to_owned()),
        ", or send ".into(),
        Piece::Code("POST /api/sync".to_owned()),
        ". ".into(),
        Piece::Code("mati-sync check".to_owned()),
        " says whether everything can be reached.".into(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_told_in_a_few_words() {
        for (message, short) in [
            (
                "Mandiant rejected us (401 at /token): MATI_KEY or MATI_SECRET is wrong",
                "Mandiant rejects the API key",
            ),
            ("Mandiant cannot be reached: no route; check MATI_BASE_URL", "Mandiant cannot be reached"),
            ("Mandiant answered 503: busy", "Mandiant answered 503"),
            ("Everything is late.", "Everything is late"),
            ("", ""),
        ] {
            assert_eq!(in_short(message), short);
        }
        assert!(in_short(&"é".repeat(500)).chars().count() <= HEADLINE + 1);
    }

    #[test]
    fn destinations_are_named_or_counted() {
        assert_eq!(destinations(&["sentinel"], 2), "Microsoft Sentinel");
        assert_eq!(destinations(&["sentinel", "defender"], 2), "both destinations");
        assert_eq!(
            destinations(&["sentinel", "defender"], 3),
            "Microsoft Sentinel and Defender for Endpoint"
        );
        assert_eq!(destinations(&["sentinel", "defender", "other"], 3), "all destinations");
    }
}
