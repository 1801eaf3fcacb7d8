//! When the timer fires, as the Functions host reads it: NCRONTAB with five or six fields, in UTC, or an interval.
//!
//! The rules are those of NCrontab 3 (`CrontabFieldImpl`, `CrontabField`) and of the host's `TimerSchedule.Create`.
//! They matter because the host disables a timer whose schedule it cannot read, alone and in silence.

use chrono::{DateTime, TimeDelta, Utc};

/// What SYNC_CRON should be.
const CURE: &str =
    "an NCRONTAB expression of six fields, seconds first, such as 0 23 * * * * (every hour at minute 23)";

/// Times that come again.
#[derive(Clone, Debug)]
pub struct Schedule(Box<cron::Schedule>);

/// What the host makes of a schedule.
#[derive(Clone, Debug)]
pub enum Reading {
    Cron(Schedule),
    /// A time span such as `01:00:00`, which the host accepts on an App Service plan alone.
    Interval,
}

/// Reads a schedule as the host does.
///
/// # Errors
/// Why the host cannot read it.
pub fn read(text: &str) -> Result<Reading, String> {
    match cron(text) {
        Ok(schedule) => Ok(Reading::Cron(schedule)),
        Err(_) if is_interval(text) => Ok(Reading::Interval),
        Err(reason) => Err(reason),
    }
}

/// Why the host never fires the timer by `setting`, the value of SYNC_CRON, and what to do; `None` if it does.
pub fn fault(setting: Option<&str>) -> Option<String> {
    let Some(text) = setting else {
        return Some(format!(
            "SYNC_CRON is not set, so the Functions host does not start SyncTimer; set it to {CURE}"
        ));
    };
    match read(text) {
        Ok(Reading::Cron(schedule)) if schedule.next_after(DateTime::UNIX_EPOCH).is_none() => Some(format!(
            "SYNC_CRON is {text:?}, which names a day that never comes, so SyncTimer never fires; set it to {CURE}"
        )),
        Ok(_) => None,
        Err(reason) => Some(format!(
            "SYNC_CRON is {text:?}, which the Functions host cannot read ({reason}), so it does not start SyncTimer; set it to {CURE}"
        )),
    }
}

impl Schedule {
    /// `None`: no cron expression that the host reads.
    pub fn parse(text: &str) -> Option<Self> {
        cron(text).ok()
    }

    /// The first time later than `time`; `None` when there is none, as on the 31st of February.
    pub fn next_after(&self, time: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.0.after(&time).next()
    }

    /// How long after `now` two ticks have certainly passed: twice the longer of the two pauses that come next.
    pub fn two_ticks_after(&self, now: DateTime<Utc>) -> Option<TimeDelta> {
        let first = self.next_after(now)?;
        let second = self.next_after(first)?;
        Some((first - now).max(second - first) * 2)
    }

    /// The longest time between two ticks; `None` where there are no two.
    pub fn longest_pause(&self) -> Option<TimeDelta> {
        // Enough for some weeks of a schedule of weekdays; any day to begin with would do.
        const TICKS: usize = 100;
        let ticks: Vec<_> = self.0.after(&DateTime::UNIX_EPOCH).take(TICKS).collect();
        ticks.windows(2).map(|pair| pair[1] - pair[0]).max()
    }
}

/// One of the six fields.
struct Field {
    name: &'static str,
    lowest: u32,
    highest: u32,
    /// Names of the values, from the lowest on; any beginning of one stands for it.
    names: &'static [&'static str],
}

const MONTHS: &[&str] = &[
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];
const WEEKDAYS: &[&str] = &["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];

const fn field(name: &'static str, lowest: u32, highest: u32, names: &'static [&'static str]) -> Field {
    Field { name, lowest, highest, names }
}

const FIELDS: [Field; 6] = [
    field("second", 0, 59, &[]),
    field("minute", 0, 59, &[]),
    field("hour", 0, 23, &[]),
    field("day", 1, 31, &[]),
    field("month", 1, 12, MONTHS),
    field("day of the week", 0, 6, WEEKDAYS),
];

fn cron(text: &str) -> Result<Schedule, String> {
    // Only blanks separate fields.
    let mut fields: Vec<&str> = text.split(' ').filter(|field| !field.is_empty()).collect();
    if fields.len() == 5 {
        fields.insert(0, "0");
    }
    if fields.len() != FIELDS.len() {
        return Err(format!("it has {} fields instead of six", fields.len()));
    }
    let mut plain = Vec::new();
    for (index, (field, text)) in FIELDS.iter().zip(fields).enumerate() {
        let values = field.values(text)?;
        // The crate counts the days of the week from 1, NCRONTAB from 0.
        let shift = u32::from(index == 5);
        plain.push(values.iter().map(|value| (value + shift).to_string()).collect::<Vec<_>>().join(","));
    }
    let schedule = plain.join(" ").parse().map_err(|error| format!("{error}"))?;
    Ok(Schedule(Box::new(schedule)))
}

impl Field {
    /// All values that `text` names, in their order.
    fn values(&self, text: &str) -> Result<Vec<u32>, String> {
        let mut values = std::collections::BTreeSet::new();
        for part in text.split(',') {
            let (range, step) = match part.split_once('/') {
                Some((range, step)) if !range.is_empty() => (range, Some(self.number(step)?)),
                _ => (part, None),
            };
            let (first, last) = match range.split_once('-') {
                _ if range == "*" => (self.lowest, self.highest),
                Some((first, last)) if !first.is_empty() => (self.value(first)?, self.value(last)?),
                _ => {
                    let value = self.value(range)?;
                    (value, if step.is_some() { self.highest } else { value })
                }
            };
            // The host takes a range the wrong way round for the same range, and a step below 1 for 1.
            let (first, last) = (first.min(last), first.max(last));
            if first < self.lowest || last > self.highest {
                return Err(format!(
                    "a {} of {range:?} is not between {} and {}",
                    self.name, self.lowest, self.highest
                ));
            }
            let step = usize::try_from(step.unwrap_or(1)).unwrap_or(1).max(1);
            values.extend((first..=last).step_by(step));
        }
        Ok(values.into_iter().collect())
    }

    fn value(&self, text: &str) -> Result<u32, String> {
        if text.starts_with(|character: char| character.is_ascii_digit()) {
            return self
                .number(text)
                .and_then(|number| u32::try_from(number).map_err(|_| self.rejection(text)));
        }
        let text = text.to_lowercase();
        let index = self.names.iter().position(|name| !text.is_empty() && name.starts_with(&text));
        let index = index.and_then(|index| u32::try_from(index).ok());
        index.map(|index| index + self.lowest).ok_or_else(|| self.rejection(&text))
    }

    fn number(&self, text: &str) -> Result<i32, String> {
        text.trim().parse().map_err(|_| self.rejection(text))
    }

    fn rejection(&self, text: &str) -> String {
        format!("{text:?} is no {}", self.name)
    }
}

/// Whether .NET reads a time span: days, or `[days.]hours:minutes[:seconds[.fraction]]`.
fn is_interval(text: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.chars().all(|character| character.is_ascii_digit());
    let text = text.trim();
    let (days, time) = match text.split_once('.') {
        Some((days, time)) if is_number(days) => (Some(days), time),
        _ => (None, text),
    };
    let parts: Vec<&str> = time.split(':').collect();
    if let [days_alone] = parts[..] {
        return days.is_none() && is_number(days_alone);
    }
    let seconds = |text: &str| {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        is_number(whole) && is_number(fraction) && fraction.len() <= 7 && below(whole, 60)
    };
    match parts[..] {
        [hours, minutes] => below(hours, 24) && below(minutes, 60),
        [hours, minutes, rest] => below(hours, 24) && below(minutes, 60) && seconds(rest),
        [more, hours, minutes, rest] => {
            days.is_none() && is_number(more) && below(hours, 24) && below(minutes, 60) && seconds(rest)
        }
        _ => false,
    }
}

fn below(text: &str, limit: u32) -> bool {
    text.chars().all(|character| character.is_ascii_digit())
        && text.parse::<u32>().is_ok_and(|value| value < limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(text: &str, after: &str) -> Option<String> {
        let next =
            Schedule::parse(text).unwrap_or_else(|| panic!("{text}")).next_after(after.parse().unwrap());
        next.map(|time| time.format("%Y-%m-%d %H:%M:%S").to_string())
    }

    #[test]
    fn the_next_time_is_the_host_s() {
        // A Monday.
        let now = "2026-03-02T12:00:00.5Z";
        for (text, expected) in [
            ("0 23 * * * *", "2026-03-02 12:23:00"),
            ("0 0 * * * *", "2026-03-02 13:00:00"),
            ("0 */5 * * * *", "2026-03-02 12:05:00"),
            ("* * * * * *", "2026-03-02 12:00:01"),
            ("30 0 */6 * * *", "2026-03-02 12:00:30"),
            ("0 0 */6 * * *", "2026-03-02 18:00:00"),
            ("0 30 9 * * 1-5", "2026-03-03 09:30:00"),
            ("0 30 9 * * Sunday", "2026-03-08 09:30:00"),
            ("0 0 0 1 Jan *", "2027-01-01 00:00:00"),
            ("0 0 0 29 2 *", "2028-02-29 00:00:00"),
            ("0 5/20 12-13 * * *", "2026-03-02 12:05:00"),
            ("15,45 59 23 31 * *", "2026-03-31 23:59:15"),
            ("23 * * * *", "2026-03-02 12:23:00"),
        ] {
            assert_eq!(next(text, now).as_deref(), Some(expected), "{text}");
        }
        assert_eq!(next("0 0 * * * *", "2026-12-31T23:00:00Z").unwrap(), "2027-01-01 00:00:00");
        assert_eq!(next("0 0 0 31 2 *", now), None);
    }

    #[test]
    fn what_the_host_reads_is_read_as_the_host_does() {
        // A Monday.
        let now = "2026-03-02T12:00:00.5Z";
        for (text, expected) in [
            // A range the wrong way round, and steps below 1.
            ("0 0 17-9 * * *", "2026-03-02 13:00:00"),
            ("0 */0 * * * *", "2026-03-02 12:01:00"),
            ("0 */-5 * * * *", "2026-03-02 12:01:00"),
            ("0 0 0 1 d *", "2026-12-01 00:00:00"),
            ("0 0 0 1 ju *", "2026-06-01 00:00:00"),
            ("0 0 0 * * SATUR", "2026-03-07 00:00:00"),
            ("0 0 0 * * mon-wed", "2026-03-03 00:00:00"),
            ("0 0 0 * * 5/1", "2026-03-06 00:00:00"),
            // The day and the weekday must both come.
            ("0 0 0 13 * fri", "2026-03-13 00:00:00"),
            ("  0   0  *  * * *  ", "2026-03-02 13:00:00"),
        ] {
            assert_eq!(next(text, now).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_the_host_cannot_read_is_said_with_the_reason() {
        for (text, reason) in [
            ("every hour", "2 fields"),
            ("", "0 fields"),
            ("0 60 * * * *", "between 0 and 59"),
            ("0 0 24 * * *", "between 0 and 23"),
            ("0 * * * * 7", "between 0 and 6"),
            ("0 * * 0 * *", "between 1 and 31"),
            ("0 * * * 13 *", "between 1 and 12"),
            ("* * * *", "4 fields"),
            ("0 0 0 * * * 2026", "7 fields"),
            ("@hourly", "1 fields"),
            ("0 0 ? * * *", "no hour"),
            ("0 0 0 L * *", "no day"),
            ("0 0 0 * * fri#1", "no day of the week"),
            ("0 0,, * * * *", "no minute"),
            ("0 1- * * * *", "no minute"),
            ("0 /5 * * * *", "no minute"),
            ("0 */x * * * *", "no minute"),
            ("0\t0\t*\t*\t*\t*", "1 fields"),
            ("0 0 0 * * \u{131}", "no day of the week"),
            ("25:00:00", "1 fields"),
            ("-01:00:00", "1 fields"),
        ] {
            let said = fault(Some(text)).unwrap_or_else(|| panic!("{text:?} was read"));
            assert!(said.contains(reason) && said.contains("0 23 * * * *"), "{text:?}: {said}");
            assert!(Schedule::parse(text).is_none());
        }
        assert!(fault(None).unwrap().starts_with("SYNC_CRON is not set"));
        assert!(fault(Some("0 0 0 31 2 *")).unwrap().contains("never comes"));
        for text in ["0 23 * * * *", "23 * * * *", "01:00:00", "1.00:30", "6", "00:30:00.5", "1:02:03:04"] {
            assert_eq!(fault(Some(text)), None, "{text}");
        }
    }

    #[test]
    fn two_ticks_have_passed_after_twice_the_pause_that_comes() {
        for (text, now, minutes) in [
            ("0 23 * * * *", "2026-03-02T12:23:04Z", 120),
            ("0 23 * * * *", "2026-03-02T12:22:59Z", 120),
            ("0 0 */6 * * *", "2026-03-02T12:00:30Z", 720),
            // From Friday to Monday, and from Monday to Tuesday.
            ("0 30 9 * * 1-5", "2026-03-06T09:31:00Z", 2 * (72 * 60 - 1)),
            ("0 30 9 * * 1-5", "2026-03-09T09:31:00Z", 2 * 24 * 60),
        ] {
            let now = now.parse().unwrap();
            let after = Schedule::parse(text).unwrap().two_ticks_after(now).unwrap();
            assert_eq!(after.num_minutes(), minutes, "{text} at {now}");
        }
        assert_eq!(Schedule::parse("0 0 0 31 2 *").unwrap().two_ticks_after(DateTime::UNIX_EPOCH), None);
    }

    #[test]
    fn the_longest_pause_is_found_among_many() {
        for (text, hours) in [
            ("0 23 * * * *", 1),
            ("0 23 */6 * * *", 6),
            ("0 7 0 * * *", 24),
            ("7 */8 * * *", 8),
            ("0 0 9 * * 1-5", 72),
        ] {
            let pause = Schedule::parse(text).unwrap().longest_pause().unwrap();
            assert_eq!(pause.num_hours(), hours, "{text}");
        }
        assert_eq!(Schedule::parse("0 0 0 31 2 *").unwrap().longest_pause(), None);
    }
}
