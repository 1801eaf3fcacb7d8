//! A function of the app: its trigger and outputs, as its function.json declares them.

use std::{collections::BTreeMap, path::Path, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use super::{
    configuration::{Settings, json, resolve, span},
    schedule::Schedule,
};

#[derive(Clone, Debug)]
pub(super) struct Function {
    /// The folder's name, in its case: it is also the path of the invocation request.
    pub name: String,
    /// The name under which the trigger's value travels in `Data`.
    pub input: String,
    pub trigger: Trigger,
    pub outputs: Vec<Output>,
    pub retry: Option<Retry>,
}

#[derive(Clone, Debug)]
pub(super) enum Trigger {
    Timer { schedule: Schedule, run_on_startup: bool, monitored: bool },
    Http { methods: Option<Vec<String>>, route: String, level: Access },
    Queue { queue: String },
}

/// Which key an HTTP function asks for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Access {
    Anonymous,
    Function,
    Admin,
}

#[derive(Clone, Debug)]
pub(super) struct Output {
    pub name: String,
    pub target: Target,
    /// `dataType: "binary"` is the only way around the decoding of strings that happen to be base64.
    pub binary: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Target {
    Http,
    Queue(String),
}

/// The retry policy of a function; all attempts are one run with one invocation id.
#[derive(Clone, Debug)]
pub(super) struct Retry {
    /// `None` retries for ever.
    pub limit: Option<u32>,
    minimum: Duration,
    maximum: Duration,
}

impl Retry {
    /// The pause after the given attempt, counted from 0.
    pub fn pause(&self, attempt: u32) -> Duration {
        self.minimum.saturating_mul(1 << attempt.min(20)).min(self.maximum)
    }
}

/// The functions of an app, and what keeps the others from being started, by name.
pub(super) type Functions = (Vec<Function>, BTreeMap<String, String>);

/// The functions in the folders of the app, in the order of their names. One that cannot be indexed (its schedule cannot
/// be read, a connection is missing) is disabled alone: the host runs on, and nothing reaches the handler (seen under
/// Functions host 4.1037).
pub(super) fn functions(root: &Path, settings: &Settings) -> Result<Functions> {
    let mut folders = std::fs::read_dir(root)?.collect::<std::io::Result<Vec<_>>>()?;
    folders.sort_by_key(std::fs::DirEntry::file_name);
    let (mut functions, mut disabled) = (Vec::new(), BTreeMap::new());
    for folder in folders {
        let file = folder.path().join("function.json");
        if !file.is_file() {
            continue;
        }
        let name = folder.file_name().to_string_lossy().into_owned();
        let read = serde_json::from_value(json(&file)?)
            .map_err(anyhow::Error::from)
            .and_then(|file: FunctionFile| file.read(name.clone(), settings));
        match read {
            Ok(function) => functions.extend(function),
            // What the double does not know would be something else under the host.
            Err(error) if format!("{error:#}").contains("not modelled") => {
                return Err(error.context(file.display().to_string()));
            }
            Err(error) => {
                let text = format!("Error indexing method 'Functions.{name}'. {error:#}");
                disabled.insert(name, text);
            }
        }
    }
    Ok((functions, disabled))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FunctionFile {
    bindings: Vec<Binding>,
    #[serde(default)]
    disabled: bool,
    retry: Option<RetryFile>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Binding {
    r#type: String,
    name: String,
    schedule: Option<String>,
    run_on_startup: Option<bool>,
    use_monitor: Option<bool>,
    methods: Option<Vec<String>>,
    route: Option<String>,
    auth_level: Option<String>,
    queue_name: Option<String>,
    connection: Option<String>,
    data_type: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RetryFile {
    strategy: String,
    max_retry_count: i64,
    delay_interval: Option<String>,
    minimum_interval: Option<String>,
    maximum_interval: Option<String>,
}

impl FunctionFile {
    fn read(self, name: String, settings: &Settings) -> Result<Option<Function>> {
        let mut trigger = None;
        let mut outputs = Vec::new();
        for binding in &self.bindings {
            if binding.r#type.to_ascii_lowercase().ends_with("trigger") {
                let value = (binding.name.clone(), binding.trigger(&name, settings)?);
                ensure!(trigger.replace(value).is_none(), "Multiple trigger bindings defined.");
            } else {
                outputs.push(binding.output(settings)?);
            }
        }
        let (input, trigger) = trigger.context("No trigger binding specified.")?;
        let retry = self.retry.as_ref().map(RetryFile::read).transpose()?;
        let rejected = retry.is_some() && matches!(trigger, Trigger::Queue { .. });
        ensure!(!rejected, "the queue trigger supports no retry policy");
        Ok((!self.disabled).then_some(Function { name, input, trigger, outputs, retry }))
    }
}

impl Binding {
    fn trigger(&self, function: &str, settings: &Settings) -> Result<Trigger> {
        match self.r#type.to_ascii_lowercase().as_str() {
            "timertrigger" => {
                let text = resolve(self.schedule.as_deref().context("schedule is missing")?, settings)?;
                let schedule = Schedule::parse(&text)?;
                // A schedule that fires more than once a minute is never monitored.
                let monitored = self.use_monitor.unwrap_or(true) && !schedule.is_frequent();
                Ok(Trigger::Timer {
                    schedule,
                    run_on_startup: self.run_on_startup.unwrap_or(false),
                    monitored,
                })
            }
            "httptrigger" => {
                let route = self.route.as_deref().map(|route| resolve(route, settings)).transpose()?;
                let level = match self.auth_level.as_deref().map(str::to_ascii_lowercase).as_deref() {
                    Some("anonymous") => Access::Anonymous,
                    Some("function") | None => Access::Function,
                    Some("admin") => Access::Admin,
                    Some(other) => bail!("unknown authLevel {other}"),
                };
                let route = route.filter(|route| !route.is_empty()).unwrap_or(function.to_owned());
                Ok(Trigger::Http { methods: self.methods.clone(), route, level })
            }
            "queuetrigger" => Ok(Trigger::Queue { queue: self.queue(settings)? }),
            other => bail!("the trigger {other} is not modelled"),
        }
    }

    fn output(&self, settings: &Settings) -> Result<Output> {
        let target = match self.r#type.to_ascii_lowercase().as_str() {
            "http" => Target::Http,
            "queue" => Target::Queue(self.queue(settings)?),
            other => bail!("the binding {other} is not modelled"),
        };
        let binary = self.data_type.as_deref().is_some_and(|kind| kind.eq_ignore_ascii_case("binary"));
        Ok(Output { name: self.name.clone(), target, binary })
    }

    fn queue(&self, settings: &Settings) -> Result<String> {
        // Names are lower-cased by the host before the service sees them.
        let connection = self.connection.as_deref().unwrap_or("AzureWebJobsStorage");
        ensure!(
            connected(connection, settings),
            "Storage account connection string '{connection}' does not exist. \
             Make sure that it is a defined App Setting."
        );
        let name = resolve(self.queue_name.as_deref().context("queueName is missing")?, settings)?;
        Ok(name.to_ascii_lowercase())
    }
}

/// Whether there is a connection of this name: a setting, or settings that begin with it (an identity's), with or
/// without the prefix of the host's own.
fn connected(name: &str, settings: &Settings) -> bool {
    let names = [name.to_ascii_lowercase(), format!("azurewebjobs{}", name.to_ascii_lowercase())];
    settings.iter().filter(|(_, value)| !value.is_empty()).any(|(own, _)| {
        let own = own.to_ascii_lowercase();
        names
            .iter()
            .any(|name| own.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with("__")))
    })
}

impl RetryFile {
    fn read(&self) -> Result<Retry> {
        let interval = |text: &Option<String>, name: &str| span(text.as_deref().context(name.to_owned())?);
        let (minimum, maximum) = match self.strategy.as_str() {
            "fixedDelay" => {
                let delay = interval(&self.delay_interval, "delayInterval")?;
                (delay, delay)
            }
            "exponentialBackoff" => (
                interval(&self.minimum_interval, "minimumInterval")?,
                interval(&self.maximum_interval, "maximumInterval")?,
            ),
            other => bail!("unknown retry strategy {other}"),
        };
        Ok(Retry { limit: u32::try_from(self.max_retry_count).ok(), minimum, maximum })
    }
}
