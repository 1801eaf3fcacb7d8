//! The lists of an object, labels and references, within what a table holds.

use std::iter;

use super::wire::{ACTIVITY_GROUP, ExternalReference, FullName, Label, RecordPage};
use crate::domain::indicator::{self, Provider, Reference};

/// The most bytes that a list takes as JSON. A table cuts a value off behind 32 KB (learn.microsoft.com, "Azure Monitor
/// service limits"), and half a list is none: rules that look for a label would find nothing.
const LONGEST_LIST: usize = 32_000;
/// The most characters of one label or reference; no name is so long.
const LONGEST_NAME: usize = 500;

/// As much of some lists as there is room for.
pub(super) struct Kept<T> {
    pub kept: Vec<T>,
    pub left_out: usize,
}

/// Takes one after another from each list in turn, so that no kind crowds out another, as long as what `length` says
/// fits into `room`. The order within the lists is kept; returns how many of all were left out.
fn within<T>(lists: &mut [Vec<T>], mut room: usize, length: impl Fn(&T) -> usize) -> usize {
    if lists.iter().flatten().map(&length).sum::<usize>() <= room {
        return 0;
    }
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
    for (list, fits) in lists.iter_mut().zip(fits) {
        let mut fits = fits.into_iter();
        list.retain(|_| fits.next().unwrap_or_default());
    }
    all - lists.iter().map(Vec::len).sum::<usize>()
}

/// How long a text is at most as JSON, with its quotes and what stands before the next: a program that reads and writes it
/// again may escape every character beyond ASCII.
fn json_length(text: &str) -> usize {
    let escaped = |character: char| match character {
        '"' | '\\' => 2,
        ' '..='~' => 1,
        other => 6 * other.len_utf16(),
    };
    4 + text.chars().map(escaped).sum::<usize>()
}

/// The text up to a length that no name has.
fn bounded(text: &str) -> &str {
    // A text has no more characters than bytes.
    let end = if text.len() > LONGEST_NAME { text.char_indices().nth(LONGEST_NAME) } else { None };
    end.map_or(text, |(end, _)| &text[..end])
}

/// Sentinel shows them as tags, and rules filter by them. Those that name an activity group come last: Microsoft's rules
/// take everything up to the next blank for its name, over the text of the whole list, in which no blank stands between
/// two labels.
pub(super) fn labels<'a>(indicator: &'a indicator::Indicator, action: &'static str) -> Kept<Label<'a>> {
    let always: Vec<Label<'a>> = indicator
        .severity
        .iter()
        .map(|severity| Label("severity:", bounded(severity)))
        .chain(indicator.osint_only.then_some(Label("osint", "")))
        .chain([Label("action:", action)])
        .collect();
    let length = |Label(kind, text): &Label<'a>| kind.len() + json_length(text);
    let room = LONGEST_LIST - always.iter().map(length).sum::<usize>();
    let named = |kind, references: &'a [Reference]| -> Vec<Label<'a>> {
        references.iter().map(|reference| Label(kind, bounded(&reference.name))).collect()
    };
    let categories = indicator.categories.iter().map(|category| Label("category:", bounded(category)));
    let actors = indicator.named_actors().map(|actor| Label(ACTIVITY_GROUP, bounded(actor)));
    let mut lists = [
        categories.collect(),
        named("malware:", &indicator.malware),
        named("threat-actor:", &indicator.threat_actors),
        named("campaign:", &indicator.campaigns),
        actors.collect(),
    ];
    let left_out = within(&mut lists, room, length);
    let [categories, malware, actors, campaigns, groups] = lists;
    let kept = [categories, malware, actors, campaigns, always, groups].concat();
    Kept { kept, left_out }
}

/// The provider's page of the indicator, and the malware, actors and campaigns that it names.
pub(super) fn references(
    indicator: &indicator::Indicator,
    provider: Provider,
) -> Kept<ExternalReference<'_>> {
    let page = ExternalReference {
        source_name: provider.product,
        description: None,
        url: Some(RecordPage { at: provider.records_at, id: bounded(&indicator.source_id) }),
        external_id: Some(bounded(&indicator.source_id)),
    };
    let mut related =
        [&indicator.malware, &indicator.threat_actors, &indicator.campaigns].map(|references| {
            let related = references.iter().map(|reference| ExternalReference {
                source_name: provider.product,
                description: Some(FullName(reference)),
                url: None,
                external_id: Some(bounded(&reference.id)).filter(|id| !id.is_empty()),
            });
            related.collect::<Vec<_>>()
        });
    // The names of its members, their quotes, the source.
    const FRAME: usize = 80;
    let length = |reference: &ExternalReference<'_>| {
        let description = reference.description.map(|FullName(reference)| {
            json_length(&reference.name) + reference.title.as_deref().map_or(0, json_length)
        });
        FRAME + description.unwrap_or_default() + reference.external_id.map_or(0, json_length)
    };
    let left_out = within(&mut related, LONGEST_LIST, length);
    let kept = iter::once(page).chain(related.into_iter().flatten()).collect();
    Kept { kept, left_out }
}
