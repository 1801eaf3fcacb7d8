//! Texts on their way to somebody else.

use std::fmt::Write;

/// Percent-encodes everything that is not unreserved (RFC 3986 §2.3).
pub fn percent_encoded(text: &str) -> String {
    let is_reserved = |character: char| !(character.is_ascii_alphanumeric() || "-._~".contains(character));
    let mut encoded = String::with_capacity(text.len() + 16);
    let mut rest = text;
    while let Some(at) = rest.find(is_reserved) {
        encoded.push_str(&rest[..at]);
        let character = rest[at..].chars().next().map_or(1, char::len_utf8);
        for byte in rest[at..at + character].bytes() {
            let _ = write!(encoded, "%{byte:02X}");
        }
        rest = &rest[at + character..];
    }
    encoded.push_str(rest);
    encoded
}

/// `text` in `longest` characters, an ellipsis among them where something is missing.
pub fn cut(mut text: String, longest: usize) -> String {
    // A text has no more characters than bytes.
    if text.len() > longest
        && let Some((end, _)) = text.char_indices().nth(longest - 1)
        && text[end..].chars().nth(1).is_some()
    {
        text.truncate(end);
        text.push('…');
    }
    text
}
