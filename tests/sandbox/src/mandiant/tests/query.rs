//! Filters, flags and order.

use super::*;

#[tokio::test(start_paused = true)]
async fn order_is_open_unless_asked_for() {
    let mandiant = service(200);
    let times = async |query: &str| {
        let (_, answer) = get(&mandiant, &format!("{}&limit=200&{query}", since(900_000))).await;
        let all: std::collections::HashMap<_, _> = mandiant
            .records()
            .iter()
            .map(|record| (record.key().to_owned(), record.last_updated_at()))
            .collect();
        ids(&answer).iter().map(|id| all[id]).collect::<Vec<_>>()
    };
    assert!(times("sort_by=last_updated:asc").await.is_sorted());
    assert!(times("sort_by=last_updated:desc").await.iter().rev().is_sorted());
    assert!(times("sort_by=last_updated&sort_order=desc").await.iter().rev().is_sorted());
    assert!(!times("").await.is_sorted());
}

#[tokio::test(start_paused = true)]
async fn flags_decide_on_the_optional_blocks() {
    let mandiant = Mandiant::new(clock::tokio_from(start()));
    for name in ["a.example", "b.example", "c.example"] {
        mandiant
            .put(Record::fqdn(name).updated(ago(9)).categories(&["phishing"]).campaign("CAMP.22.005", "A"));
    }
    let keys = |answer: &Value| -> Vec<&str> {
        let blocks = ["threat_rating", "category", "campaigns", "reports", "misp"];
        blocks.into_iter().filter(|block| answer["indicators"][0].get(block).is_some()).collect()
    };
    let flags = "include_threat_rating=True&include_campaigns=true&include_misp=false";
    for (later_flags, alone, repeated) in [
        (LaterFlags::Kept, vec!["threat_rating", "campaigns"], vec!["threat_rating", "campaigns"]),
        (LaterFlags::Dropped, vec!["misp"], vec!["misp"]),
        (LaterFlags::RepeatedRequired, vec!["misp"], vec!["threat_rating", "campaigns"]),
    ] {
        mandiant.set(|knobs| knobs.later_flags = later_flags);
        let (_, first) = get(&mandiant, &format!("{}&limit=1&{flags}", since(60))).await;
        assert_eq!(keys(&first), ["threat_rating", "campaigns"]);
        let (_, second) = get(&mandiant, &cursor(&first).unwrap()).await;
        assert_eq!(keys(&second), alone);
        let (_, third) = get(&mandiant, &format!("{}&{flags}", cursor(&second).unwrap())).await;
        assert_eq!(keys(&third), repeated);
    }
    let (_, all) = get(&mandiant, &format!("{}&include_category=true&include_reports=true", since(60))).await;
    assert_eq!(keys(&all), ["category", "reports", "misp"]);
    assert_eq!(all["indicators"][0]["reports"], json!([]));
    assert!(all["indicators"][0]["misp"].as_object().unwrap().len() > 70);
}

#[tokio::test(start_paused = true)]
async fn filters_and_the_window_are_applied() {
    let mandiant = Mandiant::new(clock::tokio_from(start()));
    let open: &[(&str, bool, &[&str])] = &[("urlhaus", true, &[])];
    let records = [
        Record::fqdn("high.example").mscore(80).threat_score(Some(60)).updated(ago(100)),
        Record::fqdn("low.example").mscore(79).threat_score(Some(59)).updated(ago(100)),
        Record::fqdn("unrated.example").mscore(80).threat_score(None).updated(ago(100)),
        Record::fqdn("open.example").mscore(10).sources(open).updated(ago(50)),
        Record::fqdn("late.example").mscore(10).updated(ago(50) + TimeDelta::milliseconds(500)),
        Record::fqdn("future.example").mscore(100).updated(ago(-60)),
    ];
    mandiant.put_all(records);
    let found = async |query: &str| {
        let (_, answer) = get(&mandiant, &format!("{query}&limit=1000&include_misp=false")).await;
        let indicators = answer["indicators"].as_array().cloned().unwrap_or_default();
        let mut names: Vec<_> = indicators.iter().map(|i| i["value"].as_str().unwrap().to_owned()).collect();
        names.iter_mut().for_each(|name| name.truncate(name.len() - ".example".len()));
        names.sort();
        names.join(" ")
    };
    assert_eq!(found(&since(1000)).await, "high late low open unrated");
    assert_eq!(found(&format!("{}&gte_mscore=80", since(1000))).await, "high unrated");
    assert_eq!(found(&format!("{}&gte_threatscore=60&gte_mscore=80", since(1000))).await, "high");
    assert_eq!(found(&format!("{}&exclude_osint=True", since(50))).await, "late");
    assert_eq!(
        found(&format!("{}&end_epoch={}", since(100), ago(50).timestamp())).await,
        "high low open unrated"
    );
    assert_eq!(found(&since(49)).await, "");
    mandiant.set(|knobs| {
        knobs.unrated_pass = true;
        knobs.ignored_parameters.insert("exclude_osint".into());
    });
    assert_eq!(found(&format!("{}&gte_threatscore=60&gte_mscore=80", since(1000))).await, "high unrated");
    assert_eq!(found(&format!("{}&exclude_osint=True", since(50))).await, "late open");
    tokio::time::advance(Duration::from_secs(61)).await;
    assert_eq!(found(&since(49)).await, "future");
    assert_eq!(found("value=HIGH.example&type=fqdn").await, "high");
    assert_eq!(found("value=high.example&type=url").await, "");
}

#[tokio::test(start_paused = true)]
async fn bad_parameters_are_rejected_and_unknown_ones_ignored() {
    let mandiant = service(3);
    for query in [
        "",
        "limit=10",
        "start_epoch=1167609599",
        "start_epoch=yesterday",
        "start_epoch=1782000000.5",
        &since(90 * 86_400),
        &format!("{}&limit=1001", since(60)),
        &format!("{}&limit=0", since(60)),
        &format!("{}&gte_mscore=high", since(60)),
        &format!("{}&end_epoch={}", since(60), ago(61).timestamp()),
    ] {
        assert_eq!(get(&mandiant, query).await.0, StatusCode::BAD_REQUEST, "{query}");
    }
    assert_eq!(get(&mandiant, &format!("{}&last_seen=asc", since(90 * 86_400 - 1))).await.0, StatusCode::OK);
    mandiant.set(|knobs| knobs.limit_behaviour = LimitBehaviour::Clamped);
    assert_eq!(get(&mandiant, &format!("{}&limit=1001", since(60))).await.0, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn hostile_records_are_stored_and_answered_as_they_are() {
    let mandiant = Mandiant::new(clock::tokio_from(start()));
    let mut records = generate(&CorpusSettings::new(3, 500, ago(864_000), start()).hostile(0.5));
    mandiant.put_all(records.clone());
    records.sort_by(|a, b| a.key().cmp(b.key()));
    assert_eq!(mandiant.records(), records);
    let flags =
        "include_threat_rating=true&include_category=true&include_campaigns=true&include_reports=true";
    let (_, answer) = get(&mandiant, &format!("{}&limit=1000&{flags}", since(900_000))).await;
    assert_eq!(answer["indicators"].as_array().unwrap().len(), 500);
}
