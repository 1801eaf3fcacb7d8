//! The composition root: settings in, engine out. The only place that names every concrete type.

mod outside;

use std::{
    hash::{Hash, Hasher},
    sync::Arc,
    time::Duration,
};

use secrecy::SecretString;
use xxhash_rust::xxh3::Xxh3;

use crate::{
    azure::{
        api::Api,
        identity::{Identity, Principal},
        secrets::{SecretSource, SecretSources, SecretStore},
        upload_identity::UploadIdentity,
    },
    clock::SharedClock,
    destination::{
        Destination,
        defender::{self, client::Defender},
        sentinel::{
            self,
            client::Sentinel,
            convert::Style,
            inventory::{self, Inventory},
            wire::{ACTIVITY_GROUP, INDICATORS, STIX_OBJECTS},
        },
    },
    domain::{
        exclusions::Exclusions,
        expiry::Renewal,
        indicator::Provider,
        observable::{HashType, HashTypes},
        policy::Policy,
        progress::DestinationId,
        report::Report,
    },
    http::{limiter::Limiter, transport::Transport},
    pass::{Engine, Lane, gauge::Gauge},
    settings::{
        Action, Auth, DefenderSettings, Faults, SentinelSettings, Settings, SourceKind, TlpLevel, UploadApi,
        vars::Vars,
    },
    source::{
        Source, gti,
        mandiant::{
            access::{Access, Scheme},
            client::{Client, Query},
        },
    },
};

/// The version of the form in which indicators are sent. A new one sends everything again.
const FORM: u32 = 1;

/// Names of the secrets in Key Vault; that of the API secret is a setting.
const MATI_KEY: &str = "mati-key";
const GTI_KEY: &str = "gti-api-key";
const CLIENT_SECRET: &str = "azure-client-secret";
const WEBHOOK: &str = "webhook-url";

/// The program, ready to run passes.
pub struct App {
    pub engine: Engine,
    /// From the app settings, where they override host.json.
    pub function_timeout: Option<Duration>,
    /// When the host's timer fires, as far as we are told.
    pub schedule: Option<String>,
    /// The user's price for a gigabyte of rows.
    pub price_per_gb: Option<f64>,
    /// Warnings about the settings, which are logged too.
    pub notices: Vec<String>,
}

impl App {
    /// Builds everything from settings. No network, no disk: whatever those have to say is said by a pass.
    /// `announce` is called with every pass that ended.
    ///
    /// # Errors
    /// Settings that cannot be used.
    pub fn build(
        vars: &dyn Vars,
        transport: &Transport,
        clock: &SharedClock,
        announce: fn(&Report, Option<&str>),
    ) -> Result<Self, Faults> {
        let settings = Arc::new(Settings::parse(vars)?);
        for notice in &settings.notices {
            tracing::warn!("{notice}");
        }
        let identity = |principal| {
            Identity::new(principal, transport.clone(), Arc::clone(clock))
                .reached_at(settings.azure.endpoint.clone())
        };
        let platform = Arc::new(identity(settings.azure.platform()));
        let secrets = Arc::new(secret_store(&settings, settings.source_kind, transport, &platform));
        let app_registration = match settings.azure.uploader(settings.azure.has_app_registration()) {
            principal @ Principal::App { .. } => Some(identity(principal)),
            Principal::ManagedIdentity { .. } | Principal::AzureCli => None,
        };
        let uploader =
            Arc::new(UploadIdentity::new(app_registration, Arc::clone(&platform), Arc::clone(&secrets)));
        let source = source(&settings, settings.source_kind, transport, clock, secrets);
        let other = other_source(&settings, transport, clock, &platform);
        let provider = source.provider();
        let sentinel = settings.sentinel.iter();
        let sentinel = sentinel
            .map(|sentinel| sentinel_lane(&settings, sentinel, provider, transport, clock, &uploader));
        let defender = settings.defender.iter();
        let defender = defender
            .map(|defender| defender_lane(&settings, defender, provider, transport, clock, &uploader));
        let engine = Engine {
            clock: Arc::clone(clock),
            source,
            other,
            lanes: sentinel.chain(defender).collect(),
            exclude: settings.exclude.clone(),
            watchdog: outside::watchdog(&settings, transport, clock, &platform),
            signals: outside::signals(&settings, transport, &platform),
            open_store: outside::open_store(&settings, transport, clock, platform),
            gauge: Arc::new(Gauge::default()),
            announce,
        };
        Ok(Self {
            engine,
            function_timeout: settings.function_timeout,
            schedule: settings.schedule.clone(),
            price_per_gb: settings.price_per_gb,
            notices: settings.notices.clone(),
        })
    }
}

/// Where the secrets are, by the settings, with those of a source of this `kind`; `platform` is the identity that reads
/// Key Vault.
pub fn secret_store(
    settings: &Settings,
    kind: SourceKind,
    transport: &Transport,
    platform: &Arc<Identity>,
) -> SecretStore {
    let Settings { source, gti, azure, key_vault, .. } = settings;
    let is_gti = kind == SourceKind::Gti;
    let from = |setting, given: &Option<SecretString>, name: &str| SecretSource {
        setting,
        given: given.clone(),
        name: name.to_owned(),
    };
    let mati_secret_name = key_vault.as_ref().map_or("", |vault| &vault.mati_secret_name);
    let sources = SecretSources {
        mati_key: (!is_gti).then(|| from("MATI_KEY", &source.key, MATI_KEY)),
        gti_key: is_gti.then(|| from("GTI_API_KEY", &gti.key, GTI_KEY)),
        mati_secret: (!is_gti && source.auth != Auth::ApiKey)
            .then(|| from("MATI_SECRET", &source.secret, mati_secret_name)),
        client_secret: azure
            .has_app_registration()
            .then(|| from("AZURE_CLIENT_SECRET", &azure.client_secret, CLIENT_SECRET)),
    };
    SecretStore::new(sources, outside::key_vault(settings, transport, platform))
}

/// The source that the one of the settings can be compared with.
fn other_source(
    settings: &Settings,
    transport: &Transport,
    clock: &SharedClock,
    platform: &Arc<Identity>,
) -> Result<Source, String> {
    let kind = settings.source_kind.other();
    if let Some(missing) = settings.missing_access(kind) {
        return Err(format!(
            "{missing} is not set, and a comparison reads both sources: set it, or KEY_VAULT_URL to read it from Key Vault"
        ));
    }
    let secrets = Arc::new(secret_store(settings, kind, transport, platform));
    Ok(source(settings, kind, transport, clock, secrets))
}

fn source(
    settings: &Settings,
    kind: SourceKind,
    transport: &Transport,
    clock: &SharedClock,
    secrets: Arc<SecretStore>,
) -> Source {
    if kind == SourceKind::Gti {
        let base_url = settings.gti.base_url.as_str().trim_end_matches('/').to_owned();
        let (lists, query) = (settings.gti.lists.clone(), settings.gti.query.clone());
        let client =
            gti::client::Client::new(base_url, transport.clone(), Arc::clone(clock), secrets, lists, query);
        return Source::Gti(Arc::new(client));
    }
    let scheme = match settings.source.auth {
        Auth::Bearer => Scheme::Bearer,
        Auth::Basic => Scheme::Basic,
        Auth::ApiKey => Scheme::ApiKey,
    };
    let base_url = settings.source.base_url.as_str().trim_end_matches('/').to_owned();
    let access = Access::new(scheme, base_url, transport.clone(), Arc::clone(clock));
    let query = Query {
        minimum_confidence: settings.filter.lowest_confidence(),
        exclude_osint: settings.filter.exclude_osint,
    };
    Source::Mandiant(Arc::new(Client::new(access, secrets, query)))
}

fn sentinel_lane(
    settings: &Settings,
    sentinel: &SentinelSettings,
    provider: Provider,
    transport: &Transport,
    clock: &SharedClock,
    uploader: &Arc<UploadIdentity>,
) -> Lane {
    let style = Style {
        action: match settings.action {
            Action::Alert => "alert",
            Action::Block => "block",
            Action::Allow => "allow",
        },
        marking: settings.tlp.map(marking),
        provider,
    };
    let form = hash(&(FORM, style.action, style.marking));
    let path = sentinel.upload_path.replace("{workspaceId}", &sentinel.workspace_id);
    let (array, version) = match sentinel.api {
        UploadApi::StixObjects => (STIX_OBJECTS, "?api-version=2024-02-01-preview"),
        UploadApi::UploadIndicators => (INDICATORS, "?api-version=2022-07-01"),
    };
    let version = if path.contains("api-version=") { "" } else { version };
    let api = |limiter, longest_answer| Api {
        name: "Sentinel",
        scope: sentinel.scope.to_owned(),
        longest_answer,
        uploader: Arc::clone(uploader),
        limiter: Arc::new(Limiter::new(limiter)),
        transport: transport.clone(),
        clock: Arc::clone(clock),
    };
    let inventory = sentinel.resource.as_ref().map(|resource| Inventory {
        api: Api {
            name: "Azure Resource Manager",
            ..api(inventory::REQUESTS_PER_MINUTE, inventory::ANSWER_BYTES)
        },
        url: inventory::url(
            &resource.base_url,
            &resource.subscription_id,
            &resource.resource_group,
            &resource.workspace,
        ),
        source_system: settings.source_system.clone(),
    });
    let uploads = Sentinel {
        api: api(sentinel.requests_per_minute, sentinel::client::ANSWER_BYTES),
        upload_url: format!("{}{path}{version}", sentinel.base_url),
        array,
        source_system: settings.source_system.clone(),
        style,
        inventory,
    };
    let target = DestinationId { place: sentinel.workspace_id.clone(), name: settings.source_system.clone() };
    let destination = Destination::Sentinel(uploads);
    let mut lane = lane("sentinel", settings, settings.hash_types, form, target, destination);
    // What names an actor is sent anew once, with the label; the rest is not.
    lane.policy.attributed_form = hash(&(form, ACTIVITY_GROUP));
    lane.verifies_arrival = settings.verify_arrival.unwrap_or(true) && sentinel.resource.is_some();
    lane
}

fn defender_lane(
    settings: &Settings,
    defender: &DefenderSettings,
    provider: Provider,
    transport: &Transport,
    clock: &SharedClock,
    uploader: &Arc<UploadIdentity>,
) -> Lane {
    let action = match settings.action {
        Action::Block if !defender.passive_only => defender::convert::Action::Block,
        Action::Alert | Action::Block | Action::Allow => defender::convert::Action::Audit,
    };
    let style = defender::convert::Style { action, provider };
    let form = hash(&(FORM, style.action));
    let tenant = settings.azure.tenant_id().unwrap_or("the tenant of the managed identity");
    let target = DestinationId { place: tenant.to_owned(), name: defender.base_url.clone() };
    let destination = Destination::Defender(Defender {
        api: Api {
            name: "Defender for Endpoint",
            scope: defender.scope.clone(),
            longest_answer: defender::client::ANSWER_BYTES,
            uploader: Arc::clone(uploader),
            limiter: Arc::new(Limiter::new(defender::client::REQUESTS_PER_MINUTE)),
            transport: transport.clone(),
            clock: Arc::clone(clock),
        },
        base_url: defender.base_url.clone(),
        style,
        limit: defender.indicator_limit,
    });
    // An endpoint matches on the strongest digest it is given.
    let lane = lane("defender", settings, HashTypes::only(HashType::Sha256), form, target, destination);
    // Another limit makes another choice.
    let settings_hash = format!("{}-{}", lane.settings_hash, defender.indicator_limit);
    let exclusions = Exclusions { vital: settings.exclude_vital, acts: true, ..Exclusions::default() };
    Lane { settings_hash, policy: Policy { exclusions, ..lane.policy }, ..lane }
}

/// What lanes have in common. `salt` stands for the form in which this one sends.
fn lane(
    name: &'static str,
    settings: &Settings,
    hash_types: HashTypes,
    form: u64,
    target: DestinationId,
    destination: Destination,
) -> Lane {
    let policy = Policy {
        filter: settings.filter.clone(),
        exclusions: Exclusions::default(),
        expirations: settings.expirations,
        renewal: Renewal::new(&settings.expirations, settings.renewal_slack, settings.longest_pause),
        hash_types,
        deduplicate: settings.deduplicate,
        retract: settings.expire_retracted,
        form,
        attributed_form: form,
    };
    let decisive = (form, &settings.filter, hash_types, settings.expirations, settings.expire_retracted);
    Lane {
        name,
        settings_hash: format!("{:016x}", hash(&decisive)),
        policy,
        target,
        initial_lookback: settings.initial_lookback,
        audit_every: settings.audit_every,
        destination,
        verifies_arrival: settings.verify_arrival == Some(true),
    }
}

/// The predefined markings of STIX 2.1 §7.2.1.4; CLEAR is the former WHITE.
fn marking(level: TlpLevel) -> &'static str {
    match level {
        TlpLevel::Clear => "marking-definition--613f2e26-407d-48c7-9eca-b8e91df99dc9",
        TlpLevel::Green => "marking-definition--34098fce-860f-48ae-8e50-ebd3cc5e41da",
        TlpLevel::Amber => "marking-definition--f88d31f6-486f-44da-b317-01333bde0b82",
        TlpLevel::Red => "marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed",
    }
}

/// A hash that is the same in every process and version.
fn hash(value: &impl Hash) -> u64 {
    let mut hasher = Xxh3::new();
    value.hash(&mut hasher);
    hasher.finish()
}
