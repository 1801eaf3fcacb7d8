//! STIX patterns of one comparison: written for what we send, read from what a workspace holds.
//!
//! Sentinel takes apart no other patterns, and its rules match on nothing else (learn.microsoft.com, "Work with
//! STIX objects and indicators").

use std::{borrow::Cow, fmt};

use crate::domain::{
    observable::{HashType, Hashes, Key, Observable, Subject, SubjectKind},
    spelling::Malformed,
};

/// The pattern for a subject, which its [`Display`](fmt::Display) writes.
#[derive(Clone, Copy, Debug)]
pub struct Pattern<'a> {
    pub kind: SubjectKind,
    pub value: &'a str,
}

impl fmt::Display for Pattern<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = match self.kind {
            SubjectKind::Ipv4 => "ipv4-addr:value",
            SubjectKind::Ipv6 => "ipv6-addr:value",
            SubjectKind::Domain => "domain-name:value",
            SubjectKind::Url => "url:value",
            SubjectKind::File(HashType::Md5) => "file:hashes.MD5",
            SubjectKind::File(HashType::Sha1) => "file:hashes.'SHA-1'",
            SubjectKind::File(HashType::Sha256) => "file:hashes.'SHA-256'",
        };
        write!(f, "[{path} = '{}']", escape(self.value))
    }
}

/// STIX 2.1 §9.2: in a string literal only `\` and `'` are escaped.
fn escape(value: &str) -> Cow<'_, str> {
    if value.contains(['\\', '\'']) {
        value.replace('\\', "\\\\").replace('\'', "\\'").into()
    } else {
        value.into()
    }
}

/// The key under which we would send what `pattern` compares with, and the value, whichever product wrote it.
///
/// Spaces, parentheses and the common spellings of a digest's name are passed over, because they do not change what
/// is meant. Nothing else is: a pattern that says more than one comparison is not what we would send.
///
/// # Errors
/// The problem, to be read behind "its": another kind of comparison, a value we would not send.
pub fn read(pattern: &str) -> Result<(Key, Observable), Malformed> {
    let (kind, value) = comparison(pattern)?;
    key(kind, &value)
}

/// The key of the value as `pattern` spells it, which need not be as we spell it today.
pub fn key_as_spelt(pattern: &str) -> Option<Key> {
    let (kind, value) = comparison(pattern).ok()?;
    Some(Subject { kind, value: value.into() }.key())
}

fn comparison(pattern: &str) -> Result<(SubjectKind, String), Malformed> {
    let mut text = Text(pattern);
    let around = text.opened();
    text.expect('[')?;
    let within = text.opened();
    let kind = kind(&mut text)?;
    text.expect('=')?;
    // The grammar of STIX patterns has two spellings of it.
    text.take('=');
    let value = text.literal('\'')?;
    text.closed(within)?;
    text.expect(']')?;
    text.closed(around)?;
    if !text.0.trim_start().is_empty() {
        return Err(not_single());
    }
    Ok((kind, value))
}

fn key(kind: SubjectKind, value: &str) -> Result<(Key, Observable), Malformed> {
    let mut wanted = HashType::Md5;
    let observable = match kind {
        SubjectKind::Ipv4 => Observable::ipv4(value),
        SubjectKind::Ipv6 => Observable::ipv6(value),
        SubjectKind::Domain => Observable::domain(value),
        SubjectKind::Url => Observable::url(value),
        SubjectKind::File(hash_type) => {
            wanted = hash_type;
            let mut hashes = Hashes::default();
            hashes.add(hash_type, value).and_then(|()| Observable::file(hashes))
        }
    };
    match observable {
        Ok(observable) => Ok((observable.subject(wanted).key(), observable)),
        Err(problem) => Err(Malformed(format!("value is one we would not send: {problem}").into())),
    }
}

/// The left side of a comparison.
fn kind(text: &mut Text<'_>) -> Result<SubjectKind, Malformed> {
    let object = text.word();
    text.expect(':')?;
    match (object, text.word()) {
        ("ipv4-addr", "value") => Ok(SubjectKind::Ipv4),
        ("ipv6-addr", "value") => Ok(SubjectKind::Ipv6),
        ("domain-name", "value") => Ok(SubjectKind::Domain),
        ("url", "value") => Ok(SubjectKind::Url),
        ("file", "hashes") => {
            text.expect('.')?;
            let name = match ['\'', '"'].into_iter().find(|quote| text.0.trim_start().starts_with(*quote)) {
                Some(quote) => text.literal(quote)?.into(),
                None => Cow::Borrowed(text.word()),
            };
            hash_type(&name)
                .map(SubjectKind::File)
                .ok_or_else(|| Malformed(format!("pattern compares with a {name} digest").into()))
        }
        (object, property) => {
            Err(Malformed(format!("pattern compares with {object}:{property}, which we do not send").into()))
        }
    }
}

/// STIX 2.1 §10.7 says MD5, SHA-1 and SHA-256; many leave the dash away.
fn hash_type(name: &str) -> Option<HashType> {
    match name.to_ascii_uppercase().replace('-', "").as_str() {
        "MD5" => Some(HashType::Md5),
        "SHA1" => Some(HashType::Sha1),
        "SHA256" => Some(HashType::Sha256),
        _ => None,
    }
}

fn not_single() -> Malformed {
    Malformed::because("pattern is not a single comparison")
}

/// What of a pattern is still to be read. White space before a token does not count.
struct Text<'a>(&'a str);

impl<'a> Text<'a> {
    fn take(&mut self, token: char) -> bool {
        let rest = self.0.trim_start().strip_prefix(token);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn expect(&mut self, token: char) -> Result<(), Malformed> {
        if self.take(token) { Ok(()) } else { Err(not_single()) }
    }

    /// How many parentheses open here.
    fn opened(&mut self) -> usize {
        std::iter::from_fn(|| self.take('(').then_some(())).count()
    }

    fn closed(&mut self, times: usize) -> Result<(), Malformed> {
        (0..times).try_for_each(|_| self.expect(')'))
    }

    /// A name; empty where none stands.
    fn word(&mut self) -> &'a str {
        let text = self.0.trim_start();
        let is_name = |character: char| character.is_ascii_alphanumeric() || matches!(character, '-' | '_');
        let (word, rest) = text.split_at(text.find(|character| !is_name(character)).unwrap_or(text.len()));
        self.0 = rest;
        word
    }

    /// A quoted text, without its escapes.
    fn literal(&mut self, quote: char) -> Result<String, Malformed> {
        self.expect(quote)?;
        let mut value = String::new();
        let mut characters = self.0.chars();
        while let Some(character) = characters.next() {
            match character {
                '\\' => match characters.next() {
                    Some(escaped) if escaped == '\\' || escaped == quote => value.push(escaped),
                    // A writer that does not escape backslashes cannot be told from one that escapes the next character.
                    _ => return Err(Malformed::because("pattern has a backslash that escapes nothing")),
                },
                character if character == quote => {
                    self.0 = characters.as_str();
                    return Ok(value);
                }
                character => value.push(character),
            }
        }
        Err(not_single())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::observable::Subject;

    fn subject(kind: SubjectKind, value: &str) -> Key {
        Subject { kind, value: value.into() }.key()
    }

    #[test]
    fn every_spelling_of_one_comparison_is_understood() {
        let (md5, sha1, sha256) = ("0a".repeat(16), "0b".repeat(20), "0c".repeat(32));
        let file = |path: &str, value: &str| format!("[file:hashes.{path} = '{value}']");
        let (as_md5, as_sha1) = (SubjectKind::File(HashType::Md5), SubjectKind::File(HashType::Sha1));
        let as_sha256 = SubjectKind::File(HashType::Sha256);
        for (pattern, kind, value) in [
            ("[ipv4-addr:value = '198.51.100.7']".to_owned(), SubjectKind::Ipv4, "198.51.100.7"),
            (" [ipv4-addr:value='198.51.100.7'] ".to_owned(), SubjectKind::Ipv4, "198.51.100.7"),
            ("([(ipv4-addr:value == '198.51.100.7')])".to_owned(), SubjectKind::Ipv4, "198.51.100.7"),
            ("[ ipv6-addr:value\t=\n'2001:DB8:0::1' ]".to_owned(), SubjectKind::Ipv6, "2001:db8::1"),
            ("[domain-name:value = 'Bad.Example.']".to_owned(), SubjectKind::Domain, "bad.example"),
            (
                r"[url:value = 'http://x.example/it\'s\\[a] = ']".to_owned(),
                SubjectKind::Url,
                r"http://x.example/it's\[a] =",
            ),
            (file("MD5", &md5.to_uppercase()), as_md5, &md5),
            (file("'MD5'", &md5), as_md5, &md5),
            (file("\"md5\"", &md5), as_md5, &md5),
            (file("'SHA-1'", &sha1), as_sha1, &sha1),
            (file("SHA1", &sha1), as_sha1, &sha1),
            (file("\"SHA-256\"", &sha256), as_sha256, &sha256),
            (file("'SHA256'", &sha256), as_sha256, &sha256),
            (file("SHA-256", &sha256), as_sha256, &sha256),
        ] {
            assert_eq!(read(&pattern).map(|(key, _)| key), Ok(subject(kind, value)), "{pattern}");
        }
    }

    #[test]
    fn what_says_more_or_something_else_is_not_ours() {
        let long = "0".repeat(64);
        let in_sha512 = format!("[file:hashes.'SHA-512' = '{long}']");
        for (pattern, reason) in [
            ("", "single comparison"),
            ("[ipv4-addr:value = '198.51.100.7'", "single comparison"),
            ("([ipv4-addr:value = '198.51.100.7']", "single comparison"),
            ("[ipv4-addr:value = '198.51.100.7')]", "single comparison"),
            ("[ipv4-addr:value = '198.51.100.7' OR ipv4-addr:value = '198.51.100.8']", "single comparison"),
            ("[ipv4-addr:value = '198.51.100.7'] AND [url:value = 'x']", "single comparison"),
            ("[ipv4-addr:value = '198.51.100.7'] WITHIN 5 SECONDS", "single comparison"),
            ("[ipv4-addr:value != '198.51.100.7']", "single comparison"),
            ("[ipv4-addr:value NOT = '198.51.100.7']", "single comparison"),
            ("[ipv4-addr:value IN ('198.51.100.7')]", "single comparison"),
            ("[ipv4-addr:value = \"198.51.100.7\"]", "single comparison"),
            (r"[url:value = 'http://x\y']", "backslash"),
            ("[email-addr:value = 'a@b.example']", "email-addr:value"),
            ("[IPV4-ADDR:value = '198.51.100.7']", "IPV4-ADDR:value"),
            ("[file:name = 'a.exe']", "file:name"),
            (&in_sha512, "SHA-512"),
            ("[ipv4-addr:value = '198.51.100.0/24']", "would not send"),
            ("[ipv4-addr:value = '10.0.0.1']", "would not send"),
            ("[file:hashes.MD5 = '']", "would not send"),
            ("[file:hashes.MD5 = 'abc']", "would not send"),
            ("[domain-name:value = 'http://x']", "would not send"),
        ] {
            let problem = read(pattern).expect_err(pattern).to_string();
            assert!(problem.contains(reason), "{pattern}: {problem}");
        }
    }

    fn observable() -> impl Strategy<Value = Observable> {
        let digits = |count: usize| {
            prop::collection::vec(0..16_u8, count).prop_map(|digits| {
                digits
                    .into_iter()
                    .map(|digit| char::from_digit(u32::from(digit), 16).expect("a digit"))
                    .collect::<String>()
            })
        };
        let sound = |made: Result<Observable, Malformed>| made.ok();
        prop_oneof![
            any::<[u8; 4]>().prop_filter_map("local", move |octets| {
                sound(Observable::ipv4(&std::net::Ipv4Addr::from(octets).to_string()))
            }),
            any::<[u8; 16]>().prop_filter_map("local", move |octets| {
                sound(Observable::ipv6(&std::net::Ipv6Addr::from(octets).to_string()))
            }),
            "[a-zA-Z0-9_äß-]{1,20}(\\.[a-zA-Z0-9-]{1,20}){1,3}"
                .prop_filter_map("no name", move |name| sound(Observable::domain(&name))),
            "http://[a-z]{1,8}\\.example/\\PC{0,8}['\\\\\\[\\]()=\" ]{0,6}\\PC{0,8}"
                .prop_filter_map("no URL", move |url| sound(Observable::url(&url))),
            (digits(32), digits(40), digits(64), 1..8_u8).prop_filter_map(
                "no file",
                move |(md5, sha1, sha256, which)| {
                    let mut hashes = Hashes::default();
                    for (bit, hash_type, value) in
                        [(1, HashType::Md5, md5), (2, HashType::Sha1, sha1), (4, HashType::Sha256, sha256)]
                    {
                        if which & bit != 0 {
                            hashes.add(hash_type, &value).ok()?;
                        }
                    }
                    sound(Observable::file(hashes))
                }
            ),
        ]
    }

    proptest! {
        #[test]
        fn what_we_send_is_recognised(observable in observable(), wanted in 0..3_usize) {
            let subject = observable.subject([HashType::Md5, HashType::Sha1, HashType::Sha256][wanted]);
            let pattern = Pattern { kind: subject.kind, value: &subject.value };
            prop_assert_eq!(read(&pattern.to_string()).map(|(key, _)| key), Ok(subject.key()));
        }

        #[test]
        fn nothing_breaks_the_reading(pattern in "\\PC{0,40}|[\\[\\]():.='\\\\ a-z4-]{0,40}") {
            let _ = read(&pattern);
        }
    }
}
