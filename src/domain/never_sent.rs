//! Values that must reach no destination, because a rule on them would hit the user's own network or everybody.
//!
//! Documentation addresses and names (`192.0.2.1`, `.example`, `.test`, `.invalid`) pass: they belong to no one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use psl::Psl as _;

use super::spelling::{Host, Malformed};

/// IPv4 ranges that no host on the internet has (RFC 6890 and the IANA IPv4 Special-Purpose Address Registry).
const LOCAL_IPV4: [(Ipv4Addr, u32, &str); 12] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8, "an address of \"this network\" (RFC 791)"),
    (Ipv4Addr::new(10, 0, 0, 0), 8, "a private address (RFC 1918)"),
    (Ipv4Addr::new(100, 64, 0, 0), 10, "a shared address of carriers (RFC 6598)"),
    (Ipv4Addr::new(127, 0, 0, 0), 8, "a loopback address (RFC 1122)"),
    (Ipv4Addr::new(169, 254, 0, 0), 16, "a link-local address (RFC 3927)"),
    (Ipv4Addr::new(172, 16, 0, 0), 12, "a private address (RFC 1918)"),
    (Ipv4Addr::new(192, 0, 0, 0), 24, "an address of IETF protocols (RFC 6890)"),
    (Ipv4Addr::new(192, 88, 99, 2), 32, "an address of 6a44 relays (RFC 6751)"),
    (Ipv4Addr::new(192, 168, 0, 0), 16, "a private address (RFC 1918)"),
    (Ipv4Addr::new(198, 18, 0, 0), 15, "an address for benchmarks (RFC 2544)"),
    (Ipv4Addr::new(224, 0, 0, 0), 4, "a multicast address (RFC 1112)"),
    (Ipv4Addr::new(240, 0, 0, 0), 4, "a reserved address (RFC 1112)"),
];

/// Anycast addresses in 192.0.0.0/24 that are reachable all the same (RFC 7723, RFC 8155).
const GLOBAL_IPV4: [Ipv4Addr; 2] = [Ipv4Addr::new(192, 0, 0, 9), Ipv4Addr::new(192, 0, 0, 10)];

/// IPv6 ranges of 2001::/23 that are reachable (IANA IPv6 Special-Purpose Address Registry); the rest of it is for
/// protocols and benchmarks.
const GLOBAL_PROTOCOLS: [(Ipv6Addr, u32); 7] = [
    (Ipv6Addr::new(0x2001, 1, 0, 0, 0, 0, 0, 1), 128),
    (Ipv6Addr::new(0x2001, 1, 0, 0, 0, 0, 0, 2), 128),
    (Ipv6Addr::new(0x2001, 1, 0, 0, 0, 0, 0, 3), 128),
    (Ipv6Addr::new(0x2001, 3, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0x2001, 4, 0x112, 0, 0, 0, 0, 0), 48),
    (Ipv6Addr::new(0x2001, 0x20, 0, 0, 0, 0, 0, 0), 28),
    (Ipv6Addr::new(0x2001, 0x30, 0, 0, 0, 0, 0, 0), 28),
];

/// Names that resolve inside a network only: RFC 6761 §6.3, RFC 6762 with its appendix G, RFC 8375, ICANN's reservation
/// of `.internal`, and `localdomain`, which systems give themselves.
const LOCAL_NAMES: [&str; 10] = [
    "localhost",
    "localdomain",
    "local",
    "internal",
    "home.arpa",
    "lan",
    "corp",
    "home",
    "intranet",
    "private",
];

/// Which part of the Public Suffix List counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suffixes {
    /// ICANN's and the private section: a rule on the name `github.io` would hit every page below it.
    All,
    /// ICANN's section: a URL on `github.io` itself hits no other site.
    Icann,
}

/// Rejects a host that is local or absurd.
///
/// # Errors
/// Why it is.
pub fn judge(host: &Host, suffixes: Suffixes) -> Result<(), Malformed> {
    match host {
        Host::Name(name) => judge_name(name, suffixes),
        Host::Address(address) => judge_address(*address),
    }
}

/// Rejects an address that no host on the internet has.
///
/// # Errors
/// Why it has none.
pub fn judge_address(address: IpAddr) -> Result<(), Malformed> {
    match address {
        IpAddr::V4(address) => judge_ipv4(address),
        IpAddr::V6(address) => judge_ipv6(address),
    }
}

fn judge_ipv4(address: Ipv4Addr) -> Result<(), Malformed> {
    let is_within = |range: Ipv4Addr, bits: u32| (address.to_bits() ^ range.to_bits()) >> (32 - bits) == 0;
    let local = LOCAL_IPV4.iter().find(|(range, bits, _)| is_within(*range, *bits));
    match local {
        Some((_, _, reason)) if !GLOBAL_IPV4.contains(&address) => Err(Malformed::because(*reason)),
        _ => Ok(()),
    }
}

fn judge_ipv6(address: Ipv6Addr) -> Result<(), Malformed> {
    let is_within = |range: Ipv6Addr, bits: u32| (address.to_bits() ^ range.to_bits()) >> (128 - bits) == 0;
    if let Some(embedded) = embedded(address) {
        return embedded.into_iter().try_for_each(judge_ipv4);
    }
    // RFC 4291 §2.4 and IANA's registry: nothing else is assigned as global unicast.
    if !is_within(Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3) {
        return Err(Malformed::because(
            "a loopback, link-local, site-local, unique local, multicast or unassigned address (RFC 4291)",
        ));
    }
    let is_protocol = is_within(Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23);
    if is_protocol && !GLOBAL_PROTOCOLS.iter().any(|(range, bits)| is_within(*range, *bits)) {
        return Err(Malformed::because("an address of IETF protocols (RFC 2928)"));
    }
    Ok(())
}

/// The IPv4 addresses that an address of a transition mechanism leads to: mapped (RFC 4291 §2.5.5.2), NAT64 (RFC 6052),
/// 6to4 (RFC 3056), and Teredo's server and client (RFC 4380 §4).
fn embedded(address: Ipv6Addr) -> Option<Vec<Ipv4Addr>> {
    let ipv4 = |high: u16, low: u16| Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low));
    match address.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => Some(vec![ipv4(high, low)]),
        [0x2001, 0, high, low, _, _, client_high, client_low] => {
            Some(vec![ipv4(high, low), ipv4(!client_high, !client_low)])
        }
        _ => None,
    }
}

/// Rejects a name that is local or absurd.
///
/// # Errors
/// Why it is.
pub fn judge_name(name: &str, suffixes: Suffixes) -> Result<(), Malformed> {
    let is_below =
        |local: &&str| name.strip_suffix(*local).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    if LOCAL_NAMES.iter().any(is_below) {
        return Err(Malformed::because("a name of a local network"));
    }
    if !name.contains('.') {
        return Err(Malformed::because("a name of a single label"));
    }
    match psl::List.suffix(name.as_bytes()) {
        Some(suffix) if suffix.as_bytes() == name.as_bytes() => match (suffix.typ(), suffixes) {
            (Some(psl::Type::Icann), _) | (Some(psl::Type::Private), Suffixes::All) => Err(
                Malformed::because("a public suffix, below which anybody registers names (publicsuffix.org)"),
            ),
            _ => Ok(()),
        },
        _ => Ok(()),
    }
}
