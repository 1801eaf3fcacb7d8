//! An object of ours as a row of `ThreatIntelIndicators`, and what the rules read of it.

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::rules::{Event, Met};
use crate::harness::stix;

/// A row, with the columns that rules read.
#[derive(Clone, Debug)]
pub struct Row {
    pub time_generated: DateTime<Utc>,
    pub observable_key: String,
    pub observable_value: String,
    pub is_active: bool,
    pub valid_until: DateTime<Utc>,
    /// The object itself.
    pub data: Value,
}

impl Row {
    /// What Sentinel makes of `object`, which it took at `at`.
    pub fn of(object: &Value, at: DateTime<Utc>) -> Self {
        let (observable_key, observable_value) =
            stix::pattern(object["pattern"].as_str().expect("a pattern"));
        let valid_until = object["valid_until"].as_str().and_then(|text| text.parse().ok()).expect("a date");
        let is_active = valid_until > at;
        let data = object.clone();
        Self { time_generated: at, observable_key, observable_value, is_active, valid_until, data }
    }

    /// What stands before the first colon: `replace(…, split(ObservableKey, ":", 0))`.
    pub fn kind(&self) -> &str {
        self.observable_key.split(':').next().unwrap_or_default()
    }

    /// `Description !contains_cs "State: inactive;"` and the same of `falsepos`, the other way round.
    pub fn is_muted(&self) -> bool {
        let description = self.data["description"].as_str().unwrap_or_default();
        ["State: inactive;", "State: falsepos;"].iter().any(|mute| description.contains(mute))
    }

    /// `extract(@"ActivityGroup:(\S+)", 1, tostring(parse_json(Data).labels))`.
    pub fn activity_groups(&self) -> Option<String> {
        let labels = self.data["labels"].to_string();
        let (_, rest) = labels.split_once("ActivityGroup:")?;
        rest.split(char::is_whitespace).next().filter(|name| !name.is_empty()).map(str::to_owned)
    }

    /// The lines that logs have when the raw value is met at `at`. Hosts, addresses and digests are written in lower case
    /// there; of the digests Defender's table has all three, AppLocker logs SHA-256, and a firewall whichever it computes.
    pub fn met(&self, at: DateTime<Utc>) -> Vec<Event> {
        let value = self.observable_value.clone();
        let none = String::new;
        let of_length = |digits| if value.len() == digits { value.clone() } else { String::new() };
        let firewall = |file_hash, destination_ip, request_url: String, is_ssl| Met::CommonSecurityLog {
            class: if request_url.is_empty() { "traffic".to_owned() } else { "url".to_owned() },
            file_hash,
            destination_ip,
            request_url,
            extensions: String::new(),
            is_ssl,
        };
        let logs = match self.kind() {
            "file" => {
                let applocker = (value.len() == 64).then(|| Met::SecurityEvent { file_hash: value.clone() });
                let defender = Met::DeviceFileEvents { sha1: of_length(40), sha256: of_length(64) };
                let logs = [defender, firewall(value.clone(), none(), none(), false)];
                logs.into_iter().chain(applocker).collect()
            }
            "ipv4-addr" | "ipv6-addr" => vec![
                Met::DeviceNetworkEvents { remote_ip: value.clone(), remote_url: none() },
                Met::NetworkSession { destination_ip: value.clone() },
                firewall(none(), value.clone(), none(), false),
                Met::AzureFirewall {
                    source: "10.0.0.4:50000".to_owned(),
                    destination: format!("{value}:443"),
                },
                Met::AzureFirewall {
                    source: format!("{value}:50000"),
                    destination: "10.0.0.4:443".to_owned(),
                },
                Met::SigninLogs { ip_address: value.clone() },
            ],
            "domain-name" => vec![
                Met::DeviceNetworkEvents { remote_ip: none(), remote_url: format!("https://{value}/") },
                Met::Dns { query: value.clone() },
                Met::WebSession { url: format!("https://{value}/x") },
                firewall(none(), none(), format!("http://{value}/"), false),
            ],
            _ => vec![
                Met::DeviceNetworkEvents { remote_ip: none(), remote_url: value.clone() },
                Met::WebSession { url: value.clone() },
                Met::EmailUrlInfo { url: value.clone(), domain: none() },
                Met::UrlClickEvents { url: value.clone() },
                firewall(none(), none(), value.clone(), value.starts_with("https")),
            ],
        };
        logs.into_iter().map(|log| Event { at, log }).collect()
    }
}
