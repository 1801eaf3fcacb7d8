//! Settings of Microsoft Defender for Endpoint.

use azure_core::http::Url;

use super::{
    Action,
    azure::{Cloud, base},
    reader::Reader,
};

/// The indicators of one tenant.
#[derive(Clone, Debug)]
pub struct DefenderSettings {
    /// Without a slash at its end.
    pub base_url: String,
    /// Of the tokens.
    pub scope: String,
    /// The most indicators that the tenant may come to hold.
    pub indicator_limit: usize,
    /// No endpoint is asked to act, whatever the action.
    pub passive_only: bool,
}

impl DefenderSettings {
    /// What Microsoft allows a tenant (learn.microsoft.com, "Overview of indicators").
    const SERVICE_LIMIT: usize = 15_000;

    /// `None`: no destination. What is given is checked all the same.
    pub(super) fn read(reader: &Reader<'_>, cloud: Cloud, action: Action, is_target: bool) -> Option<Self> {
        let given = reader.url("DEFENDER_BASE_URL");
        let limit = reader.number("DEFENDER_INDICATOR_LIMIT", &(1..=Self::SERVICE_LIMIT));
        let passive_only = reader.flag("PASSIVE_ONLY", false);
        if !is_target {
            return None;
        }
        if action == Action::Allow {
            reader.fault(
                "DEFAULT_ACTION",
                "is allow, which at Defender for Endpoint would exempt malware from protection; accepted with the target defender: alert, block",
            );
        }
        let is_given = reader.text("DEFENDER_BASE_URL").is_some();
        if !is_given && by_cloud(cloud).is_none() {
            reader.fault(
                "DEFENDER_BASE_URL",
                "is missing, and no address of Defender for Endpoint is known for the cloud of AZURE_CLOUD; accepted: its https:// URL, or TARGET_APPLICATION without defender",
            );
        }
        let base_url = given.as_ref().map(base).or(by_cloud(cloud).map(str::to_owned)).unwrap_or_default();
        Some(Self {
            scope: scope(cloud, &base_url),
            base_url,
            indicator_limit: limit.unwrap_or(Self::SERVICE_LIMIT),
            passive_only,
        })
    }
}

/// learn.microsoft.com, "Supported Microsoft Defender for Endpoint APIs" and "Microsoft Defender for Endpoint for US
/// Government customers". None is documented for China.
fn by_cloud(cloud: Cloud) -> Option<&'static str> {
    match cloud {
        Cloud::Public => Some("https://api.security.microsoft.com"),
        Cloud::UsGov => Some("https://api-gov.securitycenter.microsoft.us"),
        Cloud::China => None,
    }
}

/// In the public cloud one resource stands for all regions' hosts; the government's hosts, GCC's among them, which
/// belongs to the public cloud otherwise, are resources of their own.
fn scope(cloud: Cloud, base_url: &str) -> String {
    const GOVERNMENT: &str = ".securitycenter.microsoft.us";
    let host =
        Url::parse(base_url).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default();
    match cloud {
        _ if host.ends_with(GOVERNMENT) => format!("https://{host}/.default"),
        Cloud::Public => "https://api.securitycenter.microsoft.com/.default".to_owned(),
        Cloud::UsGov => format!("https://api-gov{GOVERNMENT}/.default"),
        Cloud::China => format!("{base_url}/.default"),
    }
}
