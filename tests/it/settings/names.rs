//! Names and values that look right and are not.

use std::collections::BTreeMap;

use mati_sync::settings::{Settings, log_level, vars::Layered};
use secrecy::SecretString;
use tracing::level_filters::LevelFilter;

use super::{faults, parse, vars};

/// Faults of a settings file with these values beside sound ones, under an environment that has nothing.
fn of_file(extra: &[(&str, &str)]) -> Vec<String> {
    let file: BTreeMap<String, SecretString> =
        vars(extra).into_iter().map(|(name, value)| (name, value.into())).collect();
    let environment = BTreeMap::<String, String>::new();
    let parsed = Settings::parse(&Layered(Box::new(environment), Box::new(file)));
    parsed.err().map(|faults| faults.0.iter().map(ToString::to_string).collect()).unwrap_or_default()
}

#[test]
fn a_misspelt_name_is_a_fault_that_says_what_was_meant() {
    for (misspelt, meant) in [
        ("PASSIVE_ONY", "PASSIVE_ONLY"),
        ("EXPIRE_RETRACTD", "EXPIRE_RETRACTED"),
        ("MINIMUM_CONFIDENC", "MINIMUM_CONFIDENCE"),
        ("passive_only", "PASSIVE_ONLY"),
        ("EXCLUDE_OSNIT", "EXCLUDE_OSINT"),
        ("AZURE_TENANTID", "AZURE_TENANT_ID"),
        ("LOOKBACK_INTERVALL", "LOOKBACK_INTERVAL"),
        ("SYNC_CRONS", "SYNC_CRON"),
    ] {
        let expected = [format!("{misspelt} is no setting of mati-sync; did you mean {meant}?")];
        assert_eq!(faults(&[(misspelt, "true")]), expected);
        assert_eq!(of_file(&[(misspelt, "true")]), expected);
        assert_eq!(faults_or_none(&[(misspelt, " ")]), [""; 0], "an empty value means absent");
    }
}

fn faults_or_none(extra: &[(&str, &str)]) -> Vec<String> {
    let parsed = parse(extra);
    parsed.err().map(|faults| faults.0.iter().map(ToString::to_string).collect()).unwrap_or_default()
}

/// What Azure, compilers, shells and other programs set must not stop production.
#[test]
fn foreign_variables_of_the_environment_are_left_alone() {
    for name in [
        "INCLUDE",
        "INCLUDES",
        "DEFENDER_API_URL",
        "DEFENDER_ENABLED",
        "MSI_SECRET",
        "MSI_ENDPOINT",
        "IDENTITY_ENDPOINT",
        "IDENTITY_HEADER",
        "APPSETTING_MATI_KEY",
        "AZURE_STORAGE_ACCOUNT",
        "AZURE_CLIENT_CERTIFICATE_PATH",
        "STORAGE_ACCOUNT_KEY",
        "HTTPS_PROXY",
        "no_proxy",
        "SSL_CERT_FILE",
        "WEBSITE_RUN_FROM_PACKAGE",
        "CONTAINER_NAME",
        "STATE_DIRECTORY",
        "LOGLEVEL",
        "PATH",
        "SHELL",
    ] {
        assert_eq!(faults_or_none(&[(name, "/x")]), [""; 0], "{name}");
    }
}

#[test]
fn a_settings_file_holds_our_settings_and_the_host_s_alone() {
    for name in ["MY_OWN", "MY_INCLUDE", "DEFENDER_API_URL", "_comment"] {
        let told = of_file(&[(name, "x")]);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].starts_with(&format!("{name} is no setting of mati-sync; remove it")), "{told:?}");
    }
    for name in [
        "FUNCTIONS_WORKER_RUNTIME",
        "AzureWebJobsStorage__queueServiceUri",
        "AzureWebJobsFeatureFlags",
        "AzureFunctionsJobHost__logging__logLevel__default",
        "WEBSITE_TIME_ZONE",
        "APPLICATIONINSIGHTS_CONNECTION_STRING",
        "ASPNETCORE_ENVIRONMENT",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "HTTP_PROXY",
        "https_proxy",
        "NO_PROXY",
        "SSL_CERT_FILE",
        "IDENTITY_ENDPOINT",
    ] {
        assert_eq!(of_file(&[(name, "x")]), [""; 0], "{name}");
    }
}

#[test]
fn the_vendor_s_schedule_is_answered_with_what_to_set() {
    for (hours, cron) in [
        ("1", "\"0 23 * * * *\""),
        ("4", "\"0 23 */4 * * *\""),
        ("5", "\"0 23 */4 * * *\""),
        ("24", "\"0 23 0 * * *\""),
        ("often", "\"0 23 * * * *\""),
        ("0", "\"0 23 * * * *\""),
    ] {
        for name in ["SYNC_SCHEDULE", "EXECUTION_INTERVAL"] {
            let notices = parse(&[(name, hours)]).unwrap().notices;
            let told = notices.iter().find(|notice| notice.starts_with(name)).expect("a warning");
            assert!(told.contains("SYNC_CRON") && told.contains(cron), "{hours}: {told}");
        }
    }
}

#[test]
fn the_base_address_and_the_way_to_show_who_we_are_fit_together() {
    const GTI: &str = "https://www.virustotal.com/api/v3/mati";
    for (address, auth, fault) in [
        ("", "apikey", Some("MATI_AUTH is apikey")),
        ("https://api.intelligence.mandiant.com/", "apikey", Some("MATI_AUTH is apikey")),
        (GTI, "bearer", Some("MATI_AUTH does not fit")),
        (GTI, "", Some("MATI_AUTH does not fit")),
        (GTI, "basic", Some("MATI_AUTH does not fit")),
        ("https://www.virustotal.com/api/v3", "apikey", Some("MATI_BASE_URL is not the address")),
        ("https://www.virustotal.com", "apikey", Some("MATI_BASE_URL is not the address")),
        (GTI, "apikey", None),
        ("https://www.virustotal.com/api/v3/mati/", "apikey", None),
        ("", "basic", None),
        ("https://proxy.example", "apikey", None),
        ("http://127.0.0.1:8080", "basic", None),
    ] {
        let told = faults_or_none(&[("MATI_BASE_URL", address), ("MATI_AUTH", auth)]);
        assert_eq!(told.len(), usize::from(fault.is_some()), "{address} {auth}: {told:?}");
        assert!(fault.is_none_or(|fault| told[0].starts_with(fault)), "{address} {auth}: {told:?}");
    }
}

#[test]
fn a_path_that_only_a_shell_would_complete_is_a_fault() {
    for name in ["STATE_DIR", "SSL_CERT_FILE"] {
        for path in ["~", "~/state", "~me/state", "$HOME/state", "%USERPROFILE%\\state"] {
            let told = faults_or_none(&[(name, path)]);
            assert!(told.len() == 1 && told[0].starts_with(&format!("{name} is ")), "{path}: {told:?}");
        }
        assert_eq!(faults_or_none(&[(name, "/tmp/a~b/$c")]), [""; 0]);
    }
}

#[test]
fn what_has_no_effect_is_warned_of() {
    const CLIENT: (&str, &str) = ("AZURE_CLIENT_ID", "66666666-7777-4888-8999-aaaaaaaaaaaa");
    const TENANT: (&str, &str) = ("AZURE_TENANT_ID", "11111111-2222-4333-8444-555555555555");
    let warned = |extra: &[(&str, &str)], of: &str| {
        let notices = parse(extra).unwrap().notices;
        notices.into_iter().find(|notice| notice.starts_with(of))
    };
    for alone in [&[CLIENT][..], &[CLIENT, TENANT]] {
        let told = warned(alone, "AZURE_CLIENT_ID").expect("a warning");
        assert!(told.contains("MANAGED_IDENTITY_CLIENT_ID"), "{told}");
    }
    for whole in [
        &[CLIENT, TENANT, ("AZURE_CLIENT_SECRET", "x")][..],
        &[CLIENT, TENANT, ("KEY_VAULT_URL", "https://v.vault.azure.net")],
        &[TENANT],
    ] {
        assert_eq!(warned(whole, "AZURE_CLIENT_ID"), None);
    }
    let told = warned(&[("STORAGE_ACCOUNT_NAME", "account")], "STATE_DIR").expect("a warning");
    assert!(told.contains("STORAGE_ACCOUNT_NAME"), "{told}");
    assert_eq!(warned(&[("AzureWebJobsStorage", "UseDevelopmentStorage=true")], "STATE_DIR"), None);
}

#[test]
fn the_log_level_takes_azure_s_words_and_nothing_else() {
    for (words, level) in [
        (&["trace", "Trace", "Verbose", "VERBOSE"][..], LevelFilter::TRACE),
        (&["debug", "Debug"], LevelFilter::DEBUG),
        (&["info", "Information", " information "], LevelFilter::INFO),
        (&["warn", "Warning", "warning"], LevelFilter::WARN),
        (&["error", "Error", "Critical"], LevelFilter::ERROR),
        (&["off", "None"], LevelFilter::OFF),
    ] {
        for word in words {
            assert_eq!(log_level(word), Some(level), "{word}");
            assert_eq!(faults_or_none(&[("LOG_LEVEL", word)]), [""; 0], "{word}");
        }
    }
    for word in ["loud", "mati_sync=debug", "info,debug", "3"] {
        assert_eq!(log_level(word), None);
        assert!(faults(&[("LOG_LEVEL", word)])[0].contains("accepted: trace, debug, info"), "{word}");
    }
}
