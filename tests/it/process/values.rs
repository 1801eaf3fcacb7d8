//! Commands that are asked about one value.

use chrono::TimeDelta;
use sandbox::corpus::Record;
use serde_json::Value;

use super::{
    Bench, now,
    terminal::{mati_sync, text},
};

#[tokio::test]
async fn exclusions_test_exits_with_0_1_or_2() {
    let mut bench = Bench::new().await;
    bench.settings.insert("EXCLUDE".into(), "198.51.100.0/24".into());
    bench.settings.insert("TARGET_APPLICATION".into(), "sentinel,defender".into());
    let folder = bench.path().join("state/exclusions");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("own.txt"), "# ours\nown.example\n").unwrap();
    let asked = async |value: &str| {
        let output = mati_sync(&["exclusions", "test", value], &bench.settings).await;
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    for (value, code, said) in [
        (
            "https://WWW.Own.Example/login",
            0,
            "https://www.own.example/login is excluded by own.txt, line 2\n",
        ),
        ("198.51.100.7", 0, "198.51.100.7 is excluded by EXCLUDE, value 1\n"),
        ("8.8.8.8", 0, "8.8.8.8 is excluded by the built-in list (EXCLUDE_VITAL), for defender"),
        ("hxxps://www[.]own[.]example/login", 0, "https://www.own.example/login is excluded by own.txt"),
        ("evil.example", 1, "nothing excludes evil.example\n"),
    ] {
        let (exit, stdout, stderr) = asked(value).await;
        assert_eq!(exit, Some(code), "{value}: {stdout}{stderr}");
        assert!(stdout.starts_with(said), "{stdout:?}");
    }
    let (exit, _, stderr) = asked("no value").await;
    assert!(exit == Some(2) && stderr.contains("is no value that could be sent"), "{exit:?} {stderr}");
    assert_eq!(asked("").await.0, Some(2));
    let (exit, stdout, _) = asked("10.0.0.1").await;
    let said =
        "nothing excludes 10.0.0.1\nit is never sent, whatever the lists say: a private address (RFC 1918)\n";
    assert_eq!((exit, stdout.as_str()), (Some(1), said));
    let mut faulty = bench.settings.clone();
    faulty.remove("MATI_KEY");
    for (arguments, settings) in [
        (&["exclusions", "test", "evil.example"][..], &faulty),
        (&["--settings", "/nowhere/at.all", "exclusions", "test", "evil.example"], &bench.settings),
    ] {
        let output = mati_sync(arguments, settings).await;
        assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    }
    std::fs::write(folder.join("own.txt"), "own.example\nnot a name\n").unwrap();
    let (exit, _, stderr) = asked("evil.example").await;
    assert!(exit == Some(2) && stderr.contains("exclusions/own.txt, line 2"), "{exit:?} {stderr}");
}

#[tokio::test]
async fn an_unknown_destination_is_told_as_the_option_that_names_it() {
    let bench = Bench::new().await;
    let output = mati_sync(&["sync", "--destination", "sentinal"], &bench.settings).await;
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(
        told.contains("--destination names \"sentinal\"; TARGET_APPLICATION configures: sentinel"),
        "{told}"
    );
}

#[tokio::test]
async fn explain_exits_with_0_whatever_the_answer_is_and_with_1_if_there_is_none() {
    let mut bench = Bench::new().await;
    let at = now() - TimeDelta::hours(3);
    bench.world.mandiant.put_all([
        Record::fqdn("evil.example").updated(at),
        Record::ipv4("198.51.100.7").mscore(60).updated(at),
    ]);
    assert_eq!(mati_sync(&["sync"], &bench.settings).await.status.code(), Some(0));
    let held = mati_sync(&["explain", "EVIL.example."], &bench.settings).await;
    let said = text(&held.stdout);
    assert_eq!(held.status.code(), Some(0), "{said}");
    assert!(said.starts_with("evil.example (fqdn)\n") && said.contains("held as indicator--"), "{said}");
    let defanged = mati_sync(&["explain", "evil[.]example"], &bench.settings).await;
    assert_eq!(text(&defanged.stdout), said);
    for empty in ["", " "] {
        let usage = mati_sync(&["explain", empty], &bench.settings).await;
        assert_eq!(usage.status.code(), Some(2), "{}", text(&usage.stdout));
    }
    let dropped = mati_sync(&["explain", "198.51.100.7", "--json"], &bench.settings).await;
    let answer: Value = serde_json::from_slice(&dropped.stdout).unwrap();
    assert_eq!(dropped.status.code(), Some(0), "{answer:#}");
    assert_eq!(answer["decision"]["detail"], "confidence 60 is below 80", "{answer:#}");
    bench.settings.insert("MATI_SECRET".into(), "wrong".into());
    let unknown = mati_sync(&["explain", "evil.example", "--json"], &bench.settings).await;
    let answer: Value = serde_json::from_slice(&unknown.stdout).unwrap();
    assert_eq!(unknown.status.code(), Some(1), "{answer:#}");
    assert_eq!(
        (&answer["source"]["found"], &answer["lanes"]["sentinel"]["held"]),
        (&Value::Null, &Value::Bool(true))
    );
}
