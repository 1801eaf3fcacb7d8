//! Append blobs: what is in them stays, and more is added at the end.

use axum::http::StatusCode;
use chrono::{DateTime, Utc};

use super::{
    answer::{APPEND_POSITION, APPEND_SIZE, BAD_HEADER, BODY_TOO_LARGE, OTHER_TYPE, TOO_MANY_BLOCKS},
    lease,
    model::Account,
    request::Call,
    serve::{Result, conditions, written},
};

/// The most bytes of one block of an append blob, and the most blocks.
const BLOCK: usize = 100 << 20;
const BLOCKS: u32 = 50_000;

impl Account {
    /// Append Block. What is compared comes in the order of the emulator: conditions, lease, kind, number of blocks,
    /// position, size.
    pub fn append_block(&mut self, call: &Call, name: &str, now: DateTime<Utc>) -> Result {
        let length = call.body.len() as u64;
        if length == 0 {
            return Err(BAD_HEADER);
        }
        if call.body.len() > BLOCK {
            return Err(BODY_TOO_LARGE);
        }
        let number = |name: &str| {
            call.header(name).map(|value| value.parse::<u64>().map_err(|_| BAD_HEADER)).transpose()
        };
        let (position, most) =
            (number("x-ms-blob-condition-appendpos")?, number("x-ms-blob-condition-maxsize")?);
        let etag = self.next_etag();
        let blob = self.container(&call.container)?.blob(name)?;
        conditions(call, Some(blob))?;
        lease::admit_write(blob.lease.as_ref(), call.lease_id(), now)?;
        let blocks = blob.appended.ok_or(OTHER_TYPE)?;
        if blocks >= BLOCKS {
            return Err(TOO_MANY_BLOCKS);
        }
        let end = blob.content.len() as u64;
        if position.is_some_and(|position| position != end) {
            return Err(APPEND_POSITION);
        }
        if most.is_some_and(|most| end + length > most) {
            return Err(APPEND_SIZE);
        }
        blob.append(&call.body);
        blob.appended = Some(blocks + 1);
        blob.etag = etag;
        blob.modified = now;
        blob.lease = blob.lease.take().filter(|lease| lease.holds(now));
        let answer = written(StatusCode::CREATED, &blob.etag, now)
            .with("x-ms-blob-append-offset", end.to_string())
            .with("x-ms-blob-committed-block-count", (blocks + 1).to_string())
            .with("x-ms-request-server-encrypted", "true")
            .empty(now);
        self.writes += 1;
        self.bytes_written += length;
        Ok(answer)
    }
}
