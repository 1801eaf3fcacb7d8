//! A look-up among a million entries, and the memory that these take. The bounds are 200 ns and 60 MiB; more memory ends
//! the measurement, and the time is for criterion to tell.

#![allow(clippy::disallowed_methods, reason = "a process of its own measures each kind")]

use std::{hint::black_box, net::IpAddr};

use criterion::{Criterion, Throughput, criterion_group};
use mati_sync::domain::{
    exclusions::{Builder, Lists},
    observable::Observable,
};

const ENTRIES: usize = 1_000_000;
/// So many files have them: the text of one is read while the entries of those before are held.
const FILES: usize = 40;
/// Look-ups, so many that they are not all in the processor's caches.
const LOOKUPS: usize = 100_000;
const MIB: usize = 1024 * 1024;
const MOST: usize = 60 * MIB;

/// Spreads numbers, the same in every run.
fn spread(number: usize) -> u64 {
    let number = (number as u64).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (number ^ number >> 31).wrapping_mul(0xbf58_476d_1ce4_e5b9) ^ number >> 27
}

/// A line of a list, of the kind and the number.
type Line = fn(usize) -> String;

fn domain(number: usize) -> String {
    format!("w{:x}.own{:x}.example", spread(number) % 256, spread(number) >> 24)
}

fn url(number: usize) -> String {
    format!("https://w{:x}.example/{:x}", spread(number) >> 40, spread(number) % 4096)
}

fn v4(number: usize) -> String {
    format!("{}/30", std::net::Ipv4Addr::from_bits((spread(number) >> 32) as u32 & !3))
}

/// Addresses crowd in few ranges: nearly all begin alike, and a few otherwise.
fn v6(number: usize) -> String {
    let begin: u16 = if number.is_multiple_of(1000) { 0xfd00 } else { 0x2001 };
    format!(
        "{}/64",
        std::net::Ipv6Addr::from_bits(u128::from(begin) << 112 | u128::from(spread(number)) << 48)
    )
}

fn digest(number: usize) -> String {
    (0..4).map(|part| format!("{:016x}", spread(4 * number + part))).collect()
}

fn mixed(number: usize) -> String {
    let line: Line = match number % 20 {
        0..9 => domain,
        9..13 => url,
        13..16 => v4,
        16 => v6,
        _ => digest,
    };
    line(number)
}

/// What may be looked up: the entry's own value; of a range its first address.
fn value(line: &str) -> Observable {
    let address = line.split('/').next().filter(|text| text.parse::<IpAddr>().is_ok());
    Observable::of_text(address.unwrap_or(line)).expect("a value")
}

/// Bytes of memory that the process holds (proc(5): the second number of statm, in pages).
fn resident() -> usize {
    let numbers = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: Option<usize> = numbers.split(' ').nth(1).and_then(|pages| pages.parse().ok());
    pages.unwrap_or_default() * 4096
}

fn lists(line: Line) -> Lists {
    let mut builder = Builder::default();
    for part in 0..FILES {
        let numbers = part * ENTRIES / FILES..(part + 1) * ENTRIES / FILES;
        let text: String = numbers.map(|number| line(number) + "\n").collect();
        builder.file(&format!("{part}.txt"), text.as_bytes()).expect("a list");
    }
    builder.build().expect("lists")
}

const KINDS: [(&str, Line); 6] = [
    ("IPv6 ranges", v6),
    ("IPv4 ranges", v4),
    ("names", domain),
    ("URLs", url),
    ("SHA-256 digests", digest),
    ("mixed", mixed),
];

/// Names the kind whose memory a process of its own measures: in one that built other lists before, their memory is used
/// again.
const MEASURED: &str = "EXCLUSIONS_MEASURED";

/// What lists of one kind take.
fn memory(kind: &str) -> usize {
    let program = std::env::current_exe().expect("our own path");
    let output = std::process::Command::new(program).env(MEASURED, kind).output().expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().parse().unwrap_or_else(|_| panic!("{kind}: {text}"))
}

fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("look-up among a million entries");
    group.throughput(Throughput::Elements(LOOKUPS as u64));
    for (kind, line) in KINDS {
        let (lists, memory) = (lists(line), memory(kind));
        println!("{kind}: {} MiB", memory / MIB);
        assert!(memory < MOST, "{kind}: more than {} MiB", MOST / MIB);
        // One of ten is excluded; the others are only like those that are.
        let place = |number: usize| if number.is_multiple_of(10) { number * 9 } else { ENTRIES + number };
        let values: Vec<Observable> = (0..LOOKUPS).map(|number| value(&line(place(number)))).collect();
        let found = values.iter().filter(|value| lists.find(value).is_some()).count();
        assert!((LOOKUPS / 10..LOOKUPS / 5).contains(&found), "{kind}: {found} were found");
        group.bench_function(kind, |bencher| {
            bencher.iter(|| values.iter().filter(|value| lists.find(black_box(value)).is_some()).count());
        });
    }
    group.finish();
}

criterion_group!(benches, bench);

fn main() {
    let measured = std::env::var(MEASURED).ok();
    let Some((_, line)) = KINDS.into_iter().find(|(kind, _)| measured.as_deref() == Some(*kind)) else {
        benches();
        return Criterion::default().configure_from_args().final_summary();
    };
    let before = resident();
    let lists = black_box(lists(line));
    println!("{}", resident().saturating_sub(before));
    drop(lists);
}
