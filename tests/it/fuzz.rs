//! Whatever comes from outside is decoded or rejected: nothing panics, nothing hangs.

mod answers;

use std::{collections::BTreeMap, sync::Arc};

use mati_sync::{
    app::App,
    clock::{SharedClock, SystemClock},
    domain::manifest_format,
    http::transport::Transport,
    settings::{
        Settings, function_timeout,
        table::{ALIASES, PLATFORM, settings},
    },
    source::mandiant::{convert, date, page, wire},
};
use proptest::{collection::vec, prelude::*, sample::select};
use serde_json::{Value, json};
use xxhash_rust::xxh3::xxh3_64;

/// Any JSON, not too deep.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any_text().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(any_text(), inner, 0..4).prop_map(|map| json!(map)),
        ]
    })
}

/// Any text, and often one that is nearly something.
fn any_text() -> impl Strategy<Value = String> {
    let likely = [
        "",
        " ",
        "0",
        "100",
        "-1",
        "1e999",
        "NaN",
        "true",
        "18446744073709551615",
        "18446744073709551615:0:0",
        "1.00:00:00",
        "ipv4",
        "ipv6",
        "fqdn",
        "url",
        "md5",
        "sha256",
        "198.51.100.1",
        "2001:db8::1",
        "::ffff:198.51.100.1",
        "bad.example.",
        "xn--",
        "https://bad.example/'\\",
        "https://[::1",
        "http://",
        "d41d8cd98f00b204e9800998ecf8427e",
        "2026-03-01T00:00:00Z",
        "-262144-01-01T00:00:00.000000000+2359",
        "9999-12-31T23:59:59-9999",
        "redacted",
        "malware",
        "threat-actor",
        "\u{0}",
        "\u{feff}",
        "\"",
        "null",
        "{}",
    ];
    prop_oneof![
        select(likely.to_vec()).prop_map(str::to_owned),
        "\\PC{0,24}",
        "[0-9.:-]{0,24}",
        any::<String>()
    ]
}

/// A record whose every field is sound, absent, or anything.
fn any_record() -> impl Strategy<Value = Value> {
    let field = |sound: Value| prop_oneof![4 => Just(sound), 1 => any_json()];
    let kinds = ["ipv4", "ipv6", "fqdn", "url", "md5", "email"];
    let source = json!([{"source_name": "Mandiant", "osint": false, "category": ["phishing"]}]);
    let digests = json!([{"type": "sha256", "value": "ab".repeat(32)}]);
    let malware = json!([{"id": "malware--1", "name": "BAD", "type": "malware"}]);
    let fields: [(&str, BoxedStrategy<Value>); 12] = [
        ("id", field(json!("ipv4--1")).boxed()),
        ("type", prop_oneof![select(kinds.to_vec()).prop_map(Value::from), any_json()].boxed()),
        ("value", prop_oneof![any_text().prop_map(Value::from), field(json!("198.51.100.1"))].boxed()),
        ("mscore", field(json!(90)).boxed()),
        ("first_seen", field(json!("2021-06-19T23:34:03.000Z")).boxed()),
        ("last_updated", field(json!("2026-03-01T00:00:00.000Z")).boxed()),
        ("sources", field(source).boxed()),
        ("associated_hashes", field(digests).boxed()),
        ("attributed_associations", field(malware).boxed()),
        ("threat_rating", field(json!({"threat_score": 90, "severity_level": "high"})).boxed()),
        ("category", field(json!(["phishing"])).boxed()),
        ("campaigns", field(json!([{"id": "campaign--1", "name": "CAMP.1", "title": "A title"}])).boxed()),
    ];
    fields
        .map(|(name, strategy)| (Just(name), prop::option::weighted(0.9, strategy)))
        .to_vec()
        .prop_map(|fields| fields.into_iter().filter_map(|(name, value)| Some((name, value?))).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn any_record_is_an_indicator_or_unusable(record in any_record()) {
        let text = record.to_string();
        if let Ok(record) = serde_json::from_str::<wire::Record<'_>>(&text) {
            let _ = convert::indicator(&record);
        }
    }

    #[test]
    fn any_value_and_any_bytes_are_a_page_or_none(value in any_json(), bytes in vec(any::<u8>(), 0..200)) {
        let text = value.to_string();
        let _ = page::parse(text.as_bytes());
        let _ = serde_json::from_str::<wire::Record<'_>>(&text).map(|record| convert::indicator(&record));
        let _ = page::parse(&bytes);
        let _ = serde_json::from_slice::<wire::Record<'_>>(&bytes);
        let _ = date::date(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn any_time_limit_is_read_or_rejected(text in "-?[0-9]{0,20}[.:]?[0-9]{0,20}(:[0-9]{0,20}){0,3}") {
        let _ = function_timeout(&text);
    }

    #[test]
    fn any_date_is_read_or_absent(date in "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]{0,12})?(Z|[+-][0-9:]{0,6})?") {
        let _ = date::date(&date);
    }

    /// Also with a checksum that is right, which a defect of the writer would have.
    #[test]
    fn any_bytes_are_a_segment_or_rejected(
        bytes in vec(any::<u8>(), 0..300),
        version in 0..6_u16,
        numbers in (0..9_u32, 0..3_u32),
        sealed in any::<bool>(),
    ) {
        let record: u16 = if version < 4 { 32 } else { 40 };
        let mut content = Vec::new();
        if version > 0 {
            content.extend_from_slice(b"MSEG");
            content.extend_from_slice(&version.to_le_bytes());
            content.extend_from_slice(&record.to_le_bytes());
            content.extend_from_slice(&numbers.0.to_le_bytes());
            if version > 2 {
                content.extend_from_slice(&numbers.1.to_le_bytes());
            }
            // Long enough for what the header says, whenever there are enough bytes.
            let handles = if version > 1 { numbers.1 as usize * 21 } else { 0 };
            let body = numbers.0 as usize * usize::from(record) + handles;
            content.extend_from_slice(&bytes[..body.min(bytes.len())]);
        } else {
            content.extend_from_slice(&bytes);
        }
        if sealed {
            content.extend_from_slice(&xxh3_64(&content).to_le_bytes());
        }
        if let Ok(stored) = manifest_format::decode(&content) {
            prop_assert!((1..=4).contains(&version) && sealed);
            let known: Vec<_> = stored.known().collect();
            prop_assert_eq!((known.len(), stored.entries().count()), (numbers.0 as usize, numbers.0 as usize));
            let again = manifest_format::encode(known.iter().copied());
            prop_assert_eq!(manifest_format::decode(&again).unwrap().known().collect::<Vec<_>>(), known);
            if version == 4 && numbers.1 == 0 {
                prop_assert_eq!(&again, &content, "what is read is what would be written");
            }
        }
    }
}

/// Part of every secret here; nothing else may have it in it.
const MARK: &str = "hush-6f1c";

/// The settings whose values must stay secret.
fn any_secret(name: &str) -> Option<BoxedStrategy<String>> {
    let marked = any_text().prop_map(|text| format!("{MARK}{text}"));
    match name {
        "MATI_KEY" | "MATI_SECRET" | "AZURE_CLIENT_SECRET" => Some(marked.boxed()),
        "AzureWebJobsStorage" => {
            let forms = [
                "",
                "AccountName=a;AccountKey=",
                "AccountName=a;AccountKey=aGk=;x=",
                "SharedAccessSignature=sig=",
                "BlobEndpoint=http://a.example;SharedAccessSignature=sig=",
                "BlobEndpoint=:;AccountKey=",
            ];
            Some((select(forms.to_vec()), marked).prop_map(|(form, text)| format!("{form}{text}")).boxed())
        }
        "MATI_BASE_URL" | "KEY_VAULT_URL" | "STORAGE_BLOB_ENDPOINT" | "SENTINEL_BASE_URL" => {
            let forms = [
                "https://a.example/?sig=",
                "https://user:MARK@a.example/",
                "https://user:MARK@[/",
                "https://x y?",
            ];
            let filled = |(form, text): (&str, String)| match form.contains("MARK") {
                true => form.replace("MARK", MARK),
                false => format!("{form}{text}"),
            };
            Some((select(forms.to_vec()), marked).prop_map(filled).boxed())
        }
        _ => None,
    }
}

fn any_settings() -> impl Strategy<Value = BTreeMap<String, String>> {
    let names = settings().map(|setting| setting.name).chain(ALIASES.iter().map(|(alias, _)| *alias));
    let sound = [
        "5f1c2d3e-0a1b-4c2d-8e3f-5a6b7c8d9e0f",
        "https://a.example",
        "http://127.0.0.1:1",
        "80",
        "false",
        "/tmp/x",
    ];
    names
        .chain(PLATFORM.iter().copied())
        .map(|name| {
            let plain = prop_oneof![any_text(), select(sound.to_vec()).prop_map(str::to_owned)].boxed();
            let value = match any_secret(name) {
                Some(secret) => prop_oneof![secret, select(sound.to_vec()).prop_map(str::to_owned)].boxed(),
                None => plain,
            };
            (Just(name.to_owned()), prop::option::weighted(0.3, value))
        })
        .collect::<Vec<_>>()
        .prop_map(|vars| vars.into_iter().filter_map(|(name, value)| Some((name, value?))).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_settings_are_settings_or_faults_and_tell_no_secret(vars in any_settings()) {
        let told = match Settings::parse(&vars) {
            Ok(settings) => format!("{settings:?} {:?}", settings.notices),
            Err(faults) => format!("{faults} {faults:?}"),
        };
        prop_assert!(!told.contains(MARK), "{}", told);
        let clock: SharedClock = Arc::new(SystemClock);
        let _ = App::build(&vars, &Transport::network(), &clock, |_, _| {});
    }
}
