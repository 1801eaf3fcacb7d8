//! What a destination must hold, told by the feed alone.
//!
//! Of the records of one thing that the source lists, the one updated last decides, for or against. A thing that is
//! decided for is held with the content of that record, a file at Sentinel under both its stronger digests and at Defender
//! under the strongest; one that is decided against is not held, and neither is a former digest. A thing that is listed no longer is not retracted: it ages out.
//! Defender has room for two: the best of those that are decided for.

use std::collections::BTreeMap;

use super::{
    events::{Id, Thing},
    things::{Held, Listed},
};

/// Defender's room.
pub const ROOM: usize = 2;

pub type Feed = BTreeMap<Id, Listed>;

/// What is known of a thing's past, as far as it excuses what is held.
#[derive(Clone, Copy, Debug, Default)]
pub struct Past {
    /// So many whole readings must come first: the first finds out what is not wanted, and only the second brings back
    /// what was retracted by a record that is gone.
    pub readings: u8,
    /// For so many refreshes Sentinel may hold what a killed pass sent and could not note.
    pub orphaned: u8,
    /// Something of it was rejected once: a retry offers it although the source lists it no longer.
    pub was_rejected: bool,
    /// A record left the feed, and no whole reading has found out.
    pub is_withdrawn: bool,
}

/// The record that decides about a thing.
pub fn decider(feed: &Feed, thing: Thing) -> Option<&Listed> {
    let of_thing = feed.values().filter(|listed| listed.id.thing() == thing);
    of_thing.max_by_key(|listed| (listed.updated.timestamp(), listed.id))
}

/// What must be held of a thing, after a pass that read the live feed to its end. `is_calm`: two refreshes are over in
/// which nothing changed.
///
/// # Errors
/// What is wrong with what is `held`, where `has_room`.
fn thing(
    feed: &Feed,
    thing: Thing,
    past: Past,
    held: &[Held],
    values: fn(&Listed) -> Vec<String>,
    has_room: bool,
    is_calm: bool,
) -> Result<(), String> {
    let held: Vec<&Held> = held.iter().filter(|held| held.thing == thing).collect();
    match decider(feed, thing) {
        // A file is valid for 90 days, a value for a week.
        None if !is_calm || thing == Thing::File || past.was_rejected || past.orphaned > 0 => Ok(()),
        None if held.is_empty() => Ok(()),
        None => Err(format!("should have aged out: {held:?}")),
        Some(_) if past.readings > 1 || past.orphaned > 0 => Ok(()),
        Some(listed) if !listed.admitted() && held.is_empty() => Ok(()),
        Some(listed) if !listed.admitted() => Err(format!("{listed:?} is against it, and held are {held:?}")),
        Some(listed) => {
            let wanted = values(listed);
            let are_wanted = held.iter().all(|held| wanted.contains(&held.value));
            let are_current = held.iter().all(|held| held.confidence == listed.confidence);
            // One value is held once.
            let are_all = held.len() == wanted.len();
            match are_wanted {
                true if past.readings > 0 || are_all && are_current => Ok(()),
                true if held.is_empty() && (past.was_rejected && !is_calm || !has_room) => Ok(()),
                _ => Err(format!("{listed:?} decides, and held are {held:?}")),
            }
        }
    }
}

/// # Errors
/// What is wrong at Sentinel, which held `before` when the pass began, and was `sent` something about these in it.
pub fn sentinel(
    feed: &Feed,
    pasts: &BTreeMap<Thing, Past>,
    before: &[Held],
    sent: &[Held],
    held: &[Held],
    is_calm: bool,
) -> Result<(), String> {
    for (about, past) in pasts {
        thing(feed, *about, *past, held, Listed::at_sentinel, true, is_calm)?;
        // A record may have spoken against it before it fell silent, and been rejected: a retry does what it asked for.
        if decider(feed, *about).is_none() && !past.was_rejected {
            let mut before = before.iter().filter(|before| before.thing == *about);
            let lost = before.find(|before| !held.iter().any(|held| held.value == before.value));
            if let Some(lost) = lost {
                return Err(format!("{lost:?} was retracted although the source is silent"));
            }
        }
    }
    // `sent` are those of a pass that met nothing new: what is decided against is not sent even for a moment.
    for sent in sent.iter().filter(|sent| !pasts[&sent.thing].is_withdrawn) {
        if decider(feed, sent.thing).is_some_and(|listed| !listed.admitted()) {
            return Err(format!("{sent:?} was sent, and a newer record is against it"));
        }
    }
    Ok(())
}

/// # Errors
/// What is wrong at Defender.
pub fn defender(
    feed: &Feed,
    pasts: &BTreeMap<Thing, Past>,
    held: &[Held],
    is_calm: bool,
) -> Result<(), String> {
    if held.len() > ROOM {
        return Err(format!("there is room for {ROOM}, and held are {held:?}"));
    }
    for (about, past) in pasts {
        // The list shows what a killed pass left behind.
        let past = Past { orphaned: if is_calm { 0 } else { past.orphaned }, ..*past };
        // A place that becomes free in the midst of a reading is taken by the record that is read next.
        let rivals =
            held.iter().filter(|held| held.thing != *about).filter_map(|held| decider(feed, held.thing));
        let own = decider(feed, *about).map_or(0, |listed| listed.confidence);
        let taken = held.len() == ROOM && rivals.into_iter().all(|rival| rival.confidence >= own);
        thing(feed, *about, past, held, Listed::at_defender, is_calm && !taken, is_calm)?;
    }
    Ok(())
}
