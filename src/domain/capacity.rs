//! Which indicators are held where a destination cannot hold all: the best, by [`Rank`].

use std::{
    cmp::Reverse,
    collections::{BTreeSet, HashMap},
};

use super::{
    entry::{Handle, Known, Place, Rank},
    observable::Key,
    plan::Planned,
};

/// The capacity that a destination has for a lane's indicators, and which of them take it up.
#[derive(Clone, Debug, Default)]
pub struct Capacity {
    free: usize,
    places: HashMap<Key, Place>,
    /// The same, weakest first.
    order: BTreeSet<(Place, Key)>,
}

/// What becomes of one that asks for room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Fits,
    /// It takes the place of the weakest.
    Displaces(Key),
    NoRoom,
}

/// What becomes of a page where room is scarce.
#[derive(Debug, Default)]
pub struct Admitted {
    /// Those that have room, in the order in which they were planned.
    pub sent: Vec<Planned>,
    /// Those that are displaced; to be removed before the others are sent.
    pub displaced: Vec<Key>,
    /// Those that have no room.
    pub turned_away: Vec<Planned>,
}

impl Capacity {
    /// Capacity for `free` more than those that are held already.
    pub fn new(free: usize, held: impl IntoIterator<Item = Known>) -> Self {
        let mut capacity = Self { free, ..Self::default() };
        for Known { entry, handle } in held {
            let rank = match handle {
                Some(Handle::Numbered { rank, .. }) => rank,
                Some(Handle::Foreign(_)) | None => Rank::default(),
            };
            capacity.take(entry.key, (rank, entry.updated()));
        }
        capacity
    }

    /// Admits what the destination has room for, of what a page wants to send; removals are not among that. If there is no
    /// room, an indicator displaces the weakest one only if it is strictly better. Those for which `is_unfit` is true take
    /// no room: they will be rejected.
    pub fn admit(&mut self, planned: Vec<Planned>, is_unfit: impl Fn(&Planned) -> bool) -> Admitted {
        let mut newcomers = Vec::new();
        for item in planned.iter().filter(|item| !is_unfit(item)) {
            let place = item.place();
            if self.places.contains_key(&item.key) {
                self.take(item.key, place);
            } else {
                newcomers.push((place, item.key));
            }
        }
        newcomers.sort_unstable_by_key(|newcomer| Reverse(*newcomer));
        let mut admitted = Admitted::default();
        let mut turned_away = Vec::new();
        for (place, key) in newcomers {
            match self.ask(key, place) {
                Answer::Fits => {}
                Answer::Displaces(leaver) => admitted.displaced.push(leaver),
                Answer::NoRoom => turned_away.push(key),
            }
        }
        // One that is displaced is not updated.
        turned_away.extend(&admitted.displaced);
        turned_away.sort_unstable();
        let has_room = |item: &Planned| turned_away.binary_search(&item.key).is_err();
        (admitted.sent, admitted.turned_away) = planned.into_iter().partition(has_room);
        admitted
    }

    /// Lets one in that is not there, if there is room or the weakest is strictly weaker.
    pub(super) fn ask(&mut self, key: Key, place: Place) -> Answer {
        let weakest = self.order.first().filter(|(weakest, _)| *weakest < place).map(|(_, key)| *key);
        let answer = if self.free > 0 {
            self.free -= 1;
            Answer::Fits
        } else if let Some(leaver) = weakest {
            self.forget(leaver);
            Answer::Displaces(leaver)
        } else {
            return Answer::NoRoom;
        };
        self.take(key, place);
        answer
    }

    /// How many there is room for, with those that are there.
    pub(super) fn size(&self) -> usize {
        self.free + self.places.len()
    }

    /// The same with room for so many more.
    pub(super) fn with_more(&self, more: usize) -> Self {
        Self { free: self.free + more, ..self.clone() }
    }

    /// The rank of the weakest that is there.
    pub fn weakest(&self) -> Option<Rank> {
        self.order.first().map(|((rank, _), _)| *rank)
    }

    /// Whether there is room for another.
    pub fn has_room(&self) -> bool {
        self.free > 0
    }

    /// The place of one that is there.
    pub(super) fn place(&self, key: Key) -> Option<Place> {
        self.places.get(&key).copied()
    }

    /// Gives one that is there another place.
    pub(super) fn put_at(&mut self, key: Key, place: Place) {
        if self.places.contains_key(&key) {
            self.take(key, place);
        }
    }

    fn take(&mut self, key: Key, place: Place) {
        self.forget(key);
        self.places.insert(key, place);
        self.order.insert((place, key));
    }

    /// Makes the weakest leave, so many of them.
    pub fn shrink(&mut self, excess: usize) -> Vec<Key> {
        let leaving: Vec<Key> = self.order.iter().take(excess).map(|(_, key)| *key).collect();
        for key in &leaving {
            self.forget(*key);
        }
        leaving
    }

    /// Notes that one was removed, which leaves room for another.
    pub fn leave(&mut self, key: Key) {
        self.free += usize::from(self.forget(key));
    }

    /// Whether it was there.
    fn forget(&mut self, key: Key) -> bool {
        let place = self.places.remove(&key);
        place.is_some_and(|place| self.order.remove(&(place, key)))
    }
}
