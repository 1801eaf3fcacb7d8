//! One spelling per host name and URL.
//!
//! A URL changes up to the end of its authority only (RFC 3986 §6.2.2 and §6.2.3). Every byte behind it stays, because
//! servers and rules compare paths as they are.

use std::{
    borrow::Cow,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// The root's dot, and the characters that UTS 46 maps to a dot.
const DOTS: [char; 4] = ['.', '\u{3002}', '\u{ff0e}', '\u{ff61}'];

/// Log Analytics keeps 32 KB of a field, and a pattern may need two bytes for one of the value.
const LONGEST_URL: usize = 16_000;

/// A value that cannot be an indicator, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub Cow<'static, str>);

impl Malformed {
    pub fn because(reason: impl Into<Cow<'static, str>>) -> Self {
        Self(reason.into())
    }
}

/// What a host is to a browser (WHATWG URL, "host parsing").
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// In lower case, each label an A-label, without the root's dot.
    Name(String),
    Address(IpAddr),
}

/// A URL in its one spelling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    pub text: String,
    /// The host that a browser would connect to.
    pub host: Host,
}

/// Spells a host name, or recognises the address that stands in its place.
///
/// # Errors
/// A value that is no host name.
pub fn domain(value: &str) -> Result<Host, Malformed> {
    let value = value.trim().trim_end_matches(DOTS);
    let in_brackets = value.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    if let Ok(address) = in_brackets.unwrap_or(value).parse::<Ipv6Addr>() {
        return Ok(Host::Address(address.into()));
    }
    if let Ok(address) = value.parse::<Ipv4Addr>() {
        return Ok(Host::Address(address.into()));
    }
    // Only a URL's host is percent-encoded.
    if value.contains('%') {
        return Err(Malformed::because("not a domain name"));
    }
    match host(value)? {
        Host::Address(_) => Err(Malformed::because("a number in the place of a domain name")),
        name @ Host::Name(_) => Ok(name),
    }
}

/// Spells a URL.
///
/// # Errors
/// A value that is no URL, or has another scheme than `http`, `https` or `ftp`.
pub fn url(value: &str) -> Result<Url, Malformed> {
    let value = value.trim();
    if value.chars().any(char::is_control) {
        return Err(Malformed::because("a URL with control characters"));
    }
    if value.len() > LONGEST_URL {
        return Err(Malformed::because("a URL of more than 16,000 bytes"));
    }
    let (scheme, rest) =
        value.split_once("://").ok_or_else(|| Malformed::because("a URL without a scheme"))?;
    let scheme = scheme.to_ascii_lowercase();
    let default_port = match scheme.as_str() {
        "http" => 80,
        "https" => 443,
        "ftp" => 21,
        _ => return Err(Malformed::because("a URL whose scheme is not http, https or ftp")),
    };
    // Browsers end the authority at a backslash too.
    let (authority, path) = rest.split_at(rest.find(['/', '\\', '?', '#']).unwrap_or(rest.len()));
    let (user, place) = authority.split_at(authority.rfind('@').map_or(0, |at| at + 1));
    let end = place.rfind(']').map_or(0, |at| at + 1);
    let (name, port) = place.split_at(place[end..].find(':').map_or(place.len(), |at| end + at));
    let port = match port.trim_start_matches(':') {
        "" if port.len() <= 1 => None,
        digits if port.len() == digits.len() + 1 => Some(port_number(digits)?),
        _ => return Err(Malformed::because("a URL with an impossible port")),
    };
    let port = port.filter(|port| *port != default_port).map(|port| format!(":{port}")).unwrap_or_default();
    let name = name.trim_end_matches(DOTS);
    let host = host(name)?;
    let slash = if path.starts_with(['/', '\\']) { "" } else { "/" };
    let text = format!("{scheme}://{user}{}{port}{slash}{path}", spelt(name, &host));
    Ok(Url { text, host })
}

/// The text of a value that was written so that a click does not follow it: with dots and colons in brackets, and
/// `hxxp` in place of `http`.
pub fn refanged(text: &str) -> String {
    let text = text.trim().replace("[.]", ".").replace("[:]", ":").replace("[://]", "://");
    match text.get(..4).filter(|scheme| scheme.eq_ignore_ascii_case("hxxp")) {
        Some(_) if text.contains("://") => format!("http{}", &text[4..]),
        _ => text,
    }
}

fn port_number(digits: &str) -> Result<u16, Malformed> {
    let number = digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok());
    number.flatten().ok_or_else(|| Malformed::because("a URL with an impossible port"))
}

/// The text of a URL's host. An address keeps the form it has, be it decimal or hexadecimal, because logs show it so.
fn spelt<'a>(text: &str, host: &'a Host) -> Cow<'a, str> {
    match host {
        Host::Name(name) => name.into(),
        Host::Address(address) if !text.is_ascii() || text.contains('%') => address.to_string().into(),
        Host::Address(_) => text.to_ascii_lowercase().into(),
    }
}

/// Reads a host as a browser does, but takes only names that the DNS can hold: 253 octets, labels of 63 (RFC 1035
/// §2.3.4), of letters, digits, hyphens and, because they occur, underscores.
fn host(text: &str) -> Result<Host, Malformed> {
    let is_sound = |label: &str| {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        (1..=63).contains(&label.len()) && label.bytes().all(is_allowed)
    };
    match url::Host::parse(text) {
        Ok(url::Host::Ipv4(address)) => Ok(Host::Address(address.into())),
        Ok(url::Host::Ipv6(address)) => Ok(Host::Address(address.into())),
        Ok(url::Host::Domain(name)) if name.len() <= 253 && name.split('.').all(is_sound) => {
            Ok(Host::Name(name))
        }
        // An A-label that a browser takes for none is a label of the DNS all the same, and logs show it.
        Err(_)
            if text.is_ascii() && text.len() <= 253 && has_a_label(text) && text.split('.').all(is_sound) =>
        {
            Ok(Host::Name(text.to_ascii_lowercase()))
        }
        _ => Err(Malformed::because("not a host name")),
    }
}

/// Whether a label has the prefix of internationalised ones, in a name that cannot be taken for a number.
fn has_a_label(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let is_number = |label: &str| label.bytes().all(|byte| byte.is_ascii_digit());
    name.split('.').any(|label| label.starts_with("xn--")) && !name.rsplit('.').next().is_some_and(is_number)
}

/// The host of a URL that is in our spelling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostOf<'a> {
    Name(&'a str),
    Address(IpAddr),
}

/// The scheme of `url`, which is in our spelling, and what stands behind `://`.
pub fn split(url: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = url.split_once(':')?;
    Some((scheme, rest.strip_prefix("//")?))
}

/// The host with its port and what stands before it, of what stands behind `://`.
pub fn authority(rest: &str) -> &str {
    let end = rest.bytes().position(|byte| matches!(byte, b'/' | b'\\' | b'?' | b'#'));
    &rest[..end.unwrap_or(rest.len())]
}

/// The host of `url`, which [`url()`] spelt; `None`: it did not.
pub fn host_of(url: &str) -> Option<HostOf<'_>> {
    let authority = authority(split(url)?.1);
    let place = authority.rfind('@').map_or(authority, |at| &authority[at + 1..]);
    let end = place.rfind(']').map_or(0, |at| at + 1);
    let host = &place[..place[end..].find(':').map_or(place.len(), |at| end + at)];
    // Where the last label begins with a digit it may be an address, in any of its forms.
    let last = host.rsplit('.').next().unwrap_or_default();
    if end == 0 && !last.starts_with(|first: char| first.is_ascii_digit()) {
        return Some(HostOf::Name(host));
    }
    match self::host(host).ok()? {
        Host::Name(_) => Some(HostOf::Name(host)),
        Host::Address(address) => Some(HostOf::Address(address.to_canonical())),
    }
}

/// Spells a host name as earlier versions did.
pub fn legacy_domain(value: &str) -> Option<String> {
    let value = value.trim().trim_end_matches('.').to_lowercase();
    let is_sound = |label: &str| {
        let is_allowed = |character: char| character.is_alphanumeric() || matches!(character, '-' | '_');
        (1..=63).contains(&label.len()) && label.chars().all(is_allowed)
    };
    (value.len() <= 253 && value.split('.').all(is_sound)).then_some(value)
}

/// Spells a URL as earlier versions did.
pub fn legacy_url(value: &str) -> Option<String> {
    let value = value.trim();
    (!value.is_empty() && !value.chars().any(char::is_control)).then(|| value.to_owned())
}
