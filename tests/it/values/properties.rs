//! Spellings and verdicts, for any input.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use mati_sync::domain::{
    never_sent::judge_address,
    observable::{HashType, IndicatorType, Observable, Subject, SubjectKind, is_harmful},
    spelling,
};
use proptest::prelude::*;

use super::read;

/// The other forms in which a browser understands an IPv4 address.
fn forms(address: Ipv4Addr) -> Vec<String> {
    let bits = address.to_bits();
    let [a, b, c, d] = address.octets();
    vec![
        address.to_string(),
        format!("{address}."),
        format!("{bits}"),
        format!("0x{bits:X}"),
        format!("0{bits:o}"),
        format!("{a}.{}", bits & 0xff_ffff),
        format!("{a}.0x{b:x}.{}", bits & 0xffff),
        format!("0{a:o}.{b}.{c}.%{:02x}", d.to_string().as_bytes()[0]) + &d.to_string()[1..],
        format!("[::ffff:{address}]"),
        format!("[64:ff9b::{address}]"),
        format!("[2002:{:x}:{:x}::1]", bits >> 16, bits & 0xffff),
    ]
}

fn is_local_to_std(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            address.is_private()
                || address.is_loopback()
                || address.is_link_local()
                || address.is_multicast()
                || address.is_broadcast()
                || address.is_unspecified()
        }
        IpAddr::V6(address) => {
            address.is_loopback()
                || address.is_unspecified()
                || address.is_multicast()
                || address.is_unique_local()
                || address.is_unicast_link_local()
        }
    }
}

/// Addresses near the edges of ranges, and anywhere.
fn ipv4() -> impl Strategy<Value = Ipv4Addr> {
    let first = prop::sample::select(vec![0_u8, 9, 10, 11, 100, 127, 169, 172, 192, 198, 203, 224, 240, 255]);
    let second = prop::sample::select(vec![0_u8, 15, 16, 31, 32, 51, 63, 64, 88, 127, 128, 168, 254, 255]);
    prop_oneof![
        any::<Ipv4Addr>(),
        (first, second, any::<[u8; 2]>()).prop_map(|(a, b, [c, d])| Ipv4Addr::new(a, b, c, d)),
    ]
}

fn ipv6() -> impl Strategy<Value = Ipv6Addr> {
    let first = prop::sample::select(vec![
        0_u16, 0x64, 0x2000, 0x2001, 0x2002, 0x2a00, 0x3fff, 0xfc00, 0xfe80, 0xfec0, 0xff02,
    ]);
    prop_oneof![
        any::<Ipv6Addr>(),
        ipv4().prop_map(|address| address.to_ipv6_mapped()),
        (first, prop::option::of(any::<u16>()), any::<[u16; 6]>())
            .prop_map(|(a, b, [c, d, e, f, g, h])| { Ipv6Addr::new(a, b.unwrap_or(0), c, d, e, f, g, h) }),
    ]
}

/// Sound host names of two labels and more.
fn name() -> impl Strategy<Value = String> {
    "[a-z][a-z0-9_]{0,8}(-[a-z0-9]{1,5})?(\\.[a-zäöß][a-z0-9]{0,6}){0,2}\\.example"
}

/// Some letters in capitals.
fn shouted(text: &str, pattern: u64) -> String {
    let raise = |(at, letter): (usize, char)| {
        if pattern >> (at % 64) & 1 == 1 { letter.to_ascii_uppercase() } else { letter }
    };
    text.chars().enumerate().map(raise).collect()
}

/// Values of any kind, sound, nearly sound and not at all.
fn anything() -> impl Strategy<Value = String> {
    prop_oneof![
        "\\PC{0,40}",
        any::<String>(),
        "(https?|FTP|hxxp)://([a-zA-Z0-9äß.@:%\\[\\]\\\\-]{0,24})([/?#]\\PC{0,12})?",
        "[a-zA-Z0-9äß。．._-]{0,24}(\\.(com|co\\.uk|local|example|io|ck|1|0x1))?\\.?",
        "(xn--)?[a-z0-9-]{1,12}\\.(xn--[a-z0-9]{1,8}|de)",
        ipv4().prop_map(|address| address.to_string()),
        ipv6().prop_map(|address| address.to_string()),
        (ipv4(), 0..11_usize).prop_map(|(address, form)| format!("http://{}/", forms(address)[form])),
    ]
}

const KINDS: [(&str, SubjectKind); 4] = [
    ("ipv4", SubjectKind::Ipv4),
    ("ipv6", SubjectKind::Ipv6),
    ("fqdn", SubjectKind::Domain),
    ("url", SubjectKind::Url),
];

proptest! {
    /// Any input: no panic; a spelling is its own spelling; what is sent is not called harmful, and what is called
    /// harmful is not sent.
    #[test]
    fn a_spelling_is_its_own_spelling_and_harms_nobody(text in anything()) {
        for (kind, subject_kind) in KINDS {
            let harm = is_harmful(subject_kind, &text);
            let Ok(observable) = read(kind, &text) else { continue };
            prop_assert_eq!(harm, None, "{} {}", kind, text);
            let Subject { kind: spelt_kind, value } = observable.subject(HashType::Md5);
            prop_assert_eq!(is_harmful(spelt_kind, &value), None, "{} {}", kind, value);
            let again = read(observable.indicator_type().name(), &value);
            prop_assert_eq!(again.as_ref(), Ok(&observable), "{} {}", kind, text);
            prop_assert_eq!(observable.respelt(), Ok(observable));
        }
        let _ = is_harmful(SubjectKind::File(HashType::Sha256), &text);
    }

    /// What differs only where RFC 3986 §6.2 sees no difference has one key, and what follows the authority stays.
    #[test]
    fn equal_urls_have_one_key_and_keep_every_byte_behind_the_authority(
        name in name(), user in "([a-zA-Z0-9:%]{0,6}@)?", capitals in any::<u64>(), scheme in 0..3_usize,
        port in 1..=u16::MAX, rest in "([/?#\\\\]\\PC{0,30}[!-~])?",
    ) {
        let (scheme, default) = [("http", 80), ("https", 443), ("ftp", 21)][scheme];
        let plain = Observable::url(&format!("{scheme}://{user}{name}{rest}")).unwrap();
        let slash = if rest.starts_with(['/', '\\']) { "" } else { "/" };
        for variant in [
            format!("{}://{user}{}{rest}", shouted(scheme, capitals), shouted(&name, capitals)),
            format!("{scheme}://{user}{name}.{rest}"),
            format!("{scheme}://{user}{name}:{rest}"),
            format!("{scheme}://{user}{name}:{default}{rest}"),
            format!("{scheme}://{user}{name}.:0{default}{slash}{rest}"),
        ] {
            let observable = Observable::url(&variant).unwrap();
            prop_assert_eq!(observable.subject(HashType::Md5).key(), plain.subject(HashType::Md5).key(), "{}", variant);
        }
        let spelling::Url { text, .. } = spelling::url(&format!("{scheme}://{user}{name}:{port}{rest}")).unwrap();
        prop_assert!(text.ends_with(&format!("{slash}{rest}")), "{}", text);
        prop_assert!(text.starts_with(&format!("{scheme}://{user}")), "{}", text);
        prop_assert_eq!(text.contains(&format!(":{port}{slash}{rest}")), port != default, "{}", text);
        prop_assert!(text.is_ascii() || !rest.is_ascii());
    }

    /// A name in capitals, in Unicode or in its A-labels, with the root's dot or without, is one name.
    #[test]
    fn equal_names_have_one_key(name in name(), capitals in any::<u64>()) {
        let domain = |value: &str| Observable::domain(value).unwrap();
        let plain = domain(&name);
        for variant in [shouted(&name, capitals), name.to_uppercase().replace("SS", "ß"), format!("{name}."), name.replace('.', "。")] {
            if variant.to_lowercase().trim_end_matches('.').replace('。', ".") == name {
                prop_assert_eq!(&domain(&variant), &plain, "{}", variant);
            }
        }
        let Observable::Domain(spelt) = &plain else { panic!("{plain:?}") };
        prop_assert!(spelt.is_ascii() && *spelt == spelt.to_lowercase() && !spelt.ends_with('.'));
        prop_assert_eq!(&domain(spelt), &plain);
    }

    /// Addresses are those of the standard library, whatever the record's type; no form of a local one passes.
    #[test]
    fn addresses_agree_with_the_standard_library(v4 in ipv4(), v6 in ipv6()) {
        for address in [IpAddr::from(v4), v6.into()] {
            let verdict = judge_address(address);
            prop_assert!(verdict.is_err() || !is_local_to_std(address.to_canonical()), "{}", address);
            let kind = if address.is_ipv4() { "ipv4" } else { "ipv6" };
            for (kind, text) in [(kind, address.to_string()), ("fqdn", address.to_string()), ("fqdn", format!("{address}."))] {
                let observable = read(kind, &text);
                prop_assert_eq!(observable.is_ok(), verdict.is_ok(), "{} {}", kind, text);
                if let Ok(observable) = observable {
                    let expected = match address.to_canonical() {
                        IpAddr::V4(address) => Observable::Ipv4(address),
                        IpAddr::V6(address) => Observable::Ipv6(address),
                    };
                    prop_assert_eq!(observable, expected);
                }
            }
            let subject_kind = if address.is_ipv4() { SubjectKind::Ipv4 } else { SubjectKind::Ipv6 };
            prop_assert_eq!(is_harmful(subject_kind, &address.to_string()), verdict.err());
        }
        let verdict = judge_address(v4.into()).is_ok();
        for form in forms(v4) {
            let observable = Observable::url(&format!("http://{form}:8080/x"));
            prop_assert_eq!(observable.is_ok(), verdict, "{}", form);
            prop_assert_eq!(is_harmful(SubjectKind::Url, &format!("http://{form}/")).is_none(), verdict, "{}", form);
        }
        let groups = v6.segments().map(|group| format!("{group:x}")).join(":");
        prop_assert_eq!(Observable::url(&format!("http://[{groups}]/")).is_ok(), judge_address(v6.into()).is_ok());
        prop_assert_eq!(is_harmful(SubjectKind::Ipv6, &groups), judge_address(v6.into()).err(), "as Defender lists it");
    }

    /// What an earlier version sent is found again: its spelling is read as today's value, or is rejected.
    #[test]
    fn legacy_spellings_lead_to_today_s(text in anything()) {
        for (kind, legacy_type) in ["ipv4", "ipv6", "fqdn", "url"].into_iter().zip(IndicatorType::ALL) {
            let Some(legacy) = Observable::legacy(legacy_type, &text) else { continue };
            if let Ok(today) = read(kind, &text) {
                prop_assert_eq!(legacy.respelt(), Ok(today.clone()), "{} {}", kind, text);
                let former = legacy.former_key(&today);
                prop_assert_eq!(former.is_none(), legacy == today);
                prop_assert_ne!(former, Some(today.subject(HashType::Md5).key()));
            }
        }
    }
}
