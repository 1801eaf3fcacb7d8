//! Pages of the list, as OData asks for them.

use std::collections::{BTreeMap, HashMap};

use axum::{extract, http::Uri};
use serde_json::Value;

use super::Rejection;

/// The most indicators on one page.
pub(super) const MOST_PER_PAGE: usize = 10_000;

/// By what the list can be filtered here: some of the documented names.
const FILTERS: &[&str] = &["application", "indicatorValue", "indicatorType", "action", "severity", "title"];

/// Which indicators are asked for.
pub(super) struct Query {
    top: usize,
    skip: usize,
    /// A name and the value it is to have.
    filter: Option<(String, String)>,
    /// The filter as it was written, for the link to the next page.
    written: Option<String>,
}

/// One page.
pub(super) struct Page {
    pub values: Vec<Value>,
    /// The query of the next page, if there is one.
    pub next: Option<String>,
}

impl Query {
    pub(super) fn read(uri: &Uri) -> Result<Self, Rejection> {
        let odata = |text: String| Rejection::bad("ODataError", text);
        let query = extract::Query::<HashMap<String, String>>::try_from_uri(uri)
            .map_err(|error| odata(error.to_string()))?
            .0;
        if let Some(name) = query.keys().find(|name| !["$top", "$skip", "$filter"].contains(&name.as_str())) {
            return Err(odata(format!("The query parameter '{name}' is not supported.")));
        }
        let number = |name: &str, absent: usize, most: usize| match query.get(name) {
            None => Ok(absent),
            Some(text) => text.parse().ok().filter(|number| *number <= most).ok_or_else(|| {
                odata(format!("The limit of '{most}' for {name} query has been exceeded: '{text}'."))
            }),
        };
        let written = query.get("$filter").cloned();
        let filter = written.as_deref().map(|text| {
            comparison(text).ok_or_else(|| odata(format!("The filter {text:?} is not valid or not known.")))
        });
        Ok(Self {
            top: number("$top", MOST_PER_PAGE, MOST_PER_PAGE)?,
            skip: number("$skip", 0, usize::MAX)?,
            filter: filter.transpose()?,
            written,
        })
    }

    /// The page of `held` that is asked for, cut after `longest`.
    pub(super) fn page(&self, held: &BTreeMap<u64, Value>, longest: usize) -> Page {
        let wanted = |indicator: &&Value| {
            self.filter.as_ref().is_none_or(|(name, value)| indicator[name].as_str() == Some(value))
        };
        let length = self.top.min(longest);
        let mut values: Vec<Value> =
            held.values().filter(wanted).skip(self.skip).take(length + 1).cloned().collect();
        let is_last = values.len() <= length;
        values.truncate(length);
        let next = (!is_last).then(|| {
            let filter = self.written.iter().map(|text| format!("&$filter={}", text.replace(' ', "%20")));
            format!("$top={}&$skip={}{}", self.top, self.skip + length, filter.collect::<String>())
        });
        Page { values, next }
    }
}

/// `name eq 'value'`, quotes within doubled.
fn comparison(text: &str) -> Option<(String, String)> {
    let (name, literal) = text.split_once(" eq ")?;
    let inner = literal.trim().strip_prefix('\'')?.strip_suffix('\'')?;
    let is_sound = !inner.replace("''", "").contains('\'') && FILTERS.contains(&name.trim());
    is_sound.then(|| (name.trim().to_owned(), inner.replace("''", "'")))
}
