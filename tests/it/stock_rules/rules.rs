//! Microsoft's stock rules as plain functions, one for each family: what of an indicator's row they take, what they compare
//! it with, and in which window. Written from the rules' own text in Azure/Azure-Sentinel, `Solutions/Threat Intelligence
//! (NEW)/Analytic Rules`; each names the file and the version that was read.

use chrono::{DateTime, TimeDelta, Utc};

use super::row::Row;

/// What a log says, by the table that the rules read.
#[derive(Clone, Debug)]
pub enum Met {
    DeviceFileEvents {
        sha1: String,
        sha256: String,
    },
    SecurityEvent {
        file_hash: String,
    },
    CommonSecurityLog {
        class: String,
        file_hash: String,
        destination_ip: String,
        request_url: String,
        extensions: String,
        is_ssl: bool,
    },
    DeviceNetworkEvents {
        remote_ip: String,
        remote_url: String,
    },
    NetworkSession {
        destination_ip: String,
    },
    Dns {
        query: String,
    },
    WebSession {
        url: String,
    },
    EmailUrlInfo {
        url: String,
        domain: String,
    },
    UrlClickEvents {
        url: String,
    },
    /// `SourceHost` and `DestinationHost` out of `msg_s`, each with its port.
    AzureFirewall {
        source: String,
        destination: String,
    },
    SigninLogs {
        ip_address: String,
    },
}

/// A line of a log.
#[derive(Clone, Debug)]
pub struct Event {
    pub at: DateTime<Utc>,
    pub log: Met,
}

/// `dt_lookBack` and `ioc_lookBack`, the same in all of them.
const EVENTS: TimeDelta = TimeDelta::hours(1);
const INDICATORS: TimeDelta = TimeDelta::days(14);

/// A family of rules.
pub struct Rule {
    pub name: &'static str,
    /// Whether rows with these words in their description are left out.
    pub heeds_states: bool,
    compares: fn(&Row, &Met) -> bool,
}

pub const RULES: [Rule; 16] = [
    // FileHashEntity_DeviceFileEvents_Updated.yaml, 1.0.3: SHA1 and SHA256, as they are.
    Rule {
        name: "TI map File Hash to DeviceFileEvents Event",
        heeds_states: true,
        compares: |row, log| match log {
            Met::DeviceFileEvents { sha1, sha256 } => {
                row.kind() == "file" && [sha1, sha256].contains(&&row.observable_value)
            }
            _ => false,
        },
    },
    // FileHashEntity_SecurityEvent.yaml, 1.4.8: both sides in upper case.
    Rule {
        name: "TI map File Hash to Security Event",
        heeds_states: false,
        compares: |row, log| match log {
            Met::SecurityEvent { file_hash } => {
                row.kind() == "file" && row.observable_value.to_uppercase() == file_hash.to_uppercase()
            }
            _ => false,
        },
    },
    // FileHashEntity_CommonSecurityLog.yaml, 1.3.8: the indicator in upper and in lower case, the log as it is.
    Rule {
        name: "TI map File Hash to CommonSecurityLog Event",
        heeds_states: false,
        compares: |row, log| match log {
            Met::CommonSecurityLog { file_hash, .. } => {
                let value = &row.observable_value;
                row.kind() == "file" && [value.to_lowercase(), value.to_uppercase()].contains(file_hash)
            }
            _ => false,
        },
    },
    // IPEntity_DeviceNetworkEvents_Updated.yaml, 1.0.3: the indicator in upper case, the log as it is.
    Rule {
        name: "TI Map IP Entity to DeviceNetworkEvents",
        heeds_states: true,
        compares: |row, log| match log {
            Met::DeviceNetworkEvents { remote_ip, .. } => address(row).as_ref() == Some(remote_ip),
            _ => false,
        },
    },
    // IPEntity_imNetworkSession.yaml, 1.2.10: the same.
    Rule {
        name: "TI Map IP entity to Network Session Events (ASIM Network Session schema)",
        heeds_states: false,
        compares: |row, log| match log {
            Met::NetworkSession { destination_ip } => address(row).as_ref() == Some(destination_ip),
            _ => false,
        },
    },
    // IPEntity_CustomSecurityLog.yaml, 1.2.8: the same, and `ipv4_is_private` has to say no, which is null for IPv6.
    Rule {
        name: "TI Map IP Entity to CommonSecurityLog",
        heeds_states: false,
        compares: |row, log| match log {
            Met::CommonSecurityLog { destination_ip, .. } => {
                address(row).is_some_and(|address| !address.contains(':') && address == *destination_ip)
            }
            _ => false,
        },
    },
    // DomainEntity_DeviceNetworkEvents_Updated.yaml, 1.0.3: both in lower case; the host of the log's URL.
    Rule {
        name: "TI Map Domain Entity to DeviceNetworkEvents",
        heeds_states: true,
        compares: |row, log| match log {
            Met::DeviceNetworkEvents { remote_url, .. } => {
                row.kind() == "domain-name"
                    && Some(row.observable_value.to_lowercase()) == host(&remote_url.to_lowercase())
            }
            _ => false,
        },
    },
    // imDns_DomainEntity_DnsEvents.yaml, 1.2.2: as they are.
    Rule {
        name: "TI map Domain entity to Dns Events (ASIM DNS Schema)",
        heeds_states: false,
        compares: |row, log| match log {
            Met::Dns { query } => row.kind() == "domain-name" && row.observable_value == *query,
            _ => false,
        },
    },
    // DomainEntity_imWebSession.yaml, 1.0.12: a domain in lower case, or what stands behind the second slash of a URL.
    Rule {
        name: "TI map Domain entity to Web Session Events (ASIM Web Session schema)",
        heeds_states: false,
        compares: |row, log| match log {
            Met::WebSession { url } => {
                let domain = match row.kind() {
                    "domain-name" => Some(row.observable_value.to_lowercase()),
                    "url" => row.observable_value.split(['?', '/']).nth(2).map(str::to_owned),
                    _ => None,
                };
                domain.is_some() && domain == host(url)
            }
            _ => false,
        },
    },
    // URLEntity_DeviceNetworkEvents_Updated.yaml, 1.0.3: both in lower case, whole.
    Rule {
        name: "TI Map URL Entity to DeviceNetworkEvents",
        heeds_states: true,
        compares: |row, log| match log {
            Met::DeviceNetworkEvents { remote_url, .. } => {
                row.kind() == "url" && row.observable_value.to_lowercase() == remote_url.to_lowercase()
            }
            _ => false,
        },
    },
    // URLEntity_UrlClickEvents_Updated.yaml, 1.0.4: the URL, or its chain in lower case, and the indicator's lower case
    // has to occur among both.
    Rule {
        name: "TI Map URL Entity to UrlClickEvents",
        heeds_states: false,
        compares: |row, log| match log {
            Met::UrlClickEvents { url } => {
                let (value, chain) = (&row.observable_value, url.to_lowercase());
                let occurs = [url, &chain].contains(&&value.to_lowercase());
                row.kind() == "url" && occurs && [url, &chain].contains(&value)
            }
            _ => false,
        },
    },
    // URLEntity_EmailUrlInfo_Updated.yaml, 1.0.4: the same without a chain; or the indicator is the log's bare domain.
    Rule {
        name: "TI Map URL Entity to EmailUrlInfo",
        heeds_states: false,
        compares: |row, log| match log {
            Met::EmailUrlInfo { url, domain } => {
                let value = &row.observable_value;
                let occurs = [url, domain].contains(&&value.to_lowercase());
                row.kind() == "url" && occurs && [url, domain].contains(&value)
            }
            _ => false,
        },
    },
    // URLEntity_PaloAlto.yaml, 1.2.6: as they are, and the log's gets a scheme if it has none.
    Rule {
        name: "TI Map URL Entity to PaloAlto Data",
        heeds_states: false,
        compares: |row, log| match log {
            Met::CommonSecurityLog { request_url, is_ssl, .. } => {
                let url = with_scheme(request_url, *is_ssl);
                row.kind() == "url" && !request_url.is_empty() && row.observable_value == url
            }
            _ => false,
        },
    },
    // DomainEntity_CommonSecurityLog.yaml, 1.4.6, as of 07c6272f42a9220029484da478dc12f717df104f: lines about URLs alone; both
    // in lower case; the host of RequestURL, or of what the extensions begin with, after it got a scheme if it has none.
    Rule {
        name: "TI Map Domain entity to PaloAlto CommonSecurityLog",
        heeds_states: false,
        compares: |row, log| match log {
            Met::CommonSecurityLog { class, request_url, extensions, is_ssl, .. } => {
                let from_extensions = request_url.is_empty() && !begins(extensions, "PanOS");
                let url = match from_extensions {
                    true => {
                        extensions.to_lowercase().split('"').find(|part| !part.is_empty()).map(str::to_owned)
                    }
                    false => Some(request_url.trim_matches('"').to_owned()),
                };
                let host = url.and_then(|url| host(&with_scheme(&url, *is_ssl)));
                let host =
                    host.map(|host| host.trim_matches('"').to_lowercase()).filter(|host| !host.is_empty());
                class.eq_ignore_ascii_case("url")
                    && row.kind() == "domain-name"
                    && Some(row.observable_value.to_lowercase()) == host
            }
            _ => false,
        },
    },
    // IPEntity_AzureFirewall.yaml, 1.3.4, as of 1385b404e79b344fcc7cc696535feff941330efc: the indicator in upper case, if
    // `ipv4_is_private` says no, which is null for IPv6; the log's destination without its port, or its source if the
    // destination is private.
    Rule {
        name: "TI map IP entity to AzureFirewall",
        heeds_states: false,
        compares: |row, log| match log {
            Met::AzureFirewall { source, destination } => {
                let is_public = |text: &String| is_private(text) == Some(false);
                let indicator = address(row).filter(is_public);
                let indicator =
                    indicator.filter(|text| !["fe80", "::", "127."].iter().any(|part| begins(text, part)));
                // `not(null)` is null, which is not true.
                let remote = [destination, source].map(|host| dotted(host)).into_iter().find(is_public);
                indicator.is_some() && indicator == remote
            }
            _ => false,
        },
    },
    // IPEntity_SigninLogs_Updated.yaml, 1.3.1, as of 1385b404e79b344fcc7cc696535feff941330efc: the indicator in upper case,
    // the log as it is.
    Rule {
        name: "TI Map IP Entity to SigninLogs",
        heeds_states: true,
        compares: |row, log| match log {
            Met::SigninLogs { ip_address } => address(row).as_ref() == Some(ip_address),
            _ => false,
        },
    },
];

impl Rule {
    /// Whether a run at `now` makes an alert of `row` and `event`.
    pub fn matches(&self, row: &Row, event: &Event, now: DateTime<Utc>) -> bool {
        let is_recent = row.time_generated >= now - INDICATORS && event.at >= now - EVENTS;
        let is_active = row.is_active && row.valid_until > now && event.at < row.valid_until;
        let is_muted = self.heeds_states && row.is_muted();
        is_recent && is_active && !is_muted && (self.compares)(row, &event.log)
    }
}

/// `toupper(ObservableValue)` of an address.
fn address(row: &Row) -> Option<String> {
    ["ipv4-addr", "ipv6-addr"].contains(&row.kind()).then(|| row.observable_value.to_uppercase())
}

/// `startswith`, which compares without case.
fn begins(text: &str, part: &str) -> bool {
    text.to_lowercase().starts_with(&part.to_lowercase())
}

/// The URL with the scheme that the log's protocol calls for, if it does not begin with that.
fn with_scheme(url: &str, is_ssl: bool) -> String {
    let scheme = if is_ssl { "https://" } else { "http://" };
    if begins(url, scheme) { url.to_owned() } else { format!("{scheme}{url}") }
}

/// `ipv4_is_private`: null of what is no IPv4 address.
fn is_private(text: &str) -> Option<bool> {
    text.parse().ok().map(|address: std::net::Ipv4Addr| address.is_private())
}

/// `extract(@'([\.0-9]+)(:[\.0-9]+)?', 1, …)`: the first stretch of digits and dots.
fn dotted(host: &str) -> String {
    let is_dotted = |character: char| character == '.' || character.is_ascii_digit();
    let rest = host.trim_start_matches(|character| !is_dotted(character));
    rest.chars().take_while(|character| is_dotted(*character)).collect()
}

/// `parse_url(…).Host`.
fn host(url: &str) -> Option<String> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit('@').next()?;
    let host = host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
    Some(host.map_or_else(|| authority.rsplit('@').next().unwrap_or_default(), |(host, _)| host).to_owned())
}
