//! The `next` of an answer, in the shape of those recorded by Google's own client.

use base64::{Engine, engine::general_purpose::URL_SAFE};
use rand::{RngExt, rngs::Xoshiro256PlusPlus};
use serde_json::Value;

use super::query::Filters;

/// The length of a scroll's id in bytes. It makes a cursor longer than 3000 characters, and is no multiple
/// of three, so that the cursor has `=` in the middle.
const SCROLL_LENGTH: usize = 2302;

/// The name of a query's snapshot: the same on all pages of the query.
pub(super) fn new_scroll(dice: &mut Xoshiro256PlusPlus) -> String {
    let mut bytes = b"\x14include_context_uuid\x0equeryThenFetch".to_vec();
    let start = bytes.len();
    bytes.resize(SCROLL_LENGTH, 0);
    dice.fill(&mut bytes[start..]);
    URL_SAFE.encode(bytes)
}

/// The cursor that leads to `page` of the query, counted from 1.
pub(super) fn encode(scroll: &str, filters: &Filters, page: usize) -> String {
    format!("{scroll}.{}", URL_SAFE.encode(filters.describe(page).to_string()))
}

/// The scroll and the page of a cursor.
pub(super) fn decode(cursor: &str) -> Option<(&str, usize)> {
    let (scroll, description) = cursor.split_once('.')?;
    let description: Value = serde_json::from_slice(&URL_SAFE.decode(description).ok()?).ok()?;
    let page = usize::try_from(description["next_page_index"].as_u64()?).ok()?;
    (page > 0).then_some((scroll, page))
}
