//! The native lease of one blob.

use std::{collections::HashMap, time::Duration};

use azure_core::http::{RequestContent, StatusCode};
use azure_storage_blob::{
    BlobClient,
    models::{
        BlobClientAcquireLeaseOptions, BlobClientAcquireLeaseResultHeaders,
        BlobClientGetPropertiesResultHeaders, BlobClientSetMetadataOptions, BlobClientUploadOptions,
        LeaseStatus,
    },
};
use uuid::Uuid;

use super::{BlobHome, Holder, StateError, is_conflict, within_limit};

/// Azure takes 15 to 60 seconds, or for ever.
const SECONDS: i32 = 30;
/// How long the lease lasts without a renewal.
pub const LENGTH: Duration = Duration::from_secs(30);
const NAME: &str = "lease";

impl BlobHome {
    /// The blob's native lease, or `None` while another instance holds it.
    pub async fn try_lease(&self, run_id: &str) -> Result<Option<String>, StateError> {
        let blob = self.container.blob_client(NAME);
        let lease_id = Uuid::new_v4().to_string();
        self.patiently(|| async {
            let acquired = match acquire(&blob, &lease_id).await {
                Err(error) if error.http_status() == Some(StatusCode::NotFound) => {
                    let options = BlobClientUploadOptions::default().if_not_exists();
                    match blob.upload(RequestContent::from(Vec::new()), Some(options)).await {
                        Ok(_) => {}
                        Err(error) if is_conflict(&error) => {}
                        Err(error) => return Err(error),
                    }
                    acquire(&blob, &lease_id).await
                }
                other => other,
            };
            match acquired {
                Ok(()) => {}
                Err(error) if error.http_status() == Some(StatusCode::Conflict) => return Ok(None),
                Err(error) => return Err(error),
            }
            let holder = HashMap::from([
                ("holder".to_owned(), format!("process {}", std::process::id())),
                ("run_id".to_owned(), run_id.to_owned()),
            ]);
            let options = BlobClientSetMetadataOptions {
                lease_id: Some(lease_id.clone()),
                ..BlobClientSetMetadataOptions::default()
            };
            blob.set_metadata(&holder, Some(options)).await?;
            Ok(Some(lease_id.clone()))
        })
        .await
    }

    /// Whether an instance holds the lease.
    pub async fn is_leased(&self) -> Result<bool, StateError> {
        let blob = self.container.blob_client(NAME);
        self.patiently(|| async {
            match blob.get_properties(None).await {
                Ok(properties) => Ok(properties.lease_status()? == Some(LeaseStatus::Locked)),
                Err(error) if error.http_status() == Some(StatusCode::NotFound) => Ok(false),
                Err(error) => Err(error),
            }
        })
        .await
    }

    /// Who took the lease last.
    pub async fn lease_holder(&self) -> Result<Option<Holder>, StateError> {
        let blob = self.container.blob_client(NAME);
        let metadata = self.patiently(|| async { blob.get_properties(None).await?.metadata() }).await?;
        // The service gives names back in whichever case it likes.
        let of = |name: &str| metadata.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        Ok(of("run_id").zip(of("holder")).map(|((_, run_id), (_, holder))| Holder::new(run_id, holder)))
    }

    /// Keeps the lease for another `LENGTH`.
    ///
    /// # Errors
    /// [`StateError::LeaseLost`] when it is no longer ours.
    pub async fn renew_lease(&self, lease_id: &str) -> Result<(), StateError> {
        let blob = self.container.blob_client(NAME);
        match blob.renew_lease(lease_id.to_owned(), None).await {
            Ok(_) => Ok(()),
            Err(error) if is_conflict(&error) => Err(StateError::LeaseLost),
            Err(error) => Err(self.explain(&error)),
        }
    }

    /// Acquires the lease again under the id it had, whether it ran out or not.
    ///
    /// # Errors
    /// [`StateError::LeaseLost`] when another instance holds it.
    pub async fn regain_lease(&self, lease_id: &str) -> Result<(), StateError> {
        let blob = self.container.blob_client(NAME);
        self.patiently(|| async {
            match acquire(&blob, lease_id).await {
                Ok(()) => Ok(true),
                Err(error) if is_conflict(&error) => Ok(false),
                Err(error) => Err(error),
            }
        })
        .await?
        .then_some(())
        .ok_or(StateError::LeaseLost)
    }

    pub async fn release_lease(&self, lease_id: &str) -> Result<(), StateError> {
        let blob = self.container.blob_client(NAME);
        match within_limit(blob.release_lease(lease_id.to_owned(), None)).await {
            Ok(_) => Ok(()),
            Err(error) if is_conflict(&error) => Err(StateError::LeaseLost),
            Err(error) => Err(self.explain(&error)),
        }
    }
}

async fn acquire(blob: &BlobClient, lease_id: &str) -> azure_core::Result<()> {
    // Proposing the id makes a repeated request, whose first reply was lost, a renewal of our own lease.
    let options = BlobClientAcquireLeaseOptions {
        proposed_lease_id: Some(lease_id.to_owned()),
        ..BlobClientAcquireLeaseOptions::default()
    };
    let answer = blob.acquire_lease(SECONDS, Some(options)).await?;
    answer.lease_id().map(|_| ())
}
