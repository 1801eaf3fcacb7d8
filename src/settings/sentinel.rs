//! Settings of Sentinel: which upload API of which workspace, and where that stands in Azure Resource Manager.

use super::{
    azure::{Cloud, base},
    reader::{self, Reader},
};

/// Which of Sentinel's upload APIs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UploadApi {
    /// learn.microsoft.com, "Import threat intelligence to Microsoft Sentinel with the upload API".
    StixObjects,
    /// learn.microsoft.com, "Import threat indicators to Microsoft Sentinel with the legacy upload indicators API".
    UploadIndicators,
}

/// One workspace.
#[derive(Clone, Debug)]
pub struct SentinelSettings {
    pub workspace_id: String,
    pub api: UploadApi,
    pub base_url: String,
    /// Path with `{workspaceId}` in it.
    pub upload_path: String,
    pub scope: &'static str,
    pub requests_per_minute: u32,
    /// `None`: the workspace is not asked what it holds.
    pub resource: Option<ResourceSettings>,
}

/// Where the workspace stands in Azure Resource Manager.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceSettings {
    /// Resource Manager's URL without a slash at its end.
    pub base_url: String,
    pub subscription_id: String,
    pub resource_group: String,
    /// The workspace's name, not its GUID.
    pub workspace: String,
}

impl SentinelSettings {
    /// What Microsoft documents as the service's limit.
    const SERVICE_LIMIT: u32 = 100;

    /// `None`: no destination. What is given is checked all the same.
    pub(super) fn read(reader: &Reader<'_>, cloud: Cloud, is_target: bool) -> Option<Self> {
        let workspace_id = reader.guid("AZURE_WORKSPACE_ID");
        if is_target && workspace_id.is_none() && reader.text("AZURE_WORKSPACE_ID").is_none() {
            reader.fault(
                "AZURE_WORKSPACE_ID",
                "is missing; accepted: the workspace's GUID, from its Overview page in the portal",
            );
        }
        let requests_per_minute = reader.number("SENTINEL_REQUESTS_PER_MINUTE", &(1..=1_000_000));
        if requests_per_minute.is_some_and(|limit| limit > Self::SERVICE_LIMIT) {
            reader.notice("SENTINEL_REQUESTS_PER_MINUTE is above 100, the limit of the service itself: expect throttling");
        }
        let upload_path = reader.parsed(
            "SENTINEL_UPLOAD_PATH",
            "a path that begins with / and holds {workspaceId}",
            |text| (text.starts_with('/') && text.contains("{workspaceId}")).then(|| text.to_owned()),
        );
        let api = upload_api(reader);
        let base_url = base_url(reader, cloud, api, is_target);
        let resource = ResourceSettings::read(reader, cloud);
        is_target.then(|| Self {
            workspace_id: workspace_id.unwrap_or_default(),
            api,
            base_url,
            upload_path: upload_path.unwrap_or_else(|| {
                match api {
                    UploadApi::StixObjects => {
                        "/workspaces/{workspaceId}/threat-intelligence-stix-objects:upload"
                    }
                    UploadApi::UploadIndicators => {
                        "/workspaces/{workspaceId}/threatintelligenceindicators:upload"
                    }
                }
                .to_owned()
            }),
            scope: cloud.resource_manager_scope(),
            requests_per_minute: requests_per_minute.unwrap_or(Self::SERVICE_LIMIT),
            resource,
        })
    }
}

/// By today's setting or by the older product's switch.
fn upload_api(reader: &Reader<'_>) -> UploadApi {
    let apis = [("stix-objects", UploadApi::StixObjects), ("upload-indicators", UploadApi::UploadIndicators)];
    let today = reader.choice("SENTINEL_API", &apis);
    let older = reader.parsed("USE_UPLOAD_INDICATORS_API", "true, false, 1, 0", |text| {
        let is_legacy = reader::flag(text)?;
        Some(if is_legacy { UploadApi::UploadIndicators } else { UploadApi::StixObjects })
    });
    if older.is_some() {
        reader
            .notice("USE_UPLOAD_INDICATORS_API is an older spelling of SENTINEL_API; it is still understood");
    }
    if today.zip(older).is_some_and(|(today, older)| today != older) {
        reader.fault(
            "SENTINEL_API",
            "is given twice with different values, as SENTINEL_API and as USE_UPLOAD_INDICATORS_API; remove one",
        );
    }
    today.or(older).unwrap_or(UploadApi::StixObjects)
}

fn base_url(reader: &Reader<'_>, cloud: Cloud, api: UploadApi, is_target: bool) -> String {
    if let Some(url) = reader.url("SENTINEL_BASE_URL") {
        return base(&url);
    }
    match (api, cloud) {
        (UploadApi::StixObjects, _) => cloud.sentinel().to_owned(),
        (UploadApi::UploadIndicators, Cloud::Public) => "https://sentinelus.azure-api.net".to_owned(),
        (UploadApi::UploadIndicators, Cloud::UsGov | Cloud::China) => {
            if is_target && reader.text("SENTINEL_BASE_URL").is_none() {
                reader.fault("SENTINEL_BASE_URL", "is missing: no host of the legacy upload API is known outside the public cloud; accepted: its https:// URL, or SENTINEL_API=stix-objects");
            }
            String::new()
        }
    }
}

impl ResourceSettings {
    const NAMES: [&str; 3] = ["AZURE_WORKSPACE_NAME", "AZURE_SUBSCRIPTION_ID", "AZURE_RESOURCE_GROUP_NAME"];

    /// All three or none. Names have grammars of their own (learn.microsoft.com, "Naming rules and restrictions for
    /// Azure resources").
    fn read(reader: &Reader<'_>, cloud: Cloud) -> Option<Self> {
        let base_url = reader.url("AZURE_RESOURCE_MANAGER_URL");
        let workspace = reader.parsed(
            "AZURE_WORKSPACE_NAME",
            "the workspace's name of 3 to 90 letters, digits and dashes, beginning and ending with a letter or digit",
            |text| is_workspace_name(text).then(|| text.to_owned()),
        );
        let subscription_id = reader.guid("AZURE_SUBSCRIPTION_ID");
        let resource_group = reader.parsed(
            "AZURE_RESOURCE_GROUP_NAME",
            "1 to 90 letters, digits, underscores, parentheses, dashes and full stops, without a full stop at the end",
            |text| is_resource_group_name(text).then(|| text.to_owned()),
        );
        let (missing, given): (Vec<&str>, Vec<&str>) =
            Self::NAMES.into_iter().partition(|name| reader.text(name).is_none());
        if !given.is_empty() {
            let given = given.join(" and ");
            for name in missing {
                reader.fault(name, format!("is missing beside {given}; accepted: all three or none"));
            }
        }
        Some(Self {
            base_url: base_url.map_or(cloud.resource_manager().to_owned(), |url| base(&url)),
            subscription_id: subscription_id?,
            resource_group: resource_group?,
            workspace: workspace?,
        })
    }
}

fn is_workspace_name(text: &str) -> bool {
    (3..=90).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

fn is_resource_group_name(text: &str) -> bool {
    let is_sound =
        |character: char| character.is_alphanumeric() || matches!(character, '_' | '-' | '.' | '(' | ')');
    (1..=90).contains(&text.chars().count()) && text.chars().all(is_sound) && !text.ends_with('.')
}
