//! The gate: which executables start on any host, read from this test's own executable and from forgeries of it.

#![cfg(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu"))]

use std::{fs, process::Command};

use package_function::linkage::{Glibc, Linkage, OLDEST_GLIBC};

fn own() -> Vec<u8> {
    fs::read(std::env::current_exe().unwrap()).unwrap()
}

/// The executable with `from` replaced by `to`, wherever it stands.
fn forged(from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut bytes = own();
    let places: Vec<usize> = bytes
        .windows(from.len())
        .enumerate()
        .filter(|(_, window)| *window == from)
        .map(|(at, _)| at)
        .collect();
    assert!(!places.is_empty());
    for at in places {
        bytes[at..at + to.len()].copy_from_slice(to);
    }
    bytes
}

fn rejection(executable: &[u8]) -> String {
    format!("{:#}", Linkage::read(executable).unwrap_err())
}

fn glibc(text: &str) -> Glibc {
    text.parse().unwrap()
}

#[test]
fn an_executable_needs_the_newest_of_the_versions_it_names() {
    let Linkage::Dynamic(needed) = Linkage::read(&own()).unwrap() else { panic!("tests are dynamic") };
    assert!(needed >= glibc("2.2.5"), "{needed}: what x86-64 began with");
    let linkage = Linkage::Dynamic(needed);
    linkage.check(needed).unwrap();
    let older = Glibc { minor: needed.minor - 1, ..needed };
    let rejection = linkage.check(older).unwrap_err().to_string();
    assert!(rejection.contains(&needed.to_string()) && rejection.contains(&older.to_string()), "{rejection}");
}

/// Binutils read the same file.
#[test]
fn objdump_says_the_same() {
    let output = Command::new("objdump").arg("-p").arg(std::env::current_exe().unwrap()).output();
    let output = output.unwrap_or_else(|error| {
        panic!(
            "`objdump` is missing ({error}). This test compares our reading of an executable with that of GNU binutils. \
             Install them, on Debian and Ubuntu with `apt-get install binutils`."
        )
    });
    let text = String::from_utf8_lossy(&output.stdout);
    let named = text.split_whitespace().filter_map(|word| word.strip_prefix("GLIBC_"));
    let highest = named.map(glibc).max().unwrap();
    assert_eq!(Linkage::read(&own()).unwrap(), Linkage::Dynamic(highest));
}

#[test]
fn versions_are_numbers_and_not_texts() {
    assert!(glibc("2.4") < glibc("2.28") && glibc("2.28") < OLDEST_GLIBC && OLDEST_GLIBC < glibc("2.34"));
    assert_eq!(glibc("2.2.5"), glibc("2.2"));
    for text in ["PRIVATE", "ABI_DT_RELR", "2", ""] {
        assert!(text.parse::<Glibc>().is_err(), "{text}");
    }
}

/// Without a loader nothing is loaded beside it.
#[test]
fn a_static_executable_needs_nothing() {
    let mut bytes = own();
    let number = |at: usize| usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]));
    // From ELF's header: where the program headers begin (by now always 64), how long each is, how many there are.
    let (begin, length, count) = (bytes[32] as usize, number(54), number(56));
    const INTERPRETER: u8 = 3;
    let header = (0..count).map(|index| begin + index * length).find(|at| bytes[*at] == INTERPRETER).unwrap();
    bytes[header] = 0;
    let linkage = Linkage::read(&bytes).unwrap();
    assert_eq!(linkage, Linkage::Static);
    linkage.check(OLDEST_GLIBC).unwrap();
}

#[test]
fn what_would_not_start_at_all_is_rejected() {
    let musl = forged(b"/lib64/ld-linux-x86-64.so.2", b"/lib64/ld-musl-x86_64.so.12");
    assert!(rejection(&musl).contains("ld-musl"), "{}", rejection(&musl));
    let mut other_machine = own();
    // 183 is 64-bit ARM.
    other_machine[18] = 183;
    assert!(rejection(&other_machine).contains("x86-64"));
    assert!(rejection(b"#!/bin/sh\n").contains("not an executable"));
    assert!(rejection(&own()[..200]).len() > 10);
}
