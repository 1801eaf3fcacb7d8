//! Plain lists: one value a line.

use super::{
    entry::{self, Entry, Parsed, bytes},
    prefixes::Prefix,
    types::Types,
};

/// The longest value that a message repeats, in characters.
const SHOWN: usize = 80;

/// Reads a whole list; `add` takes each entry with the number of its line.
///
/// # Errors
/// The first line that is no value, and why.
pub(super) fn read(text: &str, add: &mut dyn FnMut(u32, Parsed)) -> Result<(), (u32, String)> {
    for (number, text) in text.lines().enumerate() {
        let number = number_of(number);
        for parsed in line(text).map_err(|reason| (number, reason))? {
            add(number, parsed);
        }
    }
    Ok(())
}

/// The number of a line, from its place.
fn number_of(place: usize) -> u32 {
    number(place + 1)
}

/// A number as it is stored; no list has more lines.
pub(super) fn number(line: usize) -> u32 {
    u32::try_from(line).unwrap_or(u32::MAX)
}

/// What one line excludes: nothing, if it is empty or a comment; two entries, if a URL without a scheme names the port
/// that one of its two schemes has by default.
///
/// # Errors
/// It is no value; the sentence says why.
pub(super) fn line(text: &str) -> Result<Vec<Parsed>, String> {
    let text = without_comment(text).trim();
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let entries = entries(text).map_err(|reason| match text.chars().count() > SHOWN {
        true => reason.replace(text, &format!("{}…", text.chars().take(SHOWN).collect::<String>())),
        false => reason,
    })?;
    Ok(entries.into_iter().map(|entry| Parsed { entry, types: Types::ALL }).collect())
}

fn without_comment(text: &str) -> &str {
    let starts = |(at, _): &(usize, &str)| {
        let before = text[..*at].chars().next_back();
        before.is_none_or(char::is_whitespace)
    };
    text.match_indices('#').find(starts).map_or(text, |(at, _)| &text[..at])
}

fn entries(text: &str) -> Result<Vec<Entry>, String> {
    if text.contains(char::is_whitespace) {
        return Err(format!("{text:?} is more than one value; write one a line"));
    }
    if let Some(range) = entry::range(text) {
        return Ok(vec![Entry::Range(range?)]);
    }
    if text.contains("://") {
        return Ok(vec![Entry::Prefix(Prefix::with_scheme(text)?)]);
    }
    if let Some(digest) = bytes(text) {
        return Ok(vec![Entry::Digest(digest)]);
    }
    if text.contains(['/', '?', ':']) {
        let prefixes = Prefix::without_scheme(text)?;
        return Ok(prefixes.into_iter().map(Entry::Prefix).collect());
    }
    let (name, itself) = match text.strip_prefix("*.") {
        Some(below) => (below, false),
        None => (text, true),
    };
    if name.contains('*') {
        return Err(format!(
            "{text:?} has a * that does not stand for a whole name: only *.example.org does"
        ));
    }
    if name.starts_with('.') {
        let rest = name.trim_start_matches('.');
        return Err(format!(
            "{text:?} begins with a dot; write {rest} for that name and all below it, or *.{rest} for those below it alone"
        ));
    }
    let name = entry::name(name)?;
    Ok(vec![Entry::Name { name, itself, below: true }])
}
