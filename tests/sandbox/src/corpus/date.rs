//! The date forms the API mixes within one record, all of them in UTC.

use chrono::{DateTime, NaiveDateTime, Timelike, Utc};

/// How a date is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DateForm {
    /// Digits after the second's point; none means no point either.
    fraction: usize,
    suffix: &'static str,
}

impl DateForm {
    /// `2023-01-26T08:19:05.976Z`: `last_updated`, and the top-level `first_seen` and `last_seen`.
    pub const MILLISECONDS: Self = Self { fraction: 3, suffix: "Z" };
    /// `2022-02-23T10:10:01.828+0000`: the dates of a source. Not RFC 3339, for want of the colon.
    pub const OFFSET: Self = Self { fraction: 3, suffix: "+0000" };
    /// `2022-07-05T19:37:47Z`: `first_seen` and `last_seen` under reports and campaigns.
    pub const SECONDS: Self = Self { fraction: 0, suffix: "Z" };

    /// `2022-10-11T08:41:49.77Z`: the zeros at the end of the fraction are cut off, as report pages do.
    pub fn trimmed(at: DateTime<Utc>) -> Self {
        let digits = format!("{:03}", at.timestamp_subsec_millis());
        Self { fraction: digits.trim_end_matches('0').len(), suffix: "Z" }
    }

    /// Writes `at` in this form; what the form has no room for is cut off.
    pub fn write(self, at: DateTime<Utc>) -> String {
        let mut text = at.format("%Y-%m-%dT%H:%M:%S").to_string();
        if self.fraction > 0 {
            let nanoseconds = format!("{:09}", at.nanosecond() % 1_000_000_000);
            text.push('.');
            text.push_str(&nanoseconds[..self.fraction]);
        }
        text.push_str(self.suffix);
        text
    }
}

/// Reads a date in any of the API's forms, and says which one it was.
pub fn parse_date(text: &str) -> Option<(DateTime<Utc>, DateForm)> {
    const LOCAL: &str = "%Y-%m-%dT%H:%M:%S%.f";
    let (at, suffix) = match text.strip_suffix('Z') {
        Some(local) => (NaiveDateTime::parse_from_str(local, LOCAL).ok()?.and_utc(), "Z"),
        None => {
            let at = DateTime::parse_from_str(text, &format!("{LOCAL}%z")).ok()?.to_utc();
            (at, if text.get(text.len() - 3..)?.starts_with(':') { "+00:00" } else { "+0000" })
        }
    };
    let fraction = match text.split_once('.') {
        Some((_, rest)) => rest.bytes().take_while(u8::is_ascii_digit).count().min(9),
        None => 0,
    };
    Some((at, DateForm { fraction, suffix }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read_and_written_back() {
        for text in [
            "2022-02-23T10:10:01.828+0000",
            "2022-02-23T10:10:01.828+00:00",
            "2021-06-19T23:34:03.000Z",
            "2022-07-05T19:37:47Z",
            "2022-10-11T08:41:49.77Z",
        ] {
            let (at, form) = parse_date(text).unwrap();
            assert_eq!(form.write(at), text);
        }
        assert_eq!(parse_date("yesterday"), None);
        assert_eq!(parse_date(""), None);
        assert_eq!(parse_date("1674721145"), None);
    }

    #[test]
    fn trailing_zeros_are_trimmed() {
        let (at, _) = parse_date("2022-10-11T08:41:49.770Z").unwrap();
        assert_eq!(DateForm::trimmed(at).write(at), "2022-10-11T08:41:49.77Z");
        let (at, _) = parse_date("2022-10-11T08:41:49.000Z").unwrap();
        assert_eq!(DateForm::trimmed(at).write(at), "2022-10-11T08:41:49Z");
    }
}
