//! What a destination holds in truth, and what the manifest must say because of it.
//!
//! The two differ if state was lost or not committed, if an operator deleted an indicator by hand, or if another product
//! sent the same values before there was a lane.

use std::collections::{
    BTreeMap, HashSet,
    btree_map::Entry::{Occupied, Vacant},
};

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    deciding_record::{RecordVersion, Tag},
    entry::{Entry, Handle, Known, Rank, State},
    fingerprint::Fingerprint,
    manifest::Manifest,
    observable::{IndicatorType, Key, Observable},
    page::About,
    spelling::Malformed,
};

/// An indicator that never expires counts as valid for so long; it is compared again long before.
const UNENDING: TimeDelta = TimeDelta::days(90);

/// A part of what a destination holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InventoryPage {
    /// In the order of the answer. Two may have one key: two products' indicators for the same value.
    pub held: Vec<Held>,
    pub passed_over: Vec<PassedOver>,
    /// What the next page is asked for with; `None`: this was the last.
    pub next: Option<String>,
}

/// An indicator that a destination holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// `None`: it is no indicator of ours, and is not compared with the manifest.
    pub key: Option<Key>,
    pub owner: Owner,
    /// Type and value, as the destination tells its indicators apart.
    pub compared_as: String,
    /// What the destination knows it by, if not by our id.
    pub handle: Option<Handle>,
    /// `None`: it stays until it is removed.
    pub valid_until: Option<DateTime<Utc>>,
    /// Of its content, as far as that is known.
    pub fingerprint: Fingerprint,
    /// Of the record that it was made of, if that is known.
    pub tag: Tag,
    pub indicator_type: Option<IndicatorType>,
    /// Why it must not stand there, by today's rules.
    pub harm: Option<Malformed>,
    /// What it is about, in our spelling, if that can be told.
    pub observable: Option<Observable>,
}

/// Whose indicator it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    Us,
    /// Another product of the same source sent it: the lane updates it under the id that it has.
    Predecessor,
    /// Another application: it is never touched.
    Other,
}

/// An indicator that cannot be compared with the manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassedOver {
    /// The destination's id for it.
    pub id: String,
    pub about: About,
    /// Why, as half a sentence behind the id.
    pub reason: String,
}

/// Returns the entries that `manifest` lacks or has otherwise than the destination shows it at `now`. Of two indicators
/// that stand for one value the one under our id is ours, and the other ages out.
pub fn found(held: &[Held], manifest: &mut Manifest, now: DateTime<Utc>) -> Vec<Known> {
    let mut found: BTreeMap<Key, Known> = BTreeMap::new();
    for held in held {
        let (Some(key), false) = (held.key, held.owner == Owner::Other) else { continue };
        let Some(known) = difference(key, held, manifest, now) else { continue };
        match found.entry(key) {
            Occupied(mut other) if held.owner == Owner::Us => drop(other.insert(known)),
            Occupied(_) => {}
            Vacant(place) => drop(place.insert(known)),
        }
    }
    found.into_values().collect()
}

/// Returns the entries of indicators that `manifest` has as held and that are not among `held`, which is everything that
/// the destination holds at `now`.
pub fn missing(held: &[Held], manifest: &mut Manifest, now: DateTime<Utc>) -> Vec<Known> {
    let ours = held.iter().filter(|held| held.owner == Owner::Us);
    let ours: HashSet<Key> = ours.filter_map(|held| held.key).collect();
    let missing = manifest.entries().iter().filter(|entry| entry.is_held(now) && !ours.contains(&entry.key));
    let noted = |entry: &Entry| {
        if entry.state().is_decided_against() { entry.retracted(now) } else { entry.missing(now) }
    };
    missing.map(|entry| Known::from(noted(entry))).collect()
}

/// The entry of an indicator that the destination no longer holds at `now`.
pub fn gone(entry: &Entry, now: DateTime<Utc>) -> Entry {
    if entry.state().is_decided_against() { entry.retracted(now) } else { entry.absent(now) }
}

fn difference(key: Key, held: &Held, manifest: &mut Manifest, now: DateTime<Utc>) -> Option<Known> {
    let entry = manifest.get(key).copied().filter(|entry| entry.is_held(now));
    let handle = manifest.handle(key);
    let new = || {
        let until = held.valid_until.unwrap_or(now + UNENDING);
        let version = RecordVersion { updated: 0, tag: held.tag };
        let entry = Entry::new(key, held.fingerprint, until, version, State::Held);
        held.indicator_type.map_or(entry, |indicator_type| entry.of_type(indicator_type))
    };
    match (entry, held.handle, handle) {
        (Some(_), Some(Handle::Numbered { id, .. }), Some(Handle::Numbered { id: known, .. }))
            if id == known =>
        {
            None
        }
        // The number is new; what ranks it is known.
        (Some(entry), Some(Handle::Numbered { id, .. }), handle) => {
            let rank = match handle {
                Some(Handle::Numbered { rank, .. }) => rank,
                _ => Rank::default(),
            };
            Some(Known { entry, handle: Some(Handle::Numbered { id, rank }) })
        }
        // A predecessor's stands under another id, and ours comes first.
        (Some(_), None, Some(Handle::Foreign(_))) if held.owner == Owner::Us => Some(new().into()),
        (Some(_), ..) => None,
        (None, handle, _) => Some(Known { entry: new(), handle }),
    }
}
