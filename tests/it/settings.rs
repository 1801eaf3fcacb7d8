//! Settings: all faults at once, older spellings, and what is rejected rather than ignored.

mod hosts;
mod names;
mod references;

use std::collections::BTreeMap;

use mati_sync::{
    domain::observable::{HashType, HashTypes, IndicatorType},
    settings::{Faults, Settings, StateSettings, UploadApi},
};

fn vars(extra: &[(&str, &str)]) -> BTreeMap<String, String> {
    let sound = [
        ("MATI_KEY", "key"),
        ("MATI_SECRET", "secret"),
        ("AZURE_WORKSPACE_ID", "5f1c2d3e-0a1b-4c2d-8e3f-5a6b7c8d9e0f"),
        ("STATE_DIR", "/tmp/state"),
    ];
    sound.iter().chain(extra).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn parse(extra: &[(&str, &str)]) -> Result<Settings, Faults> {
    Settings::parse(&vars(extra))
}

fn faults(extra: &[(&str, &str)]) -> Vec<String> {
    parse(extra).unwrap_err().0.into_iter().map(|fault| fault.to_string()).collect()
}

#[test]
fn the_defaults_are_those_of_the_contract() {
    let settings = parse(&[]).unwrap();
    let threshold = settings.filter.thresholds.of(IndicatorType::Url);
    assert_eq!((threshold.confidence, threshold.threat_score), (80, 80));
    assert_eq!(settings.initial_lookback.num_days(), 30);
    assert_eq!(settings.hash_types, HashTypes::only(HashType::Sha256));
    assert!(settings.filter.exclude_osint && settings.filter.include_uncategorized && settings.deduplicate);
    assert_eq!(settings.expirations.0.values(), [7, 7, 7, 90]);
    assert_eq!(settings.sentinel.unwrap().requests_per_minute, 100);
    assert_eq!(settings.source_system, "Mandiant");
    assert!(settings.defender.is_none(), "{:?}", settings.defender);
}

/// Which source was meant cannot be told, so that nothing of either is missing.
#[test]
fn of_a_source_that_is_none_nothing_is_missing() {
    let told = faults(&[("SOURCE", "google"), ("MATI_KEY", ""), ("MATI_SECRET", "")]);
    assert_eq!(told, ["SOURCE is \"google\"; accepted: mandiant, gti"]);
}

#[test]
fn every_fault_is_told_at_once_with_what_is_accepted() {
    let all = faults(&[
        ("MATI_KEY", ""),
        ("AZURE_WORKSPACE_ID", "my-workspace"),
        ("MINIMUM_CONFIDENCE", "high"),
        ("IP_MINIMUM_THREAT_SCORE", "101"),
        ("INCLUDE_IPV4", "yes"),
        ("INITIAL_LOOKBACK", "90"),
        ("HASH_TYPE", "sha512"),
        ("MATI_BASE_URL", "http://mandiant.example"),
        ("SENTINEL_REQUESTS_PER_MINUTE", "0"),
        ("SOURCE_SYSTEM", "Microsoft Sentinel"),
        ("AZURE_CLIENT_SECRET", "hush-hush"),
        ("AzureFunctionsJobHost__functionTimeout", "ten minutes"),
        ("STORAGE_CONTAINER_NAME", "No_Such"),
    ]);
    let text = all.join("\n");
    for part in [
        "MATI_KEY is missing",
        "AZURE_WORKSPACE_ID is \"my-workspace\"",
        "MINIMUM_CONFIDENCE is \"high\"; accepted: a whole number from 0 to 100",
        "IP_MINIMUM_THREAT_SCORE is \"101\"",
        "INCLUDE_IPV4 is \"yes\"; accepted: true, false, 1, 0",
        "INITIAL_LOOKBACK is \"90\"; accepted: days from 1 to 89",
        "HASH_TYPE is \"sha512\"; accepted: md5, sha1, sha256, or several with commas between",
        "MATI_BASE_URL",
        "SENTINEL_REQUESTS_PER_MINUTE",
        "SOURCE_SYSTEM",
        "AZURE_TENANT_ID",
        "AZURE_CLIENT_ID",
        "AzureFunctionsJobHost__functionTimeout",
        "STORAGE_CONTAINER_NAME",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    assert_eq!(all.len(), 14, "{text}");
    assert!(!text.contains("hush-hush"), "a secret in a message");
}

#[test]
fn one_digest_or_several_stand_for_a_file() {
    let types = |text: &str| parse(&[("HASH_TYPE", text)]).map(|settings| settings.hash_types);
    assert_eq!(types("md5").unwrap(), HashTypes::only(HashType::Md5));
    let both = HashTypes::of(&[HashType::Sha1, HashType::Sha256]);
    for text in ["sha256,sha1", "sha1, SHA256", "sha256,sha1,sha256"] {
        let named = types(text).unwrap();
        assert_eq!((Some(named), named.to_string().as_str()), (both, "sha256,sha1"), "{text}");
    }
    assert_eq!(types("").unwrap().to_string(), "sha256");
    for text in ["sha256,", ",", "sha256;sha1", "sha256 sha1", "all"] {
        assert!(types(text).is_err(), "{text}");
    }
}

#[test]
fn booleans_and_empty_values() {
    for (value, expected) in
        [("TRUE", true), ("False", false), ("1", true), ("0", false), ("", true), ("  ", true)]
    {
        assert_eq!(parse(&[("INCLUDE_URL", value)]).unwrap().filter.included.url, expected, "{value:?}");
    }
}

#[test]
fn older_spellings_are_understood_named_and_checked_against_today_s() {
    let settings = parse(&[
        ("LOOKBACK_INTERVAL", "-45"),
        ("MINIMUM_CONFIDENCE_SCORE", "70"),
        ("EXCLUDE_OS_INT", "False"),
        ("INCLUDE_FILE_HASH", "false"),
        ("KEY_VAULT_NAME", "my-vault"),
        ("EXECUTION_INTERVAL", "6"),
        ("INDICATOR_EXPIRATION", "14"),
        ("IP_INDICATOR_EXPIRATION", "3"),
    ])
    .unwrap();
    assert_eq!(settings.initial_lookback.num_days(), 45);
    assert_eq!(settings.filter.lowest_confidence(), 70);
    assert!(!settings.filter.exclude_osint && !settings.filter.included.hash);
    assert_eq!(settings.key_vault.unwrap().url.as_str(), "https://my-vault.vault.azure.net/");
    assert_eq!(settings.expirations.0.values(), [3, 14, 14, 14]);
    for name in [
        "LOOKBACK_INTERVAL",
        "MINIMUM_CONFIDENCE_SCORE",
        "EXCLUDE_OS_INT",
        "INCLUDE_FILE_HASH",
        "KEY_VAULT_NAME",
        "EXECUTION_INTERVAL",
    ] {
        assert!(settings.notices.iter().any(|notice| notice.contains(name)), "{name} is not named");
    }
    let both = faults(&[("MINIMUM_CONFIDENCE", "80"), ("MINIMUM_CONFIDENCE_SCORE", "70")]);
    assert!(both[0].contains("given twice"), "{both:?}");
    assert!(parse(&[("MINIMUM_CONFIDENCE", "70"), ("MINIMUM_CONFIDENCE_SCORE", "70")]).is_ok());
}

#[test]
fn the_schedule_tells_how_far_apart_its_ticks_are() {
    for (schedule, hours) in [
        ("0 23 * * * *", 1),
        ("0 23 */6 * * *", 6),
        ("0 7 0 * * *", 24),
        ("7 */8 * * *", 8),
        ("0 0 9 * * MON-FRI", 72),
        ("", 24),
        ("01:00:00", 24),
    ] {
        assert_eq!(parse(&[("SYNC_CRON", schedule)]).unwrap().longest_pause.num_hours(), hours, "{schedule}");
    }
}

#[test]
fn the_legacy_upload_api_is_chosen_by_either_name() {
    let sentinel = |extra: &[(&str, &str)]| parse(extra).unwrap().sentinel.unwrap();
    let legacy = ("SENTINEL_API", "upload-indicators");
    for choice in [legacy, ("USE_UPLOAD_INDICATORS_API", "True")] {
        let settings = parse(&[choice]).unwrap();
        assert_eq!(settings.sentinel.as_ref().unwrap().api, UploadApi::UploadIndicators, "{choice:?}");
        assert_eq!(settings.sentinel.as_ref().unwrap().base_url, "https://sentinelus.azure-api.net");
        assert!(
            settings.sentinel.as_ref().unwrap().upload_path.ends_with("/threatintelligenceindicators:upload")
        );
        let named = settings.notices.iter().any(|notice| notice.contains("USE_UPLOAD_INDICATORS_API"));
        assert_eq!(named, choice != legacy);
    }
    let today = sentinel(&[("USE_UPLOAD_INDICATORS_API", "false")]);
    assert_eq!(today.api, UploadApi::StixObjects);
    assert_eq!(today.base_url, "https://api.ti.sentinel.azure.com");
    assert_eq!(sentinel(&[legacy, ("USE_UPLOAD_INDICATORS_API", "1")]).api, UploadApi::UploadIndicators);
    let both = faults(&[legacy, ("USE_UPLOAD_INDICATORS_API", "0")]);
    assert!(both[0].starts_with("SENTINEL_API is given twice"), "{both:?}");
    assert!(faults(&[("USE_UPLOAD_INDICATORS_API", "maybe")])[0].contains("accepted: true, false"));

    let elsewhere = [legacy, ("AZURE_CLOUD", "usgov")];
    assert!(faults(&elsewhere)[0].starts_with("SENTINEL_BASE_URL is missing"));
    let told = sentinel(&[elsewhere[0], elsewhere[1], ("SENTINEL_BASE_URL", "https://ti.example/")]);
    assert_eq!(told.base_url, "https://ti.example");
}

#[test]
fn where_the_workspace_stands_is_told_whole_or_not_at_all() {
    const WHOLE: [(&str, &str); 3] = [
        ("AZURE_WORKSPACE_NAME", "My-workspace-1"),
        ("AZURE_SUBSCRIPTION_ID", "BD794837-4d29-4647-9105-6339bfdb4e6a"),
        ("AZURE_RESOURCE_GROUP_NAME", "Rg_1.(é)"),
    ];
    assert_eq!(parse(&[]).unwrap().sentinel.unwrap().resource, None);
    let resource = |extra: &[(&str, &str)]| {
        let all: Vec<(&str, &str)> = WHOLE.iter().chain(extra).copied().collect();
        parse(&all).unwrap().sentinel.unwrap().resource.unwrap()
    };
    let whole = resource(&[]);
    assert_eq!(whole.base_url, "https://management.azure.com");
    assert_eq!(whole.subscription_id, WHOLE[1].1.to_lowercase());
    assert_eq!((whole.workspace.as_str(), whole.resource_group.as_str()), (WHOLE[0].1, WHOLE[2].1));
    let in_china = resource(&[("AZURE_CLOUD", "china")]);
    assert_eq!(in_china.base_url, "https://management.chinacloudapi.cn");
    let local = resource(&[("AZURE_RESOURCE_MANAGER_URL", "http://127.0.0.1:8080/")]);
    assert_eq!(local.base_url, "http://127.0.0.1:8080");

    for (missing, _) in WHOLE {
        let others: Vec<(&str, &str)> = WHOLE.into_iter().filter(|(name, _)| *name != missing).collect();
        let told = faults(&others);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].starts_with(&format!("{missing} is missing beside {}", others[0].0)), "{told:?}");
        let alone = faults(&[WHOLE.into_iter().find(|(name, _)| *name == missing).unwrap()]);
        assert_eq!(alone.len(), 2, "{alone:?}");
    }
    let long = "x".repeat(91);
    for (name, value) in [
        ("AZURE_WORKSPACE_NAME", "-workspace"),
        ("AZURE_WORKSPACE_NAME", "work space"),
        ("AZURE_WORKSPACE_NAME", "ab"),
        ("AZURE_WORKSPACE_NAME", &long),
        ("AZURE_SUBSCRIPTION_ID", "my subscription"),
        ("AZURE_RESOURCE_GROUP_NAME", "group/other"),
        ("AZURE_RESOURCE_GROUP_NAME", "group."),
        ("AZURE_RESOURCE_GROUP_NAME", &long),
    ] {
        let mut vars: Vec<(&str, &str)> = WHOLE.to_vec();
        vars.iter_mut().filter(|(set, _)| *set == name).for_each(|pair| pair.1 = value);
        let told = faults(&vars);
        assert!(told.len() == 1 && told[0].starts_with(&format!("{name} is ")), "{told:?}");
    }
    assert!(
        faults(&[("AZURE_RESOURCE_MANAGER_URL", "http://arm.example")])[0]
            .contains("AZURE_RESOURCE_MANAGER_URL")
    );
}

#[test]
fn destinations_are_those_named_and_only_theirs_are_required() {
    for (value, sentinel, defender) in [
        ("", true, false),
        ("sentinel", true, false),
        ("Azure Sentinel", true, false),
        ("defender", false, true),
        ("Microsoft Defender ATP", false, true),
        ("defender, Sentinel", true, true),
        ("sentinel,sentinel", true, false),
    ] {
        let settings = parse(&[("TARGET_APPLICATION", value)]).unwrap();
        assert_eq!(
            (settings.sentinel.is_some(), settings.defender.is_some()),
            (sentinel, defender),
            "{value}"
        );
    }
    for value in ["splunk", "sentinel,", "sentinel;defender"] {
        let told = faults(&[("TARGET_APPLICATION", value)]);
        assert!(told[0].contains("accepted: sentinel, defender"), "{told:?}");
    }
    let no_workspace = [("AZURE_WORKSPACE_ID", "")];
    assert!(faults(&no_workspace)[0].contains("AZURE_WORKSPACE_ID is missing"));
    assert!(parse(&[no_workspace[0], ("TARGET_APPLICATION", "defender")]).is_ok());
    let both = faults(&[no_workspace[0], ("TARGET_APPLICATION", "defender,sentinel")]);
    assert!(both[0].contains("AZURE_WORKSPACE_ID is missing"), "{both:?}");
}

#[test]
fn defender_is_where_the_cloud_or_the_setting_says() {
    let defender = |cloud, url| {
        let extra = [("TARGET_APPLICATION", "defender"), ("AZURE_CLOUD", cloud), ("DEFENDER_BASE_URL", url)];
        let defender = parse(&extra).unwrap().defender.unwrap();
        (defender.base_url, defender.scope)
    };
    let public = "https://api.securitycenter.microsoft.com/.default";
    for (cloud, url, base_url, scope) in [
        ("public", "", "https://api.security.microsoft.com", public),
        ("public", "https://eu.api.security.microsoft.com/", "https://eu.api.security.microsoft.com", public),
        ("public", "http://127.0.0.1:8080", "http://127.0.0.1:8080", public),
        (
            "public",
            "https://api-gcc.securitycenter.microsoft.us",
            "https://api-gcc.securitycenter.microsoft.us",
            "https://api-gcc.securitycenter.microsoft.us/.default",
        ),
        (
            "usgov",
            "",
            "https://api-gov.securitycenter.microsoft.us",
            "https://api-gov.securitycenter.microsoft.us/.default",
        ),
        (
            "usgov",
            "https://proxy.example",
            "https://proxy.example",
            "https://api-gov.securitycenter.microsoft.us/.default",
        ),
        (
            "china",
            "https://defender.example.cn",
            "https://defender.example.cn",
            "https://defender.example.cn/.default",
        ),
    ] {
        assert_eq!(defender(cloud, url), (base_url.to_owned(), scope.to_owned()), "{cloud} {url}");
    }
    let told = faults(&[("TARGET_APPLICATION", "sentinel,defender"), ("AZURE_CLOUD", "china")]);
    let [told] = told.as_slice() else { panic!("{told:?}") };
    assert!(told.starts_with("DEFENDER_BASE_URL is missing") && told.contains("without defender"), "{told}");
    assert!(parse(&[("AZURE_CLOUD", "china")]).is_ok());
}

#[test]
fn what_defender_is_asked_to_do_and_to_hold() {
    let defender = |extra: &[(&str, &str)]| {
        let target = [("TARGET_APPLICATION", "defender")];
        parse(&[&target, extra].concat()).map(|settings| settings.defender.unwrap())
    };
    let settings = defender(&[]).unwrap();
    assert_eq!((settings.indicator_limit, settings.passive_only), (15_000, false));
    let settings =
        defender(&[("DEFENDER_INDICATOR_LIMIT", "1"), ("PASSIVE_ONLY", "true"), ("DEFAULT_ACTION", "block")]);
    let settings = settings.unwrap();
    assert_eq!((settings.indicator_limit, settings.passive_only), (1, true));
    for limit in ["0", "15001", "many"] {
        let told = defender(&[("DEFENDER_INDICATOR_LIMIT", limit)]).unwrap_err().to_string();
        assert!(told.contains("a whole number from 1 to 15000"), "{told}");
    }
    for extra in [("PASSIVE_ONLY", "false"), ("PASSIVE_ONLY", "true")] {
        let told = defender(&[("DEFAULT_ACTION", "allow"), extra]).unwrap_err().to_string();
        assert!(told.contains("DEFAULT_ACTION is allow") && told.contains("alert, block"), "{told}");
    }
    assert!(parse(&[("DEFAULT_ACTION", "allow"), ("TARGET_APPLICATION", "sentinel")]).is_ok());
}

#[test]
fn state_lives_where_the_settings_say_and_never_on_a_disk_that_does_not_last() {
    let state = |extra: &[(&str, &str)]| parse(extra).unwrap().state;
    assert!(matches!(state(&[]), StateSettings::Directory(_)));
    assert!(faults(&[("WEBSITE_SITE_NAME", "app")])[0].contains("STATE_DIR"));
    let by_account =
        state(&[("STATE_DIR", ""), ("STORAGE_ACCOUNT_NAME", "myaccount"), ("AZURE_CLOUD", "usgov")]);
    let StateSettings::Identity { endpoint, container, .. } = by_account else { panic!("{by_account:?}") };
    assert_eq!(endpoint.as_str(), "https://myaccount.blob.core.usgovcloudapi.net/");
    assert_eq!(container, "mandiant-threat-intel");
    let emulator = state(&[("STATE_DIR", ""), ("AzureWebJobsStorage", "UseDevelopmentStorage=true")]);
    assert!(matches!(emulator, StateSettings::ConnectionString { .. }));
    let host = state(&[
        ("STATE_DIR", ""),
        ("AzureWebJobsStorage__accountName", "hostaccount"),
        ("AzureWebJobsStorage__clientId", "an-identity"),
    ]);
    assert!(matches!(host, StateSettings::Identity { client_id: Some(_), .. }), "{host:?}");
    assert!(faults(&[("STATE_DIR", "")])[0].contains("STORAGE_ACCOUNT_NAME is missing"));
}

#[test]
fn plain_http_is_for_this_machine_only() {
    for url in
        ["http://127.0.0.1:8080", "http://localhost:1", "http://[::1]:8080", "https://mandiant.example"]
    {
        assert!(parse(&[("MATI_BASE_URL", url)]).is_ok(), "{url}");
    }
    for url in [
        "http://10.0.0.1",
        "http://127.0.0.1.example",
        "ftp://mandiant.example",
        "mandiant.example",
        "https://me:pw@mandiant.example",
    ] {
        assert!(parse(&[("MATI_BASE_URL", url)]).is_err(), "{url}");
    }
    for name in ["AZURE_AUTHORITY_HOST", "KEY_VAULT_URL"] {
        assert!(faults(&[(name, "http://127.0.0.1:1")])[0].contains("SSL_CERT_FILE"), "{name}");
    }
}

#[test]
fn secrets_never_show_in_debug_prints() {
    let settings = parse(&[
        ("MATI_SECRET", "hush-hush"),
        ("STATE_DIR", ""),
        ("AzureWebJobsStorage", "AccountName=a;AccountKey=aHVzaC1odXNo"),
    ])
    .unwrap();
    let printed = format!("{settings:?}");
    assert!(!printed.contains("hush-hush") && !printed.contains("aHVzaC1odXNo"), "{printed}");
}
