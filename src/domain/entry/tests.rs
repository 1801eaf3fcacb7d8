//! What an entry keeps, and which record it hears.

use proptest::prelude::*;

use super::*;

fn entry(valid_until: DateTime<Utc>, version: RecordVersion, state: State) -> Entry {
    Entry::new([0; 16].into(), Fingerprint(1), valid_until, version, state)
}

fn version(updated: u32, tag: &str) -> RecordVersion {
    RecordVersion { updated, tag: Tag::of(tag) }
}

fn after(begun: u64, whole: u64) -> Refreshes {
    let from = DateTime::UNIX_EPOCH;
    Refreshes { begun, whole: (whole > 0).then_some(WholeRefresh { number: whole, from }) }
}

proptest! {
    #[test]
    fn an_entry_is_kept_a_day_where_it_is_held_and_ninety_where_it_is_not(valid_until: u32, state in 0..9_usize, off in -2..3_i64) {
        let state = State::ALL[state];
        let entry = entry(DateTime::from_timestamp(i64::from(valid_until), 0).unwrap(), RecordVersion::default(), state);
        let days = if state.is_held() { 1 } else { 90 };
        prop_assert_eq!(entry.is_kept(i64::from(valid_until) + days * 86_400 + off), off < 0);
    }

    /// What is packed into a byte or six comes out again, and disturbs nothing beside it.
    #[test]
    fn an_entry_keeps_what_it_is_given(updated: u32, id in ".{1,9}", state in 0..9_usize, next in 0..9_usize, of in 0..5_usize) {
        let (version, indicator_type) = (version(updated, &id), IndicatorType::ALL[of]);
        let entry = entry(DateTime::UNIX_EPOCH, version, State::ALL[state]).of_type(indicator_type);
        let contested = entry.contested(after(9, 0).last_seen()).in_state(State::ALL[next]);
        for entry in [entry, contested] {
            prop_assert_eq!((entry.deciding_record(), entry.indicator_type()), (version, Some(indicator_type)));
        }
        prop_assert_eq!((entry.state(), contested.state()), (State::ALL[state], State::ALL[next]));
        prop_assert!(contested.is_contested() && !entry.is_contested());
    }

    /// Of two records of one value exactly one decides, whichever is read first.
    #[test]
    fn two_records_never_both_decide(first in 1..5_u32, second in 1..5_u32) {
        let (a, b) = (version(first, "a"), version(second, "b"));
        let by = |version| entry(DateTime::UNIX_EPOCH, version, State::Held);
        prop_assert_ne!(by(a).yields_to(b, after(1, 0)), by(b).yields_to(a, after(1, 0)));
    }
}

#[test]
fn an_older_record_decides_once_a_whole_refresh_has_not_met_the_deciding_one() {
    let (older, deciding) = (version(50, "a"), version(90, "b"));
    let held = entry(DateTime::UNIX_EPOCH, deciding, State::Held);
    assert!(!held.yields_to(older, after(7, 6)), "no refresh has asked whether it is still listed");
    let retracted = entry(DateTime::UNIX_EPOCH, deciding, State::Retracted).seen(after(5, 4).last_seen());
    for entry in [held.contested(after(5, 4).last_seen()), retracted] {
        for (begun, whole, expected) in
            [(5, 4, false), (5, 5, false), (6, 5, false), (6, 6, false), (7, 6, true), (9, 8, true)]
        {
            assert_eq!(entry.yields_to(older, after(begun, whole)), expected, "{begun} begun, {whole} whole");
        }
        assert!(!entry.seen(after(7, 6).last_seen()).yields_to(older, after(7, 6)), "it was met again");
        let late = WholeRefresh { number: 6, from: DateTime::from_timestamp(91, 0).unwrap() };
        let late = Refreshes { begun: 7, whole: Some(late) };
        assert!(!entry.yields_to(older, late), "it was not looked for so far back");
        assert!(!entry.yields_to(version(50, "b"), after(7, 6)), "a late echo of the deciding record itself");
    }
}

#[test]
fn an_entry_takes_40_bytes() {
    assert_eq!(size_of::<Entry>(), 40);
}
