//! Settings of Google Threat Intelligence.

use azure_core::http::Url;
use secrecy::SecretString;

use super::reader::Reader;

/// Access to Google Threat Intelligence, and what is read there.
#[derive(Clone, Debug)]
pub struct GtiSettings {
    pub base_url: Url,
    /// Given directly; otherwise it comes from Key Vault.
    pub key: Option<SecretString>,
    /// Ids of the lists to read. Empty: every list that the licence gives.
    pub lists: Vec<String>,
    /// What the server is asked to leave out, as it stands.
    pub query: Option<String>,
}

impl GtiSettings {
    /// `is_source`: the indicators come from here, so that a key is needed.
    pub(super) fn read(reader: &Reader<'_>, is_source: bool, has_key_vault: bool) -> Self {
        let default = Url::parse("https://www.virustotal.com/api/v3").expect("a URL");
        let settings = Self {
            base_url: reader.url("GTI_BASE_URL").unwrap_or(default),
            key: reader.secret("GTI_API_KEY"),
            lists: lists(reader),
            query: reader.text("GTI_QUERY"),
        };
        if is_source && settings.key.is_none() && !has_key_vault {
            reader.fault(
                "GTI_API_KEY",
                "is missing; accepted: the API key of a user or a service account of Google Threat Intelligence, or KEY_VAULT_URL to read it from Key Vault",
            );
        }
        if settings.base_url.path().contains("/mati") {
            reader.fault(
                "GTI_BASE_URL",
                "is the address of the API that is compatible with Mandiant's; accepted: https://www.virustotal.com/api/v3",
            );
        }
        settings
    }
}

/// The ids, each once. They become parts of paths.
fn lists(reader: &Reader<'_>) -> Vec<String> {
    let accepted = "ids of threat lists with commas between, such as ransomware,malware; an id has small letters, digits and hyphens";
    let parsed = reader.parsed("GTI_LISTS", accepted, |text| {
        let mut ids = Vec::new();
        for id in text.split(',').map(|id| id.trim().to_ascii_lowercase()).filter(|id| !id.is_empty()) {
            let is_id =
                |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
            if !id.bytes().all(is_id) {
                return None;
            }
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
        Some(ids)
    });
    parsed.unwrap_or_default()
}
