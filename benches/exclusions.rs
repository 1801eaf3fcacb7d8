//! A look-up among a million entries, and the memory that these take. The bounds are 200 ns and 60 MiB; more memory ends
//! the measurement, and the time is for criterion to tell.

use std::{hint::black_box, net::IpAddr};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use mati_sync::domain::{
    exclusions::{Builder, Lists},
    observable::Observable,
};

const ENTRIES: usize = 1_000_000;
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

fn v6(number: usize) -> String {
    format!(
        "{}/64",
        std::net::Ipv6Addr::from_bits(u128::from(0x2001_u16) << 112 | u128::from(spread(number)) << 48)
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
    for part in 0..10 {
        let numbers = part * ENTRIES / 10..(part + 1) * ENTRIES / 10;
        let text: String = numbers.map(|number| line(number) + "\n").collect();
        builder.file(&format!("{part}.txt"), text.as_bytes()).expect("a list");
    }
    builder.build().expect("lists")
}

fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("look-up among a million entries");
    group.throughput(Throughput::Elements(LOOKUPS as u64));
    let kinds: [(&str, Line); 6] = [
        ("names", domain),
        ("URLs", url),
        ("IPv4 ranges", v4),
        ("IPv6 ranges", v6),
        ("SHA-256 digests", digest),
        ("mixed", mixed),
    ];
    for (kind, line) in kinds {
        let before = resident();
        let lists = lists(line);
        let memory = resident().saturating_sub(before);
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
criterion_main!(benches);
