//! Warning lists of MISP, as they are published (github.com/MISP/misp-warninglists, `schema.json`).
//!
//! `matching_attributes` says for which attributes of MISP a list holds; without it, for all. An entry that no value of
//! ours can equal, such as a mail address in a list of texts, excludes nothing, and is counted.

use serde::de::DeserializeOwned;

use super::{
    entry::{self, Entry, Parsed, bytes},
    plain::number,
    types::Types,
};
use crate::domain::{observable::IndicatorType, spelling};

/// What of a list is read.
#[derive(Default)]
struct WarningList {
    kind: Option<(u32, String)>,
    attributes: Vec<String>,
    /// Each with its line.
    entries: Option<Vec<(u32, String)>>,
}

/// Reads a whole list; `add` takes each entry with the number of its line.
///
/// # Errors
/// The first line that cannot be read, and why.
pub(super) fn read(text: &str, add: &mut dyn FnMut(u32, Parsed)) -> Result<(), (u32, String)> {
    let WarningList { kind, attributes, entries } = parse(text)?;
    let (line, kind) = kind.ok_or((1, "no warning list of MISP: it has no \"type\"".to_owned()))?;
    let entries = entries.ok_or((1, "no warning list of MISP: it has no \"list\"".to_owned()))?;
    let parse: fn(&str) -> Result<(Entry, Types), String> = match kind.as_str() {
        "string" => |text| Ok(string(text)),
        "hostname" => hostname,
        "cidr" => cidr,
        "substring" => substring,
        "regex" => regex,
        _ => {
            let accepted = "string, substring, hostname, cidr, regex";
            return Err((line, format!("a warning list of the type {kind:?}; accepted: {accepted}")));
        }
    };
    let bound = bound(&attributes);
    for (line, text) in entries {
        // What a list says of mail addresses or telephones need not be understood.
        let (entry, types) = match bound.is_empty() {
            true => (Entry::Substring(text), Types::default()),
            false => parse(&text).map_err(|reason| (line, reason))?,
        };
        add(line, Parsed { entry, types: types.within(bound) });
    }
    Ok(())
}

/// The types of ours for which a list with these attributes holds.
fn bound(attributes: &[String]) -> Types {
    if attributes.is_empty() || attributes.iter().any(|attribute| attribute == "ALL") {
        return Types::ALL;
    }
    let of = |attribute: &String| {
        // Of two values that are written together either may be what the list is about.
        let parts = attribute.split('|').map(|part| match part {
            "ip" | "ip-src" | "ip-dst" => Types::addresses(),
            "domain" | "hostname" => Types::of(IndicatorType::Fqdn),
            "url" | "uri" | "link" => Types::of(IndicatorType::Url),
            "md5" | "sha1" | "sha256" | "malware-sample" => Types::of(IndicatorType::Hash),
            _ => Types::default(),
        });
        parts.fold(Types::default(), Types::and)
    };
    attributes.iter().map(of).fold(Types::default(), Types::and)
}

/// A value is excluded if it equals the text.
fn string(text: &str) -> (Entry, Types) {
    let text = text.trim();
    if let Some(digest) = bytes(text) {
        return (Entry::Digest(digest), Types::of(IndicatorType::Hash));
    }
    if let Some(Ok(range)) = entry::range(text).filter(|_| !text.contains(['/', '-'])) {
        return (Entry::Range(range), Types::addresses());
    }
    match (spelling::url(text), entry::name(text)) {
        (Ok(url), _) => (Entry::ExactUrl(url.text), Types::of(IndicatorType::Url)),
        (_, Ok(name)) => (Entry::Name { name, itself: true, below: false }, Types::of(IndicatorType::Fqdn)),
        _ => (Entry::Substring(text.to_owned()), Types::default()),
    }
}

/// A host is excluded with all below it.
fn hostname(text: &str) -> Result<(Entry, Types), String> {
    let name = text.trim().trim_start_matches("*.").trim_start_matches('.');
    // Lists of resolvers have some by their addresses.
    if let Some(Ok(range)) = entry::range(name).filter(|_| !name.contains(['/', '-'])) {
        return Ok((Entry::Range(range), Types::addresses().and(Types::of(IndicatorType::Url))));
    }
    let hosts = Types::of(IndicatorType::Fqdn).and(Types::of(IndicatorType::Url));
    // Some that are published are no names of hosts: they match nothing there either.
    Ok(match entry::name(name) {
        Ok(name) => (Entry::Name { name, itself: true, below: true }, hosts),
        Err(_) => (Entry::Substring(text.to_owned()), Types::default()),
    })
}

fn cidr(text: &str) -> Result<(Entry, Types), String> {
    let range =
        entry::range(text.trim()).unwrap_or_else(|| Err(format!("{text:?} is no address and no range")));
    Ok((Entry::Range(range?), Types::addresses().and(Types::of(IndicatorType::Url))))
}

fn substring(text: &str) -> Result<(Entry, Types), String> {
    match text.trim() {
        "" => Err("an empty substring, which every value has".to_owned()),
        text => Ok((Entry::Substring(text.to_owned()), Types::ALL)),
    }
}

/// As PHP takes them: between two delimiters, with modifiers behind; or without both.
fn regex(text: &str) -> Result<(Entry, Types), String> {
    let (pattern, modifiers) = match text.strip_prefix('/').and_then(|rest| rest.rsplit_once('/')) {
        Some((pattern, modifiers)) => (pattern, modifiers),
        None => (text, ""),
    };
    if pattern.is_empty() {
        return Err("an empty regular expression, which matches every value".to_owned());
    }
    let mut flags = String::new();
    for modifier in modifiers.chars() {
        match modifier {
            'i' | 'm' | 's' | 'x' => flags.push(modifier),
            // Whether it is looked for once or again says nothing about whether it is found.
            'g' => {}
            _ => return Err(format!("{text:?} has the modifier {modifier:?}; accepted: i, m, s, x, g")),
        }
    }
    let flags = if flags.is_empty() { flags } else { format!("(?{flags})") };
    // PCRE takes a slash that is escaped for a slash.
    Ok((Entry::Regex(format!("{flags}{}", pattern.replace("\\/", "/"))), Types::ALL))
}

/// A document that is read value by value, because the line of each entry counts.
struct Document<'a> {
    text: &'a str,
    at: usize,
    /// Up to where lines were counted, and how many there were.
    counted: (usize, usize),
}

impl<'a> Document<'a> {
    fn line(&mut self) -> u32 {
        let (counted, lines) = self.counted;
        let new = self.text.as_bytes()[counted..self.at].iter().filter(|byte| **byte == b'\n').count();
        self.counted = (self.at, lines + new);
        number(lines + new + 1)
    }

    fn peek(&mut self) -> Option<char> {
        self.at = self.text.len() - self.text[self.at..].trim_ascii_start().len();
        self.text[self.at..].chars().next()
    }

    /// Passes over one of `expected`, which is returned.
    fn pass(&mut self, expected: &'static [char]) -> Result<char, (u32, String)> {
        match self.peek() {
            Some(found) if expected.contains(&found) => {
                self.at += found.len_utf8();
                Ok(found)
            }
            _ => Err((self.line(), format!("no JSON: one of {expected:?} is missing"))),
        }
    }

    fn value<T: DeserializeOwned>(&mut self) -> Result<T, (u32, String)> {
        self.peek();
        let line = self.line();
        let mut values = serde_json::Deserializer::from_str(&self.text[self.at..]).into_iter::<T>();
        let value =
            values.next().unwrap_or_else(|| Err(serde::de::Error::custom("the document ends too early")));
        let value = value.map_err(|error| {
            let within = u32::try_from(error.line().saturating_sub(1)).unwrap_or_default();
            (line + within, format!("no warning list of MISP: {error}"))
        })?;
        self.at += values.byte_offset();
        Ok(value)
    }

    /// The elements of a list.
    fn list<T: DeserializeOwned>(&mut self) -> Result<Vec<(u32, T)>, (u32, String)> {
        self.pass(&['['])?;
        let mut values = Vec::new();
        if self.peek() == Some(']') {
            self.at += 1;
            return Ok(values);
        }
        loop {
            self.peek();
            let line = self.line();
            values.push((line, self.value()?));
            if self.pass(&[',', ']'])? == ']' {
                return Ok(values);
            }
        }
    }
}

fn parse(text: &str) -> Result<WarningList, (u32, String)> {
    let mut document = Document { text, at: 0, counted: (0, 0) };
    let mut read = WarningList::default();
    document.pass(&['{'])?;
    if document.peek() == Some('}') {
        return Ok(read);
    }
    loop {
        let name: String = document.value()?;
        document.pass(&[':'])?;
        document.peek();
        let line = document.line();
        match name.as_str() {
            "type" => read.kind = Some((line, document.value()?)),
            "matching_attributes" => {
                read.attributes = document.list()?.into_iter().map(|(_, attribute)| attribute).collect();
            }
            "list" => read.entries = Some(document.list()?),
            _ => drop(document.value::<serde::de::IgnoredAny>()?),
        }
        if document.pass(&[',', '}'])? == '}' {
            break;
        }
    }
    match document.peek() {
        None => Ok(read),
        Some(_) => Err((document.line(), "no JSON: something stands behind the list".to_owned())),
    }
}
