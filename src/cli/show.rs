//! Reports and state as a person reads them.

use std::{fmt::Write, io::IsTerminal};

use super::{Circumstances, out::harmless};
use crate::{
    check::{Finding, Verdict},
    domain::{
        arrival::ArrivalReport,
        outcome::{Changes, Counts},
        report::Report,
        rows::grouped,
    },
    pass::{Holder, Overview},
};

/// A pass as a small table.
pub fn report(report: &Report) -> String {
    let mut text = String::new();
    let duration = (report.ended_at - report.started_at).num_milliseconds();
    let kind = if report.dry_run { "dry run" } else { "pass" };
    line(
        &mut text,
        &format!(
            "{kind} {} {} after {}.{} s",
            report.run_id,
            report.end.word(),
            duration / 1000,
            duration % 1000 / 100
        ),
    );
    for (name, lane) in &report.lanes {
        line(&mut text, &format!("  {name}: {}", lane.end.word()));
        for (count, label) in rows(&lane.counts, report.dry_run) {
            line(&mut text, &format!("  {count:>10}  {label}"));
        }
        for (indicator_type, changes) in &lane.by_type {
            line(&mut text, &format!("  {:<10}  {}", indicator_type.name(), summary(changes)));
        }
        if lane.withheld.created > 0 {
            line(&mut text, &format!("  {:>10}  withheld until you confirm", lane.withheld.created));
        }
        if let Some(cost) = &lane.cost {
            let [a_month, once] = [cost.forecast.rows_per_month, cost.rows_once].map(grouped);
            line(&mut text, &format!("  {a_month} rows a month, {}, and {once} rows once", cost.words()));
        }
        if let Some(matchable) = lane.matchable.filter(|_| lane.objects() > 0) {
            let of = format!("of {} objects can be matched by Microsoft's stock rules", lane.objects());
            line(&mut text, &format!("  {matchable:>10}  {of}"));
        }
        let ArrivalReport { sampled, seen, missing, visible, after, .. } = &lane.arrival;
        if *sampled > 0 || *missing > 0 {
            line(&mut text, &format!("  {sampled:>10}  looked for: {seen} seen, {missing} not arrived"));
        }
        if *seen > 0 {
            let half = format!("{:>10}  seconds until half of them", visible.p50_s);
            line(&mut text, &format!("  {half} were visible at the latest, and more than {}", after.p50_s));
        }
        for (list, count) in &lane.excluded_by {
            line(&mut text, &format!("  {count:>10}  excluded by {list}"));
        }
        if let Some(watermark) = lane.watermark {
            line(&mut text, &format!("  settled up to {watermark}"));
        }
        if let Some(message) = &lane.message {
            line(&mut text, &format!("  {message}"));
        }
    }
    if report.lanes.is_empty() {
        line(&mut text, &format!("  {}", report.message));
    }
    text
}

/// "3 created, 1 renewed"
fn summary(changes: &Changes) -> String {
    let Changes { created, updated, renewed, retracted, displaced } = *changes;
    let counts = [
        (created, "created"),
        (updated, "updated"),
        (renewed, "renewed"),
        (retracted, "retracted"),
        (displaced, "displaced"),
    ];
    let occurred = counts.into_iter().filter(|(count, _)| *count > 0);
    occurred.map(|(count, word)| format!("{count} {word}")).collect::<Vec<_>>().join(", ")
}

/// The fates that occurred; those of every pass always.
fn rows(counts: &Counts, dry_run: bool) -> Vec<(u64, &'static str)> {
    let sent = |done: &'static str, would: &'static str| if dry_run { would } else { done };
    let always = [
        (counts.read, "read"),
        (counts.created, sent("created", "would be created")),
        (counts.updated, sent("updated", "would be updated")),
        (counts.renewed, sent("renewed", "would be renewed")),
        (counts.unchanged, "unchanged: rows that deduplication saves"),
    ];
    let dropped = &counts.dropped;
    let sometimes = [
        (counts.retracted, sent("retracted", "would be retracted")),
        (counts.displaced, sent("displaced by others", "would be displaced by others")),
        (counts.over_limit, "beyond the capacity of the destination"),
        (counts.rejected, "rejected by the destination (see rejected/ in the state)"),
        (counts.left, "left to the next pass"),
        (dropped.confidence, "below the minimum confidence"),
        (dropped.threat_score, "below the minimum threat score"),
        (dropped.benign, "benign by the source's own word"),
        (dropped.pervasive, "infrastructure that many share"),
        (dropped.severity, "below the minimum severity"),
        (dropped.attribution, "not attributed as wanted"),
        (dropped.osint, "open source only"),
        (dropped.uncategorized, "without category"),
        (dropped.type_, "of a type not wanted"),
        (dropped.malformed, "malformed (see the log)"),
        (dropped.excluded, "excluded by a list"),
        (counts.aged_out, "expired and forgotten"),
        (counts.requests, "requests"),
        (counts.throttled, "of them throttled"),
        (counts.retried, "made again"),
    ];
    always.into_iter().chain(sometimes.into_iter().filter(|(count, _)| *count > 0)).collect()
}

/// How findings are shown.
pub struct Style {
    colored: bool,
    /// On a terminal: with symbols, and wrapped.
    pub is_for_people: bool,
    width: usize,
}

impl Style {
    pub fn of(circumstances: &Circumstances<'_>) -> Self {
        let is_for_people = std::io::stdout().is_terminal();
        let size = console::Term::stdout().size_checked().filter(|_| is_for_people);
        let width = size.map_or(usize::MAX, |(_, columns)| usize::from(columns).max(40));
        Self { colored: circumstances.colored, is_for_people, width }
    }
}

/// One line for each check, or on a narrow terminal several.
pub fn finding(finding: &Finding, style: &Style) -> String {
    let (word, symbol, color) = match finding.verdict {
        Verdict::Ok => ("ok", "✓", "32"),
        Verdict::Failed => ("failed", "✗", "31"),
        Verdict::Unproven => ("unproven", "?", "33"),
    };
    let begin = if style.is_for_people { symbol.to_owned() } else { format!("{word:<7}") };
    let begin = if style.colored { format!("\u{1b}[{color}m{begin}\u{1b}[0m") } else { begin };
    let Finding { check, tried, result, .. } = finding;
    let said = harmless(&format!("{check}: {tried}; {result}")).replace('\n', " ");
    format!("{begin} {}\n", wrapped(&said, style.width, 2))
}

/// `text` in lines of at most `width` characters, all but the first indented; longer words stay whole.
fn wrapped(text: &str, width: usize, indent: usize) -> String {
    let mut lines = String::new();
    let mut column = indent;
    for word in text.split(' ') {
        let length = word.chars().count();
        if column > indent && column + 1 + length > width {
            lines.push('\n');
            lines.push_str(&" ".repeat(indent));
            column = indent;
        } else if column > indent {
            lines.push(' ');
            column += 1;
        }
        lines.push_str(word);
        column += length;
    }
    lines
}

/// Every lane and the newest passes.
pub fn overview(overview: &Overview) -> String {
    let mut text = String::new();
    if let Some(Holder { run_id, holder, since }) = &overview.running {
        let since = since.map(|since| since.format("%Y-%m-%d %H:%M:%S UTC").to_string());
        let since = since.unwrap_or_else(|| "some time ago".to_owned());
        line(&mut text, &format!("a pass is running since {since} ({run_id}, {holder})"));
    }
    for (name, lane) in &overview.lanes {
        match lane {
            None => line(&mut text, &format!("{name}: has not run yet")),
            Some(lane) => {
                line(
                    &mut text,
                    &format!("{name}: settled up to {}, {} indicators known", lane.watermark, lane.manifest),
                );
                for backfill in &lane.backfills {
                    line(
                        &mut text,
                        &format!(
                            "  still to read for {}: {} to {}",
                            backfill.run_id, backfill.position, backfill.to
                        ),
                    );
                }
            }
        }
    }
    for run_id in &overview.requests {
        line(&mut text, &format!("waiting: {run_id}"));
    }
    for name in &overview.aside {
        line(&mut text, &format!("cannot be used: {name}"));
    }
    for report in &overview.runs {
        line(&mut text, &format!("{}  {:<10}  {}", report.run_id, report.end.word(), report.message));
    }
    text
}

fn line(text: &mut String, line: &str) {
    writeln!(text, "{line}").expect("writing into a String cannot fail");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_are_words_in_a_pipe_and_symbols_within_the_width_of_a_terminal() {
        let found = |verdict| Finding {
            check: "Mandiant".to_owned(),
            ok: verdict != Verdict::Failed,
            verdict,
            tried: "a token was asked for".to_owned(),
            result: "\u{1b}[2Jit came, and this goes on for longer than a line".to_owned(),
            cure: None,
        };
        let style = |colored, is_for_people, width| Style { colored, is_for_people, width };
        let piped = style(false, false, usize::MAX);
        for (verdict, begin) in [
            (Verdict::Ok, "ok      Mandiant: a"),
            (Verdict::Failed, "failed  Mandiant"),
            (Verdict::Unproven, "unproven Mandiant"),
        ] {
            let line = finding(&found(verdict), &piped);
            assert!(line.starts_with(begin) && line.lines().count() == 1, "{line}");
            assert!(!line.contains('\u{1b}'), "{line:?}");
        }
        let shown = finding(&found(Verdict::Failed), &style(true, true, 40));
        assert!(shown.starts_with("\u{1b}[31m✗\u{1b}[0m Mandiant: "), "{shown:?}");
        assert!(!shown.contains("\u{1b}[2J"), "{shown:?}");
        let plain = finding(&found(Verdict::Ok), &style(false, true, 40));
        assert!(plain.lines().count() > 2, "{plain}");
        assert!(plain.lines().all(|line| line.chars().count() <= 40), "{plain}");
        assert!(plain.lines().skip(1).all(|line| line.starts_with("  ")), "{plain}");
    }
}
