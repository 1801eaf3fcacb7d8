//! The hosts that firewalls have to let the app out to.

use mati_sync::{azure::identity::Principal, settings::StateSettings};

use super::{faults, parse};

fn host(url: &str) -> String {
    url.split("://").nth(1).unwrap().split('/').next().unwrap().to_owned()
}

#[test]
fn operations_md_lists_every_host_by_cloud() {
    let document = include_str!("../../../docs/operations.md");
    let (_, section) = document.split_once("\n## Hosts to open\n").expect("the section");
    let section = section.split("\n## ").next().unwrap();
    for (column, cloud) in [(2, "public"), (3, "usgov"), (4, "china")] {
        let targets = if cloud == "china" { "sentinel" } else { "sentinel,defender" };
        let settings = parse(&[
            ("AZURE_CLOUD", cloud),
            ("TARGET_APPLICATION", targets),
            ("STATE_DIR", ""),
            ("STORAGE_ACCOUNT_NAME", "account"),
            ("KEY_VAULT_NAME", "vault"),
            ("AZURE_TENANT_ID", "11111111-2222-4333-8444-555555555555"),
            ("AZURE_CLIENT_ID", "66666666-7777-4888-8999-aaaaaaaaaaaa"),
            ("AZURE_WORKSPACE_NAME", "workspace"),
            ("AZURE_SUBSCRIPTION_ID", "bd794837-4d29-4647-9105-6339bfdb4e6a"),
            ("AZURE_RESOURCE_GROUP_NAME", "group"),
        ])
        .unwrap();
        let Principal::App { authority_host, .. } = settings.azure.uploader(true) else { panic!("no app") };
        let StateSettings::Identity { endpoint, .. } = &settings.state else { panic!("no storage") };
        let sentinel = settings.sentinel.as_ref().unwrap();
        let mut hosts = vec![
            host(&authority_host),
            host(&sentinel.base_url),
            host(&sentinel.resource.as_ref().unwrap().base_url),
            host(settings.key_vault.as_ref().unwrap().url.as_str()).replace("vault.v", "<vault>.v"),
            host(endpoint.as_str()).replace("account", "<account>"),
        ];
        hosts.extend(settings.defender.iter().map(|defender| host(&defender.base_url)));
        if cloud == "public" {
            hosts.push(host(settings.source.base_url.as_str()));
            let legacy = parse(&[("SENTINEL_API", "upload-indicators")]).unwrap();
            hosts.push(host(&legacy.sentinel.unwrap().base_url));
        }
        let cells: Vec<&str> =
            section.lines().filter_map(|line| line.split('|').nth(column)).map(str::trim).collect();
        for host in hosts {
            assert!(cells.contains(&format!("`{host}`").as_str()), "{cloud}: {host} is not in {cells:?}");
        }
    }
    let told = faults(&[("SENTINEL_API", "upload-indicators"), ("AZURE_CLOUD", "china")]);
    assert!(told[0].starts_with("SENTINEL_BASE_URL is missing"), "there is none to list: {told:?}");
}
