//! State in a blob container, through Microsoft's own client.

pub(super) mod lease;

use std::{num::NonZero, ops::Range, sync::Arc, time::Duration};

use azure_core::{
    Bytes,
    credentials::TokenCredential,
    error::ErrorKind,
    http::{Etag, RequestContent, StatusCode, Url},
};
use azure_storage_blob::{
    AppendBlobClient, BlobContainerClient, BlobServiceClient, BlobServiceClientOptions,
    models::{
        AppendBlobClientAppendBlockOptions, AppendBlobClientCreateOptions, BlobClientDownloadOptions,
        BlobClientUploadOptions, BlobContainerClientListBlobsOptions,
    },
};
use chrono::DateTime;
use futures::TryStreamExt;

use super::{
    error::StateError,
    object::{Condition, Holder, Item, Version},
};
use crate::{
    azure::sdk::{Service, client_options, is_transient, within_limit},
    clock::Deadline,
    domain::problem::{Problem, Role},
    http::{
        error::{chain, is_transient_status, seconds},
        retry::{Patience, RetryError, Transient, retry},
        transport::Transport,
    },
};

const TIMEOUT: Duration = Duration::from_secs(30);
/// What every version of the service takes in one addition.
const BLOCK: usize = 4 << 20;

/// Blobs of one container.
pub struct BlobHome {
    container: BlobContainerClient,
    /// Where to look when the storage rejects a request.
    place: String,
    /// Whether an identity is shown to it, and no key or signature.
    has_credential: bool,
}

impl BlobHome {
    /// `endpoint` is the blob service's; a SAS travels in its query, otherwise a credential is needed.
    ///
    /// # Errors
    /// An endpoint that is not https although a credential is to be sent to it.
    pub fn new(
        endpoint: Url,
        credential: Option<Arc<dyn TokenCredential>>,
        container: &str,
        transport: &Transport,
    ) -> Result<Self, StateError> {
        let place = format!("{}{}/{container}", endpoint.host_str().unwrap_or_default(), endpoint.path());
        let has_credential = credential.is_some();
        let options = BlobServiceClientOptions {
            client_options: client_options(transport, Service::Storage),
            ..BlobServiceClientOptions::default()
        };
        let service = BlobServiceClient::new(endpoint, credential, Some(options))
            .map_err(|error| StateError::rejected(chain(&error)))?;
        Ok(Self { container: service.blob_container_client(container), place, has_credential })
    }

    /// Where it is, for a person.
    pub fn place(&self) -> &str {
        &self.place
    }

    pub async fn prepare(&self) -> Result<(), StateError> {
        self.patiently(|| async {
            match self.container.create(None).await {
                Ok(_) => Ok(()),
                Err(error) if error.http_status() == Some(StatusCode::Conflict) => Ok(()),
                Err(error) => Err(error),
            }
        })
        .await
    }

    pub async fn read(&self, name: &str) -> Result<Option<(Vec<u8>, Version)>, StateError> {
        let blob = self.container.blob_client(name);
        self.patiently(|| async {
            let download = match blob.download(None::<BlobClientDownloadOptions<'_>>).await {
                Ok(download) => download,
                Err(error) if error.http_status() == Some(StatusCode::NotFound) => return Ok(None),
                Err(error) => return Err(error),
            };
            let etag = download.properties.etag.clone();
            let bytes = download.body.collect().await?;
            Ok(etag.map(|etag| (bytes.to_vec(), Version(etag.to_string()))))
        })
        .await
    }

    pub async fn write(
        &self,
        name: &str,
        bytes: Vec<u8>,
        condition: Condition,
    ) -> Result<Version, StateError> {
        let blob = self.container.blob_client(name);
        let written = self
            .patiently(|| async {
                let options = match &condition {
                    Condition::Always => BlobClientUploadOptions::default(),
                    Condition::Absent => BlobClientUploadOptions::default().if_not_exists(),
                    Condition::Is(version) => BlobClientUploadOptions {
                        if_match: Some(Etag::from(version.0.clone())),
                        ..BlobClientUploadOptions::default()
                    },
                };
                let content = RequestContent::from(bytes.clone());
                match blob.upload(content, Some(options)).await {
                    Ok(answer) => Ok(answer.etag),
                    Err(error) if is_conflict(&error) && condition != Condition::Always => Ok(None),
                    Err(error) => Err(error),
                }
            })
            .await?;
        if let Some(etag) = written {
            return Ok(Version(etag.to_string()));
        }
        // A lost reply makes our own write look like another writer's.
        match self.read(name).await? {
            Some((present, version)) if present == bytes => Ok(version),
            _ => Err(StateError::Conflict { name: name.to_owned() }),
        }
    }

    /// The bytes of `name` in this range, as far as there are any. They come in one piece: a second request for more
    /// of them would fail if another writer added to the blob in between.
    pub async fn read_range(&self, name: &str, range: Range<u64>) -> Result<Option<Vec<u8>>, StateError> {
        let blob = self.container.blob_client(name);
        let length = usize::try_from(range.end - range.start).ok().and_then(NonZero::new);
        let Some(length) = length else { return Ok(Some(Vec::new())) };
        self.patiently(|| async {
            let options = BlobClientDownloadOptions {
                range: Some(range.clone().into()),
                partition_size: Some(length),
                ..BlobClientDownloadOptions::default()
            };
            let mut bytes = vec![0; length.get()];
            match blob.download_into(&mut bytes, Some(options)).await {
                Ok(downloaded) => {
                    bytes.truncate(downloaded.len);
                    Ok(Some(bytes))
                }
                Err(error) if error.http_status() == Some(StatusCode::NotFound) => Ok(None),
                Err(error) if error.http_status() == Some(StatusCode::RequestedRangeNotSatisfiable) => {
                    Ok(Some(Vec::new()))
                }
                Err(error) => Err(error),
            }
        })
        .await
    }

    pub async fn append(&self, name: &str, position: u64, bytes: Vec<u8>) -> Result<(), StateError> {
        let blob = self.container.blob_client(name).append_blob_client();
        if position == 0 {
            self.begin(&blob).await?;
        }
        let (mut position, mut rest) = (position, Bytes::from(bytes));
        while !rest.is_empty() {
            let block = rest.split_to(BLOCK.min(rest.len()));
            let end = position + block.len() as u64;
            // A lost reply makes our own addition look like another writer's. Where there is a byte more, it is
            // another writer's that only begins alike.
            if !self.append_block(&blob, position, &block).await?
                && self.read_range(name, position..end + 1).await?.is_none_or(|present| present != block)
            {
                return Err(StateError::Conflict { name: name.to_owned() });
            }
            position = end;
        }
        Ok(())
    }

    /// Makes an empty blob that can be added to; that it exists is no error.
    async fn begin(&self, blob: &AppendBlobClient) -> Result<(), StateError> {
        self.patiently(|| async {
            let options = AppendBlobClientCreateOptions::default().if_not_exists();
            match blob.create(Some(options)).await {
                Ok(_) => Ok(()),
                Err(error) if is_conflict(&error) => Ok(()),
                Err(error) => Err(error),
            }
        })
        .await
    }

    /// Whether the block was added: not if the blob ends elsewhere, takes no more, or is gone.
    async fn append_block(
        &self,
        blob: &AppendBlobClient,
        position: u64,
        block: &Bytes,
    ) -> Result<bool, StateError> {
        self.patiently(|| async {
            let options = AppendBlobClientAppendBlockOptions {
                append_position: Some(i64::try_from(position).unwrap_or(i64::MAX)),
                ..AppendBlobClientAppendBlockOptions::default()
            };
            let content: RequestContent<_, _> = block.clone().into();
            match blob.append_block(content, block.len() as u64, Some(options)).await {
                Ok(_) => Ok(true),
                Err(error) if is_conflict(&error) => Ok(false),
                Err(error) if error.http_status() == Some(StatusCode::NotFound) => Ok(false),
                Err(error) => Err(error),
            }
        })
        .await
    }

    pub async fn delete(&self, name: &str) -> Result<(), StateError> {
        let blob = self.container.blob_client(name);
        self.patiently(|| async {
            match blob.delete(None).await {
                Ok(_) => Ok(()),
                Err(error) if error.http_status() == Some(StatusCode::NotFound) => Ok(()),
                Err(error) => Err(error),
            }
        })
        .await
    }

    pub async fn list(&self, prefix: &str) -> Result<Vec<Item>, StateError> {
        self.patiently(|| async {
            let options = BlobContainerClientListBlobsOptions {
                prefix: Some(prefix.to_owned()),
                ..BlobContainerClientListBlobsOptions::default()
            };
            let mut pages = self.container.list_blobs(Some(options))?;
            let mut items = Vec::new();
            loop {
                let blob = match pages.try_next().await {
                    Ok(Some(blob)) => blob,
                    Ok(None) => break,
                    // Nothing has been written yet, and a mere question creates no container.
                    Err(error) if is_without_container(&error) => return Ok(Vec::new()),
                    Err(error) => return Err(error),
                };
                let modified = blob.properties.as_ref().and_then(|properties| properties.last_modified);
                let modified = modified.and_then(|time| DateTime::from_timestamp(time.unix_timestamp(), 0));
                if let Some(name) = blob.name {
                    items.push(Item { name, modified: modified.unwrap_or_default() });
                }
            }
            Ok(items)
        })
        .await
    }

    /// Tries `operation` for some seconds. A try may take half a minute; after that none is begun, so that storage
    /// which never answers costs a pass no more time than that.
    async fn patiently<T, F: Future<Output = azure_core::Result<T>>>(
        &self,
        operation: impl Fn() -> F,
    ) -> Result<T, StateError> {
        // Committing is what the margin before a pass's deadline is for: it is not cut short by it.
        let deadline = Deadline::after(TIMEOUT);
        let attempt = || async {
            let answered = match tokio::time::timeout(TIMEOUT, operation()).await {
                Ok(result) => result.map_err(|error| self.explain(&error)),
                Err(_) => Err(StateError::Unavailable(self.silence())),
            };
            answered.map_err(RetryError::GaveUp)
        };
        let mut last = None;
        let ended = retry(Patience::STORAGE, &deadline, attempt, |error, _| last = Some(error.clone())).await;
        ended.map_err(|failed| match failed {
            RetryError::GaveUp(error) => error,
            RetryError::OutOfTime(_) => last.unwrap_or_else(|| StateError::Unavailable(self.silence())),
        })
    }

    /// What to do where the storage does not let us in.
    fn denied(&self, answer: &str) -> Problem {
        let role = Role::StorageBlobDataContributor;
        let remedy = if self.has_credential {
            format!("the identity needs the role {} on it (a new assignment takes some minutes)", role.name())
        } else {
            "check the key or signature in AzureWebJobsStorage, and that the storage allows access by key"
                .to_owned()
        };
        let problem = Problem::from(format!(
            "the storage {} rejected the request ({answer}): {remedy}, and the storage's firewall must let the app in",
            self.place
        ));
        if self.has_credential { problem.needs(role) } else { problem }
    }

    fn silence(&self) -> String {
        format!("{} did not answer within {}", self.place, seconds(&TIMEOUT))
    }

    /// What a rejection means for the operator.
    fn explain(&self, error: &azure_core::Error) -> StateError {
        let reason = chain(error);
        let place = &self.place;
        match error.kind() {
            ErrorKind::HttpResponse { status, error_code, .. } => {
                let code = error_code.as_deref().unwrap_or("no error code");
                match u16::from(*status) {
                    401 | 403 => StateError::Rejected(self.denied(&format!("{status}, {code}"))),
                    404 => StateError::rejected(format!(
                        "the storage {place} was not found ({code}): check STORAGE_ACCOUNT_NAME, STORAGE_CONTAINER_NAME and STORAGE_BLOB_ENDPOINT"
                    )),
                    transient if is_transient_status(transient) => {
                        StateError::Unavailable(format!("{place} answered {status} ({code})"))
                    }
                    _ => StateError::rejected(format!(
                        "the storage {place} answered {status} ({code}): {reason}"
                    )),
                }
            }
            _ if is_transient(error) => StateError::Unavailable(format!("{place}: {reason}")),
            _ => StateError::rejected(format!("the storage {place} cannot be used: {reason}")),
        }
    }
}

impl Transient for StateError {
    fn is_transient(&self) -> bool {
        StateError::is_transient(self)
    }

    fn retry_after(&self) -> Option<Duration> {
        None
    }
}

fn is_without_container(error: &azure_core::Error) -> bool {
    matches!(error.kind(), ErrorKind::HttpResponse { status: StatusCode::NotFound, error_code: Some(code), .. } if code == "ContainerNotFound")
}

/// Azure says 409 or 412 depending on which condition did not hold.
fn is_conflict(error: &azure_core::Error) -> bool {
    matches!(error.http_status(), Some(StatusCode::Conflict | StatusCode::PreconditionFailed))
}
