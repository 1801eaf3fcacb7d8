//! Rows as they are counted and forecast: each object that a destination takes is one.

use serde::{Deserialize, Serialize};

/// Rows by what caused them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Rows {
    pub created: u64,
    pub updated: u64,
    pub renewed: u64,
    /// Retracted or displaced: each is sent once more with an end of validity.
    pub retracted: u64,
}

impl Rows {
    /// All of them.
    pub fn total(&self) -> u64 {
        [self.created, self.updated, self.renewed, self.retracted].into_iter().fold(0, u64::saturating_add)
    }

    /// Field by field.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            created: self.created.saturating_add(other.created),
            updated: self.updated.saturating_add(other.updated),
            renewed: self.renewed.saturating_add(other.renewed),
            retracted: self.retracted.saturating_add(other.retracted),
        }
    }
}

/// What a lane will send in a month.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Forecast {
    pub rows_per_month: u64,
    pub rows: Rows,
    /// Of the objects, uncompressed; 0 where nothing was measured that tells how long one is.
    pub bytes_per_month: u64,
    /// Indicators that will be held then.
    pub held: u64,
    /// Whole days since the first sync by which new and changed indicators are forecast; 0: these are not known yet.
    pub days: u64,
}

impl Forecast {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: &Self) -> Self {
        Self {
            rows_per_month: self.rows_per_month.saturating_add(other.rows_per_month),
            rows: self.rows.plus(other.rows),
            bytes_per_month: self.bytes_per_month.saturating_add(other.bytes_per_month),
            held: self.held.saturating_add(other.held),
            days: self.days.max(other.days),
        }
    }
}

/// What other settings, or today's, will cost, as far as a dry run can tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Change {
    #[serde(flatten)]
    pub forecast: Forecast,
    /// Rows a month more than what is held now costs under the same pace; fewer: negative.
    pub more_per_month: i64,
    /// Rows that the change itself makes: what it creates, updates and retracts.
    pub rows_once: u64,
}

impl Change {
    /// What `after` costs beyond `before`.
    pub fn between(before: Forecast, after: Forecast, rows_once: u64) -> Self {
        let signed = |rows: u64| i64::try_from(rows).unwrap_or(i64::MAX);
        let more_per_month = signed(after.rows_per_month).saturating_sub(signed(before.rows_per_month));
        Self { forecast: after, more_per_month, rows_once }
    }

    /// "+48,000 rows a month"
    pub fn words(&self) -> String {
        let sign = if self.more_per_month < 0 { "−" } else { "+" };
        format!("{sign}{} rows a month", grouped(self.more_per_month.unsigned_abs()))
    }
}

/// A number with its thousands apart.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.char_indices() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// So many of a `unit`: "1 day", "1,200 days".
pub fn counted(number: u64, unit: &str) -> String {
    format!("{} {unit}{}", grouped(number), if number == 1 { "" } else { "s" })
}

/// A sum of bytes as GB, as Azure counts them.
#[expect(clippy::cast_precision_loss, reason = "for people")]
pub fn gigabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_stand_apart() {
        for (number, text) in
            [(0, "0"), (999, "999"), (1000, "1,000"), (48_000, "48,000"), (1_234_567, "1,234,567")]
        {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn one_is_no_plural() {
        let days = [0, 1, 2, 1000].map(|number| counted(number, "day"));
        assert_eq!(days, ["0 days", "1 day", "2 days", "1,000 days"]);
    }
}
