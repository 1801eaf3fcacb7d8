//! A package cut into its records as its bytes come, so that it is never in memory as a whole.
//!
//! Cut by the outer form alone: a record that is not JSON costs only itself.

use serde_json::{Map, Value};

use crate::http::{error::excerpt, unexpected::error};

/// The member that holds the records.
const LIST: &[u8] = b"iocs";
/// A record is a few kilobytes. What is longer than this is none, and is passed over.
const LONGEST_RECORD: usize = 1024 * 1024;
/// What a package may have beside its records.
const LONGEST_REST: usize = 64 * 1024;

/// A record as it was found.
pub enum Found<'a> {
    Record(&'a [u8]),
    /// Longer than any record.
    TooLong,
}

/// Takes a package apart.
#[derive(Default)]
pub struct Splitter {
    depth: usize,
    in_text: bool,
    is_escaped: bool,
    in_list: bool,
    /// The text read last on the first level: the name of a member when its value begins.
    name: Vec<u8>,
    record: Vec<u8>,
    is_too_long: bool,
    /// Everything but the records.
    rest: Vec<u8>,
}

impl Splitter {
    /// Takes the next part of the package; `take` is called with every record that it ends.
    pub fn push(&mut self, part: &[u8], mut take: impl FnMut(Found<'_>)) {
        part.iter().for_each(|byte| self.byte(*byte, &mut take));
    }

    fn byte(&mut self, byte: u8, take: &mut impl FnMut(Found<'_>)) {
        if self.in_list && self.depth == 2 && !self.in_text && matches!(byte, b',' | b']') {
            self.end_record(take);
            if byte == b',' {
                return;
            }
            self.in_list = false;
        }
        self.keep(byte);
        if self.in_text {
            match byte {
                _ if self.is_escaped => self.is_escaped = false,
                b'\\' => self.is_escaped = true,
                b'"' => self.in_text = false,
                _ => {}
            }
            if self.in_text && self.depth == 1 && self.name.len() <= LIST.len() {
                self.name.push(byte);
            }
            return;
        }
        match byte {
            b'"' => {
                self.in_text = true;
                if self.depth == 1 {
                    self.name.clear();
                }
            }
            b'{' => self.depth += 1,
            b'[' => {
                self.in_list |= self.depth == 1 && self.name == LIST;
                self.depth += 1;
            }
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
    }

    fn keep(&mut self, byte: u8) {
        let (kept, longest) = match self.in_list {
            true => (&mut self.record, LONGEST_RECORD),
            false => (&mut self.rest, LONGEST_REST),
        };
        match kept.len() < longest {
            true => kept.push(byte),
            false => self.is_too_long |= self.in_list,
        }
    }

    fn end_record(&mut self, take: &mut impl FnMut(Found<'_>)) {
        if self.is_too_long {
            take(Found::TooLong);
        } else if !self.record.trim_ascii().is_empty() {
            take(Found::Record(self.record.trim_ascii()));
        }
        self.is_too_long = false;
        self.record.clear();
    }

    /// Ends the package. What stands beside its records tells whether it is one.
    ///
    /// # Errors
    /// Bytes that are no package, or not a whole one.
    pub fn finish(self) -> Result<(), String> {
        let rest = self.rest.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&self.rest);
        if self.in_list || self.depth > 0 {
            return Err("it ends in the middle".to_owned());
        }
        let begin = || excerpt(&rest[..rest.len().min(80)]);
        let members: Map<String, Value> = serde_json::from_slice(rest)
            .map_err(|problem| format!("{problem}; without its records it begins {:?}", begin()))?;
        if let Some(told) = error(&members) {
            return Err(told);
        }
        // Records missing, null or none mean that the hour has none. Anything else is something else.
        match members.get("iocs") {
            None if members.contains_key("data") => {
                Err(format!("no list of records; it begins {:?}", begin()))
            }
            None | Some(Value::Null | Value::Array(_)) => Ok(()),
            Some(_) => Err(format!("its records are no list; it begins {:?}", begin())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The records of `package`, which comes in parts of `step` bytes.
    fn split(package: &str, step: usize) -> Result<Vec<String>, String> {
        let (mut splitter, mut records) = (Splitter::default(), Vec::new());
        for part in package.as_bytes().chunks(step) {
            splitter.push(part, |found| {
                records.push(match found {
                    Found::Record(record) => String::from_utf8_lossy(record).into_owned(),
                    Found::TooLong => "too long".to_owned(),
                });
            });
        }
        splitter.finish().map(|()| records)
    }

    #[test]
    fn records_are_found_in_whatever_parts_they_come() {
        let package = r#"{"meta":{"iocs":[9]},"a":["iocs"],"iocs":[{"a":"]},{"}, {"b":["\"",[1]]},null ,7],"links":{}}"#;
        for step in [1, 2, 3, 7, 1000] {
            let records = split(package, step).unwrap();
            assert_eq!(records, [r#"{"a":"]},{"}"#, r#"{"b":["\"",[1]]}"#, "null", "7"], "{step}");
        }
        for package in
            ["{}", r#"{"iocs":null}"#, r#"{"iocs":[]}"#, r#"{"iocs": [ ] }"#, "\u{feff}{}", r#"{"meta":1}"#]
        {
            assert_eq!(split(package, 4), Ok(Vec::new()), "{package}");
        }
    }

    #[test]
    fn what_is_no_whole_package_is_an_error() {
        for package in [
            "",
            "null",
            "[]",
            "<html>",
            r#"{"iocs":[{"a":1}"#,
            r#"{"iocs":[{"a":1}]"#,
            r#"{"iocs":[{"a":"1}]}"#,
            r#"{"iocs":{}}"#,
            r#"{"data":[]}"#,
            r#"{"error":{"code":"TransientError","message":"again"}}"#,
        ] {
            assert!(split(package, 5).is_err(), "{package}");
        }
    }

    #[test]
    fn a_record_without_end_costs_only_itself() {
        let long = "x".repeat(LONGEST_RECORD);
        let package = format!(r#"{{"iocs":[1,"{long}",2]}}"#);
        assert_eq!(split(&package, 65_536).unwrap(), ["1", "too long", "2"]);
    }
}
