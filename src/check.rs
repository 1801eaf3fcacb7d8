//! Tries every connection without changing anything that counts, and says what to do where one fails.
//!
//! One list of checks, for the command `mati-sync check` and for `GET /api/status?check=true` alike. They run side by
//! side, each to its own end: one that fails or hangs keeps no other from being made.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::{
    azure::api::Api,
    clock::Deadline,
    destination::{Destination, defender::client::Defender, sentinel::holdings::Holdings},
    domain::{
        outcome::UploadError,
        schedule::{self, Schedule},
    },
    http::{error::seconds, traffic::Traffic},
    pass::Engine,
    settings::Faults,
    source::mandiant::error::SourceError,
    state::{error::StateError, store::Store},
};

/// Each check has so long.
const LIMIT: Duration = Duration::from_secs(30);

/// Roles that refusals name, each with whereto it is assigned.
const ROLES: [(&str, &str); 3] = [
    ("Microsoft Sentinel Contributor", "the workspace (its Properties page has the resource id)"),
    ("Storage Blob Data Contributor", "the storage account (its Endpoints page has the resource id)"),
    ("Key Vault Secrets User", "the key vault (its Properties page has the resource id)"),
];

/// What came of one check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was checked.
    pub check: String,
    pub ok: bool,
    /// What was tried.
    pub tried: String,
    /// What it showed; of a failure, what to do.
    pub result: String,
}

/// One thing to try.
enum Check<'a> {
    Schedule { engine: &'a Engine, text: &'a str },
    KeyVault { engine: &'a Engine, url: &'a str, names: Vec<&'a str> },
    Mandiant(&'a Engine),
    Token { api: &'a Api, is_blind: bool },
    Workspace(&'a Holdings),
    Indicators(&'a Defender),
    State(&'a Engine),
    Lease(&'a Engine),
}

/// Makes every check there is with these settings; `schedule` is `SYNC_CRON`.
pub async fn run(engine: &Engine, schedule: Option<&str>) -> Vec<Finding> {
    let settings = Finding {
        check: "settings".to_owned(),
        ok: true,
        tried: "every setting was read".to_owned(),
        result: "all are understood".to_owned(),
    };
    let findings = futures::future::join_all(list(engine, schedule).iter().map(Check::make)).await;
    std::iter::once(settings).chain(findings).collect()
}

/// What can be said where the settings cannot be used: nothing can be tried with them.
pub fn faulty(faults: &Faults) -> Vec<Finding> {
    let fault = |fault: &crate::settings::Fault| Finding {
        check: "settings".to_owned(),
        ok: false,
        tried: format!("{} was read", fault.setting),
        result: one_line(&format!("{fault}; until then no connection is tried")),
    };
    faults.0.iter().map(fault).collect()
}

/// What can be said of `SYNC_CRON` where the settings cannot be used or it is not among them, if it keeps the host's
/// timer from firing.
pub fn timer(setting: Option<&str>) -> Option<Finding> {
    let tried = "SYNC_CRON was read".to_owned();
    let finding =
        |fault: String| Finding { check: "schedule".to_owned(), ok: false, tried, result: one_line(&fault) };
    schedule::fault(setting).map(finding)
}

fn list<'a>(engine: &'a Engine, schedule: Option<&'a str>) -> Vec<Check<'a>> {
    let mut checks: Vec<Check<'_>> =
        schedule.into_iter().map(|text| Check::Schedule { engine, text }).collect();
    let vault = engine.source.secrets().from_key_vault();
    checks.extend(vault.map(|(url, names)| Check::KeyVault { engine, url, names }));
    checks.push(Check::Mandiant(engine));
    for lane in &engine.lanes {
        let api = lane.destination.api();
        match &lane.destination {
            Destination::Sentinel { holdings, .. } => {
                checks.push(Check::Token { api, is_blind: true });
                checks.extend(holdings.as_ref().map(Check::Workspace));
            }
            Destination::Defender(defender) => {
                checks.extend([Check::Token { api, is_blind: false }, Check::Indicators(defender)]);
            }
        }
    }
    checks.extend([Check::State(engine), Check::Lease(engine)]);
    checks
}

impl Check<'_> {
    async fn make(&self) -> Finding {
        let outcome = tokio::time::timeout(LIMIT, self.outcome(&Deadline::after(LIMIT))).await;
        let outcome = outcome.unwrap_or_else(|_| Err(unanswered()));
        let ok = outcome.is_ok();
        let result = outcome.unwrap_or_else(|problem| match command(&problem) {
            Some(command) => format!("{problem}. {command}"),
            None => problem,
        });
        Finding { check: self.name(), ok, tried: one_line(&self.tried()), result: one_line(&result) }
    }

    fn name(&self) -> String {
        match self {
            Self::Schedule { .. } => "schedule".to_owned(),
            Self::KeyVault { .. } => "Key Vault".to_owned(),
            Self::Mandiant(_) => "Mandiant".to_owned(),
            Self::Token { api, .. } => format!("token for {}", api.name),
            Self::Workspace(_) => "Sentinel workspace".to_owned(),
            Self::Indicators(_) => "Defender for Endpoint".to_owned(),
            Self::State(_) => "state".to_owned(),
            Self::Lease(_) => "lease".to_owned(),
        }
    }

    fn tried(&self) -> String {
        match self {
            Self::Schedule { text, .. } => format!("SYNC_CRON, {text:?}, was read"),
            Self::KeyVault { url, names, .. } => format!("{} in {url} were read", names.join(", ")),
            Self::Mandiant(engine) if engine.source.uses_tokens() => {
                "a token was asked for, and one record of the last day".to_owned()
            }
            Self::Mandiant(_) => "one record of the last day was asked for".to_owned(),
            Self::Token { api, .. } => format!("a token of Entra ID for {} was asked for", api.scope),
            Self::Workspace(_) => {
                "Azure Resource Manager was asked for a page of the workspace's indicators".to_owned()
            }
            Self::Indicators(defender) => {
                format!("{} was asked for one indicator of the list", defender.base_url)
            }
            Self::State(_) => "an object of no use was written, read back and deleted".to_owned(),
            Self::Lease(_) => "the right to write was asked for and given back".to_owned(),
        }
    }

    /// What was shown, or what to do.
    async fn outcome(&self, deadline: &Deadline) -> Result<String, String> {
        match self {
            Self::Schedule { engine, text } => next_time(text, engine.clock.now()),
            Self::KeyVault { engine, .. } => {
                engine.source.secrets().probe().await.map_err(|error| error.to_string())?;
                Ok("every secret that is needed is there".to_owned())
            }
            Self::Mandiant(engine) => match engine.source.probe(deadline).await {
                Ok(true) => Ok("it came".to_owned()),
                Ok(false) => {
                    Ok("it answered that there is none, which is unusual for a whole day".to_owned())
                }
                Err(error) => Err(of_source(&error)),
            },
            Self::Token { api, is_blind } => token(api, *is_blind).await,
            Self::Workspace(holdings) => {
                let page = holdings.page(None, deadline, &Traffic::default()).await;
                let page = page.map_err(|error| of_upload(&error))?;
                let count = page.held.len() + page.passed_over.len();
                Ok(format!("it may be read; the page had {count} indicators of {}", holdings.source_system))
            }
            Self::Indicators(defender) => {
                let any = defender.probe(deadline, &Traffic::default()).await;
                let any = any.map_err(|error| of_upload(&error))?;
                let held = if any { "it holds some" } else { "it holds none yet" };
                Ok(format!("{held}; by Microsoft's documentation whoever may list them may also import them"))
            }
            Self::State(engine) => {
                let store = open(engine).await?;
                store.probe(&engine.new_run_id()).await.map_err(|error| error.to_string())?;
                Ok(format!("{} gave back what was written", store.place()))
            }
            Self::Lease(engine) => {
                let holder = open(engine).await?.probe_lease("check").await;
                Ok(match holder.map_err(|error| error.to_string())? {
                    None => "it was free".to_owned(),
                    Some(holder) => format!("a pass is at work and holds it: {holder}"),
                })
            }
        }
    }
}

fn next_time(text: &str, now: DateTime<Utc>) -> Result<String, String> {
    if let Some(fault) = schedule::fault(Some(text)) {
        return Err(fault);
    }
    match Schedule::parse(text).and_then(|schedule| schedule.next_after(now)) {
        Some(next) => Ok(format!("the timer fires next at {}", next.format("%Y-%m-%d %H:%M:%S UTC"))),
        None => Ok("it is an interval, which the host takes on an App Service plan alone".to_owned()),
    }
}

async fn token(api: &Api, is_blind: bool) -> Result<String, String> {
    api.uploader.token(&api.scope).await.map_err(|error| error.to_string())?;
    let principal = api.uploader.principal().await;
    if !is_blind {
        return Ok(format!("it was issued to {principal}"));
    }
    Ok(format!(
        "it was issued to {principal}. A token does not prove that uploads are allowed, and the upload API has nothing that could be read: that shows with the first upload, which needs the role Microsoft Sentinel Contributor on the workspace"
    ))
}

async fn open(engine: &Engine) -> Result<Store, String> {
    let open = async {
        let store = (engine.open_store)()?;
        store.prepare().await?;
        Ok::<_, StateError>(store)
    };
    open.await.map_err(|error| error.to_string())
}

fn of_source(error: &SourceError) -> String {
    match error {
        SourceError::OutOfTime => unanswered(),
        SourceError::Answer { status: 404, .. } => {
            format!("{error}: the API's indicators are not there")
        }
        SourceError::Http(_) => {
            format!("{error}; check MATI_BASE_URL, and that a firewall lets the app out to it")
        }
        _ => error.to_string(),
    }
}

fn of_upload(error: &UploadError) -> String {
    match error {
        UploadError::OutOfTime { after: Some(reason) } => reason.clone(),
        UploadError::OutOfTime { after: None } => unanswered(),
        UploadError::Refused(_) | UploadError::Stalled(_) => error.to_string(),
    }
}

fn unanswered() -> String {
    format!(
        "no answer within {}; check that a firewall lets the app out to it, and whether another check says why",
        seconds(&LIMIT)
    )
}

/// How a role that a refusal names is assigned.
fn command(problem: &str) -> Option<String> {
    let (role, place) = ROLES.iter().find(|(role, _)| problem.contains(role))?;
    Some(format!(
        "In the portal: Access control (IAM) of {place} → Add role assignment. Or: az role assignment create --role \"{role}\" --assignee <object id of the identity> --scope <resource id>"
    ))
}

/// Without line breaks and anything else that a terminal would act on.
fn one_line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").replace(char::is_control, "\u{fffd}")
}
