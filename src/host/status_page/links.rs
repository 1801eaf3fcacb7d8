//! The ways from one page to the others.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::{domain::report::is_run_id, host::invocation::HttpRequest};

/// Everything that is not unreserved (RFC 3986 §2.3).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Makes the addresses of links. A page that was opened with a function key in its address (`?code=`) hands the key on
/// with every link, because the host would answer 401 without it. A key from the header `x-functions-key` is not
/// looked at.
pub struct Links {
    key: Option<String>,
}

impl Links {
    pub fn of(request: &HttpRequest<'_>) -> Self {
        Self { key: request.query("code").map(str::to_owned) }
    }

    /// The function key of the page's address, which a form hands on.
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// All lanes and the newest passes.
    pub fn overview(&self) -> String {
        self.to(&[])
    }

    /// The same, which does not load itself again.
    pub fn still(&self) -> String {
        self.to(&[("refresh", "off")])
    }

    /// One pass. An id that no pass can have leads to all of them.
    pub fn run(&self, run_id: &str) -> String {
        if is_run_id(run_id) { self.to(&[("run", run_id)]) } else { self.overview() }
    }

    pub fn check(&self) -> String {
        self.to(&[("check", "true")])
    }

    /// The last comparison of two sources.
    pub fn comparison(&self) -> String {
        self.to(&[("compare", "true")])
    }

    /// What the last audits found.
    pub fn audit(&self) -> String {
        self.to(&[("audit", "true")])
    }

    pub fn runbook(&self, section: &str) -> String {
        self.to(&[("runbook", section)])
    }

    /// An address without a path is another query of the same page, whatever stands before it.
    fn to(&self, parameters: &[(&str, &str)]) -> String {
        let key = self.key.iter().map(|key| ("code", key.as_str()));
        let pairs = parameters.iter().copied().chain(key);
        let pairs = pairs.map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, RESERVED)));
        format!("?{}", pairs.collect::<Vec<_>>().join("&"))
    }
}

#[cfg(test)]
mod tests {
    use super::Links;

    #[test]
    fn the_key_travels_with_every_link() {
        let with = Links { key: Some("a+b/c==&run=x".to_owned()) };
        let key = "code=a%2Bb%2Fc%3D%3D%26run%3Dx";
        assert_eq!(with.run("20260302T1-0001"), format!("?run=20260302T1-0001&{key}"));
        for link in [
            with.overview(),
            with.still(),
            with.check(),
            with.comparison(),
            with.audit(),
            with.runbook("mandiant"),
        ] {
            assert!(link.ends_with(key), "a link without the key");
        }
        let without = Links { key: None };
        assert_eq!((without.overview(), without.check()), ("?".to_owned(), "?check=true".to_owned()));
    }
}
