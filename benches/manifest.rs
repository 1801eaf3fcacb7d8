//! The manifest beside what crates and the standard library have for the same: CPU time and memory at a million
//! entries, or as many as the word after `--` says.
//!
//! `places.rs` stays as long as it is faster or smaller here by what counts. Each table is measured in a process of its
//! own, because memory is that of a process.

use std::{
    collections::BTreeMap,
    hash::{BuildHasherDefault, Hasher},
    process::Command,
    time::Duration,
};

use chrono::{DateTime, Utc};
use hashbrown::{HashTable, hash_table};
use indexmap::IndexMap;
use mati_sync::domain::{
    deciding_record::RecordVersion,
    entry::{Entry, Known, State},
    fingerprint::Fingerprint,
    manifest::Manifest,
    manifest_format::{Content, decode, encode},
    observable::Key,
};
use nix::time::{ClockId, clock_gettime};
use uuid::Uuid;

/// A file of the manifest has so many entries, each of its frames so many.
const FILE: u64 = 1 << 18;
const FRAME: u64 = 100;
/// Looked up and put, of those that are known and of those that are not.
const TRIES: u64 = 1_000_000;

trait Table {
    fn with_room(entries: usize) -> Self;
    fn get(&self, key: Key) -> Option<Entry>;
    fn put(&mut self, entry: Entry);
    fn load(&mut self, stored: &Content<'_>) {
        stored.entries().for_each(|entry| self.put(entry));
    }
    fn len(&self) -> usize;
}

impl Table for Manifest {
    fn with_room(entries: usize) -> Self {
        Manifest::with_room(entries)
    }

    fn get(&self, key: Key) -> Option<Entry> {
        Manifest::get(self, key).copied()
    }

    fn put(&mut self, entry: Entry) {
        Manifest::put(self, entry);
    }

    fn load(&mut self, stored: &Content<'_>) {
        self.absorb(stored);
    }

    fn len(&self) -> usize {
        Manifest::len(self)
    }
}

/// Entries in a block and hashbrown's table of their places: what is nearest to ours.
struct Hashbrown {
    entries: Vec<Entry>,
    places: HashTable<u32>,
}

/// Keys are hashes: the crates are spared theirs.
fn hash(key: Key) -> u64 {
    let (first, second) = key.0.as_u64_pair();
    first ^ second
}

impl Table for Hashbrown {
    fn with_room(entries: usize) -> Self {
        Self { entries: Vec::with_capacity(entries), places: HashTable::with_capacity(entries) }
    }

    fn get(&self, key: Key) -> Option<Entry> {
        let is_it = |place: &u32| self.entries[*place as usize].key == key;
        self.places.find(hash(key), is_it).map(|place| self.entries[*place as usize])
    }

    fn put(&mut self, entry: Entry) {
        let Self { entries, places } = self;
        let is_it = |place: &u32| entries[*place as usize].key == entry.key;
        match places.entry(hash(entry.key), is_it, |place| hash(entries[*place as usize].key)) {
            hash_table::Entry::Occupied(place) => entries[*place.get() as usize] = entry,
            hash_table::Entry::Vacant(place) => {
                place.insert(entries.len() as u32);
                entries.push(entry);
            }
        }
    }

    fn len(&self) -> usize {
        self.entries.len()
    }
}

#[derive(Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks_exact(8) {
            self.0 ^= u64::from_ne_bytes(chunk.try_into().expect("eight bytes"));
        }
    }

    fn write_usize(&mut self, _length: usize) {}
}

type Spared = BuildHasherDefault<AsItIs>;
type HashMap = hashbrown::HashMap<Key, Entry, Spared>;
type InOrder = IndexMap<Key, Entry, Spared>;
type Tree = BTreeMap<Key, Entry>;

macro_rules! table {
    ($map:ty, $room:expr) => {
        impl Table for $map {
            fn with_room(entries: usize) -> Self {
                $room(entries)
            }

            fn get(&self, key: Key) -> Option<Entry> {
                <$map>::get(self, &key).copied()
            }

            fn put(&mut self, entry: Entry) {
                self.insert(entry.key, entry);
            }

            fn len(&self) -> usize {
                <$map>::len(self)
            }
        }
    };
}

table!(HashMap, |room| HashMap::with_capacity_and_hasher(room, Spared::default()));
table!(InOrder, |room| InOrder::with_capacity_and_hasher(room, Spared::default()));
table!(Tree, |_| Tree::new());

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    match &words[..] {
        [name, count, order] => measure(name, count.parse().expect("a number"), order == "ordered"),
        _ => table(words.first().map_or("1000000", String::as_str)),
    }
}

const NAMES: [&str; 5] = ["manifest", "hashbrown, places", "hashbrown, map", "indexmap", "B-tree"];

fn table(count: &str) {
    println!(
        "{count} entries: milliseconds to load them in the order of commits and of keys; nanoseconds to look up"
    );
    println!("one that is there and one that is not, and to put a new one; bytes an entry");
    for name in NAMES {
        let [mixed, ordered] = ["mixed", "ordered"].map(|order| {
            let this = std::env::current_exe().expect("this executable");
            let output = Command::new(this).args([name, count, order]).output().expect("start a process");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            let text = String::from_utf8(output.stdout).expect("numbers");
            text.split_whitespace().map(|word| word.parse().expect("a number")).collect::<Vec<f64>>()
        });
        let [loaded, there, absent, put, bytes] = mixed[..] else { panic!("five numbers") };
        let ordered = ordered[0];
        println!(
            "{name:<20} {loaded:>7.0} ms {ordered:>7.0} ms {there:>6.0} ns {absent:>6.0} ns {put:>6.0} ns {bytes:>7.1} bytes"
        );
    }
}

fn measure(name: &str, count: u64, ordered: bool) {
    match name {
        "manifest" => tried::<Manifest>(count, ordered),
        "hashbrown, places" => tried::<Hashbrown>(count, ordered),
        "hashbrown, map" => tried::<HashMap>(count, ordered),
        "indexmap" => tried::<InOrder>(count, ordered),
        "B-tree" => tried::<Tree>(count, ordered),
        _ => panic!("{name} is no table"),
    }
}

fn tried<T: Table>(count: u64, ordered: bool) {
    let mut numbers: Vec<u32> = (0..count as u32).collect();
    if ordered {
        numbers.sort_by_cached_key(|number| key(u64::from(*number)));
    }
    let mut bytes = Vec::with_capacity(FILE as usize * 41);
    // What the files themselves take is no part of it.
    file(&numbers[..numbers.len().min(FILE as usize)], &mut bytes);
    let before = resident();
    let (mut table, mut load) = (T::with_room(count as usize), 0.0);
    for part in numbers.chunks(FILE as usize) {
        file(part, &mut bytes);
        let began = cpu();
        let content = decode(&bytes).expect("a file");
        table.load(&content);
        load += cpu() - began;
    }
    assert_eq!(table.len() as u64, count);
    let memory = resident() - before;
    let mut each = |work: &mut dyn FnMut(&mut T, u64)| {
        let began = cpu();
        (0..TRIES).for_each(|number| work(&mut table, number));
        (cpu() - began) * 1e9 / TRIES as f64
    };
    // Multiplied by an odd number and cut off, numbers come in no order.
    let any = |number: u64| (number.wrapping_mul(0x9e37_79b9) & 0xffff_ffff) % count;
    let there = each(&mut |table, number| assert!(table.get(key(any(number))).is_some()));
    let absent = each(&mut |table, number| assert!(table.get(key(count + TRIES + number)).is_none()));
    let put = each(&mut |table, number| table.put(entry(key(count + number))));
    println!("{} {there} {absent} {put} {}", load * 1000.0, memory / count as f64);
}

/// A file as commits leave it: frames, each in the order of its keys.
fn file(numbers: &[u32], bytes: &mut Vec<u8>) {
    bytes.clear();
    for frame in numbers.chunks(FRAME as usize) {
        let mut known: Vec<Known> =
            frame.iter().map(|number| entry(key(u64::from(*number))).into()).collect();
        known.sort_by_key(|known| known.entry.key);
        bytes.extend(encode(known.into_iter()));
    }
}

fn entry(key: Key) -> Entry {
    let until: DateTime<Utc> = DateTime::UNIX_EPOCH;
    Entry::new(key, Fingerprint(7), until, RecordVersion::default(), State::Held)
}

/// A key as they are: a UUID of version 5, of bits that spread.
fn key(number: u64) -> Key {
    let mixed = |seed: u64| {
        let mut bits = (number + 1).wrapping_mul(seed);
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    };
    let first = mixed(0x9e37_79b9_7f4a_7c15) & !0xf000 | 0x5000;
    let second = mixed(0xd1b5_4a32_d192_ed03) >> 2 | 1 << 63;
    Key::from(*Uuid::from_u64_pair(first, second).as_bytes())
}

fn cpu() -> f64 {
    let clock = ClockId::CLOCK_PROCESS_CPUTIME_ID;
    Duration::from(clock_gettime(clock).expect("the clock exists")).as_secs_f64()
}

/// Bytes of this process in memory: `VmRSS` of /proc/self/status (proc(5)).
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
    let kib = line.split_whitespace().nth(1).and_then(|number| number.parse::<f64>().ok());
    kib.expect("the process is there") * 1024.0
}
