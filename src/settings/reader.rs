//! Reads single settings and collects every fault, so that an operator mends them all in one deployment.

use std::{cell::RefCell, collections::BTreeSet, fmt, net::IpAddr, ops::RangeInclusive, str::FromStr};

use azure_core::http::Url;
use secrecy::SecretString;

use super::{
    table::{ALIASES, PLATFORM, settings},
    vars::Vars,
};

/// One setting that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub setting: String,
    /// What is wrong and what is accepted; never a secret's value.
    pub problem: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.setting, self.problem)
    }
}

/// Everything that is wrong with the settings.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Faults(pub Vec<Fault>);

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the settings cannot be used: ")?;
        for (index, fault) in self.0.iter().enumerate() {
            write!(f, "{}{fault}", if index == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

/// Reads settings from `vars`. A fault yields a harmless value and is remembered.
pub struct Reader<'a> {
    vars: &'a dyn Vars,
    /// Settings, by the names of today, whose value is a reference that Azure did not resolve.
    unresolved: BTreeSet<String>,
    faults: RefCell<Vec<Fault>>,
    notices: RefCell<BTreeSet<String>>,
}

impl<'a> Reader<'a> {
    pub fn new(vars: &'a dyn Vars) -> Self {
        let unresolved = BTreeSet::new();
        let mut reader = Self { vars, unresolved, faults: RefCell::default(), notices: RefCell::default() };
        reader.find_unresolved();
        reader
    }

    /// Names every setting whose value is a reference itself. Where a reference cannot be resolved, the app gets its
    /// text (learn.microsoft.com, "Use Key Vault references as app settings"), which must not be taken for a value.
    fn find_unresolved(&mut self) {
        let aliases = ALIASES.iter().map(|(alias, today)| (*alias, *today));
        let names = settings().map(|setting| (setting.name, setting.name)).chain(aliases);
        for (name, today) in names.chain(PLATFORM.iter().map(|name| (*name, *name))) {
            let Some(kind) = self.vars.get(name).as_deref().and_then(reference) else { continue };
            let problem = match kind {
                Reference::KeyVault => {
                    "is an unresolved Key Vault reference: Azure could not read the secret, and gave the app the reference itself; check that the app's identity has the role Key Vault Secrets User on the vault, that the vault's firewall lets the app in, and the names in the reference (the portal shows its state under Environment variables)"
                }
                Reference::AppConfiguration => {
                    "is an unresolved App Configuration reference: Azure gave the app the reference itself; check that the app's identity has the role App Configuration Data Reader, and the names in the reference"
                }
            };
            if self.faults.borrow().iter().all(|fault| fault.setting != name) {
                self.fault(name, problem);
            }
            self.unresolved.extend([name.to_owned(), today.to_owned()]);
        }
    }

    /// The faults found, or the things worth a line in the log.
    pub fn finish(self) -> Result<Vec<String>, Faults> {
        let faults = self.faults.into_inner();
        if faults.is_empty() {
            Ok(self.notices.into_inner().into_iter().collect())
        } else {
            Err(Faults(faults))
        }
    }

    /// Remembers a fault; of a setting that is known to have no value, nothing more is said.
    pub fn fault(&self, setting: &str, problem: impl Into<String>) {
        if self.unresolved.contains(setting) {
            return;
        }
        self.faults.borrow_mut().push(Fault { setting: setting.to_owned(), problem: problem.into() });
    }

    pub fn notice(&self, notice: impl Into<String>) {
        self.notices.borrow_mut().insert(notice.into());
    }

    /// A variable that is no setting of ours, or a setting without its aliases. Empty means absent.
    pub fn raw(&self, name: &str) -> Option<String> {
        debug_assert!(
            PLATFORM.contains(&name)
                || settings().any(|setting| setting.name == name)
                || ALIASES.iter().any(|(alias, _)| *alias == name),
            "{name} is read but stands in no table"
        );
        self.vars.get(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    /// A setting's text, under its own name or an older one.
    pub fn text(&self, name: &str) -> Option<String> {
        let mut found = self.raw(name);
        let mut found_as = name;
        for (alias, _) in ALIASES.iter().filter(|(_, today)| *today == name) {
            let Some(value) = self.raw(alias) else { continue };
            self.notice(format!("{alias} is an older spelling of {name}; it is still understood"));
            match &found {
                Some(other) if *other != value => {
                    self.fault(
                        name,
                        format!(
                            "is given twice with different values, as {found_as} and as {alias}; remove one"
                        ),
                    );
                }
                Some(_) => {}
                None => (found, found_as) = (Some(value), alias),
            }
        }
        found
    }

    /// A setting parsed by `parse`; `accepted` completes "accepted: …".
    pub fn parsed<T>(&self, name: &str, accepted: &str, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
        let text = self.text(name)?;
        let value = parse(&text);
        if value.is_none() {
            self.fault(name, format!("is {text:?}; accepted: {accepted}"));
        }
        value
    }

    /// `true/false/TRUE/False/1/0`.
    pub fn flag(&self, name: &str, default: bool) -> bool {
        self.parsed(name, "true, false, 1, 0", flag).unwrap_or(default)
    }

    pub fn number<T: FromStr + PartialOrd + fmt::Display + Copy>(
        &self,
        name: &str,
        range: &RangeInclusive<T>,
    ) -> Option<T> {
        let accepted = format!("a whole number from {} to {}", range.start(), range.end());
        self.parsed(name, &accepted, |text| text.parse().ok().filter(|number| range.contains(number)))
    }

    /// One of a few words, compared without case.
    pub fn choice<T: Copy>(&self, name: &str, choices: &[(&str, T)]) -> Option<T> {
        let accepted: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
        self.parsed(name, &accepted.join(", "), |text| {
            choices.iter().find(|(word, _)| word.eq_ignore_ascii_case(text)).map(|(_, value)| *value)
        })
    }

    /// A value that must not be shown.
    pub fn secret(&self, name: &str) -> Option<SecretString> {
        debug_assert!(
            settings().any(|setting| setting.name == name && setting.is_secret),
            "{name} is read as a secret and is none in the table"
        );
        self.text(name).map(SecretString::from)
    }

    /// A URL to which a secret or token may travel: https, or http to this machine.
    pub fn url(&self, name: &str) -> Option<Url> {
        let text = self.text(name)?;
        let url = Url::parse(&text).ok().filter(|url| {
            let sound = url.scheme() == "https" || url.scheme() == "http" && is_loopback(url);
            sound && url.query().is_none() && url.username().is_empty() && url.password().is_none()
        });
        if url.is_none() {
            // What stands before an @ or behind a ? is often a password or a signature.
            let shown =
                text.split(['?', '#']).next().unwrap_or_default().rsplit('@').next().unwrap_or_default();
            self.fault(
                name,
                format!(
                    "is {shown:?}; accepted: an https:// URL (http:// only for this machine, e.g. http://127.0.0.1:8080) without user, password and query"
                ),
            );
        }
        url
    }

    /// A GUID, as Azure writes them.
    pub fn guid(&self, name: &str) -> Option<String> {
        self.parsed(name, "a GUID such as 00000000-0000-0000-0000-000000000000", |text| {
            uuid::Uuid::parse_str(text).ok().map(|guid| guid.to_string())
        })
    }
}

/// What a value refers to.
enum Reference {
    KeyVault,
    AppConfiguration,
}

/// Whether a value is a reference of the platform's.
fn reference(value: &str) -> Option<Reference> {
    let value = value.trim().to_ascii_lowercase();
    if value.starts_with("@microsoft.keyvault(") {
        Some(Reference::KeyVault)
    } else if value.starts_with("@microsoft.appconfiguration(") {
        Some(Reference::AppConfiguration)
    } else {
        None
    }
}

/// Parses a boolean as the vendor's products write them.
pub fn flag(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    }
}

/// Whether `url` leads to this machine.
pub fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}
