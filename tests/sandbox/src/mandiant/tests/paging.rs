//! Pages, cursors and snapshots.

use super::*;

#[tokio::test(start_paused = true)]
async fn paging_returns_every_record_once_for_each_end() {
    let mandiant = service(30);
    for end_of_data in EndOfData::ALL {
        mandiant.set(|knobs| (knobs.end_of_data, knobs.empty_window) = (end_of_data, end_of_data));
        for limit in [7, 10, 30, 1000] {
            let all = read_all(&mandiant, &format!("{}&limit={limit}", since(900_000))).await;
            let unique: HashSet<_> = all.iter().collect();
            assert_eq!((all.len(), unique.len()), (30, 30), "{end_of_data:?} by {limit}");
        }
        assert!(
            read_all(&mandiant, &format!("{}&end_epoch={}", since(3_000_000), ago(2_000_000).timestamp()))
                .await
                .is_empty()
        );
    }
}

#[tokio::test(start_paused = true)]
async fn ends_look_as_they_are_named() {
    let mandiant = service(2);
    let last = async |end_of_data| {
        mandiant.set(|knobs| knobs.end_of_data = end_of_data);
        let (_, first) = get(&mandiant, &format!("{}&limit=2", since(900_000))).await;
        match cursor(&first) {
            Some(next) => get(&mandiant, &next).await,
            None => (StatusCode::OK, json!({"next": first.get("next")})),
        }
    };
    assert_eq!(last(EndOfData::ExtraEmptyPage).await, (StatusCode::OK, json!({"indicators": []})));
    assert_eq!(last(EndOfData::NullIndicators).await, (StatusCode::OK, json!({"indicators": null})));
    assert_eq!(last(EndOfData::MissingIndicators).await, (StatusCode::OK, json!({})));
    assert_eq!(last(EndOfData::NoContent204).await, (StatusCode::NO_CONTENT, Value::Null));
    assert_eq!(last(EndOfData::EmptyNextString).await, (StatusCode::OK, json!({"next": ""})));
    assert_eq!(last(EndOfData::NullNext).await, (StatusCode::OK, json!({"next": null})));
}

#[tokio::test(start_paused = true)]
async fn a_query_keeps_the_snapshot_of_its_first_page() {
    let mandiant = service(30);
    let before = mandiant.records();
    let (_, first) = get(&mandiant, &format!("{}&limit=10&sort_by=last_updated:asc", since(900_000))).await;
    assert!(mandiant.touch(before[0].key(), start()));
    assert!(mandiant.remove(before[1].key()));
    assert!(!mandiant.remove(before[1].key()));
    mandiant.put(Record::fqdn("new.example").updated(ago(1)));

    let mut all = ids(&first);
    all.extend(read_all(&mandiant, &cursor(&first).unwrap()).await);
    all.sort();
    assert_eq!(all, before.iter().map(|record| record.key().to_owned()).collect::<Vec<_>>());
    let anew = read_all(&mandiant, &since(2)).await;
    assert!(anew.contains(&before[0].key().to_owned()) && !anew.contains(&before[1].key().to_owned()));
}

#[tokio::test(start_paused = true)]
async fn cursors_have_the_recorded_shape_and_a_life() {
    let mandiant = service(5);
    mandiant.set(|knobs| knobs.cursor_ttl = Some(Duration::from_secs(60)));
    let (_, first) =
        get(&mandiant, &format!("{}&limit=1&exclude_osint=false&gte_mscore=0", since(900_000))).await;
    let next = first["next"].as_str().unwrap();
    assert!(next.len() > 3000 && next.contains("=="));
    let (scroll, page) = crate::mandiant::cursor::decode(next).unwrap();
    assert_eq!(page, 2);
    tokio::time::advance(Duration::from_secs(59)).await;
    let (_, second) = get(&mandiant, &cursor(&first).unwrap()).await;
    assert_eq!(crate::mandiant::cursor::decode(second["next"].as_str().unwrap()), Some((scroll, 3)));
    tokio::time::advance(Duration::from_secs(59)).await;
    assert_eq!(get(&mandiant, &cursor(&second).unwrap()).await.0, StatusCode::OK);
    tokio::time::advance(Duration::from_secs(60)).await;
    assert_eq!(get(&mandiant, &cursor(&second).unwrap()).await.0, StatusCode::NOT_FOUND);
    assert_eq!(get(&mandiant, "next=nonsense").await.0, StatusCode::NOT_FOUND);
}

#[tokio::test(start_paused = true)]
async fn cursors_can_misbehave() {
    let mandiant = service(6);
    let (_, first) = get(&mandiant, &format!("{}&limit=2", since(900_000))).await;
    let next = cursor(&first).unwrap();
    let (_, second) = get(&mandiant, &next).await;
    assert_eq!(get(&mandiant, &next).await.1, second);
    let filtered = format!("{next}&{}", since(900_000));
    assert_eq!(get(&mandiant, &filtered).await.1, second);
    mandiant.set(|knobs| knobs.filters_beside_next = FiltersBesideNext::Rejected);
    assert_eq!(get(&mandiant, &filtered).await.0, StatusCode::BAD_REQUEST);
    mandiant.set(|knobs| knobs.filters_beside_next = FiltersBesideNext::Restarted);
    assert_eq!(get(&mandiant, &filtered).await.1, first);

    mandiant.set(|knobs| knobs.used_cursor = UsedCursor::NextPage);
    assert_eq!(get(&mandiant, &next).await.1, second);
    let (_, third) = get(&mandiant, &next).await;
    assert_eq!((ids(&third).len(), ids(&third) == ids(&second)), (2, false));
    mandiant.set(|knobs| knobs.used_cursor = UsedCursor::Rejected);
    assert_eq!(get(&mandiant, &next).await.0, StatusCode::NOT_FOUND);

    mandiant.set(|knobs| *knobs = Knobs { cursor_loop_from: Some(2), ..Knobs::default() });
    let (_, again) = get(&mandiant, &next).await;
    assert_eq!(cursor(&again).unwrap(), next);
    assert_eq!(get(&mandiant, &next).await.1, again);
}

/// Not a measurement, but a bound that a quadratic slip would break.
#[tokio::test]
async fn large_feeds_are_quick() {
    let mandiant = service(20_000);
    let began = std::time::Instant::now();
    assert_eq!(
        read_all(&mandiant, &format!("{}&limit=1000&sort_by=last_updated:asc", since(900_000))).await.len(),
        20_000
    );
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
}
