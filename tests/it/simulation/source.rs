//! The source of a world: Mandiant, Google Threat Intelligence, or one after the other.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use mati_sync::domain::feeds::NotedLoss;
use sandbox::{corpus::Record, mandiant::Mandiant};

use super::{chaos::Chaos, dice::Dice, lists::Lists};
use crate::harness::world::World;

/// Which sources a world reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Mandiant,
    Gti,
    /// Both list nearly the same, and the setting goes from one to the other and back.
    Both,
}

impl Kind {
    /// Not drawn with the dice of the seed, so that seeds of Mandiant go on meaning the same worlds.
    pub fn of(seed: u64) -> Self {
        use Kind::{Both, Gti, Mandiant};
        Dice::new(seed ^ 0x50fc).pick(&[Mandiant, Mandiant, Mandiant, Mandiant, Gti, Gti, Gti, Both])
    }
}

/// What nature changes, and what is asked at the end for what it calls for.
#[derive(Clone)]
pub struct Source {
    pub kind: Kind,
    mandiant: Mandiant,
    pub lists: Lists,
}

/// What the source says last of each value; `None`: nothing can be said of what is held of it.
pub type Deciding = BTreeMap<String, Option<Record>>;

impl Source {
    pub fn add(world: &mut World, kind: Kind, seed: u64) -> Self {
        let lists = Lists::add(world, kind == Kind::Both, seed);
        if kind == Kind::Gti {
            world.set("SOURCE", "gti");
        }
        Self { kind, mandiant: world.mandiant.clone(), lists }
    }

    /// Lists a record, or a new version of it.
    pub fn put(&self, record: &Record) {
        // Of ten values, one is known to one of the sources alone, and one to the other.
        let known_to =
            (self.kind == Kind::Both).then(|| record.value().bytes().map(u64::from).sum::<u64>() % 10);
        if self.kind != Kind::Gti && known_to != Some(0) {
            self.mandiant.put(record.clone());
        }
        if self.kind != Kind::Mandiant && known_to != Some(1) {
            self.lists.put(record);
        }
    }

    /// Lists a record no longer. Google's lists say nothing of that.
    pub fn remove(&self, key: &str) {
        if self.kind != Kind::Gti {
            self.mandiant.remove(key);
        }
    }

    /// Whether several records of one value stand side by side, of which one decides.
    pub fn has_twins(&self) -> bool {
        self.kind == Kind::Mandiant
    }

    /// Whether files come under digests that change.
    pub fn changes_digests(&self) -> bool {
        self.kind == Kind::Mandiant
    }

    /// How long a world waits between two changes: lists change by the hour.
    pub fn pause(&self, dice: &mut Dice) -> Duration {
        match self.kind {
            Kind::Mandiant => dice.seconds(2, 90),
            Kind::Gti | Kind::Both => dice.seconds(60, 1500),
        }
    }

    /// How long a world is left alone between two rounds, beside what one of Mandiant is: packages come by the hour. In
    /// one world of twenty for longer than Google keeps them.
    pub fn idle(&self, dice: &mut Dice) -> Duration {
        match self.kind {
            Kind::Mandiant => Duration::ZERO,
            Kind::Gti if dice.chance(0.008) => Duration::from_secs(8 * 86_400),
            Kind::Gti | Kind::Both => dice.seconds(0, 4 * 3600),
        }
    }

    /// Until what was listed last can be read.
    pub fn delay(&self) -> Duration {
        match self.kind {
            Kind::Mandiant => Duration::ZERO,
            // The hour has to end, and its package is made an hour later.
            Kind::Gti | Kind::Both => Duration::from_secs(2 * 3600),
        }
    }

    /// More records of one package than an answer holds, in some worlds.
    pub fn fill(&self, now: DateTime<Utc>, next: impl FnMut(&mut Dice) -> Record) -> Vec<Record> {
        if self.kind == Kind::Gti { self.lists.fill(now, next) } else { Vec::new() }
    }

    /// Everything that is listed, as the present source tells it.
    pub fn records(&self, world: &World) -> Vec<Record> {
        match is_gti(world) {
            true => self.lists.records(),
            false => self.mandiant.records(),
        }
    }

    /// What was updated since then can be read again at `now`. Google keeps a package until seven days after its hour began,
    /// which says what holds at its end.
    pub fn kept_since(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        match self.kind {
            Kind::Mandiant => DateTime::UNIX_EPOCH,
            Kind::Gti | Kind::Both => now - TimeDelta::days(7) + TimeDelta::hours(1),
        }
    }

    /// What the source calls for, of which a lane noted these losses. Of Google's lists nothing can be said of what was
    /// listed before `since`: it may have aged out.
    pub fn deciding(&self, losses: &[NotedLoss], since: DateTime<Utc>) -> Deciding {
        let hours = || self.lists.deciding(losses);
        match self.kind {
            Kind::Mandiant => self.newest(),
            Kind::Gti => {
                let lasting = |record: Record| (record.last_updated_at() >= since).then_some(record);
                hours().into_iter().map(|(value, record)| (value, lasting(record))).collect()
            }
            Kind::Both => {
                // What only one of them says is held or not, as the change of source came before it or after.
                let (one, other) = (self.newest(), hours());
                let agreed = |value: &String, record: Option<Record>| {
                    let record = record?;
                    let same = other.get(value).is_some_and(|theirs| says_the_same(&record, theirs));
                    same.then_some(record)
                };
                let told = one.into_iter().map(|(value, record)| {
                    let agreed = agreed(&value, record);
                    (value, agreed)
                });
                told.collect()
            }
        }
    }

    /// Of the records of one value the one that was updated last decides, to the second; nothing is said here of which it
    /// is where several are of one second.
    fn newest(&self) -> Deciding {
        let mut newest: BTreeMap<String, Vec<Record>> = BTreeMap::new();
        for record in self.mandiant.records() {
            let second = |record: &Record| record.last_updated_at().timestamp();
            let of_value = newest.entry(record.value().to_owned()).or_default();
            match of_value.first().map(|before| second(&record).cmp(&second(before))) {
                Some(std::cmp::Ordering::Less) => {}
                Some(std::cmp::Ordering::Equal) => of_value.push(record),
                None | Some(std::cmp::Ordering::Greater) => *of_value = vec![record],
            }
        }
        let alone = |records: Vec<Record>| <[Record; 1]>::try_from(records).ok().map(|[record]| record);
        newest.into_iter().map(|(value, records)| (value, alone(records))).collect()
    }

    /// The next things that go wrong at the source, or are well again; perhaps the other source is read from now on.
    pub fn disturb(&self, world: &mut World, chaos: &Chaos, dice: &mut Dice) {
        if self.kind == Kind::Mandiant {
            return;
        }
        self.lists.disturb(world.now(), chaos, dice);
        if self.kind == Kind::Both && dice.chance(0.4) {
            let next = if is_gti(world) { "mandiant" } else { "gti" };
            chaos.note_drops(self.records(world).len() as u64);
            world.set("SOURCE", next);
        }
    }

    /// Packages that were never made, of the lists that are read.
    pub fn missing(&self) -> BTreeSet<(String, DateTime<Utc>)> {
        self.lists.missing()
    }
}

/// Whether the present source of a world is Google Threat Intelligence.
pub fn is_gti(world: &World) -> bool {
    world.vars().get("SOURCE").is_some_and(|source| source == "gti")
}

fn says_the_same(one: &Record, other: &Record) -> bool {
    let digests = |record: &Record| record.json().get("associated_hashes").cloned();
    one.indexed_mscore() == other.indexed_mscore()
        && one.indexed_threat_score() == other.indexed_threat_score()
        && digests(one) == digests(other)
}
