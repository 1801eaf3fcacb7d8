//! What a function app says about itself: host.json and the function.json of every function.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::function::{Function, Trigger, functions};

/// App settings with this prefix override host.json, `__` standing for the step into an object.
const OVERRIDE: &str = "azurefunctionsjobhost__";

/// The app settings, by name.
pub type Settings = BTreeMap<String, String>;

/// A function app, read and resolved.
#[derive(Debug)]
pub(super) struct Configuration {
    pub root: PathBuf,
    pub executable: PathBuf,
    pub arguments: Vec<String>,
    pub working_directory: PathBuf,
    pub initialization_timeout: Duration,
    /// `None` is the `-1` of plans without a limit.
    pub function_timeout: Option<Duration>,
    pub route_prefix: String,
    pub queues: QueueOptions,
    pub functions: Vec<Function>,
    /// What keeps the other functions from being started, by name.
    pub disabled: BTreeMap<String, String>,
    /// Whether host.json asks for the request log of the Azure SDK, which the host uses for its own queues and locks.
    pub logs_sdk_requests: bool,
    /// Whether Application Insights is configured, without which no invocation has a `traceparent`.
    pub is_traced: bool,
    /// Whether host.json names an extension bundle, which must be in a cache or be downloaded at the start.
    pub needs_bundle: bool,
    /// As whom the host itself works on the app's storage.
    pub storage_identity: StorageIdentity,
}

/// As whom the host itself works on the app's storage: the credential that `AzureWebJobsStorage` names, or else the
/// first of .NET's `DefaultAzureCredential`, which reads the same variables as the app's own clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StorageIdentity {
    /// A connection string's key.
    Key,
    ManagedIdentity {
        client_id: Option<String>,
    },
    /// An app registration found in `AZURE_CLIENT_ID` and its like, asked for at `AZURE_AUTHORITY_HOST`.
    Application {
        client_id: String,
        authority: Option<String>,
    },
}

impl StorageIdentity {
    fn read(settings: &Settings) -> Self {
        let get = |name: &str| settings.get(name).filter(|value| !value.is_empty()).cloned();
        if get("AzureWebJobsStorage").is_some() {
            return Self::Key;
        }
        let credential = get("AzureWebJobsStorage__credential").unwrap_or_default();
        if credential.eq_ignore_ascii_case("managedidentity") {
            return Self::ManagedIdentity { client_id: get("AzureWebJobsStorage__clientId") };
        }
        let client_id = get("AZURE_CLIENT_ID");
        match (client_id, get("AZURE_TENANT_ID"), get("AZURE_CLIENT_SECRET")) {
            (Some(client_id), Some(_), Some(_)) => {
                Self::Application { client_id, authority: get("AZURE_AUTHORITY_HOST") }
            }
            (client_id, ..) => Self::ManagedIdentity { client_id },
        }
    }
}

/// The section `extensions.queues` of host.json.
#[derive(Clone, Debug)]
pub(super) struct QueueOptions {
    /// How long a message stays away after a failed try.
    pub visibility_timeout: Duration,
    pub batch_size: usize,
    pub new_batch_threshold: usize,
    pub max_dequeue_count: u32,
    /// Whether the text of a message travels as base64, the default of the extension.
    pub base64: bool,
}

impl Configuration {
    /// Reads the app under `root`; whatever the host would reject at its start is an error here.
    pub fn read(root: &Path, settings: &Settings) -> Result<Self> {
        let root = std::path::absolute(root)?;
        let keys = Keys::read(&root.join("host.json"), settings)?;
        ensure!(keys.any("customhandler:description"), "Missing worker Description.");
        for unsupported in
            ["customhandler:enableforwardinghttprequest", "customhandler:enableproxyinghttprequest"]
        {
            // These replace the JSON contract for HTTP functions; going on would test something else.
            ensure!(!keys.truth(unsupported)?, "{unsupported} is not modelled");
        }
        ensure!(!keys.any("retry"), "a retry policy in host.json is not modelled; put it in function.json");
        let executable = keys.text("customhandler:description:defaultexecutablepath").unwrap_or_default();
        let executable = expand(&executable, settings);
        ensure!(
            !executable.trim().is_empty(),
            "ValidationException: WorkerDescription DefaultExecutablePath cannot be empty"
        );
        // A path that does not exist under the app's folder is left to the search path.
        let executable =
            Some(root.join(&executable)).filter(|path| path.is_file()).unwrap_or(executable.into());
        let working = keys.text("customhandler:description:workingdirectory").unwrap_or_default();
        let (mut functions, disabled) = functions(&root, settings)?;
        functions
            .retain(|function| !settings.get(&disabling(&function.name)).is_some_and(|value| truth(value)));
        ensure!(!functions.is_empty() || !disabled.is_empty(), "No job functions found.");
        Ok(Self {
            executable,
            arguments: keys.list("customhandler:description:arguments", settings)?,
            working_directory: root.join(working),
            initialization_timeout: keys
                .span("customhandler:initializationtimeout")?
                .unwrap_or(Duration::from_secs(30)),
            function_timeout: keys.function_timeout()?,
            route_prefix: keys.text("extensions:http:routeprefix").unwrap_or("api".into()),
            queues: keys.queues()?,
            functions,
            disabled,
            logs_sdk_requests: keys.logs_information("azure.core"),
            is_traced: settings
                .get("APPLICATIONINSIGHTS_CONNECTION_STRING")
                .is_some_and(|text| !text.is_empty()),
            needs_bundle: keys.any("extensionbundle"),
            storage_identity: StorageIdentity::read(settings),
            root,
        })
    }

    pub fn function(&self, name: &str) -> Option<&Function> {
        self.functions.iter().find(|function| function.name.eq_ignore_ascii_case(name))
    }

    /// The function that a message on `queue` triggers.
    pub fn triggered_by(&self, queue: &str) -> Option<&Function> {
        self.functions
            .iter()
            .find(|function| matches!(&function.trigger, Trigger::Queue { queue: own } if own == queue))
    }
}

fn disabling(function: &str) -> String {
    format!("AzureWebJobs.{function}.Disabled")
}

/// host.json as the host sees it: flat, case-insensitive paths to texts, the app settings laid over the file.
struct Keys(BTreeMap<String, String>);

impl Keys {
    fn read(file: &Path, settings: &Settings) -> Result<Self> {
        let mut keys = BTreeMap::new();
        flatten("", &json(file)?, &mut keys);
        for (name, value) in settings {
            if let Some(path) = name.to_ascii_lowercase().strip_prefix(OVERRIDE) {
                keys.insert(path.replace("__", ":"), value.clone());
            }
        }
        Ok(Self(keys))
    }

    fn any(&self, path: &str) -> bool {
        let below = format!("{path}:");
        self.0.keys().any(|key| key == path || key.starts_with(&below))
    }

    fn text(&self, path: &str) -> Option<String> {
        self.0.get(path).cloned()
    }

    fn truth(&self, path: &str) -> Result<bool> {
        Ok(self.0.get(path).is_some_and(|value| truth(value)))
    }

    fn number<T: std::str::FromStr>(&self, path: &str) -> Result<Option<T>>
    where
        T::Err: std::error::Error + Send + Sync + 'static,
    {
        self.0.get(path).map(|text| text.parse().with_context(|| format!("{path}: {text}"))).transpose()
    }

    fn span(&self, path: &str) -> Result<Option<Duration>> {
        self.0.get(path).map(|text| span(text).with_context(|| path.to_owned())).transpose()
    }

    /// An array, or (from an app setting) an array printed as one text.
    fn list(&self, path: &str, settings: &Settings) -> Result<Vec<String>> {
        let items = match self.0.get(path).filter(|text| !text.is_empty()) {
            Some(text) => serde_json::from_str(text).with_context(|| path.to_owned())?,
            None => (0..).map_while(|index| self.text(&format!("{path}:{index}"))).collect::<Vec<_>>(),
        };
        Ok(items.iter().map(|item| expand(item, settings)).collect())
    }

    fn function_timeout(&self) -> Result<Option<Duration>> {
        match self.text("functiontimeout").as_deref() {
            None => Ok(Some(Duration::from_secs(30 * 60))),
            Some("-1") => Ok(None),
            Some(text) => {
                let timeout = span(text).context("functionTimeout")?;
                ensure!(
                    timeout >= Duration::from_secs(1),
                    "functionTimeout must be at least 1 second: {text}"
                );
                Ok(Some(timeout))
            }
        }
    }

    /// Whether `logging.logLevel` lets lines of this category and level Information through. Without an entry that
    /// covers it, `default` included, the host logs `Function.*` and `Host.*` and nothing of the libraries below.
    fn logs_information(&self, category: &str) -> bool {
        let prefix = "logging:loglevel:";
        let levels = self.0.iter().filter_map(|(key, level)| Some((key.strip_prefix(prefix)?, level)));
        let covers = |name: &str| {
            name == "default"
                || category.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        let nearest = levels.filter(|(name, _)| covers(name));
        let nearest = nearest.max_by_key(|(name, _)| if *name == "default" { 0 } else { name.len() });
        nearest.is_some_and(|(_, level)| {
            ["trace", "debug", "information"].iter().any(|loud| level.eq_ignore_ascii_case(loud))
        })
    }

    fn queues(&self) -> Result<QueueOptions> {
        let batch_size = self.number("extensions:queues:batchsize")?.unwrap_or(16);
        ensure!((1..=32).contains(&batch_size), "batchSize must lie between 1 and 32: {batch_size}");
        let threshold = self.number("extensions:queues:newbatchthreshold")?;
        let max_dequeue_count = self.number("extensions:queues:maxdequeuecount")?.unwrap_or(5);
        ensure!(max_dequeue_count >= 1, "maxDequeueCount must be at least 1");
        let encoding = self.text("extensions:queues:messageencoding").unwrap_or("base64".into());
        Ok(QueueOptions {
            visibility_timeout: self.span("extensions:queues:visibilitytimeout")?.unwrap_or_default(),
            batch_size,
            new_batch_threshold: threshold.unwrap_or(batch_size / 2),
            max_dequeue_count,
            base64: match encoding.to_ascii_lowercase().as_str() {
                "base64" => true,
                "none" => false,
                other => bail!("unknown messageEncoding {other}"),
            },
        })
    }
}

fn truth(text: &str) -> bool {
    text.eq_ignore_ascii_case("true") || text == "1"
}

pub(super) fn json(file: &Path) -> Result<Value> {
    let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    serde_json::from_str(&text).with_context(|| file.display().to_string())
}

fn flatten(path: &str, value: &Value, keys: &mut BTreeMap<String, String>) {
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}:{name}") };
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(name, value)| flatten(&below(&name.to_ascii_lowercase()), value, keys));
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(at, value)| flatten(&below(&at.to_string()), value, keys));
        }
        Value::String(text) => _ = keys.insert(path.to_owned(), text.clone()),
        Value::Null => _ = keys.insert(path.to_owned(), String::new()),
        scalar => _ = keys.insert(path.to_owned(), scalar.to_string()),
    }
}

/// A .NET `TimeSpan`: `[d.]hh:mm[:ss[.fraction]]`.
pub(super) fn span(text: &str) -> Result<Duration> {
    let read = || -> Option<Duration> {
        let (days, clock) = match text.split_once('.') {
            Some((days, clock)) if clock.contains(':') => (days.parse::<u64>().ok()?, clock),
            _ => (0, text),
        };
        let mut parts = clock.split(':');
        let hours = parts.next()?.parse::<u64>().ok()?;
        let minutes = parts.next()?.parse::<u64>().ok().filter(|minutes| *minutes < 60)?;
        let seconds = parts.next().unwrap_or("0").parse::<f64>().ok().filter(|s| (0.0..60.0).contains(s))?;
        let whole = Duration::from_secs(((days * 24 + hours) * 60 + minutes) * 60);
        parts.next().is_none().then(|| whole + Duration::from_secs_f64(seconds))
    };
    read().with_context(|| format!("not a time span (hh:mm:ss): {text}"))
}

/// Prints a span the way [`span`] reads it.
pub(super) fn print_span(span: Duration) -> String {
    let seconds = span.as_secs();
    let clock = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    match span.subsec_millis() {
        0 => clock,
        fraction => format!("{clock}.{fraction:03}"),
    }
}

/// `%NAME%` from the environment, unknown names removed.
fn expand(text: &str, settings: &Settings) -> String {
    replace(text, |name| Ok(settings.get(name).cloned().unwrap_or_default())).unwrap_or_default()
}

/// `%NAME%` from the app settings, unknown names rejected.
pub(super) fn resolve(text: &str, settings: &Settings) -> Result<String> {
    replace(text, |name| {
        let known = settings.iter().find(|(own, _)| own.eq_ignore_ascii_case(name));
        known
            .map(|(_, value)| value.clone())
            .with_context(|| format!("'%{name}%' does not resolve to a value."))
    })
}

fn replace(text: &str, lookup: impl Fn(&str) -> Result<String>) -> Result<String> {
    let mut result = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        let Some((name, behind)) = after.split_once('%') else { break };
        result += before;
        result += &lookup(name)?;
        rest = behind;
    }
    Ok(result + rest)
}

#[cfg(test)]
mod tests;
