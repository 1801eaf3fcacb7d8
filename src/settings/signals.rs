//! What is told to others after a pass: a webhook, and metrics under the names that OpenTelemetry's specification gives
//! its settings (opentelemetry.io, "General SDK Configuration" and "OTLP Exporter Configuration").

use azure_core::http::Url;
use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret, SecretString};

use super::reader::{Reader, flag, is_loopback};

/// Where signals go.
#[derive(Clone, Debug)]
pub struct SignalSettings {
    /// Given directly; otherwise the key vault may have it.
    pub webhook: Option<SecretString>,
    /// `None`: no metrics.
    pub metrics: Option<MetricsSettings>,
}

/// A collector of metrics.
#[derive(Clone, Debug)]
pub struct MetricsSettings {
    /// Where metrics are sent, whole.
    pub url: Url,
    pub headers: Vec<(String, SecretString)>,
    /// Counters say what the pass added, and not what all passes came to.
    pub is_delta: bool,
    /// What names the sender, by attribute.
    pub resource: Vec<(String, String)>,
}

impl SignalSettings {
    pub(super) fn read(reader: &Reader<'_>) -> Self {
        let webhook = reader.secret("WEBHOOK_URL");
        if webhook.as_ref().is_some_and(|url| !is_webhook(url.expose_secret())) {
            // It is a secret as a whole: nothing of it is shown.
            reader.fault(
                "WEBHOOK_URL",
                "is no address that can be used; accepted: an https:// URL (http:// only for this machine)",
            );
        }
        Self { webhook, metrics: MetricsSettings::read(reader) }
    }
}

/// Whether a text, which may come from Key Vault, is the address of a webhook.
pub fn is_webhook(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| {
        url.has_host() && (url.scheme() == "https" || url.scheme() == "http" && is_loopback(&url))
    })
}

impl MetricsSettings {
    fn read(reader: &Reader<'_>) -> Option<Self> {
        let own = address(reader, "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT");
        let common = address(reader, "OTEL_EXPORTER_OTLP_ENDPOINT").map(|mut url| {
            url.set_path(&format!("{}/v1/metrics", url.path().trim_end_matches('/')));
            url
        });
        let headers = ["OTEL_EXPORTER_OTLP_METRICS_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"];
        let headers = headers.iter().find_map(|name| Some((*name, reader.raw(name)?)));
        let headers = headers.map(|(name, text)| pairs(reader, name, &text)).unwrap_or_default();
        let is = |name, word: &str| reader.raw(name).is_some_and(|value| value.eq_ignore_ascii_case(word));
        let is_off = reader.raw("OTEL_SDK_DISABLED").as_deref().and_then(flag) == Some(true)
            || is("OTEL_METRICS_EXPORTER", "none");
        let protocols = ["OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"];
        let protocol = protocols.iter().find(|name| reader.raw(name).is_some());
        let url = own.clone().or(common).filter(|_| !is_off)?;
        if let Some(name) = protocol.filter(|name| is(name, "grpc")) {
            reader.notice(format!(
                "{name} is grpc, and mati-sync sends metrics over HTTP alone: none are sent; set OTEL_EXPORTER_OTLP_METRICS_PROTOCOL to http/protobuf and OTEL_EXPORTER_OTLP_METRICS_ENDPOINT to the collector's address for it, such as http://collector:4318/v1/metrics"
            ));
            return None;
        }
        const TEMPORALITY: &str = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE";
        Some(Self {
            url,
            headers: headers.into_iter().map(|(name, value)| (name, value.into())).collect(),
            is_delta: is(TEMPORALITY, "delta") || is(TEMPORALITY, "lowmemory"),
            resource: resource(reader),
        })
    }
}

/// An address to which no secret of ours travels but the headers that its owner gave for it: plain text is the user's
/// choice, as a collector beside the app has no certificate.
fn address(reader: &Reader<'_>, name: &str) -> Option<Url> {
    let text = reader.raw(name)?;
    let url = Url::parse(&text).ok().filter(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
    });
    if url.is_none() {
        let shown = text.split(['?', '#']).next().unwrap_or_default().rsplit('@').next().unwrap_or_default();
        reader.fault(
            name,
            format!("is {shown:?}; accepted: an http:// or https:// URL without user and password, such as http://collector:4318"),
        );
    }
    url
}

/// What names the sender. A service's name of its own wins over the one among the attributes.
fn resource(reader: &Reader<'_>) -> Vec<(String, String)> {
    const NAME: &str = "OTEL_RESOURCE_ATTRIBUTES";
    let mut attributes = reader.raw(NAME).map(|text| pairs(reader, NAME, &text)).unwrap_or_default();
    let own = reader.raw("OTEL_SERVICE_NAME");
    let named = attributes.iter().any(|(name, _)| name == "service.name");
    if own.is_some() || !named {
        attributes.retain(|(name, _)| name != "service.name");
        attributes.push(("service.name".to_owned(), own.unwrap_or_else(|| "mati-sync".to_owned())));
    }
    if !attributes.iter().any(|(name, _)| name == "service.version") {
        attributes.push(("service.version".to_owned(), env!("CARGO_PKG_VERSION").to_owned()));
    }
    attributes
}

/// `name=value` with commas between, values percent-encoded (W3C Baggage). One that is wrong is told without its value,
/// which may be a secret.
fn pairs(reader: &Reader<'_>, setting: &str, text: &str) -> Vec<(String, String)> {
    let pair = |part: &str| {
        let (name, value) = part.split_once('=')?;
        let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
        let is_sound = !name.trim().is_empty() && !value.contains(char::is_control);
        is_sound.then(|| (name.trim().to_owned(), value.into_owned()))
    };
    let parts: Vec<&str> = text.split(',').filter(|part| !part.trim().is_empty()).collect();
    let read: Vec<_> = parts.iter().filter_map(|part| pair(part)).collect();
    if read.len() < parts.len() {
        reader.notice(format!(
            "{setting} has {} parts that are no name=value with a percent-encoded value; they are left out",
            parts.len() - read.len()
        ));
    }
    read
}
