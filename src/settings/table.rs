//! Every setting there is: its name, its default, what it means, and whether it is a secret. docs/settings.md is made
//! of this table; the example file, the templates and the parser are held against it.

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

/// The sections of docs/settings.md, each with its first setting.
pub const SECTIONS: &[(&str, &str)] = &[
    ("Source", "SOURCE"),
    ("What is sent", "TARGET_APPLICATION"),
    ("Sentinel", "AZURE_WORKSPACE_ID"),
    ("Defender for Endpoint", "DEFENDER_BASE_URL"),
    ("Azure", "AZURE_CLOUD"),
    ("State, schedule, run time", "STORAGE_ACCOUNT_NAME"),
];

/// All settings, in the order of docs/settings.md.
pub const SETTINGS: &[Setting] = &[
    setting(
        "SOURCE",
        "mandiant",
        "Where the indicators come from: `mandiant` (Mandiant Advantage, API v4) or `gti` ([Google Threat \
         Intelligence](gti.md)). A source needs its own credentials alone.",
    ),
    secret(
        "MATI_KEY",
        "–",
        "The id of the API key (Mandiant Advantage → Settings → APIv4 Access and Key). The key vault can \
         hold it as `mati-key`.",
    ),
    secret(
        "MATI_SECRET",
        "–",
        "The secret of the API key. The key vault can hold it as `mati-secret`. `MATI_AUTH=apikey` needs \
         none.",
    ),
    setting(
        "MATI_BASE_URL",
        "https://api.intelligence.mandiant.com",
        "The address of the API. `https://www.virustotal.com/api/v3/mati`, Google's API in Mandiant's form, is \
         unproven for this feed: for a key of Google Threat Intelligence set [`SOURCE=gti`](gti.md).",
    ),
    setting(
        "MATI_AUTH",
        "bearer",
        "`bearer` obtains a token with key and secret, `basic` sends both with every request, `apikey` \
         sends `MATI_KEY` in the header `x-apikey`.",
    ),
    secret(
        "GTI_API_KEY",
        "–",
        "The API key of Google Threat Intelligence. The key vault can hold it as `gti-api-key`.",
    ),
    setting(
        "GTI_BASE_URL",
        "https://www.virustotal.com/api/v3",
        "The address of Google Threat Intelligence's API.",
    ),
    setting(
        "GTI_LISTS",
        "–",
        "Ids of the [threat lists](gti.md#lists) to read, with commas between. Without it: every list that the \
         licence gives, found by asking each.",
    ),
    setting(
        "GTI_QUERY",
        "–",
        "A filter that the server applies, as it stands. It hides records that would retract what is held, so \
         prefer the minimums below.",
    ),
    setting(
        "INITIAL_LOOKBACK",
        "30",
        "Days to read back when a lane has no state, 1–89. A minus sign is accepted. A \
         [refresh](lifecycle.md#refresh) reads as far back, and 30 days at least.",
    ),
    setting(
        "MINIMUM_CONFIDENCE",
        "80",
        "The lowest confidence (Mandiant's `mscore`, 0–100) of an indicator that is wanted.",
    ),
    setting(
        "MINIMUM_THREAT_SCORE",
        "80",
        "The lowest threat score (`threat_rating.threat_score`, 0–100). An indicator must meet both \
         minimums.",
    ),
    setting(
        "IP_MINIMUM_CONFIDENCE",
        "–",
        "The minimum confidence of addresses. It wins over `MINIMUM_CONFIDENCE`.",
    ),
    setting(
        "IP_MINIMUM_THREAT_SCORE",
        "–",
        "The minimum threat score of addresses. It wins over `MINIMUM_THREAT_SCORE`.",
    ),
    setting(
        "FQDN_MINIMUM_CONFIDENCE",
        "–",
        "The minimum confidence of domains. It wins over `MINIMUM_CONFIDENCE`.",
    ),
    setting(
        "FQDN_MINIMUM_THREAT_SCORE",
        "–",
        "The minimum threat score of domains. It wins over `MINIMUM_THREAT_SCORE`.",
    ),
    setting(
        "URL_MINIMUM_CONFIDENCE",
        "–",
        "The minimum confidence of URLs. It wins over `MINIMUM_CONFIDENCE`.",
    ),
    setting(
        "URL_MINIMUM_THREAT_SCORE",
        "–",
        "The minimum threat score of URLs. It wins over `MINIMUM_THREAT_SCORE`.",
    ),
    setting(
        "HASH_MINIMUM_CONFIDENCE",
        "–",
        "The minimum confidence of files. It wins over `MINIMUM_CONFIDENCE`.",
    ),
    setting(
        "HASH_MINIMUM_THREAT_SCORE",
        "–",
        "The minimum threat score of files. It wins over `MINIMUM_THREAT_SCORE`.",
    ),
    setting(
        "MISSING_THREAT_SCORE",
        "include",
        "What to do with a record without a threat score: `include` judges it by its confidence alone, \
         `exclude` drops it.",
    ),
    setting(
        "MISSING_CONFIDENCE",
        "include",
        "What to do with a record without any confidence, as Google Threat Intelligence has them: `include` \
         judges it by its threat score alone, `exclude` drops it.",
    ),
    setting(
        "MINIMUM_SEVERITY",
        "–",
        "The lowest severity of an indicator that is wanted: `low`, `medium` or `high`. A record without a \
         severity passes.",
    ),
    setting("EXCLUDE_BENIGN", "true", "Drop what the source, or an analyst of it, calls benign."),
    setting(
        "EXCLUDE_PERVASIVE",
        "true",
        "Drop what the source calls pervasive: popular infrastructure that many share. Mandiant does not say \
         so, Google Threat Intelligence does.",
    ),
    setting("EXCLUDE_OSINT", "true", "Drop an indicator if all its sources are open source."),
    setting("INCLUDE_UNCATEGORIZED", "true", "Keep an indicator that has no category."),
    setting(
        "ATTRIBUTED_ONLY",
        "false",
        "Drop a record that names no threat actor and no malware family. A name that the source withholds (`redacted`) \
         is none.",
    ),
    setting(
        "ACTORS",
        "–",
        "Names of threat actors with commas between, case ignored. Where this or one of the next three is set, a \
         record must match one name of one of them.",
    ),
    setting("MALWARE", "–", "Names of malware families, as `ACTORS`."),
    setting("CAMPAIGNS", "–", "Names or titles of campaigns, as `ACTORS`."),
    setting("CATEGORIES", "–", "Categories, as `ACTORS`."),
    setting(
        "ATTRIBUTION_THRESHOLDS",
        "–",
        "The minimum confidence of what is attributed to a threat actor, malware family or campaign: `FIN7=60, \
         LOCKBIT=70`. The lowest that applies wins over all other minimums of confidence.",
    ),
    setting("INCLUDE_IPV4", "true", "Send IPv4 addresses."),
    setting("INCLUDE_IPV6", "true", "Send IPv6 addresses."),
    setting("INCLUDE_FQDN", "true", "Send domains."),
    setting("INCLUDE_URL", "true", "Send URLs."),
    setting("INCLUDE_HASH", "true", "Send files."),
    setting(
        "HASH_TYPE",
        "sha256",
        "The digests that represent a file at Sentinel, each with an indicator of its own: `md5`, `sha1`, \
         `sha256`, or several with commas between. If a record has none of them, its strongest digest is \
         sent. Microsoft's endpoint rules compare SHA-1 and SHA-256 alone. Defender always gets the strongest.",
    ),
    setting(
        "EXCLUDE",
        "–",
        "Values that are never sent, with commas between: host names with all below them, addresses, ranges, \
         URLs by their beginning, digests. Longer lists are files, see [Exclusions](exclusions.md).",
    ),
    setting(
        "EXCLUDE_VITAL",
        "true",
        "Never send Defender what is on the [built-in list](exclusions.md#the-built-in-list): names and \
         addresses whose block would be an outage of its own.",
    ),
    setting(
        "TARGET_APPLICATION",
        "sentinel",
        "The destinations: `sentinel`, `defender`, or both with a comma between. `Azure Sentinel` and \
         `Microsoft Defender ATP` mean the same.",
    ),
    setting(
        "IP_INDICATOR_EXPIRATION",
        "7",
        "Days for which an address is valid, counted from its ingestion, 1–3650.",
    ),
    setting("FQDN_INDICATOR_EXPIRATION", "7", "The same for a domain."),
    setting("URL_INDICATOR_EXPIRATION", "7", "The same for a URL."),
    setting("HASH_INDICATOR_EXPIRATION", "90", "The same for a file."),
    setting(
        "INDICATOR_EXPIRATION",
        "–",
        "The older product's single value for all four types. A specific one wins.",
    ),
    setting(
        "RENEWAL_SLACK",
        "48",
        "Hours that may lie between two good passes before anything lapses that Mandiant still lists; at \
         most half the shortest validity. A longer slack [costs more rows](lifecycle.md#refresh): validity \
         ÷ (validity − slack).",
    ),
    setting(
        "PRICE_PER_GB",
        "–",
        "Your price for a gigabyte of rows, for [`mati-sync cost`](cost.md). The program knows no prices.",
    ),
    setting(
        "DEFAULT_ACTION",
        "alert",
        "`alert`, `block` or `allow`. [At Defender](defender.md#what-is-sent) `alert` reports a match and \
         `block` prevents it too; `allow` is a fault there, because it would exempt malware from \
         protection. Sentinel's objects have no action: it becomes the label `action:…`.",
    ),
    setting(
        "PASSIVE_ONLY",
        "false",
        "`true`: Defender only audits, whatever the action. No endpoint is asked to act.",
    ),
    setting(
        "ENABLE_DEDUPLICATION",
        "true",
        "Skip what the destination holds unchanged. `false` sends every wanted record of each window again, \
         those of every refresh included.",
    ),
    setting(
        "EXPIRE_RETRACTED",
        "true",
        "[Retract](lifecycle.md#retraction) what is held and no longer passes the filters. `false`: it \
         stays until its validity ends.",
    ),
    setting(
        "TLP_LEVEL",
        "amber",
        "The marking of every object at Sentinel: `clear`, `green`, `amber`, `red` or `none`.",
    ),
    setting(
        "SOURCE_SYSTEM",
        "Mandiant",
        "The name under which Sentinel lists the source. It is a part of each indicator's identity there: \
         another name means other indicators. `Microsoft Sentinel` is reserved.",
    ),
    setting(
        "AZURE_WORKSPACE_ID",
        "–",
        "The GUID of the Log Analytics workspace (its Overview page), not its name.",
    ),
    setting(
        "SENTINEL_API",
        "stix-objects",
        "The upload API. `upload-indicators` is the legacy one; outside the public cloud it needs \
         `SENTINEL_BASE_URL`.",
    ),
    setting(
        "SENTINEL_REQUESTS_PER_MINUTE",
        "100",
        "The most requests within any 60 seconds, spaced evenly. 100 is the service's own limit; more is \
         accepted with a warning.",
    ),
    setting(
        "AZURE_WORKSPACE_NAME",
        "–",
        "The workspace's name, for the [adoption](sentinel.md#adoption) and the [audit](operations.md#audit). \
         Set all three of this and the next two, or none.",
    ),
    setting(
        "AZURE_SUBSCRIPTION_ID",
        "–",
        "The GUID of the workspace's subscription, for the adoption and the audit.",
    ),
    setting(
        "AZURE_RESOURCE_GROUP_NAME",
        "–",
        "The workspace's resource group, for the adoption and the audit.",
    ),
    setting(
        "VERIFY_ARRIVAL",
        "–",
        "[Look for a sample](sentinel.md#arrival) of what was acknowledged, and offer again what has not arrived: \
         `true` or `false`. Without it: at Sentinel, where the three settings above are given. `true`: at Defender \
         too, by its list.",
    ),
    setting("SENTINEL_BASE_URL", "by cloud", "Another host than that of `SENTINEL_API`."),
    setting(
        "SENTINEL_UPLOAD_PATH",
        "by cloud",
        "Another path than that of `SENTINEL_API`. It holds `{workspaceId}`.",
    ),
    setting(
        "DEFENDER_BASE_URL",
        "by cloud",
        "Another host, without `/api`: a nearer one such as `https://eu.api.security.microsoft.com`, or \
         `https://api-gcc.securitycenter.microsoft.us` for GCC. Required with `AZURE_CLOUD=china`, for \
         which none is known.",
    ),
    setting(
        "DEFENDER_INDICATOR_LIMIT",
        "15000",
        "The most indicators that the tenant may come to hold, 1–15000, those of other applications \
         included. 15,000 is Microsoft's own limit.",
    ),
    setting(
        "AZURE_CLOUD",
        "public",
        "`public`, `usgov` or `china`: the hosts and scopes of all Microsoft APIs.",
    ),
    setting(
        "AZURE_TENANT_ID",
        "–",
        "The tenant of the app registration that uploads. Without a secret, here or in the key vault, the \
         managed identity uploads.",
    ),
    setting("AZURE_CLIENT_ID", "–", "The client id (a GUID) of the app registration that uploads."),
    secret(
        "AZURE_CLIENT_SECRET",
        "–",
        "The secret of the app registration. The key vault can hold it as `azure-client-secret`.",
    ),
    setting(
        "MANAGED_IDENTITY_CLIENT_ID",
        "–",
        "The client id of a user-assigned identity, for storage, key vault and uploads. Where there is no \
         managed identity, the login of the Azure CLI is used.",
    ),
    setting("AZURE_AUTHORITY_HOST", "by cloud", "Another host of Entra ID."),
    setting("AZURE_RESOURCE_MANAGER_URL", "by cloud", "Another host of Azure Resource Manager."),
    setting(
        "KEY_VAULT_URL",
        "–",
        "The key vault from which secrets are read that are not given directly: `mati-key`, `mati-secret`, \
         `azure-client-secret`. A rotated secret is read again when the old one is rejected.",
    ),
    setting(
        "KEY_VAULT_KEY_NAME",
        "mati-secret",
        "The name of the key vault's secret that holds the API secret.",
    ),
    setting(
        "STORAGE_ACCOUNT_NAME",
        "–",
        "The storage account for the state, used with the managed identity.",
    ),
    setting(
        "STORAGE_CONTAINER_NAME",
        "mandiant-threat-intel",
        "The container for the state. It is created if it does not exist.",
    ),
    setting(
        "STORAGE_BLOB_ENDPOINT",
        "by cloud",
        "Another endpoint of that account. With an emulator the account is a part of the path.",
    ),
    secret(
        "AzureWebJobsStorage",
        "–",
        "The host's storage. It holds the state too if `STORAGE_ACCOUNT_NAME` is absent. A connection \
         string, `UseDevelopmentStorage=true`, or the form `AzureWebJobsStorage__accountName` / \
         `__blobServiceUri` with `__credential` and `__clientId`.",
    ),
    setting(
        "STATE_DIR",
        "–",
        "A local directory for the state, for a laptop. It wins over the storage account and is a fault in \
         a function app, whose disk does not last.",
    ),
    setting(
        "SYNC_CRON",
        "–",
        "When the timer fires, as NCRONTAB with seconds: `0 23 * * * *` is every hour at minute 23. The \
         host needs it and reads it; the program derives from it how early an indicator is renewed.",
    ),
    setting(
        "AUDIT_DAYS",
        "30",
        "Days between two [audits](operations.md#audit) that run by themselves, 0–365; `0`: never. One that \
         `mati-sync audit` makes does not depend on it.",
    ),
    setting(
        "AzureFunctionsJobHost__functionTimeout",
        "host.json",
        "The host's time limit for one invocation, if it differs from the 10 minutes of host.json. A pass \
         pauses in time before it.",
    ),
    secret(
        "WEBHOOK_URL",
        "–",
        "An address that gets [one JSON message](signals.md#the-webhook) whenever a lane stalls, waits for a \
         confirmation, lost something or is well again. The key vault can hold it as `webhook-url`.",
    ),
    setting(
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "–",
        "A collector of OpenTelemetry that gets [metrics](signals.md#metrics) after each pass, over HTTP as \
         protobuf, at `/v1/metrics` below this address. Plain `http://` is accepted here.",
    ),
    secret(
        "OTEL_EXPORTER_OTLP_HEADERS",
        "–",
        "Headers for the collector, such as `api-key=…`, with commas between; values are percent-encoded.",
    ),
    setting(
        "LOG_LEVEL",
        "info",
        "`trace`, `debug`, `info`, `warn`, `error` or `off`, or Azure's words for them: `Verbose`, \
         `Information`, `Warning`, `Critical`, `None`. Case does not matter. The line that ends a pass is \
         always written.",
    ),
];

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
