//! Every setting there is. The README's table, the example file and the parser are held against this list.

/// A setting's name and the text of its default (`–`: none).
pub struct Setting {
    pub name: &'static str,
    pub default: &'static str,
}

const fn setting(name: &'static str, default: &'static str) -> Setting {
    Setting { name, default }
}

/// All settings, in the order of the README.
pub const SETTINGS: &[Setting] = &[
    setting("MATI_KEY", "–"),
    setting("MATI_SECRET", "–"),
    setting("MATI_BASE_URL", "https://api.intelligence.mandiant.com"),
    setting("MATI_AUTH", "bearer"),
    setting("INITIAL_LOOKBACK", "30"),
    setting("MINIMUM_CONFIDENCE", "80"),
    setting("MINIMUM_THREAT_SCORE", "80"),
    setting("IP_MINIMUM_CONFIDENCE", "–"),
    setting("IP_MINIMUM_THREAT_SCORE", "–"),
    setting("FQDN_MINIMUM_CONFIDENCE", "–"),
    setting("FQDN_MINIMUM_THREAT_SCORE", "–"),
    setting("URL_MINIMUM_CONFIDENCE", "–"),
    setting("URL_MINIMUM_THREAT_SCORE", "–"),
    setting("HASH_MINIMUM_CONFIDENCE", "–"),
    setting("HASH_MINIMUM_THREAT_SCORE", "–"),
    setting("MISSING_THREAT_SCORE", "include"),
    setting("EXCLUDE_OSINT", "true"),
    setting("INCLUDE_UNCATEGORIZED", "true"),
    setting("INCLUDE_IPV4", "true"),
    setting("INCLUDE_IPV6", "true"),
    setting("INCLUDE_FQDN", "true"),
    setting("INCLUDE_URL", "true"),
    setting("INCLUDE_HASH", "true"),
    setting("HASH_TYPE", "md5"),
    setting("TARGET_APPLICATION", "sentinel"),
    setting("IP_INDICATOR_EXPIRATION", "7"),
    setting("FQDN_INDICATOR_EXPIRATION", "7"),
    setting("URL_INDICATOR_EXPIRATION", "7"),
    setting("HASH_INDICATOR_EXPIRATION", "90"),
    setting("INDICATOR_EXPIRATION", "–"),
    setting("DEFAULT_ACTION", "alert"),
    setting("PASSIVE_ONLY", "false"),
    setting("ENABLE_DEDUPLICATION", "true"),
    setting("EXPIRE_RETRACTED", "true"),
    setting("TLP_LEVEL", "amber"),
    setting("SOURCE_SYSTEM", "Mandiant"),
    setting("AZURE_WORKSPACE_ID", "–"),
    setting("SENTINEL_API", "stix-objects"),
    setting("SENTINEL_REQUESTS_PER_MINUTE", "100"),
    setting("AZURE_WORKSPACE_NAME", "–"),
    setting("AZURE_SUBSCRIPTION_ID", "–"),
    setting("AZURE_RESOURCE_GROUP_NAME", "–"),
    setting("SENTINEL_BASE_URL", "by cloud"),
    setting("SENTINEL_UPLOAD_PATH", "by cloud"),
    setting("DEFENDER_BASE_URL", "by cloud"),
    setting("DEFENDER_INDICATOR_LIMIT", "15000"),
    setting("AZURE_CLOUD", "public"),
    setting("AZURE_TENANT_ID", "–"),
    setting("AZURE_CLIENT_ID", "–"),
    setting("AZURE_CLIENT_SECRET", "–"),
    setting("MANAGED_IDENTITY_CLIENT_ID", "–"),
    setting("AZURE_AUTHORITY_HOST", "by cloud"),
    setting("AZURE_RESOURCE_MANAGER_URL", "by cloud"),
    setting("KEY_VAULT_URL", "–"),
    setting("KEY_VAULT_KEY_NAME", "mati-secret"),
    setting("STORAGE_ACCOUNT_NAME", "–"),
    setting("STORAGE_CONTAINER_NAME", "mandiant-threat-intel"),
    setting("STORAGE_BLOB_ENDPOINT", "by cloud"),
    setting("AzureWebJobsStorage", "–"),
    setting("STATE_DIR", "–"),
    setting("SYNC_CRON", "–"),
    setting("AzureFunctionsJobHost__functionTimeout", "host.json"),
    setting("LOG_LEVEL", "info"),
];

/// Older products' spellings and what they mean today.
pub const ALIASES: &[(&str, &str)] = &[
    ("LOOKBACK_INTERVAL", "INITIAL_LOOKBACK"),
    ("MINIMUM_CONFIDENCE_SCORE", "MINIMUM_CONFIDENCE"),
    ("EXCLUDE_OPEN_SOURCE_INTELLIGENCE", "EXCLUDE_OSINT"),
    ("EXCLUDE_OS_INT", "EXCLUDE_OSINT"),
    ("INCLUDE_FILE_HASH", "INCLUDE_HASH"),
];

/// Variables that the platform, and not the user, sets; they are no settings but are read.
pub const PLATFORM: &[&str] = &[
    "AzureWebJobsStorage__accountName",
    "AzureWebJobsStorage__blobServiceUri",
    "AzureWebJobsStorage__credential",
    "AzureWebJobsStorage__clientId",
    "FUNCTIONS_CUSTOMHANDLER_PORT",
    "IDENTITY_ENDPOINT",
    "IDENTITY_HEADER",
    "WEBSITE_SITE_NAME",
    "KEY_VAULT_NAME",
    "EXECUTION_INTERVAL",
    "USE_UPLOAD_INDICATORS_API",
];
