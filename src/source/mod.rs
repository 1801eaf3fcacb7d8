//! The source of indicators: a closed set, one variant each.

pub mod gti;
mod lenient;
pub mod mandiant;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use tracing::warn;

use crate::{
    azure::secrets::SecretStore,
    clock::{Deadline, OutOfTime},
    domain::{
        feeds::{Account, Quota},
        indicator::Provider,
        observable::Observable,
        page::{Page, SourceId},
        problem::Problem,
        window::{Limits, PlannedWindow},
    },
    http::{probe::Probe, retry::RetryError},
};

use self::{gti::error::GtiError, mandiant::error::MandiantError};

/// A source with everything it needs.
pub enum Source {
    Mandiant(Arc<mandiant::client::Client>),
    Gti(Arc<gti::client::Client>),
}

/// What a source says of itself and of us.
#[derive(Clone, Copy, Debug, Default)]
pub struct Standing {
    /// By its clock.
    pub at: Option<DateTime<Utc>>,
    /// How much of what it lets us ask is used.
    pub quota: Option<Quota>,
}

/// What is looked up.
pub enum Wanted {
    Value {
        /// As we spell it, and as it was given.
        spellings: Vec<String>,
        /// `None`: it is none that could be sent.
        observable: Option<Observable>,
    },
    Id(SourceId),
}

/// Why the next page of a window did not come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceError {
    OutOfTime(OutOfTime),
    /// The later pages of the window did not come, however often it was started again: a shorter window may help.
    PagesLost(Problem),
    /// The source is down, or only the operator can mend the problem.
    Stalled(Problem),
}

impl Source {
    /// Its name in sentences.
    pub fn label(&self) -> &'static str {
        self.provider().name
    }

    /// Who provides the indicators, as the objects at a destination show it.
    pub fn provider(&self) -> Provider {
        match self {
            Self::Mandiant(_) => mandiant::PROVIDER,
            Self::Gti(_) => gti::PROVIDER,
        }
    }

    /// What limits the windows it can be asked for.
    pub fn limits(&self) -> Limits {
        match self {
            Self::Mandiant(_) => mandiant::LIMITS,
            Self::Gti(_) => gti::LIMITS,
        }
    }

    /// Its name in a lane's state, as the setting has it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Mandiant(_) => "mandiant",
            Self::Gti(_) => "gti",
        }
    }

    /// The feeds that it gives its records in; none where there is one only.
    pub fn feeds(&self) -> Vec<String> {
        match self {
            Self::Mandiant(_) => Vec::new(),
            Self::Gti(client) => client.lists(),
        }
    }

    /// What the source says of itself and of us, if it can be asked at no cost. Asked once: that it does not answer, the
    /// reading will tell.
    pub async fn standing(&self, deadline: &Deadline) -> Standing {
        match self {
            Self::Mandiant(_) => Standing::default(),
            Self::Gti(client) => match deadline.within(Box::pin(client.standing())).await {
                Ok((at, quota)) => {
                    let told =
                        quota.inspect_err(|error| warn!("how much quota is used was not told: {error}"));
                    Standing { at, quota: told.ok().flatten() }
                }
                Err(_) => Standing::default(),
            },
        }
    }

    /// Opens a window. With `selective`, the source leaves out what the settings do not admit.
    pub fn open(&self, planned: &PlannedWindow, selective: bool) -> Reader {
        let PlannedWindow { window, feeds, .. } = planned;
        match self {
            Self::Mandiant(client) => {
                Reader::Mandiant(mandiant::reader::Reader::new(Arc::clone(client), *window, selective))
            }
            Self::Gti(client) => {
                Reader::Gti(gti::reader::Reader::new(Arc::clone(client), *window, feeds.clone()))
            }
        }
    }

    /// What the source says now of one value, or of the record with an id of its own: one look-up.
    ///
    /// # Errors
    /// See [`SourceError`].
    pub async fn look_up(&self, wanted: &Wanted, deadline: &Deadline) -> Result<Page, SourceError> {
        match (self, wanted) {
            (Self::Mandiant(client), Wanted::Value { spellings, .. }) => {
                client.look_up(spellings, deadline).await.map_err(|failed| explained(failed, false))
            }
            (Self::Mandiant(client), Wanted::Id(id)) => {
                client.look_up_id(id, deadline).await.map_err(|failed| explained(failed, false))
            }
            (Self::Gti(client), Wanted::Value { observable: Some(observable), .. }) => {
                client.look_up(observable, deadline).await.map_err(stalled)
            }
            (Self::Gti(_), _) => {
                let problem = format!("{} knows no such value", self.label());
                Err(SourceError::Stalled(problem.into()))
            }
        }
    }

    /// The connections to try.
    pub fn probes<'a>(&'a self, deadline: &'a Deadline) -> Vec<Probe<'a>> {
        let mut probes = Vec::new();
        let secrets = self.secrets();
        if let Some((url, names)) = secrets.from_key_vault() {
            let attempt = async {
                let probed = deadline.within(secrets.probe()).await?;
                probed.map_err(|error| RetryError::GaveUp(error.problem))?;
                Ok("every secret that is needed is there".to_owned())
            };
            let tried = format!("{} in {url} were read", names.join(", "));
            probes.push(Probe::new("Key Vault", tried, attempt));
        }
        match self {
            Self::Mandiant(client) => probes.push(client.probe(deadline)),
            Self::Gti(client) => probes.extend(client.probes(deadline)),
        }
        probes
    }

    fn secrets(&self) -> &SecretStore {
        match self {
            Self::Mandiant(client) => client.secrets(),
            Self::Gti(client) => client.secrets(),
        }
    }
}

/// Reads one window, page by page; every page is whole or an error.
pub enum Reader {
    Mandiant(mandiant::reader::Reader),
    Gti(gti::reader::Reader),
}

impl Reader {
    /// The next page; `None` after the last one. If the source makes it start the window again, records are read twice.
    ///
    /// # Errors
    /// See [`SourceError`].
    pub async fn next_page(&mut self, deadline: &Deadline) -> Result<Option<Page>, SourceError> {
        match self {
            Self::Mandiant(reader) => {
                let page = reader.next_page(deadline).await;
                page.map_err(|failed| explained(failed, reader.wants_a_shorter_window()))
            }
            // In a box, because it is large, and every reading would carry its size.
            Self::Gti(reader) => Box::pin(reader.next_page(deadline)).await.map_err(stalled),
        }
    }

    /// When the window was first asked for, by the source's clock, if it says.
    pub fn asked_at(&self) -> Option<DateTime<Utc>> {
        match self {
            Self::Mandiant(reader) => reader.asked_at(),
            // It was asked before the first window, see [`Source::standing`].
            Self::Gti(_) => None,
        }
    }

    /// After the last page: what came of asking each feed.
    pub fn account(&self) -> Account {
        match self {
            Self::Mandiant(_) => Account::new(),
            Self::Gti(reader) => reader.account(),
        }
    }
}

fn stalled(failed: RetryError<GtiError>) -> SourceError {
    match failed {
        RetryError::OutOfTime(out_of_time) => SourceError::OutOfTime(out_of_time),
        RetryError::GaveUp(error) => SourceError::Stalled(error.problem()),
    }
}

fn explained(failed: RetryError<MandiantError>, wants_a_shorter_window: bool) -> SourceError {
    match failed {
        RetryError::OutOfTime(out_of_time) => SourceError::OutOfTime(out_of_time),
        RetryError::GaveUp(error) if wants_a_shorter_window => SourceError::PagesLost(error.problem()),
        RetryError::GaveUp(error) => SourceError::Stalled(error.problem()),
    }
}
