//! What is wrong with a record, when something is: each kind was reported from the field, or is what a client
//! has to expect of a service whose format was never published.

use rand::RngExt;
use serde_json::{Value, json};

use super::{generate::Generator, record::Record, record::id};

type Distortion = fn(&mut Generator, Record) -> Record;

const DISTORTIONS: [Distortion; 27] = [
    quoted_url,
    backslash_url,
    foreign_letters,
    long_url,
    case_variant,
    untidy_domain,
    upper_case_hashes,
    empty_hashes,
    no_hashes,
    private_address,
    absurd_value,
    address_as_domain,
    respelt_url,
    trivial_file,
    malformed_own_digest,
    malformed_address,
    unknown_type,
    null_arrays,
    no_rating,
    text_threat_score,
    fractional_threat_score,
    null_mscore,
    no_id,
    malformed_dates,
    no_dates,
    redacted,
    second_record_of_a_value,
];

/// Makes `record` odd in one way, chosen by the generator's dice.
pub(super) fn distort(generator: &mut Generator, record: Record) -> Record {
    let distortion = DISTORTIONS[generator.dice.random_range(0..DISTORTIONS.len())];
    distortion(generator, record)
}

/// The same context under another type and value.
fn become_value(record: &Record, kind: &str, value: &str) -> Record {
    record
        .clone()
        .remove("associated_hashes")
        .set("type", kind)
        .set("value", value)
        .set("id", id(kind, value))
}

fn quoted_url(generator: &mut Generator, record: Record) -> Record {
    let address = generator.web_address();
    become_value(&record, "url", &format!("{address}'or'1'='1"))
}

fn backslash_url(generator: &mut Generator, record: Record) -> Record {
    let address = generator.web_address();
    become_value(&record, "url", &format!("{address}\\..\\{}\\'", generator.hexadecimal(4)))
}

fn foreign_letters(generator: &mut Generator, record: Record) -> Record {
    let (kind, value) = match generator.dice.random_range(0..3) {
        0 => ("fqdn", format!("b\u{fc}cher-{}", generator.domain())),
        1 => ("url", format!("{}r\u{e9}sum\u{e9} \u{1f480}.html", generator.web_address())),
        _ => ("url", format!("http://\u{43f}\u{440}\u{438}\u{43c}\u{435}\u{440}-{}/", generator.domain())),
    };
    become_value(&record, kind, &value)
}

fn long_url(generator: &mut Generator, record: Record) -> Record {
    let length = *[2_000, 4_000, 9_000].get(generator.dice.random_range(0..3_usize)).unwrap_or(&2_000);
    let address = format!("{}?q={}", generator.web_address(), generator.hexadecimal(length));
    become_value(&record, "url", &address)
}

/// Two records for one address that differ by case: a recorded look-up of `https://google.com` has them.
fn case_variant(generator: &mut Generator, record: Record) -> Record {
    let address = match &generator.previous {
        Some(previous) if previous.kind() == "url" => previous.value().to_owned(),
        _ => generator.web_address(),
    };
    let variant = match address.split_once("://") {
        Some((scheme, rest)) => format!("{scheme}://{}", rest.to_uppercase()),
        None => address.to_uppercase(),
    };
    become_value(&record, "url", &variant)
}

fn untidy_domain(generator: &mut Generator, record: Record) -> Record {
    let domain = generator.domain();
    let domain = if generator.chance(0.5) { domain.to_uppercase() } else { format!("{domain}.") };
    become_value(&record, "fqdn", &domain)
}

/// A file that keeps the context of the record.
fn as_file(generator: &mut Generator, record: &Record) -> Record {
    let file = generator.file();
    let hashes = file.json().get("associated_hashes").cloned().unwrap_or_default();
    become_value(record, "md5", file.value()).set("associated_hashes", hashes)
}

fn change_hashes(record: Record, change: impl Fn(usize, &str) -> String) -> Record {
    let mut hashes = record.json().get("associated_hashes").cloned().unwrap_or_default();
    for (position, hash) in hashes.as_array_mut().into_iter().flatten().enumerate() {
        let value = change(position, hash["value"].as_str().unwrap_or_default());
        hash["value"] = value.into();
    }
    record.set("associated_hashes", hashes)
}

fn upper_case_hashes(generator: &mut Generator, record: Record) -> Record {
    let record = change_hashes(as_file(generator, &record), |_, hash| hash.to_uppercase());
    let value = record.value().to_uppercase();
    record.set("value", value)
}

fn empty_hashes(generator: &mut Generator, record: Record) -> Record {
    let kept = generator.dice.random_range(0..3_usize);
    change_hashes(
        as_file(generator, &record),
        |position, hash| {
            if position == kept { hash.to_owned() } else { String::new() }
        },
    )
}

fn no_hashes(generator: &mut Generator, record: Record) -> Record {
    let record = as_file(generator, &record);
    if generator.chance(0.5) {
        record.remove("associated_hashes")
    } else {
        record.set("associated_hashes", json!([]))
    }
}

fn private_address(generator: &mut Generator, record: Record) -> Record {
    let [first, second]: [u8; 2] = generator.dice.random();
    let value = match generator.dice.random_range(0..9) {
        0 => format!("10.1.{first}.{second}"),
        1 => format!("192.168.{first}.{second}"),
        2 => format!("172.16.{first}.{second}"),
        3 => format!("127.0.{first}.{second}"),
        4 => format!("169.254.{first}.{second}"),
        5 => format!("100.64.{first}.{second}"),
        6 => format!("240.0.{first}.{second}"),
        7 => return become_value(&record, "ipv6", &format!("fec0::{first:x}:{second:x}")),
        _ => return become_value(&record, "ipv6", &format!("fe80::{first:x}:{second:x}")),
    };
    become_value(&record, "ipv4", &value)
}

/// What feeds list although a rule on it would hit the user's own network or everybody.
fn absurd_value(generator: &mut Generator, record: Record) -> Record {
    let name = generator.pick(&["com", "co.uk", "wpad", "localhost", "printer.local", "evil[.]example"]);
    let host = generator.pick(&["192.168.1.1", "localhost", "3232235777", "127.0.0.1:8080", "printer.local"]);
    let path = generator.hexadecimal(8);
    match generator.dice.random_range(0..3) {
        0 => become_value(&record, "fqdn", name),
        1 => become_value(&record, "url", &format!("http://{host}/{path}")),
        _ => become_value(&record, "url", &format!("hxxp://{}/{path}", generator.domain())),
    }
}

fn address_as_domain(generator: &mut Generator, record: Record) -> Record {
    let address = generator.public_ipv4();
    become_value(&record, "fqdn", &address)
}

/// Another spelling of what RFC 3986 §6.2 takes for the same.
fn respelt_url(generator: &mut Generator, record: Record) -> Record {
    let (domain, path) = (generator.domain(), generator.hexadecimal(8));
    let place = match generator.dice.random_range(0..4) {
        0 => format!("http://{}", domain.to_uppercase()),
        1 => format!("http://{domain}."),
        2 => format!("http://{domain}:80"),
        _ => format!("HTTPS://{domain}:443"),
    };
    become_value(&record, "url", &format!("{place}/{path}"))
}

fn trivial_file(_: &mut Generator, record: Record) -> Record {
    let digests = [
        "d41d8cd98f00b204e9800998ecf8427e",
        "da39a3ee5e6b4b0d3255bfef95601890afd80709",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    ];
    let file = Record::file(Some(digests[0]), Some(digests[1]), Some(digests[2]));
    let hashes = file.json().get("associated_hashes").cloned().unwrap_or_default();
    become_value(&record, "md5", digests[0]).set("associated_hashes", hashes)
}

/// The digest that stands as the value is cut; the file may be known by the others.
fn malformed_own_digest(generator: &mut Generator, record: Record) -> Record {
    let record = change_hashes(as_file(generator, &record), |position, hash| {
        if position == 0 { String::new() } else { hash.to_owned() }
    });
    let value = record.value()[1..].to_owned();
    record.set("value", value)
}

fn malformed_address(generator: &mut Generator, record: Record) -> Record {
    let address = generator.public_ipv4();
    let value = match generator.dice.random_range(0..4) {
        0 => format!("{address}.7"),
        1 => format!("{address}:8080"),
        2 => format!("300.{address}"),
        _ => format!("{address}/24"),
    };
    become_value(&record, "ipv4", &value)
}

/// `email` is counted by the API's report pages, though no such record was ever seen.
fn unknown_type(generator: &mut Generator, record: Record) -> Record {
    let kind = generator.pick(&["email", "email", "asn"]);
    let value = format!("{}@{}", generator.hexadecimal(6), generator.domain());
    become_value(&record, kind, &value)
}

fn null_arrays(_: &mut Generator, record: Record) -> Record {
    ["sources", "associated_hashes", "attributed_associations", "category", "campaigns", "reports"]
        .into_iter()
        .fold(record, |record, key| record.set(key, Value::Null))
}

fn no_rating(generator: &mut Generator, record: Record) -> Record {
    match generator.dice.random_range(0..3) {
        0 => record.remove("threat_rating"),
        1 => record.set("threat_rating", Value::Null),
        _ => record.set("threat_rating", json!({})),
    }
}

fn odd_threat_score(record: Record, score: Value) -> Record {
    let known = record.indexed_threat_score().unwrap_or(70);
    let record = record.threat_score(Some(known));
    let mut rating = record.json().get("threat_rating").cloned().unwrap_or_default();
    rating["threat_score"] = score;
    record.set("threat_rating", rating)
}

fn text_threat_score(generator: &mut Generator, record: Record) -> Record {
    let score = generator.pick(&["75", "high", "", "redacted"]);
    odd_threat_score(record, score.into())
}

fn fractional_threat_score(generator: &mut Generator, record: Record) -> Record {
    let score = f64::from(generator.dice.random_range(0..200_u8)) / 2.0 + 0.25;
    odd_threat_score(record, score.into())
}

fn null_mscore(_: &mut Generator, record: Record) -> Record {
    record.set("mscore", Value::Null)
}

fn no_id(_: &mut Generator, record: Record) -> Record {
    record.remove("id")
}

fn malformed_dates(generator: &mut Generator, record: Record) -> Record {
    let date = generator.pick(&["", "n/a", "never", "0000", "redacted"]);
    ["last_updated", "first_seen", "last_seen"].into_iter().fold(record, |record, key| record.set(key, date))
}

fn no_dates(generator: &mut Generator, record: Record) -> Record {
    if generator.chance(0.5) {
        return record.set("first_seen", Value::Null).set("last_seen", Value::Null);
    }
    record.remove("last_updated").remove("first_seen").remove("last_seen")
}

/// What a key without the entitlement sees instead of names.
fn redacted(_: &mut Generator, record: Record) -> Record {
    record.malware("redacted").actor("redacted").campaign("redacted", "redacted")
}

/// The value of another record under an id of its own.
fn second_record_of_a_value(generator: &mut Generator, record: Record) -> Record {
    let Some(previous) = generator.previous.clone() else { return record };
    let another = format!("{}#{}", previous.value(), generator.hexadecimal(8));
    let updated = generator.time();
    let id = id(previous.kind(), &another);
    previous.set("id", id).updated(updated)
}
