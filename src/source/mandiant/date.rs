//! Dates as Mandiant writes them.

use chrono::{DateTime, NaiveDate, NaiveDateTime, TimeDelta, Utc};

/// Any of the forms in which Mandiant writes dates: 0 to 9 digits of a fraction, and `Z`, `±hhmm` or `±hh:mm`.
pub fn date(text: &str) -> Option<DateTime<Utc>> {
    if text.len() < 20 || !text.is_ascii() {
        return None;
    }
    let (local, offset) = match text.strip_suffix(['Z', 'z']) {
        Some(local) => (local, TimeDelta::zero()),
        None => {
            // The sign of an offset stands behind the date's own dashes.
            let at = 19 + text[19..].find(['+', '-'])?;
            (&text[..at], offset(&text[at..])?)
        }
    };
    local_time(local.as_bytes())?.checked_sub_signed(offset).map(|time| time.and_utc())
}

/// `yyyy-mm-ddThh:mm:ss` and perhaps a fraction. By hand: a parser that is given the format takes ten times as long,
/// and there are two dates in every record.
fn local_time(text: &[u8]) -> Option<NaiveDateTime> {
    let (time, fraction) = text.split_at_checked(19)?;
    let number = |from: usize, digits: usize| digits_of(&time[from..from + digits]);
    if [4, 7, 10, 13, 16].map(|at| time[at]) != *b"--T::" {
        return None;
    }
    let date = NaiveDate::from_ymd_opt(i32::try_from(number(0, 4)?).ok()?, number(5, 2)?, number(8, 2)?)?;
    let nanoseconds = match fraction.split_first() {
        None => 0,
        Some((b'.', digits @ [_, ..])) if digits.len() <= 9 => {
            digits_of(digits)? * 10_u32.pow(9 - u32::try_from(digits.len()).ok()?)
        }
        Some(_) => return None,
    };
    date.and_hms_nano_opt(number(11, 2)?, number(14, 2)?, number(17, 2)?, nanoseconds)
}

/// At most nine digits.
fn digits_of(text: &[u8]) -> Option<u32> {
    text.iter()
        .try_fold(0, |number, byte| byte.is_ascii_digit().then(|| number * 10 + u32::from(byte - b'0')))
}

fn offset(text: &str) -> Option<TimeDelta> {
    let digits: String = text[1..].chars().filter(|character| *character != ':').collect();
    if digits.len() != 4 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let minutes = digits[..2].parse::<i64>().ok()? * 60 + digits[2..].parse::<i64>().ok()?;
    Some(TimeDelta::minutes(if text.starts_with('-') { -minutes } else { minutes }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_date_form_is_read() {
        for (text, expected) in [
            ("2022-02-23T10:10:01.828+0000", "2022-02-23T10:10:01.828Z"),
            ("2021-06-19T23:34:03.000Z", "2021-06-19T23:34:03Z"),
            ("2022-07-05T19:37:47Z", "2022-07-05T19:37:47Z"),
            ("2023-01-26T08:19:49.77Z", "2023-01-26T08:19:49.770Z"),
            ("2023-01-26T08:19:49.123456789+02:00", "2023-01-26T06:19:49.123456789Z"),
            ("2023-01-26T08:19:49-0130", "2023-01-26T09:49:49Z"),
        ] {
            assert_eq!(date(text), Some(expected.parse().unwrap()), "{text}");
        }
        for text in [
            "",
            "yesterday",
            "2023-01-26 08:19:49Z",
            "2023-01-26T08:19:49.Z",
            "2023-01-26T08:60:49Z",
            "2023-01-26T08:19:4xZ",
            "2023-13-26T08:19:49Z",
            "2023-01-26T08:19:49",
            "2023-01-26T08:19:49+1",
        ] {
            assert_eq!(date(text), None, "{text}");
        }
    }
}
