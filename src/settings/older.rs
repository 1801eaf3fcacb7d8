//! Another product's settings file, or an older one of ours, as ours.

use std::{collections::BTreeMap, path::Path};

use secrecy::ExposeSecret;
use serde_json::{Map, Value, json};

use super::{
    azure::{CLOUDS, vault_url},
    every,
    names::is_known,
    table::{ALIASES, settings},
    vars,
};
use crate::domain::rows::counted;

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

/// Theirs, as they become ours.
struct Translation {
    theirs: BTreeMap<String, String>,
    ours: BTreeMap<&'static str, String>,
    notes: Vec<String>,
}

impl Translation {
    /// What is `older` there is `today` here, unless that is given with another value already.
    fn carry(&mut self, older: &str, today: &'static str, value: String, remark: &str) {
        let given = self.theirs.get(today).or_else(|| self.ours.get(today));
        if given.is_some_and(|given| *given != value) {
            self.notes.push(format!("{older} is left out: {today} is given with another value"));
        } else {
            self.notes.push(format!("{older} is {today} here{remark}"));
            self.ours.insert(today, value);
        }
    }

    fn schedule(&mut self, older: &str, text: &str) {
        let Some(hours) = text.parse().ok().filter(|hours| (1..=24).contains(hours)) else {
            let note = format!("{older} is no number of hours from 1 to 24; set SYNC_CRON yourself");
            return self.notes.push(note);
        };
        let (cron, kept) = every(hours);
        let rounded = if kept == hours {
            String::new()
        } else {
            format!("; {hours} hours do not divide a day, so it is every {}", counted(kept.into(), "hour"))
        };
        self.carry(older, "SYNC_CRON", cron, &format!(", which the Functions host reads{rounded}"));
    }

    fn upload_api(&mut self, older: &str, text: &str) {
        match super::reader::flag(text) {
            Some(is_legacy) => {
                let api = if is_legacy { "upload-indicators" } else { "stix-objects" };
                self.carry(older, "SENTINEL_API", api.to_owned(), "");
            }
            None => self.notes.push(format!("{older} is neither true nor false; set SENTINEL_API yourself")),
        }
    }

    /// A vault's address ends as its cloud has it.
    fn vault(&mut self, older: &str, name: &str) {
        let cloud = self.theirs.get("AZURE_CLOUD").map_or("public", String::as_str);
        let cloud = CLOUDS.iter().find(|(word, _)| word.eq_ignore_ascii_case(cloud));
        match cloud.and_then(|(_, cloud)| vault_url(name, *cloud)) {
            Some(url) => {
                let url = url.as_str().trim_end_matches('/').to_owned();
                self.carry(older, "KEY_VAULT_URL", url, ", with the ending of AZURE_CLOUD");
            }
            None => {
                self.notes.push(format!("{older} or AZURE_CLOUD cannot be read; set KEY_VAULT_URL yourself"));
            }
        }
    }
}

fn translated(theirs: BTreeMap<String, String>) -> Carried {
    let mut translation = Translation { theirs, ours: BTreeMap::new(), notes: Vec::new() };
    for (older, today) in ALIASES {
        if let Some(value) = translation.theirs.remove(*older) {
            translation.carry(older, today, value, "");
        }
    }
    type Carry = fn(&mut Translation, &str, &str);
    let others: [(&str, Carry); 4] = [
        ("SYNC_SCHEDULE", Translation::schedule),
        ("EXECUTION_INTERVAL", Translation::schedule),
        ("USE_UPLOAD_INDICATORS_API", Translation::upload_api),
        ("KEY_VAULT_NAME", Translation::vault),
    ];
    for (older, carry) in others {
        if let Some(value) = translation.theirs.remove(older) {
            carry(&mut translation, older, &value);
        }
    }
    let Translation { mut theirs, mut ours, mut notes } = translation;
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
    fn what_has_no_exact_counterpart_is_said_and_never_guessed() {
        for (text, name, value, told) in [
            (
                "SYNC_SCHEDULE=5",
                "SYNC_CRON",
                json!("0 23 */4 * * *"),
                "5 hours do not divide a day, so it is every 4",
            ),
            ("SYNC_SCHEDULE=4", "SYNC_CRON", json!("0 23 */4 * * *"), "SYNC_SCHEDULE is SYNC_CRON here"),
            ("SYNC_SCHEDULE=x", "SYNC_CRON", Value::Null, "set SYNC_CRON yourself"),
            (
                "SYNC_SCHEDULE=4\nSYNC_CRON=0 7 * * * *",
                "SYNC_CRON",
                json!("0 7 * * * *"),
                "SYNC_SCHEDULE is left out: SYNC_CRON is given with another value",
            ),
            (
                "EXCLUDE_OS_INT=true\nEXCLUDE_OSINT=false",
                "EXCLUDE_OSINT",
                json!("false"),
                "EXCLUDE_OS_INT is left out: EXCLUDE_OSINT is given with another value",
            ),
            ("USE_UPLOAD_INDICATORS_API=yes", "SENTINEL_API", Value::Null, "set SENTINEL_API yourself"),
            ("USE_UPLOAD_INDICATORS_API=0", "SENTINEL_API", json!("stix-objects"), "is SENTINEL_API here"),
            (
                "KEY_VAULT_NAME=my-vault\nAZURE_CLOUD=UsGov",
                "KEY_VAULT_URL",
                json!("https://my-vault.vault.usgovcloudapi.net"),
                "is KEY_VAULT_URL here",
            ),
            (
                "KEY_VAULT_NAME=my-vault\nAZURE_CLOUD=moon",
                "KEY_VAULT_URL",
                Value::Null,
                "KEY_VAULT_URL yourself",
            ),
            ("KEY_VAULT_NAME=my vault", "KEY_VAULT_URL", Value::Null, "set KEY_VAULT_URL yourself"),
        ] {
            let carried = of(text).unwrap();
            assert_eq!(carried.as_file()["Values"][name], value, "{text}");
            let notes = carried.notes.join("\n");
            assert!(notes.contains(told), "{text}: {notes}");
        }
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
