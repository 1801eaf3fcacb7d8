//! Another product's settings file, or an older one of ours, as ours.

use std::{collections::BTreeMap, path::Path};

use secrecy::ExposeSecret;
use serde_json::{Map, Value, json};

use super::{
    every,
    names::is_known,
    table::{ALIASES, settings},
    vars,
};

/// What a file's settings are here.
pub struct Carried {
    /// Ours, in the order of the table.
    values: Vec<(&'static str, String)>,
    /// What a person has to know or to do.
    pub notes: Vec<String>,
}

impl Carried {
    /// In the form of local.settings.json.
    pub fn as_file(&self) -> Value {
        let mut values = Map::from_iter([("FUNCTIONS_WORKER_RUNTIME".to_owned(), json!("custom"))]);
        values.extend(self.values.iter().map(|(name, value)| ((*name).to_owned(), json!(value))));
        json!({ "IsEncrypted": false, "Values": values })
    }
}

/// Reads a file of `NAME=value` lines or a JSON file with `Values`, and names its settings as ours.
///
/// # Errors
/// A file that cannot be read. Nothing of its content is quoted.
pub fn carried(path: &Path) -> Result<Carried, String> {
    let theirs = vars::of_either_form(path)?;
    let theirs = theirs.iter().map(|(name, value)| (name.clone(), value.expose_secret().trim().to_owned()));
    Ok(translated(theirs.filter(|(_, value)| !value.is_empty()).collect()))
}

fn translated(mut theirs: BTreeMap<String, String>) -> Carried {
    let (mut ours, mut notes) = (BTreeMap::<&str, String>::new(), Vec::new());
    for (older, today) in ALIASES {
        if let Some(value) = theirs.remove(*older) {
            notes.push(format!("{older} is {today} here"));
            ours.entry(today).or_insert(value);
        }
    }
    for name in ["SYNC_SCHEDULE", "EXECUTION_INTERVAL"] {
        let Some(value) = theirs.remove(name) else { continue };
        match value.parse().ok().filter(|hours| (1..=24).contains(hours)) {
            Some(hours) => {
                notes.push(format!("{name} is SYNC_CRON here, which the Functions host reads"));
                ours.entry("SYNC_CRON").or_insert_with(|| every(hours));
            }
            None => notes.push(format!("{name} is no number of hours from 1 to 24; set SYNC_CRON yourself")),
        }
    }
    if let Some(value) = theirs.remove("USE_UPLOAD_INDICATORS_API") {
        notes.push("USE_UPLOAD_INDICATORS_API is SENTINEL_API here".to_owned());
        let is_legacy = super::reader::flag(&value).unwrap_or(false);
        let api = if is_legacy { "upload-indicators" } else { "stix-objects" };
        ours.entry("SENTINEL_API").or_insert_with(|| api.to_owned());
    }
    if let Some(name) = theirs.remove("KEY_VAULT_NAME") {
        notes.push(
            "KEY_VAULT_NAME is KEY_VAULT_URL here; in another cloud than the public one its suffix differs"
                .to_owned(),
        );
        ours.entry("KEY_VAULT_URL").or_insert_with(|| format!("https://{name}.vault.azure.net"));
    }
    let mut values = Vec::new();
    for setting in settings() {
        let given = theirs.remove(setting.name).or_else(|| ours.remove(setting.name));
        let Some(value) = given else { continue };
        if setting.is_secret {
            notes.push(format!("{} is a secret and is not printed: fill it in yourself", setting.name));
        }
        let value = if setting.is_secret { String::new() } else { in_our_words(setting.name, &value) };
        values.push((setting.name, value));
    }
    for name in theirs.keys().filter(|name| *name != "FUNCTIONS_WORKER_RUNTIME") {
        let why = if is_known(name) {
            "belongs to the host and is left out"
        } else {
            "has no counterpart here and is left out"
        };
        notes.push(format!("{name} {why}"));
    }
    Carried { values, notes }
}

/// A value as we write it today.
fn in_our_words(name: &str, value: &str) -> String {
    match name {
        "INITIAL_LOOKBACK" => value.trim_start_matches('-').to_owned(),
        "TARGET_APPLICATION" => {
            let applications = value.split(',').map(|application| match application.trim() {
                text if text.eq_ignore_ascii_case("azure sentinel") => "sentinel".to_owned(),
                text if text.eq_ignore_ascii_case("microsoft defender atp") => "defender".to_owned(),
                text => text.to_lowercase(),
            });
            applications.collect::<Vec<_>>().join(",")
        }
        _ => without_credentials(value),
    }
}

/// An address without what stands before its @ and behind its ?, which is often a password or a signature.
fn without_credentials(value: &str) -> String {
    let Some((scheme, rest)) = value.split_once("://") else { return value.to_owned() };
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    format!("{scheme}://{}{path}", authority.rsplit('@').next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Carried, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        carried(file.path())
    }

    #[test]
    fn a_vendor_s_env_file_becomes_ours_without_its_secrets() {
        let text = "\u{feff}# Mandiant\r\nexport MATI_KEY=hush-key\r\nMATI_SECRET='hush-secret'\r\n\
            AZURE_CLIENT_SECRET=\"hush=client\"\r\nAZURE_WORKSPACE_ID=5f1c2d3e-0a1b-4c2d-8e3f-5a6b7c8d9e0f\r\n\
            TARGET_APPLICATION=Azure Sentinel, Microsoft Defender ATP\r\nLOOKBACK_INTERVAL=-30\r\n\
            MINIMUM_CONFIDENCE_SCORE=70\r\nSYNC_SCHEDULE=4\r\nUSE_UPLOAD_INDICATORS_API=True\r\n\
            KEY_VAULT_NAME=my-vault\r\nMATI_BASE_URL=https://me:hush@proxy.example/x?sig=hush\r\n\
            PASSIVE_ONLY=\r\nHTTPS_PROXY=http://me:hush@proxy\r\nPROXY_PASSWORD=hush\r\n";
        let carried = of(text).unwrap();
        let file = carried.as_file();
        let expected = json!({
            "FUNCTIONS_WORKER_RUNTIME": "custom",
            "MATI_KEY": "", "MATI_SECRET": "", "AZURE_CLIENT_SECRET": "",
            "MATI_BASE_URL": "https://proxy.example/x",
            "INITIAL_LOOKBACK": "30", "MINIMUM_CONFIDENCE": "70",
            "TARGET_APPLICATION": "sentinel,defender",
            "AZURE_WORKSPACE_ID": "5f1c2d3e-0a1b-4c2d-8e3f-5a6b7c8d9e0f",
            "SENTINEL_API": "upload-indicators",
            "KEY_VAULT_URL": "https://my-vault.vault.azure.net",
            "SYNC_CRON": "0 23 */4 * * *",
        });
        assert_eq!(file["Values"], expected);
        assert_eq!(file["IsEncrypted"], false);
        let notes = carried.notes.join("\n");
        for name in [
            "MATI_KEY is a secret",
            "LOOKBACK_INTERVAL is",
            "SYNC_SCHEDULE is",
            "PROXY_PASSWORD has no",
            "HTTPS_PROXY belongs",
        ] {
            assert!(notes.contains(name), "{name} is not in {notes}");
        }
        assert!(!notes.contains("hush") && !file.to_string().contains("hush"), "{notes}");
    }

    #[test]
    fn a_json_file_is_read_as_the_host_s_tools_read_it() {
        let carried = of("// older\n{\"IsEncrypted\": false, \"Values\": {\"EXECUTION_INTERVAL\": 24, \"EXCLUDE_OS_INT\": false,},}").unwrap();
        let expected = json!({"FUNCTIONS_WORKER_RUNTIME": "custom", "EXCLUDE_OSINT": "false", "SYNC_CRON": "0 23 0 * * *"});
        assert_eq!(carried.as_file()["Values"], expected);
        for broken in ["{\"Values\": hush", "this is hush no setting"] {
            assert!(!of(broken).err().unwrap_or_default().is_empty(), "{broken}");
            assert!(!of(broken).err().unwrap_or_default().contains("hush"), "{broken}");
        }
    }
}
