//! Whether a workspace can be reached and takes what is sent, as far as that can be shown.

use std::time::Duration;

use axum::{
    body::Bytes,
    http::{Method, Request},
};
use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::{
    classify::classify,
    client::Sentinel,
    pattern::Pattern,
    wire::{ExternalReference, Indicator, Label, Timestamp, Upload},
};
use crate::{
    azure::api::{ApiError, Call},
    clock::Deadline,
    domain::{
        observable::{Key, StixId, SubjectKind},
        outcome::RecordOutcome,
        problem::Problem,
    },
    http::{
        probe::{Probe, reached},
        retry::RetryError,
        traffic::Traffic,
    },
};

const SETTINGS: &str = "SENTINEL_BASE_URL and AZURE_CLOUD";
const TIMEOUT: Duration = Duration::from_secs(20);
/// More than any host says at its root.
const ANSWER_BYTES: usize = 256 * 1024;
/// What only an upload shows.
const UNPROVEN: &str = "a token does not prove that uploads are allowed, and the upload API has nothing that could be read: that shows with the first upload, which needs the role Microsoft Sentinel Contributor on the workspace, or with `mati-sync check --canary`";
/// The canary's id follows from its value in the namespace of DNS names, which no other id of ours is from.
const CANARY: Uuid = Uuid::from_u128(0x8106_0400_14dd_5bb3_a732_1fa5_2af1_e8a6);
/// Under a name of its own the canary is no part of what SOURCE_SYSTEM holds.
const CANARY_SOURCE: &str = "mati-sync check";
/// A name that can never exist (RFC 2606 §2).
const CANARY_VALUE: &str = "canary.mati-sync.invalid";

impl Sentinel {
    /// The connections to try: a token, the upload host, the workspace if it can be asked what it holds, and an upload
    /// if that is asked for.
    pub fn probes<'a>(&'a self, deadline: &'a Deadline, canary: bool) -> Vec<Probe<'a>> {
        let workspace = self.inventory.as_ref().map(|inventory| inventory.probe(deadline));
        let upload = if canary {
            Probe::new(
                "Sentinel uploads",
                format!("the harmless indicator {} was uploaded, and expired at once", StixId(Key(CANARY))),
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
        self.upload_canary(now + TimeDelta::hours(1), deadline).await?;
        self.upload_canary(now, deadline).await?;
        Ok("Sentinel accepted both".to_owned())
    }

    async fn upload_canary(
        &self,
        valid_until: DateTime<Utc>,
        deadline: &Deadline,
    ) -> Result<(), RetryError<Problem>> {
        let now = self.api.clock.now();
        let object = Indicator {
            r#type: "indicator",
            spec_version: "2.1",
            id: StixId(Key(CANARY)),
            created: Timestamp(now - TimeDelta::hours(1)),
            modified: Timestamp(now),
            name: CANARY_VALUE,
            description:
                "Uploaded by `mati-sync check --canary` to show that uploads are allowed. It matches nothing."
                    .to_owned(),
            indicator_types: ["benign"],
            pattern: Pattern { kind: SubjectKind::Domain, value: CANARY_VALUE },
            pattern_type: "stix",
            pattern_version: "2.1",
            valid_from: Timestamp(now - TimeDelta::hours(1)),
            valid_until: Timestamp(valid_until),
            confidence: Some(0),
            labels: vec![Label("canary", "")],
            external_references: vec![ExternalReference {
                source_name: CANARY_SOURCE,
                description: None,
                url: None,
                external_id: Some("canary"),
            }],
            object_marking_refs: None,
        };
        let upload = Upload { source_system: CANARY_SOURCE, array: self.array, objects: &[object] };
        let call = Call {
            method: Method::POST,
            url: self.upload_url.clone(),
            settings: "SENTINEL_BASE_URL and SENTINEL_UPLOAD_PATH",
            body: serde_json::to_vec(&upload).expect("our own types are JSON").into(),
            parts: 1,
        };
        let read = |answer: &_| classify(answer, 1, self.api.clock.now());
        let outcomes = self.api.call(&call, read, deadline, &Traffic::default()).await?;
        match outcomes.into_iter().next() {
            Some(RecordOutcome::Rejected(rejection)) => Err(ApiError::Rejected(rejection).into()),
            _ => Ok(()),
        }
    }
}
