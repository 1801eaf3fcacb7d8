//! Entra ID and Key Vault reject, or are down; the message says which setting or role it is about.

use mati_sync::{domain::outcome::End, pass::Work};
use sandbox::{
    key_vault::KeyVault,
    net::{Exchange, Fault},
};

use super::{LIMIT, Outage, at, fill, html, recovers, stalls};
use crate::harness::{
    vault::{PLATFORM, VAULT, with_key_vault},
    world::{CLIENT, TENANT, World},
};

const OTHER: &str = "99999999-7777-4888-8999-aaaaaaaaaaaa";

fn is_entra(exchange: &Exchange) -> bool {
    exchange.authority == "login.microsoftonline.com"
}

#[tokio::test(start_paused = true)]
async fn an_expired_secret_is_told_from_a_wrong_one() {
    let world = World::new();
    fill(&world, 300);
    world.entra.knobs(|knobs| {
        knobs.expired_secrets.insert(CLIENT.to_owned());
    });
    stalls(&world, &["AADSTS7000222", "AZURE_CLIENT_SECRET has expired"]).await;
    world.entra.knobs(|knobs| knobs.expired_secrets.clear());
    recovers(&world).await;
}

#[tokio::test(start_paused = true)]
async fn an_unknown_app_and_a_wrong_tenant_are_named() {
    for (setting, right, words) in [
        ("AZURE_CLIENT_ID", CLIENT, ["AADSTS700016", "AZURE_CLIENT_ID is not known"]),
        ("AZURE_TENANT_ID", TENANT, ["AADSTS90002", "AZURE_TENANT_ID is not a tenant"]),
    ] {
        let mut world = World::new();
        fill(&world, 300);
        world.set(setting, OTHER);
        stalls(&world, &words).await;
        world.set(setting, right);
        recovers(&world).await;
    }
}

#[tokio::test(start_paused = true)]
async fn entra_that_stumbles_is_asked_again() {
    let (status, headers, body) = html(503);
    for fault in [Fault::ResetBefore, Fault::ResetAfter, Fault::AnswerBefore(status, headers, body)] {
        let world = World::new();
        fill(&world, 300);
        Outage::begin(&world, at(|number| number == 0, is_entra, fault.clone()));
        let report = world.tick().await;
        assert_eq!((report.end, report.totals().created), (End::CaughtUp, 300), "{fault:?}: {report:#?}");
        recovers(&world).await;
    }
}

#[tokio::test(start_paused = true)]
async fn entra_that_is_down_stalls_the_pass_in_time() {
    let (status, headers, body) = html(503);
    for fault in [Fault::Refuse, Fault::AnswerBefore(status, headers, body)] {
        let world = World::new();
        fill(&world, 300);
        let outage = Outage::begin(&world, at(|_| true, is_entra, fault));
        let report = stalls(&world, &["no token from Entra ID"]).await;
        assert!(
            !report.message.contains("check AZURE_TENANT_ID"),
            "no setting is to blame: {}",
            report.message
        );
        outage.mend();
        recovers(&world).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_identity_or_a_vault_that_never_answers_ends_the_pass_in_time() {
    for authority in ["login.microsoftonline.com", VAULT, PLATFORM] {
        let (world, _vault) = with_vault();
        fill(&world, 300);
        let hangs = move |exchange: &Exchange| exchange.authority == authority;
        let outage = Outage::begin(&world, at(|_| true, hangs, Fault::Hang));
        let began = tokio::time::Instant::now();
        let ended =
            tokio::time::timeout(2 * LIMIT, world.run(Work::Timer, LIMIT)).await.expect("a pass ends");
        assert!(began.elapsed() < LIMIT, "{authority}: {:?}", began.elapsed());
        assert!(matches!(ended.reports[0].end, End::Paused | End::Stalled), "{authority}: {ended:#?}");
        outage.mend();
        recovers(&world).await;
    }
}

/// A world whose secrets are in a key vault, which the platform's identity reads.
fn with_vault() -> (World, KeyVault) {
    let mut world = World::new();
    let vault = with_key_vault(&mut world);
    (world, vault)
}

#[tokio::test(start_paused = true)]
async fn a_vault_that_rejects_us_says_which_role_is_missing() {
    let (world, vault) = with_vault();
    fill(&world, 300);
    vault.forbid(true);
    stalls(&world, &["Key Vault Secrets User", "mati-key", "MATI_KEY", VAULT]).await;
    vault.forbid(false);
    recovers(&world).await;
}

#[tokio::test(start_paused = true)]
async fn a_secret_the_vault_lacks_is_named() {
    let (mut world, vault) = with_vault();
    fill(&world, 300);
    world.set("KEY_VAULT_KEY_NAME", "mandiant-api-secret");
    stalls(&world, &["mandiant-api-secret", "MATI_SECRET", VAULT]).await;
    vault.set("mandiant-api-secret", "sandbox-secret");
    recovers(&world).await;
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_is_disabled_is_named() {
    let (world, vault) = with_vault();
    fill(&world, 300);
    vault.enable("azure-client-secret", false);
    stalls(&world, &["azure-client-secret", "AZURE_CLIENT_SECRET", "disabled"]).await;
    vault.enable("azure-client-secret", true);
    recovers(&world).await;
}

#[tokio::test(start_paused = true)]
async fn a_vault_that_stumbles_is_asked_again() {
    for fault in [Fault::ResetBefore, Fault::ResetAfter, Fault::status(503)] {
        let (world, _vault) = with_vault();
        fill(&world, 300);
        let is_vault = |exchange: &Exchange| exchange.authority == VAULT;
        Outage::begin(&world, at(|number| number == 1, is_vault, fault.clone()));
        let report = world.tick().await;
        assert_eq!((report.end, report.totals().created), (End::CaughtUp, 300), "{fault:?}: {report:#?}");
        recovers(&world).await;
    }
}
