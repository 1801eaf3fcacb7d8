//! The same work as anyone would write it in an afternoon, with serde and reqwest and nothing of ours: fetch, decode,
//! encode, post. No keys, no filter, no comparison, no state, no retries.

use std::io::Read;

use flate2::read::GzDecoder;
use futures::{StreamExt, stream};
use reqwest::{Client, Method};
use serde::{Deserialize, Serialize};
use serde_json::{Value, from_slice, to_vec};

use crate::{Vars, program::own_cpu};

pub const ROLE: &str = "independent";

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    indicators: Vec<Record>,
    next: Option<String>,
}

#[derive(Deserialize)]
struct Record {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    value: String,
    #[serde(default)]
    mscore: u8,
    first_seen: Option<String>,
    last_updated: Option<String>,
    #[serde(default)]
    sources: Vec<Source>,
    #[serde(default)]
    associated_hashes: Vec<Digest>,
    #[serde(default)]
    attributed_associations: Vec<Named>,
    threat_rating: Option<Rating>,
    #[serde(default)]
    category: Vec<String>,
    #[serde(default)]
    campaigns: Vec<Named>,
}

#[derive(Deserialize)]
struct Source {
    #[serde(default)]
    source_name: String,
    #[serde(default)]
    category: Vec<String>,
}

#[derive(Deserialize)]
struct Digest {
    #[serde(rename = "type")]
    kind: String,
    value: String,
}

#[derive(Deserialize)]
struct Named {
    id: String,
    name: String,
    #[serde(rename = "type")]
    kind: Option<String>,
    title: Option<String>,
}

#[derive(Deserialize)]
struct Rating {
    threat_score: Option<u8>,
    severity_level: Option<String>,
    #[serde(default)]
    severity_reason: Vec<String>,
}

#[derive(Serialize)]
struct Object {
    r#type: &'static str,
    spec_version: &'static str,
    id: String,
    created: String,
    modified: String,
    name: String,
    description: String,
    indicator_types: [&'static str; 1],
    pattern: String,
    pattern_type: &'static str,
    pattern_version: &'static str,
    valid_from: String,
    valid_until: String,
    confidence: u8,
    labels: Vec<String>,
    external_references: Vec<Reference>,
}

#[derive(Serialize)]
struct Reference {
    source_name: &'static str,
    description: String,
    external_id: String,
}

#[derive(Serialize)]
struct Upload<'a> {
    sourcesystem: &'static str,
    stixobjects: &'a [Object],
}

impl Object {
    fn of(record: Record) -> Self {
        let quoted = record.value.replace('\\', "\\\\").replace('\'', "\\'");
        let sha256 = record.associated_hashes.iter().find(|digest| digest.kind == "sha256");
        let pattern = match (record.kind.as_str(), sha256) {
            ("ipv4", _) => format!("[ipv4-addr:value = '{quoted}']"),
            ("ipv6", _) => format!("[ipv6-addr:value = '{quoted}']"),
            ("fqdn", _) => format!("[domain-name:value = '{quoted}']"),
            ("url", _) => format!("[url:value = '{quoted}']"),
            (_, Some(digest)) => format!("[file:hashes.'SHA-256' = '{}']", digest.value),
            _ => format!("[file:hashes.MD5 = '{quoted}']"),
        };
        let rating = record.threat_rating.as_ref();
        let score = rating.and_then(|rating| rating.threat_score).unwrap_or_default();
        let severity = rating.and_then(|rating| rating.severity_level.as_deref()).unwrap_or("unrated");
        let mut labels = vec![format!("severity:{severity}"), format!("threat-score:{score}")];
        labels.extend(record.category.iter().map(|category| format!("category:{category}")));
        for source in &record.sources {
            labels.push(format!("source:{}", source.source_name));
            labels.extend(source.category.iter().map(|category| format!("category:{category}")));
        }
        let associated = record.attributed_associations.iter().chain(&record.campaigns);
        labels.extend(
            associated.map(|named| format!("{}:{}", named.kind.as_deref().unwrap_or("campaign"), named.name)),
        );
        let associated = record.attributed_associations.iter().chain(&record.campaigns);
        let references = associated.map(|named| {
            let title = named.title.as_deref().unwrap_or_default();
            Reference {
                source_name: "Mandiant",
                description: format!("{} {title}", named.name),
                external_id: named.id.clone(),
            }
        });
        let reasons = rating.map(|rating| rating.severity_reason.join(", ")).unwrap_or_default();
        let updated = record.last_updated.unwrap_or_default();
        Self {
            r#type: "indicator",
            spec_version: "2.1",
            id: format!("indicator--{}", record.id.split("--").nth(1).unwrap_or_default()),
            created: record.first_seen.clone().unwrap_or_default(),
            modified: updated.clone(),
            description: format!("Mandiant rates {} with {} ({reasons})", record.value, record.mscore),
            name: record.value,
            indicator_types: ["malicious-activity"],
            pattern,
            pattern_type: "stix",
            pattern_version: "2.1",
            valid_from: record.first_seen.unwrap_or_default(),
            valid_until: updated,
            confidence: record.mscore,
            labels,
            external_references: references.collect(),
        }
    }
}

/// Everything that the feed lists to Sentinel; prints CPU seconds.
pub fn run() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let vars: Vars = std::env::vars().collect();
    let sent = runtime.block_on(pipe(&vars));
    assert!(sent > 0, "nothing was sent");
    println!("{}", own_cpu());
}

async fn pipe(vars: &Vars) -> usize {
    let var = |name: &str| vars.get(name).map(String::as_str).unwrap_or_default();
    let client = Client::new();
    let basic = (var("MATI_KEY"), Some(var("MATI_SECRET")));
    let token = client.post(format!("{}/token", var("MATI_BASE_URL"))).basic_auth(basic.0, basic.1);
    let token = token.header("content-type", "application/x-www-form-urlencoded");
    let token =
        member(token.header("x-app-name", "pipe").body("grant_type=client_credentials"), "access_token");
    let identity =
        format!("{}?api-version=2019-08-01&resource=https://management.azure.com", var("IDENTITY_ENDPOINT"));
    let identity = client.get(identity).header("x-identity-header", var("IDENTITY_HEADER"));
    let (token, identity) = (token.await, member(identity, "access_token").await);
    let upload = format!(
        "{}/workspaces/{}/threat-intelligence-stix-objects:upload?api-version=2024-02-01-preview",
        var("SENTINEL_BASE_URL"),
        var("AZURE_WORKSPACE_ID")
    );
    let feed = format!(
        "{}/v4/indicator?limit=1000&include_threat_rating=true&include_campaigns=true&include_category=true&include_misp=false&include_reports=false",
        var("MATI_BASE_URL")
    );
    #[expect(clippy::disallowed_methods, reason = "this program shares nothing with ours, its clock neither")]
    let now =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs();
    let fetch = async |next: Option<String>| -> Page {
        let query = match next {
            Some(next) => format!("{feed}&next={}", next.replace('+', "%2B").replace('=', "%3D")),
            None => format!(
                "{feed}&start_epoch={}&end_epoch={now}&gte_mscore=0&sort_by=last_updated:asc",
                now - 30 * 3600
            ),
        };
        let request = client.get(query).bearer_auth(&token).header("accept", "application/json");
        let answer = request.header("accept-encoding", "gzip").header("x-app-name", "pipe").send().await;
        let answer = answer.expect("an answer");
        assert!(answer.status().is_success(), "{:?}", answer.status());
        let is_packed = answer.headers().contains_key("content-encoding");
        let bytes = answer.bytes().await.expect("a page");
        if !is_packed {
            return from_slice(&bytes).expect("a page");
        }
        let mut page = Vec::new();
        GzDecoder::new(&bytes[..]).read_to_end(&mut page).expect("a page");
        from_slice(&page).expect("a page")
    };
    let mut sent = 0;
    let mut page = fetch(None).await;
    loop {
        let objects: Vec<Object> = page.indicators.into_iter().map(Object::of).collect();
        sent += objects.len();
        let uploads = stream::iter(objects.chunks(100)).map(|batch| {
            let body = to_vec(&Upload { sourcesystem: "Mandiant", stixobjects: batch }).expect("JSON");
            let request = client.request(Method::POST, &upload).bearer_auth(&identity);
            request.header("content-type", "application/json").body(body).send()
        });
        let uploads = uploads.buffer_unordered(4).for_each(|answer| async {
            let answer = answer.expect("an answer");
            assert!(answer.status().is_success(), "{:?}", answer.status());
            answer.bytes().await.expect("an answer");
        });
        let Some(next) = page.next.take().filter(|next| !next.is_empty()) else {
            uploads.await;
            return sent;
        };
        let ((), following) = tokio::join!(uploads, fetch(Some(next)));
        page = following;
    }
}

async fn member(request: reqwest::RequestBuilder, name: &str) -> String {
    let answer = request.send().await.expect("an answer");
    assert!(answer.status().is_success(), "{:?}", answer.status());
    let body: Value = from_slice(&answer.bytes().await.expect("a body")).expect("JSON");
    body[name].as_str().expect("a token").to_owned()
}
