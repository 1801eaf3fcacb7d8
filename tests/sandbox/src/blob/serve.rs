//! The operations: from a request to an answer.

use axum::{
    body::Body,
    http::{Method, StatusCode},
    response::Response,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};
use quick_xml::{Reader, escape::escape, events::Event};
use uuid::Uuid;

use super::{
    answer::{
        Answer, BAD_BLOCK_ID, BAD_CONTAINER_LENGTH, BAD_CONTAINER_NAME, BAD_HEADER, BAD_PARAMETER, BAD_RANGE,
        BAD_XML, BLOB_EXISTS, CONDITION, CONTAINER_EXISTS, Error, MISSING_HEADER, NOT_MODELLED, NOT_MODIFIED,
        OTHER_TYPE, http_date,
    },
    lease::{self, Lease},
    model::{Account, Blob, Container, Source},
    request::Call,
};

pub type Result<T = Response> = std::result::Result<T, Error>;

/// The most blobs one page of a listing names.
const PAGE: usize = 5000;

impl Account {
    pub fn serve(&mut self, call: &Call, now: DateTime<Utc>) -> Result {
        let (method, comp) = (call.method.as_str(), call.query("comp"));
        let Some(name) = call.blob.as_deref() else {
            return match (method, call.query("restype"), comp) {
                ("PUT", Some("container"), None) => self.put_container(call, now),
                ("GET" | "HEAD", Some("container"), None) => {
                    let container = self.container(&call.container)?;
                    let answer = written(StatusCode::OK, &container.etag, container.modified);
                    Ok(with_lease(answer, None, now).empty(now))
                }
                ("DELETE", Some("container"), None) => {
                    self.container(&call.container)?;
                    self.containers.remove(&call.container);
                    Ok(Answer::new(StatusCode::ACCEPTED).empty(now))
                }
                ("GET", Some("container"), Some("list")) => list(call, self.container(&call.container)?, now),
                _ => Err(NOT_MODELLED),
            };
        };
        match (method, comp) {
            ("PUT", None) => self.put_blob(call, name, now),
            ("PUT", Some("block")) => self.put_block(call, name, now),
            ("PUT", Some("appendblock")) => self.append_block(call, name, now),
            ("PUT", Some("blocklist")) => self.put_block_list(call, name, now),
            ("PUT", Some("metadata")) => self.put_metadata(call, name, now),
            ("PUT", Some("lease")) => {
                let blob = self.container(&call.container)?.blob(name)?;
                conditions(call, Some(blob))?;
                lease_blob(call, blob, now)
            }
            ("GET" | "HEAD", None) => read(call, self.container(&call.container)?.blob(name)?, now),
            ("DELETE", None) => {
                let container = self.container(&call.container)?;
                let blob = container.blob(name)?;
                conditions(call, Some(blob))?;
                lease::admit_write(blob.lease.as_ref(), call.lease_id(), now)?;
                container.blobs.remove(name);
                Ok(Answer::new(StatusCode::ACCEPTED).with("x-ms-delete-type-permanent", "true").empty(now))
            }
            _ => Err(NOT_MODELLED),
        }
    }

    fn put_container(&mut self, call: &Call, now: DateTime<Utc>) -> Result {
        let name = &call.container;
        if !(3..=63).contains(&name.len()) {
            return Err(BAD_CONTAINER_LENGTH);
        }
        if !name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-') {
            return Err(BAD_CONTAINER_NAME);
        }
        if !self.create_container(name, now) {
            return Err(CONTAINER_EXISTS);
        }
        let container = self.container(name)?;
        Ok(written(StatusCode::CREATED, &container.etag, container.modified).empty(now))
    }

    /// Whether the blob may be replaced: conditions first, then the lease, as the emulator does.
    fn admit_replacing(&mut self, call: &Call, name: &str, now: DateTime<Utc>) -> Result<()> {
        let blob = self.container(&call.container)?.blobs.get(name);
        if blob.is_some() && call.header("if-none-match") == Some("*") {
            return Err(BLOB_EXISTS);
        }
        conditions(call, blob)?;
        // A lease id for a blob that is not there yet is no one's lease.
        lease::admit_write(blob.and_then(|blob| blob.lease.as_ref()), call.lease_id(), now)
    }

    fn put_blob(&mut self, call: &Call, name: &str, now: DateTime<Utc>) -> Result {
        let appended = match call.header("x-ms-blob-type").ok_or(MISSING_HEADER)? {
            _ if call.header("x-ms-copy-source").is_some() => return Err(NOT_MODELLED),
            "BlockBlob" => None,
            // It begins empty; content comes block by block.
            "AppendBlob" if !call.body.is_empty() => return Err(BAD_HEADER),
            "AppendBlob" => Some(0),
            _ => return Err(NOT_MODELLED),
        };
        self.admit_replacing(call, name, now)?;
        self.writes += 1;
        self.bytes_written += call.body.len() as u64;
        let blob = self.write(&call.container, name, call.body.clone(), now);
        blob.appended = appended;
        describe(blob, call, call.header("x-ms-blob-content-type").or(call.header("content-type")));
        Ok(written(StatusCode::CREATED, &blob.etag, now)
            .with("x-ms-request-server-encrypted", "true")
            .empty(now))
    }

    fn put_block(&mut self, call: &Call, name: &str, now: DateTime<Utc>) -> Result {
        let id = call.query("blockid").filter(|id| !id.is_empty()).ok_or(BAD_PARAMETER)?;
        let container = self.container(&call.container)?;
        let blob = container.blobs.get(name);
        lease::admit_write(blob.and_then(|blob| blob.lease.as_ref()), call.lease_id(), now)?;
        if blob.is_some_and(|blob| blob.appended.is_some()) {
            return Err(OTHER_TYPE);
        }
        if !container.stage(name, id, call.body.clone()) {
            return Err(BAD_BLOCK_ID);
        }
        self.writes += 1;
        self.bytes_written += call.body.len() as u64;
        Ok(Answer::new(StatusCode::CREATED).with("x-ms-request-server-encrypted", "true").empty(now))
    }

    fn put_block_list(&mut self, call: &Call, name: &str, now: DateTime<Utc>) -> Result {
        let list = block_list(&call.body).ok_or(BAD_XML)?;
        self.admit_replacing(call, name, now)?;
        let container = self.container(&call.container)?;
        if container.blobs.get(name).is_some_and(|blob| blob.appended.is_some()) {
            return Err(OTHER_TYPE);
        }
        let blocks = container.blocks(name, &list)?;
        self.writes += 1;
        let blob = self.commit(&call.container, name, blocks, now);
        describe(blob, call, call.header("x-ms-blob-content-type"));
        Ok(written(StatusCode::CREATED, &blob.etag, now)
            .with("x-ms-request-server-encrypted", "true")
            .empty(now))
    }

    fn put_metadata(&mut self, call: &Call, name: &str, now: DateTime<Utc>) -> Result {
        let blob = self.container(&call.container)?.blob(name)?;
        conditions(call, Some(blob))?;
        lease::admit_write(blob.lease.as_ref(), call.lease_id(), now)?;
        self.writes += 1;
        let etag = self.next_etag();
        let blob = self.container(&call.container)?.blob(name)?;
        blob.metadata = call.metadata();
        blob.etag = etag;
        blob.modified = now;
        blob.lease = blob.lease.take().filter(|lease| lease.holds(now));
        Ok(written(StatusCode::OK, &blob.etag, now).empty(now))
    }
}

fn describe(blob: &mut Blob, call: &Call, content_type: Option<&str>) {
    blob.metadata = call.metadata();
    if let Some(content_type) = content_type {
        blob.content_type = content_type.into();
    }
}

pub fn written(status: StatusCode, etag: &str, modified: DateTime<Utc>) -> Answer {
    Answer::new(status).with("etag", etag).with("last-modified", http_date(modified))
}

fn with_lease(answer: Answer, lease: Option<&Lease>, now: DateTime<Utc>) -> Answer {
    let (state, status, duration) = Lease::headers(lease, now);
    let answer = answer.with("x-ms-lease-state", state).with("x-ms-lease-status", status);
    match duration {
        Some(duration) => answer.with("x-ms-lease-duration", duration),
        None => answer,
    }
}

/// If-Match and If-None-Match. The etags of a listing are not quoted, and the emulator takes those too.
pub fn conditions(call: &Call, blob: Option<&Blob>) -> Result<()> {
    let matches = |wanted: &str| {
        blob.is_some_and(|blob| wanted == "*" || blob.etag.trim_matches('"') == wanted.trim_matches('"'))
    };
    let reads = call.method == Method::GET || call.method == Method::HEAD;
    match (call.header("if-match"), call.header("if-none-match")) {
        (Some(wanted), _) if !matches(wanted) => Err(CONDITION),
        (_, Some(unwanted)) if matches(unwanted) => Err(if reads { NOT_MODIFIED } else { CONDITION }),
        _ => Ok(()),
    }
}

fn read(call: &Call, blob: &Blob, now: DateTime<Utc>) -> Result {
    conditions(call, Some(blob))?;
    lease::admit_read(blob.lease.as_ref(), call.lease_id(), now)?;
    let length = blob.content.len() as u64;
    let reads_content = call.method == Method::GET;
    let (status, content, range) = match call.range().filter(|_| reads_content) {
        // Of an empty blob no range can be had; the SDK knows and asks again without one.
        Some((first, last)) if first >= length || last < first => return Err(BAD_RANGE),
        Some((first, last)) => {
            let last = last.min(length - 1);
            let part = blob.content.slice(first as usize..=last as usize);
            (StatusCode::PARTIAL_CONTENT, part, Some(format!("bytes {first}-{last}/{length}")))
        }
        None => (StatusCode::OK, blob.content.clone(), None),
    };
    let mut answer = with_lease(written(status, &blob.etag, blob.modified), blob.lease.as_ref(), now)
        .with("content-length", content.len().to_string())
        .with("content-type", &blob.content_type)
        .with("accept-ranges", "bytes")
        .with("x-ms-blob-type", blob.kind())
        .with("x-ms-creation-time", http_date(blob.created))
        .with("x-ms-server-encrypted", "true");
    if let Some(blocks) = blob.appended {
        answer = answer.with("x-ms-blob-committed-block-count", blocks.to_string());
    }
    if let Some(range) = range {
        answer = answer.with("content-range", range);
    }
    for (name, value) in &blob.metadata {
        answer = answer.with(&format!("x-ms-meta-{name}"), value);
    }
    Ok(answer.body(if reads_content { Body::from(content) } else { Body::empty() }, now))
}

fn lease_blob(call: &Call, blob: &mut Blob, now: DateTime<Utc>) -> Result {
    let uuid = |name: &str| match call.header(name) {
        None => Ok(None),
        Some(id) => Uuid::try_parse(id).map(|id| Some(id.to_string())).map_err(|_| BAD_HEADER),
    };
    let seconds = |name: &str| match call.header(name) {
        None => Ok(None),
        Some(seconds) => seconds.parse::<i64>().map(Some).map_err(|_| BAD_HEADER),
    };
    let proposed = uuid("x-ms-proposed-lease-id")?;
    let held = || uuid("x-ms-lease-id")?.ok_or(MISSING_HEADER);
    let slot = &mut blob.lease;
    let mut status = StatusCode::OK;
    let mut wait = None;
    match call.header("x-ms-lease-action").ok_or(MISSING_HEADER)? {
        "acquire" => {
            let length = match seconds("x-ms-lease-duration")?.ok_or(MISSING_HEADER)? {
                -1 => None,
                length @ 15..=60 => Some(TimeDelta::seconds(length)),
                _ => return Err(BAD_HEADER),
            };
            lease::acquire(slot, proposed.unwrap_or_else(|| Uuid::new_v4().to_string()), length, now)?;
            status = StatusCode::CREATED;
        }
        "renew" => lease::renew(slot, &held()?, now)?,
        "release" => lease::release(slot, &held()?)?,
        "change" => lease::change(slot, &held()?, proposed.ok_or(MISSING_HEADER)?, now)?,
        "break" => {
            let period = match seconds("x-ms-lease-break-period")? {
                None => None,
                Some(period @ 0..=60) => Some(TimeDelta::seconds(period)),
                Some(_) => return Err(BAD_HEADER),
            };
            wait = Some(lease::break_up(slot, period, now)?);
            status = StatusCode::ACCEPTED;
        }
        _ => return Err(BAD_HEADER),
    }
    let mut answer = written(status, &blob.etag, blob.modified);
    match (wait, &blob.lease) {
        (Some(wait), _) => answer = answer.with("x-ms-lease-time", wait.num_seconds().to_string()),
        (None, Some(lease)) => answer = answer.with("x-ms-lease-id", &lease.id),
        (None, None) => {}
    }
    Ok(answer.empty(now))
}

/// The entries of Put Block List's body in their order; None if it is no such list.
fn block_list(body: &[u8]) -> Option<Vec<(Source, String)>> {
    let mut reader = Reader::from_str(std::str::from_utf8(body).ok()?);
    let (mut list, mut source) = (Vec::new(), None);
    loop {
        match reader.read_event().ok()? {
            Event::Start(tag) => {
                source = match tag.name().0 {
                    "Committed" => Some(Source::Committed),
                    "Uncommitted" => Some(Source::Uncommitted),
                    "Latest" => Some(Source::Latest),
                    "BlockList" => None,
                    _ => return None,
                }
            }
            Event::Text(id) => list.extend(source.map(|source| (source, id.trim().to_string()))),
            Event::End(_) => source = None,
            Event::Eof => return Some(list),
            _ => {}
        }
    }
}

/// One page of a container's blobs, in the order of their names.
fn list(call: &Call, container: &Container, now: DateTime<Utc>) -> Result {
    if call.query("delimiter").is_some() {
        return Err(NOT_MODELLED);
    }
    let prefix = call.query("prefix").unwrap_or_default();
    let most = match call.query("maxresults").map(str::parse) {
        None => PAGE,
        Some(Ok(most)) if most > 0 => PAGE.min(most),
        Some(_) => return Err(BAD_PARAMETER),
    };
    // The marker is the name the page starts with, dressed up so that no client takes it for one.
    let marker = call.query("marker").unwrap_or_default();
    let start = URL_SAFE_NO_PAD.decode(marker).ok().and_then(|name| String::from_utf8(name).ok());
    let start = start.ok_or(BAD_PARAMETER)?;
    let mut rest = container.blobs.range(start..).filter(|(name, _)| name.starts_with(prefix));

    let with_metadata = call.query("include").is_some_and(|include| include.contains("metadata"));
    let blobs: String =
        rest.by_ref().take(most).map(|(name, blob)| entry(name, blob, with_metadata, now)).collect();
    let next = rest.next().map(|(name, _)| URL_SAFE_NO_PAD.encode(name)).unwrap_or_default();
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?><EnumerationResults ServiceEndpoint=\"https://sandbox/\" \
         ContainerName=\"{}\"><Prefix>{}</Prefix><Marker>{marker}</Marker><MaxResults>{most}</MaxResults>\
         <Blobs>{blobs}</Blobs><NextMarker>{next}</NextMarker></EnumerationResults>",
        escape(call.container.as_str()),
        escape(prefix),
    );
    Ok(Answer::new(StatusCode::OK).xml(body, now))
}

fn entry(name: &str, blob: &Blob, with_metadata: bool, now: DateTime<Utc>) -> String {
    let (state, status, duration) = Lease::headers(blob.lease.as_ref(), now);
    let duration = duration.map(|duration| format!("<LeaseDuration>{duration}</LeaseDuration>"));
    let pairs = blob.metadata.iter().filter(|_| with_metadata);
    let metadata: String =
        pairs.map(|(name, value)| format!("<{name}>{}</{name}>", escape(value.as_str()))).collect();
    format!(
        "<Blob><Name>{}</Name><Properties><Creation-Time>{}</Creation-Time><Last-Modified>{}</Last-Modified>\
         <Etag>{}</Etag><Content-Length>{}</Content-Length><Content-Type>{}</Content-Type>\
         <BlobType>{}</BlobType><LeaseStatus>{status}</LeaseStatus><LeaseState>{state}</LeaseState>{}\
         <ServerEncrypted>true</ServerEncrypted></Properties><Metadata>{metadata}</Metadata></Blob>",
        escape(name),
        http_date(blob.created),
        http_date(blob.modified),
        blob.etag.trim_matches('"'),
        blob.content.len(),
        escape(blob.content_type.as_str()),
        blob.kind(),
        duration.unwrap_or_default(),
    )
}
