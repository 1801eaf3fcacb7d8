//! The bytes of a page to its indicators, in one reading.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{SeqAccess, Visitor},
};
use serde_json::{from_slice, from_str};

use super::{
    convert,
    error::MandiantError,
    split::{Split, split},
    wire::{self, Record},
};
use crate::source::lenient::Object;
use crate::{
    domain::{
        filter::DropReason,
        page::{About, Page, UNREADABLE, Unusable},
    },
    http::{
        error::excerpt,
        unexpected::{error, without_mark},
    },
};

/// Which of the fields that must be asked for came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    threat_rating: bool,
    category: bool,
    campaigns: bool,
}

impl Fields {
    pub fn none(self) -> bool {
        self == Self::default()
    }
}

/// A page, and what else its bytes tell.
#[derive(Debug, Default)]
pub struct Parsed {
    pub page: Page,
    pub fields: Fields,
    /// Of the first record.
    pub first_id: Option<String>,
    pub cursor: Option<String>,
}

/// Reads a page.
///
/// # Errors
/// Bytes that are no page: 200 is not an answer yet. A record that is odd, whatever is wrong with it, is an unusable
/// one.
pub fn parse(body: &[u8]) -> Result<Parsed, MandiantError> {
    let body = without_mark(body);
    // An empty window has been seen as an empty body.
    if body.iter().all(u8::is_ascii_whitespace) || body.trim_ascii() == b"null" {
        return Ok(Parsed::default());
    }
    // A record that breaks the rules of JSON (a byte that is not UTF-8, a field twice, a number beyond all bounds)
    // fails the page; then the page is cut apart, and each record read by itself, so that it spoils no other.
    // A page that is UTF-8 as a whole, looked at once, need not be looked at text by text.
    let together = match str::from_utf8(body) {
        Ok(text) => from_str::<wire::Page<Together>>(text),
        Err(_) => from_slice(body),
    };
    let (page, apart) = match together {
        Ok(page) => (page, None),
        Err(error) => {
            let unreadable = |error: &serde_json::Error| {
                no_page(format!("{error}; it begins {:?}", excerpt(&body[..body.len().min(80)])))
            };
            let Split { records, rest } = split(body).ok_or_else(|| unreadable(&error))?;
            let page = from_slice::<wire::Page<Together>>(&rest).map_err(|error| unreadable(&error))?;
            (page, Some(Parsed::apart(&records)))
        }
    };
    if let Some(told) = error(&page.others) {
        return Err(no_page(told));
    }
    if !page.names_indicators && !page.others.is_empty() {
        return Err(no_page(format!(
            "no list of indicators; it begins {:?}",
            excerpt(&body[..body.len().min(80)])
        )));
    }
    let gathered = apart.or(page.indicators.map(|Together(gathered)| gathered)).unwrap_or_default();
    let cursor = page.next.filter(|cursor| !cursor.is_empty());
    Ok(Parsed { cursor, ..gathered })
}

fn no_page(reason: String) -> MandiantError {
    MandiantError::Unreadable { reason }
}

/// Records, each decoded as it is come upon.
struct Together(Parsed);

impl<'de> Deserialize<'de> for Together {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Records;
        impl<'de> Visitor<'de> for Records {
            type Value = Together;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of records")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut records: A) -> Result<Together, A::Error> {
                let mut gathered = Parsed::default();
                while let Some(Object(record)) = records.next_element::<Object<Record<'de>>>()? {
                    gathered.gather(&record);
                }
                Ok(Together(gathered))
            }
        }
        deserializer.deserialize_seq(Records)
    }
}

impl Parsed {
    /// Records that were cut out of their page, each decoded by itself.
    fn apart(records: &[&[u8]]) -> Self {
        let mut gathered = Self::default();
        for record in records {
            match from_slice::<Object<Record<'_>>>(record) {
                Ok(Object(record)) => gathered.gather(&record),
                Err(error) => {
                    gathered.page.records += 1;
                    let value = excerpt(&record[..record.len().min(80)]);
                    let id = format!("without a readable id, {value:?}");
                    let detail = format!("it is not JSON: {error}");
                    gathered.page.unusable.push(Unusable {
                        id,
                        about: About { value, kind: UNREADABLE.to_owned() },
                        reason: DropReason::Malformed,
                        detail,
                        held_as: None,
                    });
                }
            }
        }
        gathered
    }

    fn gather(&mut self, record: &Record<'_>) {
        self.page.records += 1;
        self.fields.threat_rating |= record.threat_rating.is_some();
        self.fields.category |= record.category.is_some();
        self.fields.campaigns |= record.campaigns.is_some();
        if self.first_id.is_none() {
            self.first_id = record.id.text().map(str::to_owned);
        }
        match convert::indicator(record) {
            Ok(indicator) => self.page.indicators.push(indicator),
            Err(unusable) => self.page.unusable.push(unusable),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_that_breaks_all_rules_spoils_no_other() {
        let sound = r#"{"id":"ipv4--1","type":"ipv4","value":"198.51.100.7","mscore":90,"category":[]}"#;
        for odd in [
            r#"{"id":"a","id":"b"}"#,
            r#"{"id":"a","mscore":1e999}"#,
            r#"{"id":"\ud800"}"#,
            r#"{"unknown":[[[[{"deep":1e999}]]]]}"#,
            "7",
            "[1]",
            "null",
        ] {
            let body = format!(r#"{{"indicators":[{sound},{odd},{sound}],"next":"on"}}"#);
            let parsed = parse(body.as_bytes()).unwrap();
            let Parsed { page, fields, first_id, cursor } = parsed;
            assert_eq!((page.records, page.indicators.len(), page.unusable.len()), (3, 2, 1), "{odd}");
            assert_eq!((first_id.as_deref(), cursor.as_deref()), (Some("ipv4--1"), Some("on")), "{odd}");
            assert!(fields.category && !fields.none(), "{odd}");
        }
        for body in ["", " \n", "null", "{}", r#"{"indicators":null,"next":""}"#] {
            let parsed = parse(body.as_bytes()).unwrap();
            assert_eq!((parsed.page.records, parsed.cursor), (0, None), "{body}");
        }
        for body in ["{", r#"{"indicators":{}}"#, "[]x", r#"{"indicators":[{"id":1]}"#] {
            assert!(parse(body.as_bytes()).is_err(), "{body}");
        }
    }
}
