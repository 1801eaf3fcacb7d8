//! Uploads by an app registration, and secrets from Key Vault.

use chrono::TimeDelta;
use sandbox::{corpus::Record, entra::Kind, world::CLIENT_ID};

use super::{Bench, assert_disciplined, corpus::records, now, tick, uploaded};

/// A record that the next pass will find new.
fn newcomer(value: &str) -> Record {
    Record::fqdn(value).updated(now() - TimeDelta::minutes(3))
}

#[tokio::test]
async fn rotated_secrets_heal_without_a_restart() {
    const NEW_SECRET: &str = "world-mandiant-secret-2";
    const NEW_CLIENT_SECRET: &str = "world-client-secret-2";
    let mut bench = Bench::new().await;
    bench.settings.extend(bench.world.app_registration());
    bench.settings.extend(bench.world.secrets_in_key_vault());
    let world = &bench.world;
    world.mandiant.put_all(records(7, 200, 0.0));
    let host = bench.host().await;

    assert!(uploaded(&tick(&host).await) > 0);
    let issued = |kind| world.entra.issued().into_iter().filter(move |token| token.kind == kind);
    assert!(
        issued(Kind::App)
            .all(|token| token.client_id == CLIENT_ID && token.scope_or_resource.contains("management"))
    );
    assert!(issued(Kind::ManagedIdentity).all(|token| token.scope_or_resource.contains("vault")));
    assert_eq!(issued(Kind::App).count(), 1);

    world.mandiant.put(newcomer("first.example"));
    world.mandiant.set(|knobs| knobs.secret = NEW_SECRET.into());
    world.mandiant.revoke_tokens();
    world.key_vault.set("mati-secret", NEW_SECRET);
    assert_eq!(uploaded(&tick(&host).await), 1);

    world.mandiant.put(newcomer("second.example"));
    world.entra.rotate_secret(CLIENT_ID, NEW_CLIENT_SECRET);
    world.entra.revoke_all();
    world.key_vault.set("azure-client-secret", NEW_CLIENT_SECRET);
    assert_eq!(uploaded(&tick(&host).await), 1);
    assert_disciplined(&host.output());
}

#[tokio::test]
async fn an_app_registration_uploads_with_the_secrets_given() {
    let mut bench = Bench::new().await;
    bench.settings.extend(bench.world.app_registration());
    bench.world.mandiant.put(newcomer("only.example"));
    let host = bench.host().await;
    assert_eq!(uploaded(&tick(&host).await), 1);
    let kinds: Vec<_> = bench.world.entra.issued().into_iter().map(|token| token.kind).collect();
    assert_eq!(kinds, [Kind::App]);
    assert_disciplined(&host.output());
}
