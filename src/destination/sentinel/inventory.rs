//! What a workspace already holds from a source, read through Azure Resource Manager page by page
//! (learn.microsoft.com, REST reference of Microsoft Sentinel, "Threat Intelligence Indicator - Query Indicators").
//!
//! The upload API cannot be asked what it holds. Resource Manager can, slowly, which is enough for once: a lane
//! without memory learns under which ids another product sent the same indicators, and updates those instead
//! of adding a second one beside each. And single indicators are looked for, to see that what was uploaded arrived.

use axum::http::{Method, StatusCode};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::{Value, json};

use super::{
    classify,
    resource::{Listed, Shown, Unclear, read_list, read_page},
    shown,
};
use crate::{
    azure::api::{Api, ApiError, Call, Verdict},
    clock::Deadline,
    domain::{
        arrival::Sighting,
        inventory::InventoryPage,
        outcome::Rejection,
        problem::{Problem, Role},
        shown::ShownPage,
    },
    http::{probe::Probe, text::percent_encoded, traffic::Traffic, transport::Answer},
};

/// Half of what Resource Manager's bucket for writes, as which a POST counts, is refilled with
/// (learn.microsoft.com, "Understand how Azure Resource Manager throttles requests").
pub const REQUESTS_PER_MINUTE: u32 = 300;
/// The longest page that is read, in bytes: indicators of other products may be long.
pub const ANSWER_BYTES: usize = 16 * 1024 * 1024;
/// Indicators on a page. The most is not documented; the example asks for so many.
const PAGE: usize = 100;
/// Pages that are read in search of one indicator, should the list not be filtered.
const PAGES: usize = 5;
/// An audit asks for indicators that ended so long ago too. All that ever ended would be many times what is valid.
const ENDED: TimeDelta = TimeDelta::days(7);
const SETTINGS: &str =
    "AZURE_SUBSCRIPTION_ID, AZURE_RESOURCE_GROUP_NAME, AZURE_WORKSPACE_NAME and AZURE_RESOURCE_MANAGER_URL";

/// A workspace shows an indicator through Resource Manager so long after its upload at the latest; Microsoft documents no
/// time.
pub const LAG: TimeDelta = TimeDelta::hours(3);
/// Why a workspace cannot be asked what it holds.
pub const CANNOT_BE_AUDITED: &str = "the workspace is not asked what it holds: set AZURE_SUBSCRIPTION_ID, AZURE_RESOURCE_GROUP_NAME and AZURE_WORKSPACE_NAME, and give the identity that uploads the role Microsoft Sentinel Reader or Microsoft Sentinel Contributor on the workspace";

/// What one workspace holds from one source.
pub struct Inventory {
    /// Resource Manager, with [`ANSWER_BYTES`] and [`REQUESTS_PER_MINUTE`].
    pub api: Api,
    /// See [`url()`].
    pub url: String,
    /// As Sentinel knows the source, letter by letter.
    pub source_system: String,
}

/// Where a workspace is asked what it holds; `base` is Resource Manager's URL without a slash at its end.
pub fn url(base: &str, subscription_id: &str, resource_group: &str, workspace: &str) -> String {
    format!(
        "{base}/subscriptions/{subscription_id}/resourceGroups/{}/providers/Microsoft.OperationalInsights/workspaces/{}/providers/Microsoft.SecurityInsights/threatIntelligence/main/queryIndicators?api-version=2025-09-01",
        percent_encoded(resource_group),
        percent_encoded(workspace)
    )
}

impl Inventory {
    /// The connection to try: the first page.
    pub fn probe<'a>(&'a self, deadline: &'a Deadline) -> Probe<'a> {
        let attempt = async move {
            let page = self.page(None, deadline, &Traffic::default()).await?;
            let count = page.held.len() + page.passed_over.len();
            Ok(format!("it may be read; the page had {count} indicators of {}", self.source_system))
        };
        let tried = "Azure Resource Manager was asked for a page of the workspace's indicators".to_owned();
        Probe::new("Sentinel workspace", tried, attempt)
    }

    /// The first page, or the one that `skip_token` of the page before leads to.
    ///
    /// # Errors
    /// - [`ApiError::Rejected`]: the token is not accepted, perhaps no longer; begin again without one.
    /// - [`ApiError::Stalled`]: an outage, or something only the operator can mend; the sentence says what.
    /// - [`ApiError::OutOfTime`].
    pub async fn page(
        &self,
        skip_token: Option<&str>,
        deadline: &Deadline,
        traffic: &Traffic,
    ) -> Result<InventoryPage, ApiError> {
        let filter = json!({"pageSize": PAGE, "sources": [self.source_system]});
        let read_page = |body: &[u8]| read_page(body, &self.source_system, self.api.clock.now());
        self.ask(filter, skip_token, read_page, |page| page.next.as_deref(), deadline, traffic).await
    }

    /// The same page as it is compared with what was sent: with indicators that ended or were revoked not long ago, to tell
    /// them from those that are gone.
    ///
    /// # Errors
    /// As [`Inventory::page`].
    pub async fn shown(
        &self,
        skip_token: Option<&str>,
        deadline: &Deadline,
        traffic: &Traffic,
    ) -> Result<ShownPage, ApiError> {
        let ended = self.api.clock.now() - ENDED;
        let filter = json!({
            "pageSize": PAGE,
            "sources": [self.source_system],
            "includeDisabled": true,
            "minValidUntil": ended.to_rfc3339_opts(SecondsFormat::Millis, true),
        });
        let read_page = |body: &[u8]| shown::read_page(body, &self.source_system);
        self.ask(filter, skip_token, read_page, |page| page.next.as_deref(), deadline, traffic).await
    }

    /// Asks for a page of the list, filtered as `body` says; a 200 is read by `read_page`, and `next` is its token.
    async fn ask<P>(
        &self,
        mut body: Value,
        skip_token: Option<&str>,
        read_page: impl Fn(&[u8]) -> Result<P, Unclear>,
        next: impl Fn(&P) -> Option<&str>,
        deadline: &Deadline,
        traffic: &Traffic,
    ) -> Result<P, ApiError> {
        // The token should know the filter, but the documentation does not promise it.
        if let Some(token) = skip_token {
            body["skipToken"] = token.into();
        }
        let call = Call {
            method: Method::POST,
            url: self.url.clone(),
            settings: SETTINGS,
            body: body.to_string().into(),
            parts: 1,
        };
        let read = |answer: &Answer| read(answer, &read_page, skip_token.is_some(), self.api.clock.now());
        let page = self.api.call(&call, read, deadline, traffic).await?;
        if next(&page).is_some() && next(&page) == skip_token {
            return Err(ApiError::Stalled(
                "Azure Resource Manager leads from a page of indicators to the same page again"
                    .to_owned()
                    .into(),
            ));
        }
        Ok(page)
    }

    /// How the workspace shows the indicator of `source` with this STIX id.
    ///
    /// What `ids` of a query stands for is not documented beyond its name; a search for the STIX id as a keyword is what
    /// others do in production (OpenCTI-Platform/connectors, issue 6269). It is a search of texts, so it counts what has
    /// that very id, and where pages are left over nothing is said.
    ///
    /// # Errors
    /// As [`Inventory::page`].
    pub async fn look_up(
        &self,
        id: &str,
        source: &str,
        deadline: &Deadline,
        traffic: &Traffic,
    ) -> Result<Sighting, ApiError> {
        let mut token: Option<String> = None;
        for _ in 0..PAGES {
            let filter = json!({"pageSize": PAGE, "sources": [source], "keywords": [id]});
            let Listed { items, next } = self
                .ask(filter, token.as_deref(), read_list, |list| list.next.as_deref(), deadline, traffic)
                .await?;
            let is_it = |item: &&Shown| item.id == id && item.source == source;
            if let Some(shown) = items.iter().find(is_it) {
                return Ok(Sighting::Shown { until: shown.until });
            }
            token = next;
            if token.is_none() {
                return Ok(Sighting::NotShown);
            }
        }
        Ok(Sighting::Unclear)
    }
}

/// Reads an answer given at `now` to a request with or without a token.
fn read<P>(
    answer: &Answer,
    read_page: impl Fn(&[u8]) -> Result<P, Unclear>,
    has_token: bool,
    now: DateTime<Utc>,
) -> Verdict<P> {
    // A page may be long: it is not read once more in search of an error.
    if answer.status == StatusCode::OK {
        return match read_page(&answer.body) {
            Ok(page) => Verdict::Answered(page),
            Err(Unclear(reason)) => Verdict::Later { reason, wait: None, throttled: false },
        };
    }
    let reason = classify::reason(&answer.body);
    let id = classify::request_id(&answer.headers);
    let asked = id.as_ref().map(|id| format!(" (request id {id})")).unwrap_or_default();
    if let Some(later) = Verdict::later("Azure Resource Manager", answer, &format!("{reason}{asked}"), now) {
        return later;
    }
    match answer.status.as_u16() {
        400 if has_token => Verdict::Rejected(Rejection {
            reason: format!("Azure Resource Manager does not go on with the list of indicators: {reason}"),
            request_id: id,
        }),
        401 => Verdict::Unauthorized(format!(
            "Azure Resource Manager does not accept the token: {reason}{asked}; check that AZURE_CLOUD is the workspace's cloud and AZURE_SUBSCRIPTION_ID a subscription of the identity's tenant"
        )),
        403 => Verdict::blocked(Problem::from(format!(
            "Azure Resource Manager rejected the request: {reason}{asked}; to learn what the workspace holds, the identity that uploads needs the role Microsoft Sentinel Reader or Microsoft Sentinel Contributor on the workspace (a new assignment takes some minutes); to do without, remove AZURE_SUBSCRIPTION_ID, AZURE_RESOURCE_GROUP_NAME and AZURE_WORKSPACE_NAME"
        ))
        .needs(Role::SentinelReader)),
        404 => Verdict::blocked(format!(
            "Azure Resource Manager knows no such workspace: {reason}{asked}; check AZURE_SUBSCRIPTION_ID, AZURE_RESOURCE_GROUP_NAME, AZURE_WORKSPACE_NAME (the workspace's name, not its GUID) and AZURE_CLOUD"
        )),
        status => Verdict::blocked(format!(
            "Azure Resource Manager answered {status}: {reason}{asked}; check {SETTINGS}"
        )),
    }
}

#[cfg(test)]
mod tests {
    use axum::{
        body::Bytes,
        http::{HeaderMap, header::RETRY_AFTER},
    };

    use super::*;

    fn verdict(status: u16, body: &str, has_token: bool) -> Verdict<InventoryPage> {
        let headers = HeaderMap::from_iter([(RETRY_AFTER, "7".parse().unwrap())]);
        let status = StatusCode::from_u16(status).unwrap();
        let answer = Answer { status, headers, body: Bytes::copy_from_slice(body.as_bytes()) };
        let read_page = |body: &[u8]| read_page(body, "Mandiant", DateTime::UNIX_EPOCH);
        read(&answer, read_page, has_token, DateTime::UNIX_EPOCH)
    }

    #[test]
    fn every_status_says_what_to_do() {
        let later = |status, body: &str| match verdict(status, body, false) {
            Verdict::Later { wait, throttled, .. } => (wait.map(|wait| wait.as_secs()), throttled),
            other => panic!("{status}: {other:?}"),
        };
        assert_eq!(later(429, ""), (Some(7), true));
        assert_eq!(later(503, "<html>busy</html>"), (Some(7), false));
        let strange = [
            "",
            "[]",
            "{}",
            "<html>",
            r#"{"value":7}"#,
            "[[],null]",
            r#"{"message":"timed out"}"#,
            r#"{"error":{"code":"InternalServerError","message":"x"}}"#,
            r#"{"value":[],"error":{"code":"InternalServerError","message":"x"}}"#,
        ];
        for strange in strange {
            assert_eq!(later(200, strange), (None, false), "{strange}");
        }
        let denied = r#"{"error":{"code":"AuthorizationFailed","message":"The client 'x' does not have authorization"}}"#;
        let blocked = |status, body: &str| match verdict(status, body, false) {
            Verdict::Blocked(problem) => problem.message,
            other => panic!("{status}: {other:?}"),
        };
        let text = blocked(403, denied);
        assert!(text.contains("AuthorizationFailed") && text.contains("Microsoft Sentinel Reader"), "{text}");
        assert!(blocked(404, "").contains("AZURE_WORKSPACE_NAME"));
        assert!(blocked(400, "").contains("AZURE_RESOURCE_MANAGER_URL"));
        assert!(matches!(verdict(400, "", true), Verdict::Rejected(_)));
        assert!(matches!(verdict(401, "", true), Verdict::Unauthorized(_)));
    }
}
