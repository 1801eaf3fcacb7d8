//! App settings whose reference Azure did not resolve.

use super::faults;

#[test]
fn a_reference_that_azure_did_not_resolve_is_named_as_one_whatever_setting_it_stands_in() {
    const REFERENCE: &str = "@Microsoft.KeyVault(SecretUri=https://some-vault.vault.azure.net/secrets/x/)";
    for name in [
        "MATI_KEY",
        "MATI_SECRET",
        "AZURE_CLIENT_SECRET",
        "AZURE_WORKSPACE_ID",
        "MINIMUM_CONFIDENCE",
        "INCLUDE_URL",
        "MATI_BASE_URL",
        "SOURCE_SYSTEM",
        "SYNC_CRON",
        "STORAGE_CONTAINER_NAME",
        "AZURE_CLIENT_ID",
        "MINIMUM_CONFIDENCE_SCORE",
        "KEY_VAULT_NAME",
        "AzureWebJobsStorage",
        "STATE_DIR",
        "IDENTITY_ENDPOINT",
        "LOG_LEVEL",
    ] {
        for value in [REFERENCE, " @microsoft.keyvault(VaultName=v;SecretName=s)\n"] {
            let told = faults(&[(name, value)]);
            let of_it: Vec<&String> =
                told.iter().filter(|told| told.starts_with(&format!("{name} "))).collect();
            let [told] = of_it.as_slice() else { panic!("{name}: {told:?}") };
            assert!(told.starts_with(&format!("{name} is an unresolved Key Vault reference")), "{told}");
            assert!(!told.contains("some-vault"), "{told}");
        }
    }
    let told = faults(&[("MATI_KEY", "@Microsoft.AppConfiguration(Endpoint=https://x.azconfig.io; Key=y)")]);
    assert!(told[0].starts_with("MATI_KEY is an unresolved App Configuration reference"), "{told:?}");
    let told = faults(&[("MATI_KEY", REFERENCE), ("MINIMUM_CONFIDENCE", "high")]);
    assert_eq!(told.len(), 2, "the other faults are told as well: {told:?}");
}
