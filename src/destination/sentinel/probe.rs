//! Whether a workspace can be reached and takes what is sent, as far as that can be shown.

use std::time::Duration;

use axum::{body::Bytes, http::Request};
use chrono::TimeDelta;

use super::{canary::CHECK, client::Sentinel};
use crate::{
    clock::Deadline,
    domain::problem::Problem,
    http::{
        probe::{Probe, reached},
        retry::RetryError,
    },
};

const SETTINGS: &str = "SENTINEL_BASE_URL and AZURE_CLOUD";
const TIMEOUT: Duration = Duration::from_secs(20);
/// More than any host says at its root.
const ANSWER_BYTES: usize = 256 * 1024;
/// What only an upload shows.
const UNPROVEN: &str = "a token does not prove that uploads are allowed, and the upload API has nothing that could be read: that shows with the first upload, which needs the role Microsoft Sentinel Contributor on the workspace, or with `mati-sync check --canary`";

impl Sentinel {
    /// The connections to try: a token, the upload host, the workspace if it can be asked what it holds, and an upload
    /// if that is asked for.
    pub fn probes<'a>(&'a self, deadline: &'a Deadline, canary: bool) -> Vec<Probe<'a>> {
        let workspace = self.inventory.as_ref().map(|inventory| inventory.probe(deadline));
        let upload = if canary {
            Probe::new(
                "Sentinel uploads",
                format!("the harmless indicator {} was uploaded, and expired at once", CHECK.id()),
                self.fly_canary(deadline),
            )
        } else {
            Probe::unproven("Sentinel uploads", "nothing was uploaded", UNPROVEN.to_owned())
        };
        let first = [self.api.token_probe(deadline), self.host_probe()];
        first.into_iter().chain(workspace).chain([upload]).collect()
    }

    /// The way to the upload host, tried without a token.
    fn host_probe(&self) -> Probe<'_> {
        let uri = self.upload_url.parse::<axum::http::Uri>().ok();
        let origin = uri.and_then(|uri| Some(format!("{}://{}/", uri.scheme_str()?, uri.authority()?)));
        let origin = origin.unwrap_or_else(|| self.upload_url.clone());
        let tried = format!("{origin} was asked for its root");
        Probe::new("Sentinel upload host", tried, async move {
            let failed = |problem: String| RetryError::GaveUp(Problem::from(problem));
            let request = Request::get(&origin)
                .body(Bytes::new())
                .map_err(|error| failed(format!("{SETTINGS} make no URL ({origin}): {error}")))?;
            let answer = self.api.transport.fetch(request, TIMEOUT, ANSWER_BYTES).await;
            let answer = answer.map_err(|error| {
                failed(format!(
                    "Sentinel cannot be reached: {error}; check that the firewall or proxy lets the app out to this host, and {SETTINGS}"
                ))
            })?;
            reached(&answer, "Sentinel", SETTINGS).map_err(failed)?;
            Ok(format!("it answered {}, so requests reach it", answer.status.as_u16()))
        })
    }

    /// Uploads one harmless indicator, and then the same as expired.
    async fn fly_canary(&self, deadline: &Deadline) -> Result<String, RetryError<Problem>> {
        let now = self.api.clock.now();
        self.upload_canary(&CHECK, now + TimeDelta::hours(1), deadline).await?;
        self.upload_canary(&CHECK, now, deadline).await?;
        Ok("Sentinel accepted both".to_owned())
    }
}
