//! Manual reruns that wait, and the files among them that cannot be used.

use chrono::{DateTime, Utc};

use super::{
    error::StateError,
    lease::Lease,
    object::{Condition, Version},
    store::{ASIDE, Store},
};
use crate::domain::{
    report::is_run_id,
    request::{Claim, Request},
};

const REQUESTS: &str = "requests/";

/// A file among the requests that cannot be used. A version that was rolled back may have written it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} cannot be used: {reason}")]
pub struct Unusable {
    pub name: String,
    pub reason: String,
}

/// What a file among the requests holds.
pub type Found = Result<Request, Unusable>;

impl Store {
    /// Makes a manual rerun durable before its caller is told that it was accepted.
    ///
    /// # Errors
    /// The storage fails.
    pub async fn write_request(&self, request: &Request) -> Result<(), StateError> {
        self.write_json(&name_of(&request.run_id), request).await
    }

    /// What waits, oldest first.
    ///
    /// # Errors
    /// The storage fails.
    pub async fn requests(&self) -> Result<Vec<Found>, StateError> {
        let mut requests = Vec::new();
        for item in self.home().list(REQUESTS).await? {
            requests.extend(self.read_request(&item.name).await?.map(|(found, _)| found));
        }
        Ok(requests)
    }

    /// The request of this id, if it waits.
    ///
    /// # Errors
    /// The storage fails.
    pub async fn request(&self, run_id: &str) -> Result<Option<Found>, StateError> {
        if !is_run_id(run_id) {
            return Ok(None);
        }
        Ok(self.read_request(&name_of(run_id)).await?.map(|(found, _)| found))
    }

    async fn read_request(&self, name: &str) -> Result<Option<(Found, Version)>, StateError> {
        let Some((bytes, version)) = self.home().read(name).await? else { return Ok(None) };
        let found = parse(name, &bytes).map_err(|reason| Unusable { name: name.to_owned(), reason });
        Ok(Some((found, version)))
    }

    /// Claims a request that is run without a lease. False if it is gone or another instance has a claim to it.
    ///
    /// # Errors
    /// The storage fails.
    pub async fn claim_request(
        &self,
        run_id: &str,
        claim: Claim,
        now: DateTime<Utc>,
    ) -> Result<bool, StateError> {
        let name = name_of(run_id);
        let Some((Ok(request), version)) = self.read_request(&name).await? else { return Ok(false) };
        if request.claim.as_ref().is_some_and(|claim| claim.holds(now)) {
            return Ok(false);
        }
        let claimed = Request { claim: Some(claim), ..request };
        let bytes = serde_json::to_vec_pretty(&claimed).expect("a request is JSON");
        match self.home().write(&name, bytes, Condition::Is(version)).await {
            Ok(_) => Ok(true),
            Err(StateError::Conflict { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Forgets a request: it is applied, or lives on in a lane's progress.
    ///
    /// # Errors
    /// The storage fails.
    pub async fn delete_request(&self, run_id: &str) -> Result<(), StateError> {
        self.home().delete(&name_of(run_id)).await
    }

    /// Moves a file from the requests to `aside/`, and returns its new name.
    ///
    /// # Errors
    /// The lease is lost, or the storage fails.
    pub async fn set_aside(&self, lease: &Lease, name: &str) -> Result<String, StateError> {
        lease.hold().await?;
        let aside = format!("{ASIDE}{}", name.strip_prefix(REQUESTS).unwrap_or(name));
        if let Some((bytes, _)) = self.home().read(name).await? {
            self.home().write(&aside, bytes, Condition::Always).await?;
            self.home().delete(name).await?;
        }
        Ok(aside)
    }

    /// The request of this id, if it was set aside.
    ///
    /// # Errors
    /// The storage fails.
    pub async fn request_aside(&self, run_id: &str) -> Result<Option<Unusable>, StateError> {
        if !is_run_id(run_id) {
            return Ok(None);
        }
        let name = format!("{ASIDE}{run_id}.json");
        let Some((bytes, _)) = self.home().read(&name).await? else { return Ok(None) };
        let reason = parse(&name_of(run_id), &bytes).err();
        let reason =
            reason.unwrap_or_else(|| "no pass could work it off with the settings of then".to_owned());
        Ok(Some(Unusable { name, reason }))
    }

    /// Names of the files that were set aside.
    ///
    /// # Errors
    /// The storage fails.
    pub async fn aside(&self) -> Result<Vec<String>, StateError> {
        Ok(self.home().list(ASIDE).await?.into_iter().map(|item| item.name).collect())
    }
}

/// The name under which a request waits.
pub fn name_of(run_id: &str) -> String {
    format!("{REQUESTS}{run_id}.json")
}

fn parse(name: &str, bytes: &[u8]) -> Result<Request, String> {
    let request: Request = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    // It is found and deleted by the name that its id gives.
    if !is_run_id(&request.run_id) || name != name_of(&request.run_id) {
        return Err(format!("its run_id is {:?}, which is not its name", request.run_id));
    }
    Ok(request)
}
