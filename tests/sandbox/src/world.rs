//! All services at once on loopback sockets, and the app settings that lead mati-sync to them.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tempfile::TempDir;

use crate::{
    clock::Now,
    defender::Defender,
    entra::Entra,
    gti::Gti,
    host::Settings,
    key_vault::KeyVault,
    mandiant::Mandiant,
    net,
    resource_manager::{Place, ResourceManager},
    sentinel::Sentinel,
    tls::Tls,
};

pub const WORKSPACE_ID: &str = "5a9d1c3e-0000-4000-8000-000000000001";
pub const TENANT_ID: &str = "5a9d1c3e-0000-4000-8000-000000000002";
pub const CLIENT_ID: &str = "5a9d1c3e-0000-4000-8000-000000000003";
pub const SUBSCRIPTION_ID: &str = "5a9d1c3e-0000-4000-8000-000000000004";
const RESOURCE_GROUP: &str = "world-resources";
const WORKSPACE_NAME: &str = "world-workspace";

const MATI_KEY: &str = "world-mandiant-key";
const MATI_SECRET: &str = "world-mandiant-secret";
const GTI_KEY: &str = "world-gti-key";
const CLIENT_SECRET: &str = "world-client-secret";
const IDENTITY_HEADER: &str = "world-identity-header";

/// Whatever must never show in a log.
pub const SECRETS: [&str; 5] = [MATI_KEY, MATI_SECRET, GTI_KEY, CLIENT_SECRET, IDENTITY_HEADER];

/// The services, and where they are served until the runtime ends.
///
/// Entra's authority and Key Vault speak https, because Microsoft's clients talk to them in no other way.
pub struct World {
    pub mandiant: Mandiant,
    /// The source only with [`World::gti_settings`].
    pub gti: Gti,
    pub entra: Entra,
    /// Takes only Entra's tokens.
    pub sentinel: Sentinel,
    /// Lists what `sentinel` holds. Takes only Entra's tokens.
    pub resource_manager: ResourceManager,
    /// Takes only Entra's tokens. A destination only when `TARGET_APPLICATION` names it.
    pub defender: Defender,
    /// Takes only Entra's tokens, and holds all of mati-sync's secrets.
    pub key_vault: KeyVault,
    mandiant_address: SocketAddr,
    gti_address: SocketAddr,
    identity_address: SocketAddr,
    authority_address: SocketAddr,
    sentinel_address: SocketAddr,
    resource_manager_address: SocketAddr,
    defender_address: SocketAddr,
    vault_address: SocketAddr,
    /// To Mandiant and to Sentinel, so far.
    connections: [Arc<AtomicUsize>; 2],
    tls: Tls,
    /// Whether everything speaks https, but for the identity endpoint, which is on the program's own machine.
    everywhere: bool,
    certificates: TempDir,
}

impl World {
    /// Serves everything on ports that are free; the services live in the time of `now`.
    pub async fn start(now: Now) -> std::io::Result<Self> {
        Self::start_at(now, None).await
    }

    /// The same, where every service speaks https as it does once deployed.
    pub async fn start_over_tls(now: Now) -> std::io::Result<Self> {
        Self::build(now, None, true).await
    }

    /// The same as [`World::start`], on the ports from `first` on, for a program that has its settings already.
    pub async fn start_at(now: Now, first: Option<u16>) -> std::io::Result<Self> {
        Self::build(now, first, false).await
    }

    async fn build(now: Now, first: Option<u16>, everywhere: bool) -> std::io::Result<Self> {
        let port = |number: u16| first.map_or(0, |first| first + number);
        let uncounted = Arc::default();
        let certificates = tempfile::tempdir()?;
        let tls = Tls::new(&["localhost", "127.0.0.1"]);
        tls.write(certificates.path())?;
        let wanted = everywhere.then_some(&tls);

        let mandiant = Mandiant::new(now.clone());
        mandiant.set(|knobs| (knobs.key, knobs.secret) = (MATI_KEY.into(), MATI_SECRET.into()));
        let gti = Gti::new(now.clone());
        gti.set(|knobs| knobs.key = GTI_KEY.into());
        let entra = Entra::new(now.clone());
        entra.app(TENANT_ID, CLIENT_ID, CLIENT_SECRET);
        entra.knobs(|knobs| knobs.identity_header = IDENTITY_HEADER.into());
        let sentinel = Sentinel::new(now.clone(), WORKSPACE_ID);
        sentinel.trust(&entra);
        let place = Place {
            subscription: SUBSCRIPTION_ID.into(),
            resource_group: RESOURCE_GROUP.into(),
            workspace: WORKSPACE_NAME.into(),
        };
        let resource_manager = ResourceManager::new(now.clone(), place, sentinel.clone());
        resource_manager.trust(&entra);
        let defender = Defender::new(now.clone());
        defender.trust(&entra);
        let key_vault = KeyVault::new(now, TENANT_ID);
        key_vault.trust(&entra);
        key_vault.set("mati-key", MATI_KEY);
        key_vault.set("mati-secret", MATI_SECRET);
        key_vault.set("azure-client-secret", CLIENT_SECRET);
        key_vault.set("gti-api-key", GTI_KEY);

        let connections = <[Arc<AtomicUsize>; 2]>::default();
        let [to_mandiant, to_sentinel] = &connections;
        Ok(Self {
            mandiant_address: net::serve_at(port(0), mandiant.router(), wanted, to_mandiant).await?,
            identity_address: net::serve_at(port(1), entra.managed_identity_router(), None, &uncounted)
                .await?,
            authority_address: net::serve_at(port(2), entra.router(), Some(&tls), &uncounted).await?,
            sentinel_address: net::serve_at(port(3), sentinel.router(), wanted, to_sentinel).await?,
            resource_manager_address: net::serve_at(port(4), resource_manager.router(), wanted, &uncounted)
                .await?,
            defender_address: net::serve_at(port(5), defender.router(), wanted, &uncounted).await?,
            vault_address: net::serve_at(port(6), key_vault.router(), Some(&tls), &uncounted).await?,
            gti_address: net::serve_at(port(7), gti.router(), None, &uncounted).await?,
            mandiant,
            gti,
            entra,
            sentinel,
            resource_manager,
            defender,
            key_vault,
            connections,
            tls,
            everywhere,
            certificates,
        })
    }

    /// Connections made so far to Mandiant and to Sentinel.
    pub fn connections(&self) -> [usize; 2] {
        self.connections.each_ref().map(|connections| connections.load(Ordering::Relaxed))
    }

    /// The certificates that the services show.
    pub fn tls(&self) -> &Tls {
        &self.tls
    }

    /// Settings that lead to the services; uploads are made by the managed identity. Where the state goes is
    /// left open.
    pub fn settings(&self) -> Settings {
        let scheme = if self.everywhere { "https" } else { "http" };
        let mut settings = settings([
            ("MATI_KEY", MATI_KEY.into()),
            ("MATI_SECRET", MATI_SECRET.into()),
            ("MATI_BASE_URL", format!("{scheme}://{}", self.mandiant_address)),
            ("AZURE_WORKSPACE_ID", WORKSPACE_ID.into()),
            ("SENTINEL_BASE_URL", format!("{scheme}://{}", self.sentinel_address)),
            ("DEFENDER_BASE_URL", format!("{scheme}://{}", self.defender_address)),
            ("IDENTITY_ENDPOINT", format!("http://{}/msi/token", self.identity_address)),
            ("IDENTITY_HEADER", IDENTITY_HEADER.into()),
        ]);
        if self.everywhere {
            settings.insert("SSL_CERT_FILE".into(), self.authority_certificate());
        }
        settings
    }

    /// Laid over [`World::settings`], these make Google Threat Intelligence the source.
    pub fn gti_settings(&self) -> Settings {
        settings([
            ("SOURCE", "gti".into()),
            ("GTI_API_KEY", GTI_KEY.into()),
            ("GTI_BASE_URL", format!("http://{}/api/v3", self.gti_address)),
        ])
    }

    /// Laid over [`World::settings`], these make the app registration upload.
    pub fn app_registration(&self) -> Settings {
        settings([
            ("AZURE_TENANT_ID", TENANT_ID.into()),
            ("AZURE_CLIENT_ID", CLIENT_ID.into()),
            ("AZURE_CLIENT_SECRET", CLIENT_SECRET.into()),
            ("AZURE_AUTHORITY_HOST", format!("https://localhost:{}", self.authority_address.port())),
            ("SSL_CERT_FILE", self.authority_certificate()),
        ])
    }

    /// Laid over [`World::settings`], these let the workspace be asked what it holds.
    pub fn adoption(&self) -> Settings {
        let scheme = if self.everywhere { "https" } else { "http" };
        settings([
            ("AZURE_SUBSCRIPTION_ID", SUBSCRIPTION_ID.into()),
            ("AZURE_RESOURCE_GROUP_NAME", RESOURCE_GROUP.into()),
            ("AZURE_WORKSPACE_NAME", WORKSPACE_NAME.into()),
            ("AZURE_RESOURCE_MANAGER_URL", format!("{scheme}://{}", self.resource_manager_address)),
        ])
    }

    /// Laid over the others, these leave every secret to Key Vault.
    pub fn secrets_in_key_vault(&self) -> Settings {
        settings([
            ("MATI_KEY", String::new()),
            ("MATI_SECRET", String::new()),
            ("AZURE_CLIENT_SECRET", String::new()),
            ("KEY_VAULT_URL", format!("https://localhost:{}", self.vault_address.port())),
            ("SSL_CERT_FILE", self.authority_certificate()),
        ])
    }

    fn authority_certificate(&self) -> String {
        self.certificates.path().join("ca.pem").display().to_string()
    }
}

fn settings<const COUNT: usize>(pairs: [(&str, String); COUNT]) -> Settings {
    pairs.map(|(name, value)| (name.to_owned(), value)).into()
}
