//! Encoding and truncating outgoing text.

use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Everything that is not unreserved (RFC 3986 §2.3).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

const RESERVED_IN_PATH: &AsciiSet = &RESERVED.remove(b'/');

/// Percent-encodes everything that is not unreserved.
pub fn percent_encoded(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

/// The same for each part of a path; what separates them stays.
pub fn percent_encoded_path(path: &str) -> impl fmt::Display {
    utf8_percent_encode(path, RESERVED_IN_PATH)
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
