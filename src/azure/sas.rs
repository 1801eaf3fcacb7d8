//! Storage by connection string: endpoint, and a shared access signature of our own making.
//!
//! The SDK knows no shared keys, so a connection string's key signs an account SAS, which travels in the
//! query of every URL. For emulators and for apps whose host storage is configured by key; with a managed
//! identity none of this is used.

use std::net::IpAddr;

use azure_core::{credentials::Secret, hmac::hmac_sha256, http::Url};
use chrono::{DateTime, TimeDelta, Utc};
use secrecy::{ExposeSecret, SecretString};

/// The emulator's well-known account and key (learn.microsoft.com, "Use the Azurite emulator"); not a secret.
const DEVELOPMENT: &str = "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey=Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==;BlobEndpoint=http://127.0.0.1:10000/devstoreaccount1;QueueEndpoint=http://127.0.0.1:10001/devstoreaccount1";

/// A parsed connection string.
#[derive(Clone, Debug)]
pub struct ConnectionString {
    /// Of the blob service, with the account in its path where an emulator wants it.
    pub blob_endpoint: Url,
    /// Of the queue service, if the string tells where that is.
    pub queue_endpoint: Option<Url>,
    authorization: Authorization,
}

#[derive(Clone, Debug)]
enum Authorization {
    Key { account: String, key: SecretString },
    Signature(SecretString),
}

impl ConnectionString {
    /// Parses the value of `AzureWebJobsStorage`.
    ///
    /// # Errors
    /// What is missing; never the value itself.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = if text.trim() == "UseDevelopmentStorage=true" { DEVELOPMENT } else { text };
        let part = |name: &str| {
            text.split(';')
                .filter_map(|part| part.split_once('='))
                .find(|(key, _)| key.trim().eq_ignore_ascii_case(name))
                .map(|(_, value)| value.trim())
                .filter(|value| !value.is_empty())
        };
        let account = part("AccountName");
        let endpoint = |given: Option<&str>, service: &str| match (given, account) {
            (Some(endpoint), _) => Some(endpoint.to_owned()),
            (None, Some(account)) => Some(format!(
                "{}://{account}.{service}.{}",
                part("DefaultEndpointsProtocol").unwrap_or("https"),
                part("EndpointSuffix").unwrap_or("core.windows.net")
            )),
            (None, None) => None,
        };
        let blob_endpoint = endpoint(part("BlobEndpoint"), "blob")
            .ok_or_else(|| "it names neither BlobEndpoint nor AccountName".to_owned())?;
        let blob_endpoint =
            Url::parse(&blob_endpoint).map_err(|_| "its BlobEndpoint is not a URL".to_owned())?;
        // An emulator's blob service says nothing of where its queues are.
        let is_elsewhere = part("BlobEndpoint").is_some() && is_loopback(&blob_endpoint);
        let queue_endpoint = match part("QueueEndpoint") {
            None if is_elsewhere => None,
            given => endpoint(given, "queue").and_then(|endpoint| Url::parse(&endpoint).ok()),
        };
        let authorization = match (part("SharedAccessSignature"), account, part("AccountKey")) {
            (Some(signature), _, _) => {
                Authorization::Signature(SecretString::from(signature.trim_start_matches('?')))
            }
            (None, Some(account), Some(key)) => {
                Authorization::Key { account: account.to_owned(), key: SecretString::from(key) }
            }
            _ => return Err("it holds neither AccountKey nor SharedAccessSignature".to_owned()),
        };
        Ok(Self { blob_endpoint, queue_endpoint, authorization })
    }

    /// Returns the endpoint with a signature good for an hour in its query; clients made from it keep the query.
    ///
    /// A URL is plain text, and the SDK's clients take a signature in no other form. They live for one invocation.
    ///
    /// # Errors
    /// A key that is not base64.
    pub fn signed_endpoint(&self, now: DateTime<Utc>) -> Result<Url, String> {
        self.signed(self.blob_endpoint.clone(), &BLOBS, now)
    }

    /// The same of the queue service; `None` where the string does not tell where that is.
    ///
    /// # Errors
    /// As [`ConnectionString::signed_endpoint`].
    pub fn signed_queues(&self, now: DateTime<Utc>) -> Option<Result<Url, String>> {
        Some(self.signed(self.queue_endpoint.clone()?, &QUEUES, now))
    }

    /// Whether a signature that was given, and that we cannot change, leaves queues out.
    pub fn leaves_out_queues(&self) -> bool {
        let Authorization::Signature(signature) = &self.authorization else { return false };
        let mut parts = signature.expose_secret().split('&').filter_map(|part| part.split_once('='));
        parts.any(|(name, services)| name == "ss" && !services.contains('q'))
    }

    fn signed(&self, mut url: Url, scope: &Scope, now: DateTime<Utc>) -> Result<Url, String> {
        match &self.authorization {
            Authorization::Signature(signature) => url.set_query(Some(signature.expose_secret())),
            Authorization::Key { account, key } => sign(&mut url, account, key, scope, now)?,
        }
        Ok(url)
    }
}

/// What a signature permits.
struct Scope {
    permissions: &'static str,
    services: &'static str,
    resources: &'static str,
}

const BLOBS: Scope = Scope { permissions: "rwdlac", services: "b", resources: "sco" };
/// To put messages, to make the queue for them, to look at what lies there, and to delete what a check put.
const QUEUES: Scope = Scope { permissions: "rdacp", services: "q", resources: "co" };

/// Whether `url` leads to this machine, as an emulator's does.
fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

/// An account SAS (learn.microsoft.com, "Create an account SAS": string-to-sign of version 2020-12-06 and later).
fn sign(
    url: &mut Url,
    account: &str,
    key: &SecretString,
    scope: &Scope,
    now: DateTime<Utc>,
) -> Result<(), String> {
    const VERSION: &str = "2025-11-05";
    let stamp = |time: DateTime<Utc>| time.format("%Y-%m-%dT%H:%M:%SZ").to_string();
    // The storage's clock may be a little behind ours.
    let (start, end) = (stamp(now - TimeDelta::minutes(15)), stamp(now + TimeDelta::hours(1)));
    // Only an emulator on this machine speaks plain http.
    let protocols = if is_loopback(url) { "https,http" } else { "https" };
    let Scope { permissions, services, resources } = scope;
    let to_sign = format!(
        "{account}\n{permissions}\n{services}\n{resources}\n{start}\n{end}\n\n{protocols}\n{VERSION}\n\n"
    );
    // Signing needs the SDK's own type, which does not clear itself; the copy lasts no longer than this.
    let key = Secret::from(key.expose_secret().to_owned());
    let signature = hmac_sha256(&to_sign, &key).map_err(|_| "its AccountKey is not base64".to_owned())?;
    url.query_pairs_mut()
        .append_pair("sv", VERSION)
        .append_pair("ss", services)
        .append_pair("srt", resources)
        .append_pair("sp", permissions)
        .append_pair("st", &start)
        .append_pair("se", &end)
        .append_pair("spr", protocols)
        .append_pair("sig", &signature);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_a_host_writes() {
        let endpoint =
            |text: &str| ConnectionString::parse(text).map(|parsed| parsed.blob_endpoint.to_string());
        assert_eq!(
            endpoint("UseDevelopmentStorage=true").unwrap(),
            "http://127.0.0.1:10000/devstoreaccount1"
        );
        assert_eq!(
            endpoint("DefaultEndpointsProtocol=https;AccountName=a;AccountKey=aGk=;EndpointSuffix=core.usgovcloudapi.net").unwrap(),
            "https://a.blob.core.usgovcloudapi.net/"
        );
        assert_eq!(
            endpoint("BlobEndpoint=https://a.blob.core.windows.net/;SharedAccessSignature=sv=1&sig=x")
                .unwrap(),
            "https://a.blob.core.windows.net/"
        );
        assert!(endpoint("AccountName=a").unwrap_err().contains("AccountKey"));
        assert!(endpoint("nonsense").unwrap_err().contains("AccountName"));
    }

    #[test]
    fn where_the_queues_are_and_whether_a_signature_covers_them() {
        let queues = |text: &str| {
            let parsed = ConnectionString::parse(text).unwrap();
            (parsed.queue_endpoint.as_ref().map(ToString::to_string), parsed.leaves_out_queues())
        };
        let found = |url: &str| (Some(url.to_owned()), false);
        assert_eq!(queues("UseDevelopmentStorage=true"), found("http://127.0.0.1:10001/devstoreaccount1"));
        assert_eq!(queues("AccountName=a;AccountKey=aGk="), found("https://a.queue.core.windows.net/"));
        let both = "BlobEndpoint=https://a.blob.core.windows.net/;QueueEndpoint=https://a.queue.core.windows.net/;SharedAccessSignature=";
        assert_eq!(queues(&format!("{both}sv=1&ss=bfqt&sig=x")), found("https://a.queue.core.windows.net/"));
        assert!(queues(&format!("{both}sv=1&ss=b&sig=x")).1);
        assert_eq!(
            queues("BlobEndpoint=https://a.blob.core.windows.net/;SharedAccessSignature=x"),
            (None, false)
        );
        // The emulator of another test, which has blobs alone.
        assert_eq!(
            queues("BlobEndpoint=http://127.0.0.1:4711/a;AccountName=a;AccountKey=aGk="),
            (None, false)
        );
        let url = ConnectionString::parse("AccountName=a;AccountKey=aGk=").unwrap();
        let url = url.signed_queues("2026-01-02T03:04:05Z".parse().unwrap()).unwrap().unwrap();
        let part =
            |name: &str| url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
        assert_eq!(
            (part("ss"), part("sp"), part("srt")),
            (Some("q".into()), Some("rdacp".into()), Some("co".into()))
        );
    }

    #[test]
    fn a_signature_lasts_an_hour_and_asks_for_https_outside_this_machine() {
        let now = "2026-01-02T03:04:05Z".parse().unwrap();
        let signed = |endpoint: &str| {
            let text = format!("BlobEndpoint={endpoint};AccountName=a;AccountKey=aGk=");
            let url = ConnectionString::parse(&text).unwrap().signed_endpoint(now).unwrap();
            let part = |name: &str| {
                url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned()).unwrap()
            };
            (part("spr"), part("se"))
        };
        let until = "2026-01-02T04:04:05Z".to_owned();
        for outside in
            ["https://a.blob.core.windows.net", "https://10.0.0.1/a", "https://localhost.example.org"]
        {
            assert_eq!(signed(outside), ("https".to_owned(), until.clone()), "{outside}");
        }
        for here in ["http://127.0.0.1:10000/a", "http://[::1]:10000/a", "https://localhost:10000/a"] {
            assert_eq!(signed(here), ("https,http".to_owned(), until.clone()), "{here}");
        }
    }

    #[test]
    fn a_key_never_shows() {
        let parsed = ConnectionString::parse("AccountName=a;AccountKey=c2VjcmV0").unwrap();
        assert!(!format!("{parsed:?}").contains("c2VjcmV0"));
    }
}
