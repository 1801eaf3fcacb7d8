//! What reaches a terminal: nothing that the terminal would act on, and no complaint when the reader has left.

use std::io::{IsTerminal, Write};

use serde_json::Value;

use super::Color;

/// Prints a result. A reader may close early, as `head` does; then there is no one to tell.
pub fn print(text: &str) {
    bytes(harmless(text).as_bytes());
}

/// Prints text that was made harmless before it was colored.
pub fn colored(text: &str) {
    bytes(text.as_bytes());
}

/// Prints a result as it is.
pub fn bytes(bytes: &[u8]) {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(bytes).and_then(|()| stdout.flush());
}

/// Says something that is no result, on standard error.
pub fn tell(text: &str) {
    to_stderr(&format!("mati-sync: {text}\n"));
}

/// Prints on standard error.
pub fn to_stderr(text: &str) {
    let _ = std::io::stderr().lock().write_all(harmless(text).as_bytes());
}

/// JSON for people and programs.
pub fn json(value: &Value) -> String {
    escaped(&format!("{value:#}"))
}

/// JSON without what serde leaves in its texts although a terminal would act on it.
pub fn escaped(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for character in json.chars() {
        if acts(character) && character != '\n' {
            text.push_str(&format!("\\u{:04x}", u32::from(character)));
        } else {
            text.push(character);
        }
    }
    text
}

/// A service's words must not move the cursor, change the title or turn the direction of writing.
pub fn harmless(text: &str) -> String {
    text.replace(|character| acts(character) && character != '\n', "\u{fffd}")
}

fn acts(character: char) -> bool {
    character.is_control() || matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Whether to color what goes to standard output. `no_color` and `term` are NO_COLOR (no-color.org) and TERM.
pub fn is_colored(color: Color, no_color: Option<&str>, term: Option<&str>) -> bool {
    match color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => {
            no_color.unwrap_or_default().is_empty() && term != Some("dumb") && std::io::stdout().is_terminal()
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_terminal_acts_on_is_shown_and_not_done() {
        let hostile = "a\u{1b}[2Jb\u{9b}31mc\u{7}\r\u{202e}d\ne";
        assert_eq!(harmless(hostile), "a\u{fffd}[2Jb\u{fffd}31mc\u{fffd}\u{fffd}\u{fffd}d\ne");
        let shown = json(&json!({ "message": hostile }));
        assert!(!shown.chars().any(|character| acts(character) && character != '\n'), "{shown:?}");
        let back: Value = serde_json::from_str(&shown).unwrap();
        assert_eq!(back["message"], hostile, "programs read what was told");
    }

    #[test]
    fn colors_are_as_they_are_asked_for() {
        assert!(is_colored(Color::Always, Some("1"), Some("dumb")));
        assert!(!is_colored(Color::Never, None, Some("xterm")));
        assert!(!is_colored(Color::Auto, Some("1"), Some("xterm")));
    }

    proptest! {
        #[test]
        fn json_stays_json(text in "\\PC{0,20}|[\\x00-\\x9f]{0,20}") {
            let value = json!([text]);
            let back: Value = serde_json::from_str(&json(&value)).unwrap();
            prop_assert_eq!(back, value);
        }
    }
}
