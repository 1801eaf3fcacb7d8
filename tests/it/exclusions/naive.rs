//! The matcher against one that knows no index: every entry is compared with every value.

use std::net::{Ipv4Addr, Ipv6Addr};

use mati_sync::domain::{
    exclusions::{Builder, Class, Exclusions, Fingerprints, Lists},
    observable::{HashType, Hashes, Observable},
};
use proptest::{collection::vec, prelude::*};

/// An entry, as a person would write it, and as what it means.
#[derive(Clone, Debug)]
enum Entry {
    Domain(String),
    Below(String),
    V4(Ipv4Addr, u32),
    V4Span(Ipv4Addr, Ipv4Addr),
    V6(Ipv6Addr, u32),
    Url(String),
    UrlOfBoth(String),
    Digest(String),
}

impl Entry {
    fn line(&self) -> String {
        match self {
            Self::Domain(name) => name.to_uppercase(),
            Self::Below(name) => format!("*.{name}"),
            Self::V4(address, 32) => address.to_string(),
            Self::V4(address, length) => format!("{address}/{length}"),
            Self::V4Span(first, last) => format!("{first}-{last}"),
            Self::V6(address, length) => format!("{address}/{length}"),
            Self::Url(url) | Self::UrlOfBoth(url) => url.clone(),
            Self::Digest(digest) => digest.to_uppercase(),
        }
    }

    /// By the words of the contract, compared one by one.
    fn excludes(&self, value: &Observable) -> bool {
        let host = host(value);
        match self {
            Self::Domain(name) => {
                host.is_some_and(|host| host == *name || host.ends_with(&format!(".{name}")))
            }
            Self::Below(name) => host.is_some_and(|host| host.ends_with(&format!(".{name}"))),
            Self::V4(address, length) => {
                host.and_then(|host| host.parse::<Ipv4Addr>().ok()).is_some_and(|host| {
                    let shift = 32 - length;
                    u64::from(host.to_bits()) >> shift == u64::from(address.to_bits()) >> shift
                })
            }
            Self::V4Span(first, last) => host
                .and_then(|host| host.parse::<Ipv4Addr>().ok())
                .is_some_and(|host| *first <= host && host <= *last),
            Self::V6(address, length) => host
                .and_then(|host| host.trim_matches(['[', ']']).parse::<Ipv6Addr>().ok())
                .is_some_and(|host| {
                    let differing = host.to_bits() ^ address.to_bits();
                    *length == 0 || differing >> (128 - length) == 0
                }),
            Self::Url(prefix) => matches!(value, Observable::Url(url) if url.starts_with(prefix.as_str())),
            Self::UrlOfBoth(rest) => matches!(value, Observable::Url(url)
                if url.starts_with(&format!("http://{rest}")) || url.starts_with(&format!("https://{rest}"))),
            Self::Digest(digest) => match value {
                Observable::File(hashes) => hashes.all().any(|(_, known)| known == digest),
                _ => false,
            },
        }
    }
}

fn host(value: &Observable) -> Option<String> {
    match value {
        Observable::Ipv4(address) => Some(address.to_string()),
        Observable::Ipv6(address) => Some(address.to_string()),
        Observable::Domain(name) => Some(name.clone()),
        Observable::Url(url) => {
            let rest = url.split_once("://")?.1;
            let rest = rest.split('/').next()?;
            let end = rest.find(']').map_or(0, |at| at + 1);
            Some(match rest[end..].find(':') {
                Some(at) => rest[..end + at].to_owned(),
                None => rest.to_owned(),
            })
        }
        Observable::File(_) => None,
    }
}

/// Few labels, so that names meet.
fn name() -> impl Strategy<Value = String> {
    vec("[ab]{1,2}", 1..4).prop_map(|labels| format!("{}.test", labels.join(".")))
}

fn v4() -> impl Strategy<Value = Ipv4Addr> {
    (0..4_u8, 0..4_u8).prop_map(|(c, d)| Ipv4Addr::new(203, 0, c, d * 64 + d))
}

fn v6() -> impl Strategy<Value = Ipv6Addr> {
    (0..4_u16, 0..4_u16).prop_map(|(high, low)| Ipv6Addr::new(0x2001, 0xdb8, high, 0, 0, 0, 0, low))
}

fn path() -> impl Strategy<Value = String> {
    "/[ab]{0,3}(/[ab]{0,2})?"
}

fn authority() -> impl Strategy<Value = String> {
    let port = prop_oneof![Just(String::new()), Just(":8080".to_owned())];
    let host = prop_oneof![name(), v4().prop_map(|v4| v4.to_string()), v6().prop_map(|v6| format!("[{v6}]"))];
    (host, port).prop_map(|(host, port)| format!("{host}{port}"))
}

fn digest() -> impl Strategy<Value = String> {
    (prop_oneof![Just(32_usize), Just(40), Just(64)], 0..4_u8)
        .prop_map(|(length, digit)| digit.to_string().repeat(length))
}

fn entry() -> impl Strategy<Value = Entry> {
    prop_oneof![
        name().prop_map(Entry::Domain),
        name().prop_map(Entry::Below),
        (v4(), 8..=32_u32).prop_map(|(address, length)| Entry::V4(address, length)),
        (v4(), v4()).prop_map(|(a, b)| Entry::V4Span(a.min(b), a.max(b))),
        (v6(), 0..=128_u32).prop_map(|(address, length)| Entry::V6(address, length)),
        (any::<bool>(), authority(), path()).prop_map(|(tls, host, path)| Entry::Url(format!(
            "http{}://{host}{path}",
            if tls { "s" } else { "" }
        ))),
        (name(), path()).prop_map(|(host, path)| Entry::UrlOfBoth(format!("{host}{path}"))),
        digest().prop_map(Entry::Digest),
    ]
}

fn value() -> impl Strategy<Value = Observable> {
    prop_oneof![
        name().prop_map(Observable::Domain),
        v4().prop_map(Observable::Ipv4),
        v6().prop_map(Observable::Ipv6),
        (any::<bool>(), authority(), path()).prop_map(|(tls, host, path)| {
            Observable::of_text(&format!("http{}://{host}{path}", if tls { "s" } else { "" })).unwrap()
        }),
        vec(digest(), 1..4).prop_map(|digests| {
            let mut hashes = Hashes::default();
            for digest in digests {
                let kind = HashType::ALL.into_iter().find(|kind| hashes.add(*kind, &digest).is_ok());
                assert!(kind.is_some());
            }
            Observable::File(hashes)
        }),
    ]
}

fn lists(entries: &[Entry]) -> Lists {
    let mut builder = Builder::default();
    let half = entries.len() / 2;
    for (name, part) in [("a.txt", &entries[..half]), ("b.txt", &entries[half..])] {
        let lines: Vec<String> = part.iter().map(|entry| format!("{} # why\r\n", entry.line())).collect();
        builder.file(name, lines.concat().as_bytes()).unwrap();
    }
    builder.build().unwrap()
}

proptest! {
    #[test]
    fn the_matcher_says_what_a_naive_one_says(entries in vec(entry(), 0..24), values in vec(value(), 1..24)) {
        let lists = lists(&entries);
        for value in &values {
            let found = lists.find(value);
            let expected: Vec<&Entry> = entries.iter().filter(|entry| entry.excludes(value)).collect();
            prop_assert_eq!(found.is_some(), !expected.is_empty(), "{:?} {:?} {:?}", value, found, expected);
            // What is named is one of those that exclude it.
            if let Some(hit) = found {
                let half = entries.len() / 2;
                let first = if hit.list == "a.txt" { 0 } else { half };
                prop_assert!(entries[first + hit.line.expect("a list of a user") as usize - 1].excludes(value), "{:?} {}", value, hit);
            }
        }
    }

    /// The order of entries and the files they stand in say nothing.
    #[test]
    fn the_fingerprints_are_those_of_the_content(entries in vec(entry(), 0..24), more in vec(entry(), 0..6)) {
        let of = |entries: &[Entry]| {
            Exclusions { lists: std::sync::Arc::new(lists(entries)), ..Exclusions::default() }.fingerprints()
        };
        let reversed: Vec<Entry> = entries.iter().rev().chain(&entries).cloned().collect();
        let (before, all) = (of(&entries), of(&[entries.clone(), more].concat()));
        prop_assert_eq!(&before, &of(&reversed));
        prop_assert!(!all.since(&before).some_are_gone);
        prop_assert_eq!(all.since(&before).added.is_empty(), all == before);
        prop_assert_eq!(before.since(&all).some_are_gone, all != before);
        prop_assert_eq!(&Fingerprints::from_bytes(&all.to_bytes()), &all);
        // A plain line about an address or a name binds URLs too.
        let added = all.since(&Fingerprints::default()).added;
        prop_assert!(!added.contains(&Class::Value));
    }

    #[test]
    fn no_list_breaks_the_reading(bytes in vec(any::<u8>(), 0..200), text in "[\\{\\}\\[\\]\":,a-z0-9./*#\\n-]{0,80}") {
        let _ = Builder::default().file("any", &bytes);
        let _ = Builder::default().file("any", text.as_bytes());
        let _ = Builder::default().file("any", format!("{{{text}").as_bytes());
    }
}
