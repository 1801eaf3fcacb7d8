//! Texts, numbers and times as they stand in the page.

use std::fmt::{self, Write};

use askama::filters::Escaper;
use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::rows::grouped;

/// Makes every text of a template harmless. Whatever is markup is escaped, and what shows nothing and changes how other
/// characters are read becomes a mark.
#[derive(Clone, Copy, Debug, Default)]
pub struct Visible;

impl Escaper for Visible {
    fn write_escaped_str<W: Write>(&self, mut page: W, text: &str) -> fmt::Result {
        for character in text.chars() {
            match character {
                '&' => page.write_str("&amp;")?,
                '<' => page.write_str("&lt;")?,
                '>' => page.write_str("&gt;")?,
                '"' => page.write_str("&quot;")?,
                '\'' => page.write_str("&#39;")?,
                '\n' | '\r' | '\t' => page.write_char(' ')?,
                character if misleads(character) => page.write_char('\u{fffd}')?,
                character => page.write_char(character)?,
            }
        }
        Ok(())
    }
}

/// Characters that show nothing and change how others are read: of the control characters all, and those that turn
/// the direction of writing.
fn misleads(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// A piece of a sentence.
pub enum Piece {
    Text(String),
    Code(String),
    Moment(DateTime<Utc>),
    Link(Link),
}

impl From<&str> for Piece {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Piece {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<DateTime<Utc>> for Piece {
    fn from(moment: DateTime<Utc>) -> Self {
        Self::Moment(moment)
    }
}

/// A way to another page.
pub struct Link {
    pub href: String,
    pub text: String,
}

/// At most `longest` characters of a text.
pub fn cut(text: &str, longest: usize) -> String {
    let mut cut: String = text.chars().take(longest).collect();
    if text.chars().nth(longest).is_some() {
        cut.push('…');
    }
    cut
}

/// The name of a lane as a word: its destination.
pub fn shown(lane: &str) -> String {
    match lane {
        "sentinel" => "Microsoft Sentinel".to_owned(),
        "defender" => "Defender for Endpoint".to_owned(),
        other => cut(other, 40),
    }
}

/// A number with its thousands apart.
pub fn count(number: u64) -> String {
    grouped(number)
}

/// A moment for a program.
pub fn exact(moment: &DateTime<Utc>) -> String {
    moment.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A moment for a person, to the minute.
pub fn readable(moment: &DateTime<Utc>) -> String {
    moment.format("%Y-%m-%d %H:%M UTC").to_string()
}

/// How long ago something was.
pub fn ago(age: TimeDelta) -> String {
    match length(age) {
        Some(length) => format!("{length} ago"),
        None => "just now".to_owned(),
    }
}

/// How long something is still to come.
pub fn until(wait: TimeDelta) -> String {
    match length(wait) {
        Some(length) => format!("in {length}"),
        None => "within a minute".to_owned(),
    }
}

/// How long a pass took.
pub fn took(time: TimeDelta) -> String {
    match time.num_seconds() {
        seconds @ ..60 => format!("{} s", seconds.max(0)),
        seconds @ 60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        seconds => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}

/// `None`: less than a minute, or a clock that is not right.
fn length(length: TimeDelta) -> Option<String> {
    let (number, unit) = match length.num_minutes() {
        ..1 => return None,
        minutes @ 1..120 => (minutes, "minute"),
        minutes @ 120..2880 => (minutes / 60, "hour"),
        minutes => (minutes / 1440, "day"),
    };
    Some(format!("{number} {unit}{}", if number == 1 { "" } else { "s" }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_text_is_markup_and_nothing_turns_it_around() {
        let shown = |text: &str| {
            let mut page = String::new();
            Visible.write_escaped_str(&mut page, text).unwrap();
            page
        };
        assert_eq!(shown("<a href='x'>\"&\""), "&lt;a href=&#39;x&#39;&gt;&quot;&amp;&quot;");
        assert_eq!(shown("a\u{202e}b\u{0}c\nd\u{200b}"), "a\u{fffd}b\u{fffd}c d\u{fffd}");
        assert_eq!((cut("ééé", 3), cut("éééé", 3)), ("ééé".to_owned(), "ééé…".to_owned()));
    }

    #[test]
    fn numbers_and_lengths_read_well() {
        let counts = [0, 999, 1000, 1_234_567].map(count);
        assert_eq!(counts, ["0", "999", "1,000", "1,234,567"]);
        let lengths = [30, 60, 7199, 7200, 172_800, -5].map(|seconds| ago(TimeDelta::seconds(seconds)));
        assert_eq!(
            lengths,
            ["just now", "1 minute ago", "119 minutes ago", "2 hours ago", "2 days ago", "just now"]
        );
        let times = [-1, 0, 59, 61, 7260].map(|seconds| took(TimeDelta::seconds(seconds)));
        assert_eq!(times, ["0 s", "0 s", "59 s", "1 min 1 s", "2 h 1 min"]);
    }
}
