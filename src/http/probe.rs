//! A connection to try, for `check`.

use futures::{FutureExt, future::BoxFuture};

use super::{
    retry::RetryError,
    transport::Answer,
    unexpected::{page_for_people, redirect, redirected, rejected_in_between},
};
use crate::domain::problem::Problem;

/// One connection to try, without changing anything that counts.
pub struct Probe<'a> {
    /// What is checked.
    pub name: String,
    /// What is tried, as a sentence in the past.
    pub tried: String,
    /// What it showed, or the problem.
    pub attempt: BoxFuture<'a, Result<String, RetryError<Problem>>>,
    /// False: the attempt only says why this cannot be shown without changing something.
    pub proves: bool,
}

impl<'a> Probe<'a> {
    pub fn new(
        name: impl Into<String>,
        tried: impl Into<String>,
        attempt: impl Future<Output = Result<String, RetryError<Problem>>> + Send + 'a,
    ) -> Self {
        Self { name: name.into(), tried: tried.into(), attempt: attempt.boxed(), proves: true }
    }

    /// What cannot be shown without changing something, and why.
    pub fn unproven(name: impl Into<String>, tried: impl Into<String>, why: String) -> Self {
        Self { proves: false, ..Self::new(name, tried, std::future::ready(Ok(why))) }
    }
}

/// Whether `answer` to a request without credentials is the host's own. Any status proves that requests reach it; what a
/// proxy, a firewall or a sign-in page says in its place proves the opposite.
///
/// # Errors
/// Who answered instead, and what to do.
pub fn reached(answer: &Answer, service: &str, settings: &str) -> Result<(), String> {
    let status = answer.status.as_u16();
    if let Some(target) = redirect(answer) {
        return Err(format!("{service} {}", redirected(status, &target, settings)));
    }
    let page = page_for_people(answer);
    let is_foreign = match status {
        407 | 511 => true,
        // Pages with these come from something that stands before the service; a service's own are JSON.
        200..=299 | 401 | 403 | 502..=504 => page.is_some(),
        _ => false,
    };
    // Squid says so itself, and RFC 9209 has a header for it.
    let says_so = answer.headers.contains_key("x-squid-error")
        || answer
            .headers
            .get("proxy-status")
            .is_some_and(|told| told.to_str().is_ok_and(|told| told.to_ascii_lowercase().contains("error")));
    if is_foreign || says_so {
        let page = page.unwrap_or_else(|| "nothing that could be shown".to_owned());
        return Err(rejected_in_between(status, service, &page, settings));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use axum::{
        body::Bytes,
        http::{HeaderMap, StatusCode},
    };

    use super::*;

    fn told(status: u16, headers: &[(&'static str, &str)], body: &'static str) -> Result<(), String> {
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        let answer = Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers: HeaderMap::from_iter(headers),
            body: Bytes::from_static(body.as_bytes()),
        };
        reached(&answer, "Sentinel", "SENTINEL_BASE_URL")
    }

    #[test]
    fn any_answer_of_the_host_proves_the_way_and_a_proxy_s_own_does_not() {
        for (status, body) in [
            (200, ""),
            (401, r#"{"statusCode":401,"message":"no token"}"#),
            (403, ""),
            (404, r#"{"statusCode":404,"message":"Resource not found"}"#),
            (404, "<html>404 - File or directory not found.</html>"),
            (405, ""),
            (429, "busy"),
            (500, "<html>oops</html>"),
            (503, ""),
        ] {
            assert_eq!(told(status, &[], body), Ok(()), "{status} {body}");
        }
        for (status, headers, body) in [
            (407, &[][..], ""),
            (511, &[], ""),
            (403, &[], "<html>blocked by policy</html>"),
            (401, &[], "<html>sign in</html>"),
            (200, &[], "<html>Welcome to the guest network</html>"),
            (502, &[], "<html>Bad Gateway</html>"),
            (503, &[("x-squid-error", "ERR_CONNECT_FAIL 111")], ""),
            (502, &[("proxy-status", "gate; error=connection_refused")], ""),
        ] {
            let told = told(status, headers, body).unwrap_err();
            assert!(told.contains("An intermediary between here and Sentinel"), "{told}");
        }
        let told = told(302, &[("location", "https://login.example/?x")], "").unwrap_err();
        assert!(told.contains("leads elsewhere (302, to https://login.example/)"), "{told}");
    }
}
