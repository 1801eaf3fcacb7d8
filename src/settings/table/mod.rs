//! Every setting there is: its name, its default, what it means, and whether it is a secret. docs/settings.md is made
//! of this table; the example file, the templates and the parser are held against it.

mod microsoft;
mod running;
mod sent;
mod source;

/// One setting, as its user knows it.
pub struct Setting {
    pub name: &'static str,
    /// The text of its default; `–`: none.
    pub default: &'static str,
    /// What it means and what it accepts, in Markdown; links are relative to docs/.
    pub meaning: &'static str,
    /// Its value must not be shown.
    pub is_secret: bool,
}

const fn setting(name: &'static str, default: &'static str, meaning: &'static str) -> Setting {
    Setting { name, default, meaning, is_secret: false }
}

const fn secret(name: &'static str, default: &'static str, meaning: &'static str) -> Setting {
    Setting { is_secret: true, ..setting(name, default, meaning) }
}

/// A section of docs/settings.md.
pub struct Section {
    pub title: &'static str,
    pub settings: &'static [Setting],
}

/// All sections, in the order of docs/settings.md.
pub const SECTIONS: &[Section] = &[
    source::SOURCE,
    sent::SENT,
    microsoft::SENTINEL,
    microsoft::DEFENDER,
    microsoft::AZURE,
    running::RUNNING,
];

/// All settings, in the same order.
pub fn settings() -> impl Iterator<Item = &'static Setting> + Clone {
    SECTIONS.iter().flat_map(|section| section.settings)
}

/// Older products' spellings and what they mean today.
pub const ALIASES: &[(&str, &str)] = &[
    ("LOOKBACK_INTERVAL", "INITIAL_LOOKBACK"),
    ("MINIMUM_CONFIDENCE_SCORE", "MINIMUM_CONFIDENCE"),
    ("EXCLUDE_OPEN_SOURCE_INTELLIGENCE", "EXCLUDE_OSINT"),
    ("EXCLUDE_OS_INT", "EXCLUDE_OSINT"),
    ("INCLUDE_FILE_HASH", "INCLUDE_HASH"),
];

/// Variables that the platform sets, or an older product's user; they are no settings but are read.
pub const PLATFORM: &[&str] = &[
    "AzureWebJobsStorage__accountName",
    "AzureWebJobsStorage__blobServiceUri",
    "AzureWebJobsStorage__credential",
    "AzureWebJobsStorage__clientId",
    "AzureWebJobsStorage__queueServiceUri",
    // The host disables a function by one of these; dots become underscores where a shell sets them.
    "AzureWebJobs.SyncTimer.Disabled",
    "AzureWebJobs__SyncTimer__Disabled",
    "AzureWebJobs_SyncTimer_Disabled",
    "FUNCTIONS_CUSTOMHANDLER_PORT",
    "IDENTITY_ENDPOINT",
    "IDENTITY_HEADER",
    "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
    "OTEL_EXPORTER_OTLP_METRICS_HEADERS",
    "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL",
    "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
    "OTEL_EXPORTER_OTLP_PROTOCOL",
    "OTEL_METRICS_EXPORTER",
    "OTEL_RESOURCE_ATTRIBUTES",
    "OTEL_SDK_DISABLED",
    "OTEL_SERVICE_NAME",
    "WEBSITE_SITE_NAME",
    "KEY_VAULT_NAME",
    "EXECUTION_INTERVAL",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "SYNC_SCHEDULE",
    "USE_UPLOAD_INDICATORS_API",
];
