//! When a timer fires next, by the host's form of cron: six fields, seconds first, in UTC (learn.microsoft.com, "Timer
//! trigger for Azure Functions", "NCRONTAB expressions").

use chrono::{DateTime, Datelike, Days, NaiveDate, TimeDelta, Timelike, Utc};

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
/// Any date there is comes within so many years: the 29th of February may be on a given weekday once in 28, and a
/// century's end takes a leap year out.
const YEARS: u64 = 40;

/// A schedule, each field as the set of its values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    seconds: u64,
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
}

impl Schedule {
    /// `None`: not of this form. The host knows more forms: an interval such as `01:00:00`, for one.
    pub fn parse(text: &str) -> Option<Self> {
        let fields: Vec<&str> = text.split_whitespace().collect();
        let (seconds, rest) = match fields.len() {
            5 => ("0", &fields[..]),
            6 => (fields[0], &fields[1..]),
            _ => return None,
        };
        Some(Self {
            seconds: field(seconds, 0, 59, &[])?,
            minutes: field(rest[0], 0, 59, &[])?,
            hours: field(rest[1], 0, 23, &[])?,
            days: field(rest[2], 1, 31, &[])?,
            months: field(rest[3], 1, 12, &MONTHS)?,
            weekdays: field(rest[4], 0, 6, &WEEKDAYS)?,
        })
    }

    /// The first time later than `time`; `None` when there is none, as on the 31st of February.
    pub fn next_after(&self, time: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let first = time.with_nanosecond(0)? + TimeDelta::seconds(1);
        let today = first.date_naive();
        let mut dates = (0..YEARS * 366).filter_map(|days| today.checked_add_days(Days::new(days)));
        dates.find_map(|date| if self.has(date) { self.first_on(date, first) } else { None })
    }

    fn has(&self, date: NaiveDate) -> bool {
        holds(self.days, date.day())
            && holds(self.months, date.month())
            && holds(self.weekdays, date.weekday().num_days_from_sunday())
    }

    /// The first time on `date` that is not before `earliest`.
    fn first_on(&self, date: NaiveDate, earliest: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let from = if date == earliest.date_naive() { earliest.hour() } else { 0 };
        let hours = (from..24).filter(|hour| holds(self.hours, *hour));
        let minutes = hours
            .flat_map(|hour| (0..60).filter(|minute| holds(self.minutes, *minute)).map(move |m| (hour, m)));
        let mut times = minutes.flat_map(|(hour, minute)| {
            let seconds = (0..60).filter(|second| holds(self.seconds, *second));
            seconds.filter_map(move |second| date.and_hms_opt(hour, minute, second))
        });
        times.find(|time| time.and_utc() >= earliest).map(|time| time.and_utc())
    }
}

fn holds(set: u64, value: u32) -> bool {
    set >> value & 1 == 1
}

/// One field: a list of `*`, `a`, `a-b`, each with `/n` or without; `names` stand for the numbers from `least`.
fn field(text: &str, least: u32, most: u32, names: &[&str]) -> Option<u64> {
    let number = |text: &str| {
        let named = names.iter().position(|name| text.to_ascii_lowercase().starts_with(name));
        let number = match named {
            Some(index) => u32::try_from(index).ok()? + least,
            None => text.parse().ok()?,
        };
        (least..=most).contains(&number).then_some(number)
    };
    let mut set = 0;
    for part in text.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(step.parse().ok().filter(|step| *step > 0)?)),
            None => (part, None),
        };
        let (from, to) = match range.split_once('-') {
            Some((from, to)) => (number(from)?, number(to)?),
            None if range == "*" => (least, most),
            None => (number(range)?, if step.is_some() { most } else { number(range)? }),
        };
        if from > to {
            return None;
        }
        (from..=to).step_by(step.unwrap_or(1)).for_each(|value| set |= 1_u64 << value);
    }
    Some(set)
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
    fn what_is_not_of_this_form_is_not_guessed_at() {
        for text in [
            "",
            "01:00:00",
            "0 60 * * * *",
            "0 * * * * 7",
            "0 * * 0 * *",
            "* * * *",
            "0 9-5 * * * *",
            "0 */0 * * * *",
            "@hourly",
            "0 0 0 0 0 0 0",
        ] {
            assert_eq!(Schedule::parse(text), None, "{text}");
        }
    }
}
