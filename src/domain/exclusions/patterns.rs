//! Entries that look into a value: parts of it, and regular expressions. Both take a time that does not grow with the
//! number of entries, and only lists of MISP have them.

use aho_corasick::AhoCorasick;
use regex::bytes::{RegexSet, RegexSetBuilder};

use super::{Place, types::Types};

/// The entries that bind the same types.
struct Group {
    types: Types,
    substrings: Option<AhoCorasick>,
    regexes: RegexSet,
    /// Of the substrings, then of the regular expressions.
    places: [Vec<Place>; 2],
    texts: Vec<String>,
}

/// Every pattern.
#[derive(Default)]
pub(super) struct Patterns(Vec<Group>);

/// Takes patterns in any order.
#[derive(Default)]
pub(super) struct Builder(Vec<(Types, Collected)>);

#[derive(Default)]
struct Collected {
    substrings: Vec<(String, Place)>,
    regexes: Vec<(String, Place)>,
}

impl Builder {
    /// # Errors
    /// None today; as for regular expressions.
    pub fn substring(&mut self, types: Types, text: String, place: Place) -> Result<(), String> {
        super::bound(&mut self.0, types).substrings.push((text, place));
        Ok(())
    }

    /// # Errors
    /// It is none that we can read.
    pub fn regex(&mut self, types: Types, regex: String, place: Place) -> Result<(), String> {
        set([&regex])
            .map_err(|reason| format!("{regex:?} is no regular expression that can be used: {reason}"))?;
        super::bound(&mut self.0, types).regexes.push((regex, place));
        Ok(())
    }

    /// # Errors
    /// All of them together take too much memory.
    pub fn build(self) -> Result<Patterns, (Place, String)> {
        let group = |(types, Collected { substrings, regexes }): (Types, Collected)| {
            let first = substrings.first().or(regexes.first()).map(|(_, place)| *place);
            let too_large = |reason: String| {
                let first = first.expect("only what has an entry is collected");
                (first, format!("the patterns from here on are too large together: {reason}"))
            };
            let automaton = AhoCorasick::builder()
                .ascii_case_insensitive(true)
                .build(substrings.iter().map(|(text, _)| text))
                .map_err(|error| too_large(error.to_string()))?;
            let set = set(regexes.iter().map(|(regex, _)| regex)).map_err(too_large)?;
            let places: [Vec<Place>; 2] =
                [&substrings, &regexes].map(|all| all.iter().map(|(_, place)| *place).collect());
            let texts = substrings.into_iter().chain(regexes).map(|(text, _)| text).collect();
            let substrings = (!places[0].is_empty()).then_some(automaton);
            Ok(Group { types, substrings, regexes: set, places, texts })
        };
        self.0.into_iter().map(group).collect::<Result<_, _>>().map(Patterns)
    }
}

/// Bytes are compared, as PCRE does without its modifier `u`.
fn set<T: AsRef<str>>(regexes: impl IntoIterator<Item = T>) -> Result<RegexSet, String> {
    RegexSetBuilder::new(regexes).unicode(false).build().map_err(|error| {
        // The crate's message draws the place below the pattern.
        let message = error.to_string();
        message.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
    })
}

impl Patterns {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first pattern that is found in `text` and binds `types`.
    pub fn find(&self, text: &str, types: Types) -> Option<Place> {
        let binding = self.0.iter().filter(|group| group.types.contains(types));
        let found = binding.flat_map(|Group { substrings, regexes, places: [parts, wholes], .. }| {
            let part = substrings.as_ref().and_then(|substrings| substrings.find(text));
            let part = part.map(|found| parts[found.pattern().as_usize()]);
            let matches = (!wholes.is_empty()).then(|| regexes.matches(text.as_bytes()));
            let whole = matches.and_then(|matches| matches.iter().map(|number| wholes[number]).min());
            part.into_iter().chain(whole)
        });
        found.min()
    }

    /// Every pattern: whether it is a regular expression, its text and what it binds.
    pub fn all(&self) -> impl Iterator<Item = (bool, &str, Types)> {
        self.0.iter().flat_map(|group| {
            let substrings = group.places[0].len();
            let texts = group.texts.iter().enumerate();
            texts.map(move |(number, text)| (number >= substrings, text.as_str(), group.types))
        })
    }
}
