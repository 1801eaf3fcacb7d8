//! When a timer fires: NCRONTAB.

use std::collections::BTreeSet;

use anyhow::{Result, anyhow, ensure};
use chrono::{DateTime, Utc};

/// An NCRONTAB expression: `{second} {minute} {hour} {day} {month} {day of week}`, all in UTC.
#[derive(Clone, Debug)]
pub struct Schedule(Box<cron::Schedule>);

impl Schedule {
    /// Reads an expression as NCrontab does, which the host leaves it to: names by any beginning of theirs, a range the
    /// wrong way round, a step below 1. Intervals are for App Service plans, which the double is none of.
    pub fn parse(text: &str) -> Result<Self> {
        let mut fields = text.split(' ').filter(|field| !field.is_empty()).collect::<Vec<_>>();
        if fields.len() == 5 {
            fields.insert(0, "0");
        }
        let unknown =
            || anyhow!("The schedule expression '{text}' was not recognized as a valid cron expression.");
        ensure!(fields.len() == 6, unknown());
        let fields = fields.iter().zip(RANGES).enumerate().map(|(at, (field, range))| {
            // NCRONTAB counts the days of the week from 0 (Sunday), the crate from 1.
            let values = crontab_field(field, range)?.into_iter().map(|value| value + i64::from(at == 5));
            Some(values.map(|value| value.to_string()).collect::<Vec<_>>().join(","))
        });
        let fields = fields.collect::<Option<Vec<_>>>().ok_or_else(unknown)?;
        Ok(Self(Box::new(fields.join(" ").parse()?)))
    }

    pub fn next(&self, after: DateTime<Utc>) -> DateTime<Utc> {
        self.0.after(&after).next().unwrap_or(DateTime::<Utc>::MAX_UTC)
    }

    /// Whether it fires more often than once a minute; the host looks at two of the next occurrences.
    pub fn is_frequent(&self) -> bool {
        let next = self.next(Utc::now());
        self.next(next) - next < chrono::TimeDelta::minutes(1)
    }
}

/// The values of each field, and the names some of them have.
type Range = (i64, i64, &'static str);

const RANGES: [Range; 6] = [
    (0, 59, ""),
    (0, 59, ""),
    (0, 23, ""),
    (1, 31, ""),
    (1, 12, "january february march april may june july august september october november december"),
    (0, 6, "sunday monday tuesday wednesday thursday friday saturday"),
];

/// The values that a field names (`CrontabFieldImpl.InternalParse` and `CrontabField.Accumulate`).
fn crontab_field(text: &str, range: Range) -> Option<BTreeSet<i64>> {
    let (lowest, highest, _) = range;
    let mut all = BTreeSet::new();
    for item in text.split(',') {
        let (item, every) = match item.find('/') {
            Some(slash) if slash > 0 => (&item[..slash], Some(number(&item[slash + 1..])?)),
            _ => (item, None),
        };
        let (one, other) = match item.find('-') {
            _ if item == "*" => (lowest, highest),
            Some(dash) if dash > 0 => {
                (crontab_value(&item[..dash], range)?, crontab_value(&item[dash + 1..], range)?)
            }
            _ => {
                let value = crontab_value(item, range)?;
                (value, if every.is_some() { highest } else { value })
            }
        };
        let (first, last) = if one > other { (other, one) } else { (one, other) };
        if first < lowest || last > highest {
            return None;
        }
        let every = usize::try_from(every.unwrap_or(1).max(1)).ok()?;
        all.extend((first..=last).step_by(every));
    }
    Some(all)
}

/// .NET's `int.Parse`: 32 bits, a sign, blanks around it.
fn number(text: &str) -> Option<i64> {
    text.trim().parse::<i32>().ok().map(i64::from)
}

fn crontab_value(text: &str, (lowest, _, names): Range) -> Option<i64> {
    if text.as_bytes().first()?.is_ascii_digit() {
        return number(text);
    }
    let text = text.to_lowercase();
    let at = names.split_whitespace().position(|name| name.starts_with(&text))?;
    Some(lowest + i64::try_from(at).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        DateTime::parse_from_rfc3339(text).unwrap().to_utc()
    }

    #[test]
    fn days_of_the_week_count_from_sunday_as_0() {
        let saturday = at("2026-11-21T12:00:00Z");
        for (field, next) in
            [("0", "22"), ("1", "23"), ("6", "28"), ("Mon", "23"), ("2-3", "24"), ("*/3", "22")]
        {
            let schedule = Schedule::parse(&format!("0 0 6 * * {field}")).unwrap();
            assert_eq!(schedule.next(saturday), at(&format!("2026-11-{next}T06:00:00Z")), "{field}");
        }
        for text in ["0 0 6 * * 7", "0 0 6 ? * *", "0 0 6 * *\t*", "every hour", "0 1- * * * *"] {
            assert!(Schedule::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn five_fields_mean_second_0() {
        let schedule = Schedule::parse("*/15 * * * *").unwrap();
        assert_eq!(schedule.next(at("2026-11-21T12:01:30Z")), at("2026-11-21T12:15:00Z"));
        assert!(!schedule.is_frequent());
        assert!(Schedule::parse("*/10 * * * * *").unwrap().is_frequent());
        assert!(Schedule::parse("01:00:00").is_err());
    }

    #[test]
    fn a_range_the_wrong_way_round_a_step_of_0_and_a_name_cut_short_are_read() {
        let now = at("2026-11-21T12:00:30Z");
        for (text, next) in [
            ("0 0 17-9 * * *", "2026-11-21T13:00:00Z"),
            ("0 */0 * * * *", "2026-11-21T12:01:00Z"),
            ("0 0 0 * ju *", "2027-06-01T00:00:00Z"),
        ] {
            assert_eq!(Schedule::parse(text).unwrap().next(now), at(next), "{text}");
        }
    }
}
