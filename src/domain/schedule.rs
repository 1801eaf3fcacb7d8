//! When a timer fires, by the host's form of cron: six fields, seconds first, in UTC (learn.microsoft.com, "Timer
//! trigger for Azure Functions", "NCRONTAB expressions").

use chrono::{DateTime, TimeDelta, Utc};

/// Times that come again.
#[derive(Clone, Debug)]
pub struct Schedule(Box<cron::Schedule>);

impl Schedule {
    /// `None`: not of this form. The host knows more forms: an interval such as `01:00:00`, for one.
    pub fn parse(text: &str) -> Option<Self> {
        let mut fields: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        if fields.len() == 5 {
            fields.insert(0, "0".to_owned());
        }
        if fields.len() != 6 {
            return None;
        }
        fields[5] = weekdays(&fields[5])?;
        fields.join(" ").parse().ok().map(|schedule| Self(Box::new(schedule)))
    }

    /// The first time later than `time`; `None` when there is none, as on the 31st of February.
    pub fn next_after(&self, time: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.0.after(&time).next()
    }

    /// The longest time between two ticks; `None` where there are no two.
    pub fn longest_pause(&self) -> Option<TimeDelta> {
        // Enough for some weeks of a schedule of weekdays; any day to begin with would do.
        const TICKS: usize = 100;
        let ticks: Vec<_> = self.0.after(&DateTime::UNIX_EPOCH).take(TICKS).collect();
        ticks.windows(2).map(|pair| pair[1] - pair[0]).max()
    }
}

/// NCRONTAB counts the days of the week from 0, which is Sunday; the crate from 1.
fn weekdays(field: &str) -> Option<String> {
    let day = |day: &str| match day.parse::<u8>() {
        Ok(number @ 0..=6) => Some((number + 1).to_string()),
        Ok(_) => None,
        Err(_) => Some(day.to_owned()),
    };
    let part = |part: &str| {
        let (days, step) = part.split_once('/').map_or((part, None), |(days, step)| (days, Some(step)));
        let days = days.split('-').map(day).collect::<Option<Vec<_>>>()?.join("-");
        Some(step.map_or(days.clone(), |step| format!("{days}/{step}")))
    };
    Some(field.split(',').map(part).collect::<Option<Vec<_>>>()?.join(","))
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
            assert!(Schedule::parse(text).is_none(), "{text}");
        }
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
