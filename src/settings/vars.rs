//! Where settings come from.

use std::{collections::BTreeMap, path::Path};

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

/// Named texts: the process's environment, a settings file, a test's map.
pub trait Vars: Send + Sync {
    fn get(&self, name: &str) -> Option<String>;
}

/// The process's environment, which is where the Functions host puts app settings. Secrets given there stay readable
/// in it as long as the process lives; those in Key Vault do not.
pub struct Environment;

impl Vars for Environment {
    #[expect(clippy::disallowed_methods, reason = "the one home of the environment")]
    fn get(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }
}

impl Vars for BTreeMap<String, String> {
    fn get(&self, name: &str) -> Option<String> {
        BTreeMap::get(self, name).cloned()
    }
}

/// Values that are cleared when they are dropped: any of them may be a secret.
impl Vars for BTreeMap<String, SecretString> {
    fn get(&self, name: &str) -> Option<String> {
        BTreeMap::get(self, name).map(|value| value.expose_secret().to_owned())
    }
}

/// The first where it has a value, else the second. Empty means absent.
pub struct Layered(pub Box<dyn Vars>, pub Box<dyn Vars>);

impl Vars for Layered {
    fn get(&self, name: &str) -> Option<String> {
        self.0.get(name).filter(|value| !value.trim().is_empty()).or_else(|| self.1.get(name))
    }
}

/// The `Values` of a file in the form of `local.settings.json`.
///
/// # Errors
/// A file that cannot be read or has another form.
pub fn from_file(path: &Path) -> Result<BTreeMap<String, SecretString>, String> {
    #[derive(Deserialize)]
    struct File {
        #[serde(rename = "Values")]
        values: BTreeMap<String, SecretString>,
    }
    let text = std::fs::read_to_string(path)
        .map(SecretString::from)
        .map_err(|error| format!("the settings file {} cannot be read: {error}", path.display()))?;
    let file: File = serde_json::from_str(text.expose_secret()).map_err(|error| {
        format!(
            "the settings file {} is not of the form {{\"Values\": {{\"NAME\": \"text\"}}}}: {error}",
            path.display()
        )
    })?;
    Ok(file.values)
}
