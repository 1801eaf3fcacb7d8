use std::time::Duration;

use axum::{
    body::Body,
    http::{HeaderMap, StatusCode},
};
use azure_core::{
    error::ErrorKind,
    http::{
        AsyncRawResponse, Body as Content, ClientOptions, Etag, HttpClient, Request as SdkRequest,
        RequestContent, RetryOptions, Transport, Url,
        headers::{HeaderName, HeaderValue, Headers},
    },
};
use azure_storage_blob::{
    BlobClient, BlobServiceClient, BlobServiceClientOptions,
    models::{
        BlobClientAcquireLeaseOptions, BlobClientAcquireLeaseResultHeaders, BlobClientDeleteOptions,
        BlobClientDownloadOptions, BlobClientUploadOptions, BlobContainerClientListBlobsOptions,
        BlockLookupList,
    },
};
use futures::TryStreamExt;
use tower::ServiceExt;

use super::*;
use crate::{clock, net};

async fn call(
    service: &BlobService,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> (u16, HeaderMap, String) {
    let mut request = Request::builder().method(method).uri(format!("http://localhost/account/{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.header("authorization", "Bearer token").body(Body::from(body.to_string())).unwrap();
    let (head, body) = service.router().oneshot(request).await.unwrap().into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    (head.status.as_u16(), head.headers, String::from_utf8(body.to_vec()).unwrap())
}

fn code(headers: &HeaderMap) -> &str {
    headers.get("x-ms-error-code").map_or("", |code| code.to_str().unwrap())
}

fn service() -> BlobService {
    let service = BlobService::new(clock::tokio_from("2026-01-01T00:00:00Z".parse().unwrap()));
    service.put("state", "run.json", "{}");
    service
}

const LEASE: &str = "9f0e0c1e-58a7-4a3d-9d53-7a7a2f3d1c11";

async fn lease(service: &BlobService, action: &str, more: &[(&str, &str)]) -> (u16, String) {
    let mut headers = vec![("x-ms-lease-action", action)];
    headers.extend(more);
    let (status, headers, _) = call(service, "PUT", "state/run.json?comp=lease", &headers, "").await;
    (status, code(&headers).to_string())
}

#[tokio::test(start_paused = true)]
async fn leases_follow_the_clock() {
    let service = service();
    let mine = ("x-ms-lease-id", LEASE);
    let acquire = [("x-ms-lease-duration", "15"), ("x-ms-proposed-lease-id", LEASE)];
    assert_eq!(lease(&service, "acquire", &acquire).await, (201, "".into()));
    assert_eq!(lease(&service, "acquire", &acquire).await, (201, "".into()), "repeated with its own id");
    let other = [("x-ms-lease-duration", "-1")];
    assert_eq!(lease(&service, "acquire", &other).await, (409, "LeaseAlreadyPresent".into()));

    let blob = ("x-ms-blob-type", "BlockBlob");
    let (status, headers, _) = call(&service, "PUT", "state/run.json", &[blob], "1").await;
    assert_eq!((status, code(&headers)), (412, "LeaseIdMissing"));
    assert_eq!(call(&service, "PUT", "state/run.json", &[blob, mine], "1").await.0, 201);

    tokio::time::advance(Duration::from_secs(14)).await;
    assert_eq!(lease(&service, "renew", &[mine]).await.0, 200);
    tokio::time::advance(Duration::from_secs(15)).await;
    let (status, headers, _) = call(&service, "PUT", "state/run.json", &[blob, mine], "2").await;
    assert_eq!((status, code(&headers)), (412, "LeaseLost"));
    assert_eq!(lease(&service, "renew", &[mine]).await.0, 200, "no other client wrote in between");
    tokio::time::advance(Duration::from_secs(15)).await;
    assert_eq!(call(&service, "PUT", "state/run.json", &[blob], "3").await.0, 201);
    let mismatch = (409, "LeaseIdMismatchWithLeaseOperation".to_string());
    assert_eq!(lease(&service, "renew", &[mine]).await, mismatch, "another client wrote in between");

    lease(&service, "acquire", &acquire).await;
    assert_eq!(lease(&service, "break", &[("x-ms-lease-break-period", "5")]).await.0, 202);
    assert_eq!(lease(&service, "renew", &[mine]).await.1, "LeaseIsBrokenAndCannotBeRenewed");
    assert_eq!(lease(&service, "acquire", &other).await.1, "LeaseAlreadyPresent");
    tokio::time::advance(Duration::from_secs(5)).await;
    let headers = call(&service, "HEAD", "state/run.json", &[], "").await.1;
    assert_eq!(headers["x-ms-lease-state"], "broken");
    assert_eq!(lease(&service, "release", &[mine]).await.0, 200);
    assert_eq!(lease(&service, "release", &[mine]).await, mismatch);
}

#[tokio::test(start_paused = true)]
async fn requests_need_credentials_and_errors_are_xml() {
    let service = service();
    let ask =
        |uri: &str| Request::get(uri).header("host", "account.blob.core.windows.net").body(Body::empty());
    let answer = service.router().oneshot(ask("/state/run.json").unwrap()).await.unwrap();
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    let answer = service.router().oneshot(ask("/state/run.json?sig=x").unwrap()).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);

    let (status, headers, body) = call(&service, "GET", "state/none", &[], "").await;
    assert_eq!((status, code(&headers)), (404, "BlobNotFound"));
    assert!(body.contains("<Code>BlobNotFound</Code>"));
    assert_eq!(call(&service, "GET", "nowhere/none", &[], "").await.0, 404);
    assert_eq!(call(&service, "PUT", "ab?restype=container", &[], "").await.0, 400);
    assert_eq!(call(&service, "GET", "state/run.json?comp=tags", &[], "").await.0, 501);
    service.forbid(true);
    let (status, headers, _) = call(&service, "GET", "state/run.json", &[], "").await;
    assert_eq!((status, code(&headers)), (403, "AuthorizationPermissionMismatch"));
    service.authorize(|_| false);
    assert_eq!(call(&service, "GET", "state/run.json", &[], "").await.0, 401);
}

/// The SDK's way over a socket; its own needs a feature that nothing else here wants.
#[derive(Debug)]
struct Wire(reqwest::Client);

#[async_trait::async_trait]
impl HttpClient for Wire {
    async fn execute_request(&self, request: &SdkRequest) -> azure_core::Result<AsyncRawResponse> {
        let Content::Bytes(content) = request.body().clone() else { panic!("these tests send bytes") };
        let mut out = self.0.request(request.method().as_str().parse().unwrap(), request.url().clone());
        for (name, value) in request.headers().iter() {
            out = out.header(name.as_str(), value.as_str());
        }
        let answer = out.body(content).send().await.unwrap();
        let mut headers = Headers::new();
        for (name, value) in answer.headers() {
            let value = HeaderValue::from(value.to_str().unwrap().to_string());
            headers.insert(HeaderName::from(name.as_str().to_string()), value);
        }
        let status = answer.status().as_u16().into();
        Ok(AsyncRawResponse::from_bytes(status, headers, answer.bytes().await.unwrap()))
    }
}

async fn client(service: &BlobService) -> BlobServiceClient {
    let address = net::serve(service.router(), None).await.unwrap();
    let url = Url::parse(&format!("http://{address}/devstoreaccount1?sig=x")).unwrap();
    let transport = Some(Transport::new(Arc::new(Wire(reqwest::Client::new()))));
    let client_options = ClientOptions { transport, retry: RetryOptions::none(), ..Default::default() };
    let options = BlobServiceClientOptions { client_options, ..Default::default() };
    BlobServiceClient::new(url, None, Some(options)).unwrap()
}

/// The status and code of an error.
fn seen(error: azure_core::Error) -> (u16, String) {
    match error.kind() {
        ErrorKind::HttpResponse { status, error_code, .. } => {
            (u16::from(*status), error_code.clone().unwrap_or_default())
        }
        other => panic!("{other:?}: {error}"),
    }
}

async fn upload(
    blob: &BlobClient,
    text: &str,
    options: BlobClientUploadOptions<'_>,
) -> azure_core::Result<Etag> {
    let content = RequestContent::from(text.as_bytes().to_vec());
    blob.upload(content, Some(options)).await.map(|result| result.etag.unwrap())
}

#[tokio::test]
async fn the_sdk_writes_reads_lists_and_deletes() {
    let service = BlobService::new(clock::system());
    let container = client(&service).await.blob_container_client("state");
    container.create(None).await.unwrap();
    assert_eq!(seen(container.create(None).await.unwrap_err()), (409, "ContainerAlreadyExists".into()));
    assert!(container.exists().await.unwrap());

    let blob = container.blob_client("runs/erster lauf+.json");
    let metadata = [("writer".to_string(), "one".to_string())].into();
    let first = BlobClientUploadOptions {
        metadata: Some(metadata),
        ..BlobClientUploadOptions::default().if_not_exists()
    };
    let etag = upload(&blob, "0123456789", first).await.unwrap();
    let again = upload(&blob, "x", BlobClientUploadOptions::default().if_not_exists()).await;
    assert_eq!(seen(again.unwrap_err()), (409, "BlobAlreadyExists".into()));

    let found = blob.download(None).await.unwrap();
    assert_eq!(found.properties.etag, Some(etag.clone()));
    assert_eq!(found.properties.metadata["writer"], "one");
    assert_eq!(&found.body.collect().await.unwrap()[..], b"0123456789");
    let range = BlobClientDownloadOptions { range: Some((2..5u64).into()), ..Default::default() };
    assert_eq!(&blob.download(Some(range)).await.unwrap().body.collect().await.unwrap()[..], b"234");
    let same = BlobClientDownloadOptions { if_none_match: Some(etag.clone()), ..Default::default() };
    assert_eq!(seen(blob.download(Some(same)).await.unwrap_err()).0, 304);

    let matching = || BlobClientUploadOptions { if_match: Some(etag.clone()), ..Default::default() };
    upload(&blob, "second", matching()).await.unwrap();
    assert_eq!(seen(upload(&blob, "third", matching()).await.unwrap_err()), (412, "ConditionNotMet".into()));
    let stale = BlobClientDeleteOptions { if_match: Some(etag.clone()), ..Default::default() };
    assert_eq!(seen(blob.delete(Some(stale)).await.unwrap_err()), (412, "ConditionNotMet".into()));

    service.put("state", "runs/<empty>", "");
    service.put("state", "other", "x");
    let empty = container.blob_client("runs/<empty>").download(None).await.unwrap();
    assert_eq!(empty.body.collect().await.unwrap().len(), 0);
    let options = BlobContainerClientListBlobsOptions {
        prefix: Some("runs/".into()),
        maxresults: Some(1),
        ..Default::default()
    };
    let listed: Vec<_> = container.list_blobs(Some(options)).unwrap().try_collect().await.unwrap();
    let names: Vec<_> = listed.iter().map(|item| item.name.as_deref().unwrap()).collect();
    assert_eq!(names, ["runs/<empty>", "runs/erster lauf+.json"]);
    assert_eq!(listed[1].properties.as_ref().unwrap().content_length, Some(6));

    blob.delete(None).await.unwrap();
    assert_eq!(seen(blob.get_properties(None).await.unwrap_err()), (404, "BlobNotFound".into()));
    assert_eq!((service.writes(), service.bytes_written()), (2, 16));
    assert_eq!(service.blobs().len(), 2);
    assert_eq!(service.operations()[0], (Method::PUT, "state?restype=container".into()));
}

#[tokio::test]
async fn append_blobs_grow_only_at_their_end() {
    let service = service();
    let append = async |path: &str, position: &str, body: &str| {
        let at = [("x-ms-blob-condition-appendpos", position)];
        let (status, headers, _) =
            call(&service, "PUT", &format!("{path}?comp=appendblock"), &at, body).await;
        let answered = code(&headers).to_owned();
        let of = |name: &str| headers.get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
        (status, answered, of("x-ms-blob-append-offset"), of("x-ms-blob-committed-block-count"))
    };
    let rejected = |status: u16, code: &str| (status, code.to_owned(), String::new(), String::new());
    let (grows, block) = (("x-ms-blob-type", "AppendBlob"), ("x-ms-blob-type", "BlockBlob"));
    assert_eq!(append("state/log", "0", "x").await, rejected(404, "BlobNotFound"));
    assert_eq!(call(&service, "PUT", "state/log", &[grows], "x").await.0, 400, "it begins empty");
    assert_eq!(call(&service, "PUT", "state/log", &[grows], "").await.0, 201);
    let again = call(&service, "PUT", "state/log", &[grows, ("if-none-match", "*")], "").await;
    assert_eq!((again.0, code(&again.1)), (409, "BlobAlreadyExists"));

    assert_eq!(append("state/log", "0", "one ").await, (201, String::new(), "0".into(), "1".into()));
    assert_eq!(append("state/log", "0", "one ").await, rejected(412, "AppendPositionConditionNotMet"));
    assert_eq!(append("state/log", "9", "two").await, rejected(412, "AppendPositionConditionNotMet"));
    assert_eq!(append("state/log", "4", "two").await, (201, String::new(), "4".into(), "2".into()));
    assert_eq!(append("state/log", "7", "").await, rejected(400, "InvalidHeaderValue"));
    assert_eq!(append("state/run.json", "2", "x").await, rejected(409, "InvalidBlobType"));
    let most = [("x-ms-blob-condition-maxsize", "8")];
    let (status, headers, _) = call(&service, "PUT", "state/log?comp=appendblock", &most, "xx").await;
    assert_eq!((status, code(&headers)), (412, "MaxBlobSizeConditionNotMet"));

    let (_, headers, body) = call(&service, "GET", "state/log", &[], "").await;
    assert_eq!((body.as_str(), headers["x-ms-blob-type"].to_str().unwrap()), ("one two", "AppendBlob"));
    assert_eq!(headers["x-ms-blob-committed-block-count"], "2");
    let (status, headers, _) = call(&service, "PUT", "state/log?comp=block&blockid=MDE=", &[], "x").await;
    assert_eq!((status, code(&headers)), (409, "InvalidBlobType"));
    let listed = call(&service, "GET", "state?restype=container&comp=list", &[], "").await.2;
    assert_eq!((listed.matches(">AppendBlob<").count(), listed.matches(">BlockBlob<").count()), (1, 1));
    assert_eq!((service.writes(), service.bytes_written()), (3, 7));

    assert_eq!(
        call(&service, "PUT", "state/log", &[block], "whole").await.0,
        201,
        "Put Blob replaces any kind"
    );
    assert_eq!(append("state/log", "5", "x").await, rejected(409, "InvalidBlobType"));
}

#[tokio::test]
async fn the_sdk_leases_and_commits_blocks() {
    let service = BlobService::new(clock::system());
    service.put("state", "lock", "");
    let container = client(&service).await.blob_container_client("state");
    let blob = container.blob_client("lock");
    let id = blob.acquire_lease(15, None).await.unwrap().lease_id().unwrap().unwrap();
    let held = blob.acquire_lease(15, None).await.err().unwrap();
    assert_eq!(seen(held), (409, "LeaseAlreadyPresent".into()));
    let repeat = BlobClientAcquireLeaseOptions { proposed_lease_id: Some(id.clone()), ..Default::default() };
    blob.acquire_lease(15, Some(repeat)).await.unwrap();
    let kept_out = upload(&blob, "x", BlobClientUploadOptions::default()).await.unwrap_err();
    assert_eq!(seen(kept_out), (412, "LeaseIdMissing".into()));
    let with_lease = BlobClientUploadOptions { lease_id: Some(id.clone()), ..Default::default() };
    upload(&blob, "mine", with_lease).await.unwrap();
    blob.renew_lease(id.clone(), None).await.unwrap();
    blob.release_lease(id.clone(), None).await.unwrap();
    let late = blob.renew_lease(id, None).await.err().unwrap();
    assert_eq!(seen(late), (409, "LeaseIdMismatchWithLeaseOperation".into()));

    let blocks = blob.block_blob_client();
    for (id, text) in [(b"0001", "one "), (b"0002", "two")] {
        let content = RequestContent::from(text.as_bytes().to_vec());
        blocks.stage_block(id, text.len() as u64, content, None).await.unwrap();
    }
    let commit = async |ids: &[&[u8]]| {
        let latest = Some(ids.iter().map(|id| id.to_vec()).collect());
        let list = BlockLookupList { latest, ..Default::default() };
        blocks.commit_block_list(list.try_into().unwrap(), None).await.map(drop)
    };
    assert_eq!(seen(commit(&[b"0003"]).await.unwrap_err()), (400, "InvalidBlockList".into()));
    commit(&[b"0001", b"0002"]).await.unwrap();
    assert_eq!(service.blobs()["state/lock"], b"one two");

    // Over its 4 MiB the SDK splits uploads into blocks and downloads into ranges.
    let large = vec![7u8; 9 << 20];
    blob.upload(RequestContent::from(large.clone()), None).await.unwrap();
    assert!(blob.download(None).await.unwrap().body.collect().await.unwrap()[..] == large[..]);
}
