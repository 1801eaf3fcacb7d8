//! A page cut into its records by its outer form alone, so that one record that is not JSON costs only itself.
//!
//! A parser stops at the first byte that is not UTF-8 and at the first `NaN`, and the records behind it are lost. Here
//! a value is a text in quotes, a list, an object, or any run of other bytes. What does not even keep to that (a quote
//! too many, a page that ends early) is not cut, because the beginning of the next record cannot be known.

use std::ops::Range;

/// The records of a page, and the page without them.
pub struct Split<'a> {
    pub records: Vec<&'a [u8]>,
    /// The page with an empty list in the place of its records.
    pub rest: Vec<u8>,
}

/// Cuts the list `indicators` out of a page; `None` where there is no page, or no list in it.
pub fn split(body: &[u8]) -> Option<Split<'_>> {
    let mut found = None;
    let mut at = expect(body, 0, b'{')?;
    loop {
        let name = space(body, at);
        let colon = string(body, name)?;
        let start = space(body, expect(body, colon, b':')?);
        let end = value(body, start)?;
        if &body[name..colon] == b"\"indicators\""
            && body[start] == b'['
            && found.replace(start..end).is_some()
        {
            return None;
        }
        at = space(body, end);
        match body.get(at)? {
            b',' => at += 1,
            b'}' => break,
            _ => return None,
        }
    }
    let list: Range<usize> = found.filter(|_| space(body, at + 1) == body.len())?;
    let rest = [&body[..list.start], b"[]", &body[list.end..]].concat();
    Some(Split { records: elements(body, list.start)?, rest })
}

/// The elements of the list that begins at `start`.
fn elements(body: &[u8], start: usize) -> Option<Vec<&[u8]>> {
    let mut elements = Vec::new();
    let mut at = space(body, start + 1);
    while *body.get(at)? != b']' {
        let end = value(body, at)?;
        elements.push(&body[at..end]);
        at = space(body, end);
        if *body.get(at)? == b',' {
            at = space(body, at + 1);
        }
    }
    Some(elements)
}

/// Where the value that begins at `at` ends. Without recursion: a record may be nested as deeply as it likes.
fn value(body: &[u8], mut at: usize) -> Option<usize> {
    let mut open = Vec::new();
    loop {
        at = space(body, at);
        let opened = match body.get(at)? {
            b'{' => Some(b'}'),
            b'[' => Some(b']'),
            _ => None,
        };
        match opened {
            Some(closer) => {
                at = space(body, at + 1);
                open.push(closer);
                if *body.get(at)? != closer {
                    at = if closer == b'}' { name(body, at)? } else { at };
                    continue;
                }
            }
            None if body[at] == b'"' => at = string(body, at)?,
            None => at = token(body, at)?,
        }
        // Behind a value: what was opened closes, or another one follows.
        loop {
            let Some(closer) = open.last() else { return Some(at) };
            at = space(body, at);
            match *body.get(at)? {
                byte if byte == *closer => {
                    at += 1;
                    open.pop();
                }
                b',' => {
                    at = if *closer == b'}' { name(body, at + 1)? } else { at + 1 };
                    break;
                }
                _ => return None,
            }
        }
    }
}

/// Behind a member's name and its colon.
fn name(body: &[u8], at: usize) -> Option<usize> {
    expect(body, string(body, space(body, at))?, b':')
}

/// Behind the text in quotes that begins at `at`.
fn string(body: &[u8], at: usize) -> Option<usize> {
    let mut at = expect(body, at, b'"')?;
    loop {
        match body.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// Behind a number, a word, or what stands in the place of one.
fn token(body: &[u8], at: usize) -> Option<usize> {
    let is_part = |byte: &u8| !byte.is_ascii_whitespace() && !b"{}[],:\"".contains(byte);
    let length = body[at..].iter().take_while(|byte| is_part(byte)).count();
    (length > 0).then_some(at + length)
}

fn expect(body: &[u8], at: usize, byte: u8) -> Option<usize> {
    let at = space(body, at);
    (*body.get(at)? == byte).then_some(at + 1)
}

fn space(body: &[u8], at: usize) -> usize {
    let rest = body.get(at..).unwrap_or_default();
    at + rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "\\PC{0,6}|[\"\\\\{}\\[\\],: ]{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 30, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map("\\PC{0,4}|[\"\\\\,:]{0,3}", inner, 0..5)
                    .prop_map(Value::from_iter),
            ]
        })
    }

    proptest! {
        #[test]
        fn every_page_that_is_json_is_cut_where_its_records_are(
            records in prop::collection::vec(values(), 0..6), other in values(), pretty in any::<bool>(),
        ) {
            let page = json!({"before": other, "indicators": records, "next": other});
            let text = if pretty { serde_json::to_string_pretty(&page) } else { serde_json::to_string(&page) };
            let text = text.unwrap();
            let split = split(text.as_bytes()).expect("it is JSON");
            let cut: Vec<Value> =
                split.records.iter().map(|record| serde_json::from_slice(record).unwrap()).collect();
            prop_assert_eq!(cut, records);
            let rest: Value = serde_json::from_slice(&split.rest).unwrap();
            prop_assert_eq!(rest, json!({"before": other, "indicators": [], "next": other}));
        }

        #[test]
        fn nothing_breaks_it(body in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..60),
            "\\{\"indicators\":\\[[\\[\\]{}\",: 1a\\\\]{0,20}".prop_map(String::into_bytes),
        ]) {
            let _ = split(&body);
        }
    }

    #[test]
    fn what_could_be_cut_in_several_ways_is_not_cut() {
        for body in [
            r#"{"indicators":["a"b"]}"#,
            r#"{"indicators":[{"v":"a"b"},{"v":"good"},{"v":"c"d"}]}"#,
            r#"{"indicators":[1 2"#,
            r#"{"indicators":[1}"#,
            r#"{"indicators":[1]} x"#,
            r#"{"indicators":[1],"indicators":[2]}"#,
            r#"{"indicators":{}}"#,
            "[1]",
            "",
        ] {
            assert!(split(body.as_bytes()).is_none(), "{body}");
        }
    }
}
