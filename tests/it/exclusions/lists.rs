//! The grammar of plain lines, and warning lists of MISP as they are published.

use mati_sync::domain::{
    exclusions::{ADDRESSES, ALONE, Builder, Exclusions, Lists, WHOLE},
    observable::Observable,
};
use serde_json::json;

fn lists(text: &str) -> Lists {
    let mut builder = Builder::default();
    builder.file("list", text.as_bytes()).unwrap();
    builder.build().unwrap()
}

fn excludes(lists: &Lists, value: &str) -> bool {
    lists.find(&Observable::of_text(value).unwrap()).is_some()
}

#[test]
fn every_form_of_a_line_excludes_what_the_document_says() {
    for (line, excluded, kept) in [
        (
            "own.example",
            &["own.example", "a.b.OWN.example.", "http://own.example", "ftp://x.own.example:2121/"][..],
            &["notown.example", "example", "own.example.org", "http://x.example/own.example"][..],
        ),
        (
            "*.own.example",
            &["a.own.example", "https://a.own.example/"],
            &["own.example", "https://own.example/"],
        ),
        ("Bücher.example", &["xn--bcher-kva.example", "www.bücher.example"], &["bucher.example"]),
        (
            "203.0.113.7",
            &[
                "203.0.113.7",
                "http://203.0.113.7:80/x",
                "http://3405803783/",
                "https://[::ffff:203.0.113.7]/",
                "::ffff:203.0.113.7",
            ],
            &["203.0.113.8"],
        ),
        (
            "203.0.113.64/26",
            &["203.0.113.64", "203.0.113.127", "http://user@203.0.113.100/"],
            &["203.0.113.63", "203.0.113.128"],
        ),
        ("203.0.113.77/26", &["203.0.113.64"], &["203.0.113.63"]),
        ("203.0.113.5-203.0.113.9", &["203.0.113.5", "203.0.113.9"], &["203.0.113.4", "203.0.113.10"]),
        ("0.0.0.0/0", &["203.0.113.5", "http://1.2.3.4/"], &["2001:db8::1", "own.example"]),
        ("2001:db8::/32", &["2001:DB8::1", "http://[2001:db8::1]:8080/"], &["2001:db9::1"]),
        ("::ffff:203.0.113.0/120", &["203.0.113.9"], &["203.0.114.9"]),
        (
            "https://own.example/a",
            &["https://OWN.example:443/ab", "https://own.example/a?x"],
            &["http://own.example/a", "https://own.example/A", "own.example"],
        ),
        (
            "own.example/a",
            &["https://own.example/a", "http://own.example/a/b"],
            &["ftp://own.example/a", "http://own.example/b", "http://own.example.org/a"],
        ),
        (
            "own.example:8443",
            &["http://own.example:8443/", "https://own.example:8443/x"],
            &["https://own.example/", "own.example"],
        ),
        (
            "own.example:443/",
            &["https://own.example/x", "http://own.example:443/x"],
            &["http://own.example/x"],
        ),
        (
            "own.example/",
            &["https://own.example/x", "http://own.example/"],
            &["own.example", "https://a.own.example/"],
        ),
        (
            "D41D8CD98F00B204E9800998ECF8427E",
            &["d41d8cd98f00b204e9800998ecf8427e"],
            &["d41d8cd98f00b204e9800998ecf8427f"],
        ),
        ("  own.example # with all below\r", &["own.example"], &[]),
        ("https://own.example/#a # b", &["https://own.example/#ab"], &["https://own.example/#b"]),
    ] {
        let lists = lists(line);
        for value in excluded {
            assert!(excludes(&lists, value), "{line} excludes {value}");
        }
        for value in kept {
            assert!(!excludes(&lists, value), "{line} keeps {value}");
        }
    }
}

#[test]
fn what_is_no_value_is_told_with_its_line_and_its_reason() {
    for (line, reason) in [
        ("own.example other.example", "more than one value"),
        ("203.0.113.0/33", "a length from 0 to 32"),
        ("2001:db8::/129", "a length from 0 to 128"),
        ("203.0.113.9-203.0.113.1", "is no range"),
        ("203.0.113.9-2001:db8::1", "is no range"),
        ("a*b.example", "a * that does not stand for a whole name"),
        ("*", "a * that does not stand for a whole name"),
        (".own.example", "begins with a dot; write own.example"),
        ("hxxps://own.example/", "scheme is not http, https or ftp"),
        ("user@own.example", "not a host name"),
        ("own[.]example", "not a host name"),
        ("1234", "a number in the place of a domain name"),
        ("own..example", "not a host name"),
        ("{\"a\": 1}", "no warning list of MISP: it has no \"type\""),
    ] {
        let error = Builder::default().file("own.txt", format!("# first\n{line}").as_bytes());
        let alone = Builder::default().file("own.txt", line.as_bytes());
        let is_json = line.starts_with('{');
        let error = if is_json { alone } else { error }.unwrap_err();
        assert!(error.reason.contains(reason), "{line}: {error}");
        assert_eq!((error.list.as_str(), error.line), ("exclusions/own.txt", if is_json { 1 } else { 2 }));
    }
}

/// As in github.com/MISP/misp-warninglists: every type, and what binds it.
#[test]
fn warning_lists_bind_what_they_say() {
    for (kind, attributes, entry, excluded, kept) in [
        (
            "string",
            &["domain", "url", "ip-dst"][..],
            "Own.example",
            &["own.example"][..],
            &["a.own.example", "http://own.example/"][..],
        ),
        ("string", &["url"], "http://own.example/a", &["http://own.example/a"], &["http://own.example/ab"]),
        ("string", &["ip-src"], "203.0.113.7", &["203.0.113.7"], &["http://203.0.113.7/", "203.0.113.8"]),
        (
            "string",
            &["filename|md5"],
            "D41D8CD98F00B204E9800998ECF8427E",
            &["d41d8cd98f00b204e9800998ecf8427e"],
            &[],
        ),
        (
            "hostname",
            &["hostname", "domain"],
            ".own.example",
            &["own.example", "a.own.example"],
            &["http://own.example/", "notown.example"],
        ),
        (
            "hostname",
            &["hostname", "domain", "url"],
            "own.example",
            &["own.example", "http://a.own.example/"],
            &[],
        ),
        (
            "hostname",
            &["domain", "ip-dst", "url"],
            "203.0.113.7",
            &["203.0.113.7", "http://203.0.113.7/"],
            &[],
        ),
        ("hostname", &["domain"], "252/24.own.example", &[], &["24.own.example"]),
        ("hostname", &[], "own.example", &["own.example", "http://a.own.example/"], &[]),
        (
            "cidr",
            &["ip-src", "ip-dst", "domain|ip"],
            "203.0.113.0/24",
            &["203.0.113.7"],
            &["http://203.0.113.7/"],
        ),
        ("cidr", &["ip-src", "url"], "203.0.113.0/24", &["203.0.113.7", "http://203.0.113.7/"], &[]),
        ("substring", &["url"], "Own.example", &["http://x/?a=own.EXAMPLE"], &["own.example"]),
        (
            "regex",
            &["domain"],
            "/^a[0-9]+\\.own\\.example$/i",
            &["a17.own.example"],
            &["a.own.example", "http://a1.own.example/"],
        ),
        (
            "regex",
            &["url"],
            "/\\/admin\\/[a-z]{2}$/",
            &["http://x.example/admin/ab"],
            &["http://x.example/admin/abc"],
        ),
        ("string", &["email-src"], "own.example", &[], &["own.example"]),
        ("regex", &["phone-number"], "/(?<=nothing that we read)/", &[], &["own.example"]),
    ] {
        let text = json!({"name": "ours", "version": 1, "description": "x", "type": kind, "matching_attributes": attributes, "list": [entry]});
        let lists = lists(&format!("\u{feff}{text:#}\n"));
        for value in excluded {
            assert!(excludes(&lists, value), "{kind} {entry} excludes {value}");
        }
        for value in kept {
            assert!(!excludes(&lists, value), "{kind} {entry} keeps {value}");
        }
        assert_eq!(lists.sizes()[0].entries, 1);
        assert_eq!(lists.sizes()[0].unused, u64::from(excluded.is_empty()), "{kind} {entry}");
    }
}

#[test]
fn the_first_list_is_named_and_the_built_in_one_last() {
    let mut builder = Builder::default();
    builder.inline("own.example,github.com").unwrap();
    builder.file("a.txt", b"# none\n\nown.example\nother.example").unwrap();
    let lists = std::sync::Arc::new(builder.build().unwrap());
    let all = Exclusions { lists, vital: true, acts: true };
    let by = |value: &str| all.find(&Observable::of_text(value).unwrap()).map(|hit| hit.to_string());
    assert_eq!(by("own.example").as_deref(), Some("EXCLUDE, value 1"));
    assert_eq!(by("a.other.example").as_deref(), Some("a.txt, line 4"));
    assert_eq!(by("github.com").as_deref(), Some("EXCLUDE, value 2"));
    assert_eq!(by("login.live.com").as_deref(), Some("the built-in list (EXCLUDE_VITAL)"));
    assert_eq!(by("apt.example"), None);
}

#[test]
fn the_built_in_list_is_documented_and_every_entry_counts() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/exclusions.md");
    let document = std::fs::read_to_string(path).unwrap();
    let all = Exclusions { vital: true, ..Exclusions::default() };
    let is_excluded = |value: &str| all.find(&Observable::of_text(value).unwrap()).is_some();
    for name in WHOLE.iter().chain(&ALONE).chain(&ADDRESSES) {
        assert!(document.contains(&format!("`{name}`")), "docs/exclusions.md does not name {name}");
        assert!(is_excluded(name), "{name}");
        let (below, url) = (format!("x.{name}"), format!("https://{name}/x"));
        let is_whole = WHOLE.contains(name);
        assert_eq!(is_excluded(&url), is_whole, "{url}");
        if !ADDRESSES.contains(name) {
            assert_eq!(is_excluded(&below), is_whole, "{below}");
        }
    }
    assert!(
        is_excluded("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        "the empty file"
    );
}

/// Every list that is published can be read. They are not ours to keep: fetch them, and name their folder in
/// WARNING_LISTS.
#[test]
fn published_lists_can_be_read() {
    let Some(folder) = std::env::var_os("WARNING_LISTS") else { return };
    let mut builder = Builder::default();
    let mut count = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        builder.file(&path.file_name().unwrap().to_string_lossy(), &bytes).unwrap();
        count += 1;
    }
    let lists = builder.build().unwrap();
    let entries: u64 = lists.sizes().iter().map(|size| size.entries).sum();
    println!("{count} lists, {entries} entries");
    for size in lists.sizes().iter().filter(|size| size.unused > 0) {
        println!("{}: {} of {} can equal no indicator", size.name, size.unused, size.entries);
    }
}
