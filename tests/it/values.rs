//! One spelling per value, and which values are none: the golden file, and properties for any input.

mod properties;

use chrono::TimeDelta;
use mati_sync::domain::{
    observable::{HashType, Hashes, Observable, SubjectKind, is_harmful},
    outcome::End,
    spelling::Malformed,
    trivial,
};
use sandbox::corpus::Record;
use sha2::Digest;

use crate::harness::world::World;

const GOLDEN: &str = include_str!("values/golden.tsv");

fn read(kind: &str, value: &str) -> Result<Observable, Malformed> {
    let hash = |hash_type| {
        let mut hashes = Hashes::default();
        hashes.add(hash_type, value)?;
        Observable::file(hashes)
    };
    match kind {
        "ipv4" => Observable::ipv4(value),
        "ipv6" => Observable::ipv6(value),
        "fqdn" => Observable::domain(value),
        "url" => Observable::url(value),
        "md5" => hash(HashType::Md5),
        "sha1" => hash(HashType::Sha1),
        "sha256" => hash(HashType::Sha256),
        _ => panic!("no kind of the golden file: {kind}"),
    }
}

/// The golden file shows what a reader would not see as `\u{…}`.
fn unescaped(value: &str) -> String {
    let mut parts = value.split("\\u{");
    let mut text = parts.next().unwrap().to_owned();
    for part in parts {
        let (number, rest) = part.split_once('}').expect("the escape ends");
        text.push(char::from_u32(u32::from_str_radix(number, 16).unwrap()).unwrap());
        text.push_str(rest);
    }
    text
}

/// What the golden file says behind kind and value: the spelling's type, the spelling and the key, or the reason.
fn verdict(kind: &str, value: &str) -> String {
    match read(kind, value) {
        Ok(observable) => {
            let subject = observable.subject(HashType::Md5);
            format!("{}\t{}\t{}", observable.indicator_type().name(), subject.value, subject.key().0)
        }
        Err(malformed) => format!("malformed\t{malformed}"),
    }
}

/// People write values so that a click does not follow them, and this program's own examples do. What can be read as it
/// stands is taken as it stands.
#[test]
fn a_value_in_brackets_is_the_value() {
    for (text, expected) in [
        ("203[.]0[.]113[.]5", "203.0.113.5"),
        ("203.0.113[.]5", "203.0.113.5"),
        ("2001[:]db8[:][:]1", "2001:db8::1"),
        ("evil[.]example", "evil.example"),
        ("evil[.]example[:]8080/a", "http://evil.example:8080/a"),
        ("hxxp://evil[.]example/a[.]php", "http://evil.example/a.php"),
        ("hXXps://evil.example/", "https://evil.example/"),
        ("hxxps[:]//evil[.]example/", "https://evil.example/"),
        ("hxxps[://]evil[.]example/", "https://evil.example/"),
        ("http://[2001:db8::1]/", "http://[2001:db8::1]/"),
        ("hxxp://[2001:db8::1]/", "http://[2001:db8::1]/"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("http://evil.example/?re=[.][:]hxxp://", "http://evil.example/?re=[.][:]hxxp://"),
        ("hxxp.example", "hxxp.example"),
    ] {
        let read = Observable::of_person(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(read.subject(HashType::Md5).value, expected, "{text}");
    }
    for text in ["", "[.]", "hxxp://", "\u{fc}\u{fc}[.]\u{0}", "no value"] {
        assert!(Observable::of_person(text).is_err(), "{text:?}");
    }
}

/// Every id ever sent derives from these spellings. A line that changes changes ids: then the former key has to be
/// looked for, see [`Observable::legacy`].
#[test]
fn spellings_keys_and_verdicts_are_those_of_the_golden_file() {
    let mut written = String::new();
    for line in GOLDEN.lines() {
        if line.is_empty() || line.starts_with('#') {
            written.push_str(line);
        } else {
            let mut cells = line.split('\t');
            let (kind, value) = (cells.next().unwrap(), cells.next().expect("kind and value"));
            written.push_str(&format!("{kind}\t{value}\t{}", verdict(kind, &unescaped(value))));
        }
        written.push('\n');
    }
    let proposal = std::env::temp_dir().join("mati-sync-golden-values.tsv");
    if written != GOLDEN {
        std::fs::write(&proposal, &written).unwrap();
    }
    for (is, was) in written.lines().zip(GOLDEN.lines()) {
        assert_eq!(is, was, "the whole of what is now stands in {}", proposal.display());
    }
}

/// The digests of the table are those of the contents that it names.
#[test]
fn trivial_digests_are_computed_from_trivial_contents() {
    let pixel = |tail: &[u8]| [b"GIF89a\x01\0\x01\0\x80\0\0", tail].concat();
    let mut contents: Vec<Vec<u8>> = ["", "\n", "\r\n", "\r", "\n\n", "\r\n\r\n", " ", "\t", "\u{feff}"]
        .map(|text| text.as_bytes().to_vec())
        .to_vec();
    contents.extend([vec![0xff, 0xfe], vec![0xfe, 0xff]]);
    contents.extend(["0", "1", "{}", "{}\n", "[]", "[]\n", "null"].map(|text| text.as_bytes().to_vec()));
    contents.push([&b"PK\x05\x06"[..], &[0; 18]].concat());
    contents.push(vec![0; 10_240]);
    contents.push(pixel(b"\0\0\0\xff\xff\xff\x21\xf9\x04\x01\0\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x01\x44\0;"));
    contents
        .push(pixel(b"\xff\xff\xff\0\0\0\x21\xf9\x04\x01\0\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x02\x44\x01\0;"));
    contents.extend((0..=20).map(|power| vec![0; 1 << power]));
    assert_eq!(contents.len(), trivial::TRIVIAL.len());
    for (content, (what, digests)) in contents.iter().zip(trivial::TRIVIAL) {
        let hexadecimal = |digest: &[u8]| digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let computed = [
            hexadecimal(&md5::Md5::digest(content)),
            hexadecimal(&sha1::Sha1::digest(content)),
            hexadecimal(&sha2::Sha256::digest(content)),
        ];
        assert_eq!(computed, digests, "{what}, {} bytes", content.len());
        assert!(computed.iter().all(|digest| trivial::content(digest) == Some(what)), "{what}");
    }
}

/// One trivial digest among sound ones condemns the file; it may be the only one that tells.
#[test]
fn a_trivial_digest_condemns_a_file_whichever_it_is() {
    let sound = ["a".repeat(32), "b".repeat(40), "c".repeat(64)];
    let kinds = [HashType::Md5, HashType::Sha1, HashType::Sha256];
    for place in 0..3 {
        let mut hashes = Hashes::default();
        for (at, hash_type) in kinds.into_iter().enumerate() {
            let digest = if at == place { trivial::TRIVIAL[0].1[at] } else { &sound[at] };
            hashes.add(hash_type, &digest.to_uppercase()).unwrap();
        }
        let reason = Observable::file(hashes.clone()).unwrap_err().to_string();
        assert_eq!(reason, "the digest of an empty file");
        assert!(Observable::legacy_file(hashes).is_some(), "an earlier version may have sent it");
    }
}

/// What Defender's list shows, with values that an earlier version sent.
#[test]
fn what_harms_is_known_as_a_list_shows_it() {
    let harmful = [
        (SubjectKind::Domain, "com"),
        (SubjectKind::Domain, "LOCALHOST"),
        (SubjectKind::Domain, "github.io"),
        (SubjectKind::Domain, "192.168.1.1"),
        (SubjectKind::Ipv6, "0:0:0:0:0:ffff:a00:1"),
        (SubjectKind::Ipv6, "fec0:0:0:0:0:0:0:1"),
        (SubjectKind::Ipv4, "100.64.1.1"),
        (SubjectKind::Url, "HTTP://192.168.1.1"),
        (SubjectKind::Url, "192.168.1.1/login"),
        (SubjectKind::Url, "http://co.uk"),
        (SubjectKind::File(HashType::Md5), "D41D8CD98F00B204E9800998ECF8427E"),
    ];
    for (kind, value) in harmful {
        assert!(is_harmful(kind, value).is_some(), "{value}");
    }
    let harmless = [
        (SubjectKind::Domain, "evil.example"),
        (SubjectKind::Domain, "203.0.113.7"),
        (SubjectKind::Domain, "evil[.]example"),
        (SubjectKind::Ipv4, "no address"),
        (SubjectKind::Ipv6, "2001:db8:0:0:0:0:0:1"),
        (SubjectKind::Url, "hxxp://evil.example/"),
        (SubjectKind::Url, "evil.example/192.168.1.1"),
        (SubjectKind::Url, "http://github.io/x"),
        (SubjectKind::File(HashType::Md5), "abc"),
    ];
    for (kind, value) in harmless {
        assert_eq!(is_harmful(kind, value), None, "{value}");
    }
}

fn world() -> World {
    let mut world = World::new();
    world.set("TARGET_APPLICATION", "sentinel,defender").set("DEFAULT_ACTION", "block");
    world
}

/// What Defender holds, sorted.
fn at_defender(world: &World) -> Vec<String> {
    let value = |held: serde_json::Value| held["indicatorValue"].as_str().expect("a value").to_owned();
    let mut values: Vec<String> = world.defender.stored().into_values().map(value).collect();
    values.sort();
    values
}

#[tokio::test(start_paused = true)]
async fn nothing_local_and_nothing_absurd_reaches_a_destination() {
    let world = world();
    let at = world.ago(TimeDelta::hours(3));
    let [empty_md5, empty_sha1, empty_sha256] = trivial::TRIVIAL[0].1;
    let absurd = [
        Record::fqdn("com"),
        Record::fqdn("localhost"),
        Record::fqdn("wpad"),
        Record::fqdn("printer.local"),
        Record::fqdn("github.io"),
        Record::fqdn("10.1.2.3"),
        Record::ipv4("100.64.1.1"),
        Record::ipv4("0.1.2.3"),
        Record::ipv4("240.0.0.1"),
        Record::ipv6("fec0::1"),
        Record::ipv6("2002:c0a8:101::1"),
        Record::url("http://192.168.1.1/cgi-bin/luci"),
        Record::url("http://3232235777/x"),
        Record::url("http://localhost:8080/"),
        Record::url("hxxp://evil.example/"),
        Record::url("http://evil[.]example/"),
        Record::url("evil.example/a"),
        Record::file(Some(empty_md5), Some(empty_sha1), Some(empty_sha256)),
        Record::file(Some(&"a".repeat(32)), None, Some(empty_sha256)),
    ];
    let count = absurd.len() as u64;
    world.mandiant.put_all(absurd.map(|record| record.updated(at)));
    world.mandiant.put(Record::fqdn("c2.example").updated(at));
    let report = world.tick().await;
    assert_eq!(report.end, End::CaughtUp, "{report:#?}");
    for (name, lane) in &report.lanes {
        assert_eq!((lane.counts.dropped.malformed, lane.counts.created), (count, 1), "{name}: {report:#?}");
    }
    assert_eq!(
        (world.held(), at_defender(&world)),
        (vec!["c2.example".to_owned()], vec!["c2.example".to_owned()])
    );
}

#[tokio::test(start_paused = true)]
async fn one_value_is_one_indicator_however_it_is_spelt() {
    let world = world();
    let at = world.ago(TimeDelta::hours(3));
    let spellings = [
        Record::fqdn("bücher.example"),
        Record::fqdn("XN--BCHER-KVA.example."),
        Record::fqdn("203.0.113.77"),
        Record::ipv4("203.0.113.77"),
        Record::url("HTTP://Evil.Example/A"),
        Record::url("http://evil.example:80/A"),
        Record::url("http://evil.example./A"),
        Record::url("http://evil.example/a"),
        Record::url("http://evil.example"),
        Record::url("http://evil.example/"),
    ];
    world.mandiant.put_all(spellings.map(|record| record.updated(at)));
    let report = world.tick().await;
    assert_eq!((report.end, report.lanes["sentinel"].counts.created), (End::CaughtUp, 5), "{report:#?}");
    let expected = [
        "203.0.113.77",
        "http://evil.example/",
        "http://evil.example/A",
        "http://evil.example/a",
        "xn--bcher-kva.example",
    ];
    let mut held = world.held();
    held.sort();
    assert_eq!(
        (held, at_defender(&world)),
        (expected.map(str::to_owned).to_vec(), expected.map(str::to_owned).to_vec())
    );
}

#[tokio::test(start_paused = true)]
async fn an_address_that_comes_as_a_domain_is_judged_as_an_address() {
    let mut world = world();
    world.set("INCLUDE_IPV4", "false").set("TARGET_APPLICATION", "sentinel");
    let at = world.ago(TimeDelta::hours(3));
    world.mandiant.put_all(["203.0.113.77", "2001:db8::7"].map(|value| Record::fqdn(value).updated(at)));
    let report = world.tick().await;
    assert_eq!(report.lanes["sentinel"].counts.dropped.type_, 1, "{report:#?}");
    assert_eq!(world.held(), ["2001:db8::7"]);
}

#[test]
fn a_url_is_as_long_as_a_field_can_keep_and_no_longer() {
    let url = |length: usize| format!("http://evil.example/{}", "a".repeat(length - 20));
    assert!(Observable::url(&url(16_000)).is_ok());
    assert!(Observable::url(&url(16_001)).is_err());
}
