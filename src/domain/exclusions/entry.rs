//! One entry of a list, in our spelling.

use std::net::IpAddr;

use super::{prefixes::Prefix, types::Types};
use crate::domain::{
    observable::HashType,
    spelling::{self, Host},
};

/// Addresses from the first to the last, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Range {
    V4(u32, u32),
    V6(u128, u128),
}

/// What an entry excludes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// A host name: `itself`, and what is `below` it.
    Name {
        name: String,
        itself: bool,
        below: bool,
    },
    Range(Range),
    /// Every URL that begins so.
    Prefix(Prefix),
    /// This URL alone.
    ExactUrl(String),
    /// The digest's bytes.
    Digest(Vec<u8>),
    /// Every value that has it anywhere, in upper or lower case.
    Substring(String),
    /// Every value in which it matches.
    Regex(String),
}

/// An entry and what it binds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Parsed {
    pub entry: Entry,
    pub types: Types,
}

/// The bytes of a digest of one of the three kinds, if `text` is one.
pub(super) fn bytes(text: &str) -> Option<Vec<u8>> {
    let is_digest = HashType::ALL.iter().any(|hash_type| hash_type.digits() == text.len());
    let is_hexadecimal = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    (is_digest && is_hexadecimal).then(|| decoded(text, &mut [0; LONGEST_DIGEST]).to_vec())
}

/// Bytes of a SHA-256.
pub(super) const LONGEST_DIGEST: usize = 32;

/// The bytes that pairs of hexadecimal digits stand for, decoded into `space`; what does not fit is left out.
pub(super) fn decoded<'a>(digits: &str, space: &'a mut [u8; LONGEST_DIGEST]) -> &'a [u8] {
    // The letters' low bits begin at 1, in either case, and they alone have this bit.
    let value = |digit: u8| (digit & 0xf) + 9 * (digit >> 6 & 1);
    let (pairs, _) = digits.as_bytes().as_chunks::<2>();
    for (byte, [high, low]) in space.iter_mut().zip(pairs) {
        *byte = value(*high) << 4 | value(*low);
    }
    &space[..pairs.len().min(LONGEST_DIGEST)]
}

/// One address, or a range: with the length of its prefix, or from one address to another. `None`: it is neither.
///
/// # Errors
/// It begins as a range does, and is none.
pub(super) fn range(text: &str) -> Option<Result<Range, String>> {
    let address = |text: &str| {
        let text = text.trim();
        let inner = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        inner.unwrap_or(text).parse::<IpAddr>().ok()
    };
    if let Some(address) = address(text) {
        return Some(Ok(of(address, address)));
    }
    if let Some((first, length)) = text.split_once('/') {
        let first = address(first)?;
        // Anything else behind an address and a slash is the path of a URL.
        let is_number = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
        return is_number.then(|| prefixed(first, length));
    }
    let (first, last) = text.split_once('-')?;
    let (first, last) = (address(first)?, address(last)?);
    let is_range = first.is_ipv4() == last.is_ipv4() && first <= last;
    Some(is_range.then(|| of(first, last)).ok_or_else(|| {
        format!("{text:?} is no range: it must lead from an address to a later one of the same kind")
    }))
}

fn prefixed(address: IpAddr, length: &str) -> Result<Range, String> {
    let bits = if address.is_ipv4() { 32 } else { 128 };
    let length = length.parse().ok().filter(|length| *length <= bits);
    let length: u32 = length.ok_or_else(|| format!("a range of {address} has a length from 0 to {bits}"))?;
    Ok(match address {
        IpAddr::V4(address) => {
            let host = u32::MAX.checked_shr(length).unwrap_or(0);
            Range::V4(address.to_bits() & !host, address.to_bits() | host)
        }
        IpAddr::V6(address) => {
            let host = u128::MAX.checked_shr(length).unwrap_or(0);
            let (first, last) = (address.to_bits() & !host, address.to_bits() | host);
            of(IpAddr::V6(first.into()), IpAddr::V6(last.into()))
        }
    })
}

/// The range between two addresses of one kind. One of mapped addresses is one of IPv4, as which we know them.
fn of(first: IpAddr, last: IpAddr) -> Range {
    match (first.to_canonical(), last.to_canonical()) {
        (IpAddr::V4(first), IpAddr::V4(last)) => Range::V4(first.to_bits(), last.to_bits()),
        _ => match (first, last) {
            (IpAddr::V6(first), IpAddr::V6(last)) => Range::V6(first.to_bits(), last.to_bits()),
            _ => unreachable!("both are of one kind"),
        },
    }
}

/// The name of a host in our spelling.
///
/// # Errors
/// It is none.
pub(super) fn name(text: &str) -> Result<String, String> {
    match spelling::domain(text) {
        Ok(Host::Name(name)) => Ok(name),
        Ok(Host::Address(_)) => Err(format!("{text:?} is no host name")),
        Err(malformed) => Err(format!("{text:?} is {malformed}")),
    }
}
