//! Canaries: harmless indicators of reserved names, by which it shows what a workspace takes, and whether it shows what
//! it takes.

use axum::http::Method;
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
        arrival::Sighting,
        observable::{Key, StixId, SubjectKind},
        outcome::RecordOutcome,
    },
    http::traffic::Traffic,
};

/// Under a name of its own a canary is no part of what SOURCE_SYSTEM holds.
const SOURCE: &str = "mati-sync check";

/// A harmless indicator.
pub struct Canary {
    /// Follows from the value in the namespace of DNS names, which no other id of ours is from.
    id: Uuid,
    /// A name that can never exist (RFC 2606 §2).
    value: &'static str,
    description: &'static str,
}

/// Shows that uploads are allowed.
pub const CHECK: Canary = Canary {
    id: Uuid::from_u128(0x8106_0400_14dd_5bb3_a732_1fa5_2af1_e8a6),
    value: "canary.mati-sync.invalid",
    description: "Uploaded by `mati-sync check --canary` to show that uploads are allowed. It matches nothing.",
};

/// Shows that what is uploaded arrives. Not the same as [`CHECK`], whose upload would end it.
pub const ARRIVAL: Canary = Canary {
    id: Uuid::from_u128(0x6959_378c_ce8c_5f86_ba76_dfbb_f253_c9bb),
    value: "arrival.mati-sync.invalid",
    description: "Uploaded by mati-sync on a day without anything else, to see that what is uploaded arrives. It matches nothing.",
};

impl Canary {
    pub fn id(&self) -> StixId {
        StixId(Key(self.id))
    }
}

impl Sentinel {
    /// Uploads a canary that is valid until then.
    ///
    /// # Errors
    /// It was not accepted; see [`ApiError`].
    pub async fn upload_canary(
        &self,
        canary: &Canary,
        valid_until: DateTime<Utc>,
        deadline: &Deadline,
    ) -> Result<(), ApiError> {
        let now = self.api.clock.now();
        let object = Indicator {
            r#type: "indicator",
            spec_version: "2.1",
            id: canary.id(),
            created: Timestamp(now - TimeDelta::hours(1)),
            modified: Timestamp(now),
            name: canary.value,
            description: canary.description.to_owned(),
            indicator_types: ["benign"],
            pattern: Pattern { kind: SubjectKind::Domain, value: canary.value },
            pattern_type: "stix",
            pattern_version: "2.1",
            valid_from: Timestamp(now - TimeDelta::hours(1)),
            valid_until: Timestamp(valid_until),
            confidence: Some(0),
            labels: vec![Label("canary", "")],
            external_references: vec![ExternalReference {
                source_name: SOURCE,
                description: None,
                url: None,
                external_id: Some("canary"),
            }],
            object_marking_refs: None,
        };
        let upload = Upload { source_system: SOURCE, array: self.array, objects: &[object] };
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
            Some(RecordOutcome::Rejected(rejection)) => Err(ApiError::Rejected(rejection)),
            _ => Ok(()),
        }
    }

    /// How the workspace shows the canary [`ARRIVAL`], if it can be asked.
    ///
    /// # Errors
    /// It cannot be told; see [`ApiError`].
    pub async fn look_up_canary(&self, deadline: &Deadline) -> Result<Sighting, ApiError> {
        match &self.inventory {
            Some(inventory) => {
                inventory.look_up(&ARRIVAL.id().to_string(), SOURCE, deadline, &Traffic::default()).await
            }
            None => Ok(Sighting::Unclear),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_canaries_follow_from_their_names() {
        for canary in [&CHECK, &ARRIVAL] {
            assert_eq!(canary.id, Uuid::new_v5(&Uuid::NAMESPACE_DNS, canary.value.as_bytes()));
        }
    }
}
