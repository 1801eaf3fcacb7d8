//! Texts, numbers and times as they stand in the page.

use chrono::{DateTime, TimeDelta, Utc};

/// Text from anywhere as HTML, at most `longest` characters of it.
pub fn text(text: &str, longest: usize) -> String {
    let mut escaped = String::with_capacity(text.len().min(longest) + 16);
    for character in text.chars().take(longest) {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\n' | '\r' | '\t' => escaped.push(' '),
            character if misleads(character) => escaped.push('\u{fffd}'),
            character => escaped.push(character),
        }
    }
    if text.chars().nth(longest).is_some() {
        escaped.push('…');
    }
    escaped
}

/// Characters that show nothing and change how others are read: of the control characters all, and those that turn
/// the direction of writing.
fn misleads(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// The name of a lane as a word: its destination.
pub fn shown(lane: &str) -> String {
    match lane {
        "sentinel" => "Microsoft Sentinel".to_owned(),
        "defender" => "Defender for Endpoint".to_owned(),
        other => text(other, 40),
    }
}

/// A number with its thousands apart.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A moment, to the minute.
pub fn time(time: DateTime<Utc>) -> String {
    format!(
        "<time datetime=\"{}\">{}</time>",
        time.format("%Y-%m-%dT%H:%M:%SZ"),
        time.format("%Y-%m-%d %H:%M UTC")
    )
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
        assert_eq!(text("<a href='x'>\"&\"", 99), "&lt;a href=&#39;x&#39;&gt;&quot;&amp;&quot;");
        assert_eq!(text("a\u{202e}b\u{0}c\nd\u{200b}", 99), "a\u{fffd}b\u{fffd}c d\u{fffd}");
        assert_eq!((text("ééé", 3), text("éééé", 3)), ("ééé".to_owned(), "ééé…".to_owned()));
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
    }
}
