//! How much of long lists an object holds.

/// The most bytes that a list takes as JSON. A table cuts a value off behind 32 KB (learn.microsoft.com, "Azure Monitor
/// service limits"), and half a list is none: rules that look for a label would find nothing.
pub const LONGEST_LIST: usize = 32_000;
/// The most characters of one label or reference; no name is so long.
pub const LONGEST_NAME: usize = 500;

/// As much of some lists as there is room for.
pub struct Kept<T> {
    pub kept: Vec<T>,
    pub left_out: usize,
}

/// Takes one after another from each list in turn, so that no kind crowds out another, as long as what `length` says
/// fits into `room`. The order within the lists and of the lists is kept.
pub fn within<T>(lists: Vec<Vec<T>>, mut room: usize, length: impl Fn(&T) -> usize) -> Kept<T> {
    let all: usize = lists.iter().map(Vec::len).sum();
    let longest = lists.iter().map(Vec::len).max().unwrap_or_default();
    let mut fits: Vec<Vec<bool>> = lists.iter().map(|list| vec![false; list.len()]).collect();
    for index in 0..longest {
        for (list, fits) in lists.iter().zip(&mut fits) {
            let Some(length) = list.get(index).map(&length).filter(|length| *length <= room) else {
                continue;
            };
            room -= length;
            fits[index] = true;
        }
    }
    let pairs = lists.into_iter().flatten().zip(fits.into_iter().flatten());
    let kept: Vec<T> = pairs.filter(|(_, fits)| *fits).map(|(item, _)| item).collect();
    Kept { left_out: all - kept.len(), kept }
}

/// How long a text is at most as JSON, with its quotes and what stands before the next: beyond ASCII whoever reads and
/// writes it again may escape every character.
pub fn json_length(text: &str) -> usize {
    let escaped = |character: char| match character {
        '"' | '\\' => 2,
        ' '..='~' => 1,
        other => 6 * other.len_utf16(),
    };
    4 + text.chars().map(escaped).sum::<usize>()
}

/// The text up to a length that no name has.
pub fn bounded(text: &str) -> &str {
    text.char_indices().nth(LONGEST_NAME).map_or(text, |(end, _)| &text[..end])
}
