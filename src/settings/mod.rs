//! All settings, parsed once into types that cannot be wrong.

mod azure;
mod defender;
mod gti;
mod host;
mod names;
pub mod older;
mod reader;
mod sentinel;
mod signals;
mod source;
pub mod table;
pub mod vars;

use std::{path::PathBuf, time::Duration};

use chrono::TimeDelta;
use tracing::level_filters::LevelFilter;

pub use self::{
    azure::{AzureSettings, KeyVaultSettings, StateSettings},
    defender::DefenderSettings,
    gti::GtiSettings,
    host::{HostSettings, QueueSettings},
    reader::{Fault, Faults},
    sentinel::{ResourceSettings, SentinelSettings, UploadApi},
    signals::{MetricsSettings, SignalSettings, is_webhook},
    source::{Auth, SourceKind, SourceSettings},
};
use self::{reader::Reader, vars::Vars};
use crate::domain::{
    expiry::Expirations,
    filter::{Filter, PerType},
    observable::HashTypes,
    rows::counted,
    schedule::Schedule,
};

/// What a destination is asked to do with a match. Sentinel's objects have no action: it becomes a label. `Allow`
/// is for Sentinel alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    Alert,
    Block,
    Allow,
}

/// The Traffic Light Protocol's marking on every object (STIX 2.1 §7.2.1.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TlpLevel {
    Clear,
    Green,
    Amber,
    Red,
}

/// Everything a user chose.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which of the two that follow the indicators come from.
    pub source_kind: SourceKind,
    pub source: SourceSettings,
    pub gti: GtiSettings,
    pub filter: Filter,
    /// The values of `EXCLUDE`.
    pub exclude: String,
    /// Defender never gets what is on the built-in list.
    pub exclude_vital: bool,
    /// The digests that stand for a file at Sentinel.
    pub hash_types: HashTypes,
    /// What is no longer wanted is retracted.
    pub expire_retracted: bool,
    pub expirations: Expirations,
    /// So long may lie between two good passes before anything lapses.
    pub renewal_slack: TimeDelta,
    /// How far a lane without state reads back.
    pub initial_lookback: TimeDelta,
    /// Between two ticks of the schedule.
    pub longest_pause: TimeDelta,
    /// How long after an audit the next one runs by itself; `None`: never.
    pub audit_every: Option<TimeDelta>,
    /// The user's price for a gigabyte of rows, in the user's currency.
    pub price_per_gb: Option<f64>,
    pub action: Action,
    pub deduplicate: bool,
    /// `None`: no marking.
    pub tlp: Option<TlpLevel>,
    pub source_system: String,
    /// Whether it is looked for what was acknowledged; `None`: where the workspace can be asked.
    pub verify_arrival: Option<bool>,
    /// The destinations: at least one.
    pub sentinel: Option<SentinelSettings>,
    pub defender: Option<DefenderSettings>,
    pub azure: AzureSettings,
    pub key_vault: Option<KeyVaultSettings>,
    pub state: StateSettings,
    /// The Functions host that started us, if one did, and its queue.
    pub host: HostSettings,
    /// What is told to others after a pass.
    pub signals: SignalSettings,
    /// When the timer fires. The host reads it; here it is only told to people.
    pub schedule: Option<String>,
    /// The host's limit for one invocation, where a setting overrides host.json.
    pub function_timeout: Option<Duration>,
    /// Worth a line in the log: older spellings in use and the like.
    pub notices: Vec<String>,
}

impl Settings {
    /// # Errors
    /// Every fault there is, at once.
    pub fn parse(vars: &dyn Vars) -> Result<Self, Faults> {
        let reader = Reader::new(vars);
        let azure = AzureSettings::read(&reader);
        let key_vault = KeyVaultSettings::read(&reader, azure.cloud);
        let source_kind = source::kind(&reader);
        let source =
            SourceSettings::read(&reader, source_kind == Some(SourceKind::Mandiant), key_vault.is_some());
        let gti = GtiSettings::read(&reader, source_kind == Some(SourceKind::Gti), key_vault.is_some());
        let source_kind = source_kind.unwrap_or(SourceKind::Mandiant);
        let hash_types = source::hash_types(&reader, source_kind);
        let targets = targets(&reader);
        let action = action(&reader);
        names::check(&reader, vars);
        reader.parsed("LOG_LEVEL", "trace, debug, info, warn, error, off", log_level);
        older_schedules(&reader);
        for name in ["SSL_CERT_FILE", "SSL_CERT_DIR"] {
            reader.parsed(name, WRITTEN_OUT, path);
        }
        let expirations = expirations(&reader);
        let state = StateSettings::read(&reader, azure.cloud);
        let settings = Self {
            source_kind,
            source,
            gti,
            filter: source::filter(&reader),
            exclude: source::exclude(&reader),
            exclude_vital: reader.flag("EXCLUDE_VITAL", true),
            hash_types,
            expire_retracted: reader.flag("EXPIRE_RETRACTED", true),
            expirations,
            renewal_slack: renewal_slack(&reader, &expirations),
            initial_lookback: source::initial_lookback(&reader),
            longest_pause: longest_pause(reader.text("SYNC_CRON").as_deref()),
            audit_every: Some(reader.number("AUDIT_DAYS", &(0..=365)).unwrap_or(30))
                .filter(|days| *days > 0)
                .map(TimeDelta::days),
            price_per_gb: reader.parsed("PRICE_PER_GB", "a price such as 4.30", price),
            action,
            deduplicate: reader.flag("ENABLE_DEDUPLICATION", true),
            tlp: tlp(&reader),
            source_system: source_system(&reader),
            verify_arrival: reader.parsed("VERIFY_ARRIVAL", "true, false, 1, 0", reader::flag),
            sentinel: SentinelSettings::read(&reader, azure.cloud, targets.sentinel),
            defender: DefenderSettings::read(&reader, azure.cloud, action, targets.defender),
            host: HostSettings::read(&reader, azure.cloud, &state),
            signals: SignalSettings::read(&reader),
            state,
            azure,
            key_vault,
            schedule: reader.text("SYNC_CRON"),
            function_timeout: reader.parsed(
                "AzureFunctionsJobHost__functionTimeout",
                "hours:minutes:seconds such as 00:10:00, or -1",
                function_timeout,
            ),
            notices: Vec::new(),
        };
        settings.check_arrival(&reader);
        reader.finish().map(|notices| Self { notices, ..settings })
    }

    /// Tells that a workspace cannot be asked that is to be asked.
    fn check_arrival(&self, reader: &Reader<'_>) {
        let cannot_ask = self.sentinel.as_ref().is_some_and(|sentinel| sentinel.resource.is_none());
        if self.verify_arrival == Some(true) && cannot_ask {
            reader.notice(
                "VERIFY_ARRIVAL has no effect at Sentinel without AZURE_SUBSCRIPTION_ID, AZURE_RESOURCE_GROUP_NAME and AZURE_WORKSPACE_NAME, by which the workspace can be asked",
            );
        }
    }

    /// The setting without which the source of this `kind` cannot be read, if it is missing.
    pub fn missing_access(&self, kind: SourceKind) -> Option<&'static str> {
        let Self { source, gti, key_vault, .. } = self;
        let needed = match kind {
            SourceKind::Mandiant if source.auth == Auth::ApiKey => vec![("MATI_KEY", &source.key)],
            SourceKind::Mandiant => vec![("MATI_KEY", &source.key), ("MATI_SECRET", &source.secret)],
            SourceKind::Gti => vec![("GTI_API_KEY", &gti.key)],
        };
        let mut missing = needed.into_iter().filter(|(_, given)| given.is_none() && key_vault.is_none());
        missing.next().map(|(name, _)| name)
    }
}

/// The level of a word of LOG_LEVEL: those of `tracing`, and Azure's for the same (learn.microsoft.com, "How to
/// configure monitoring for Azure Functions"; .NET's `LogLevel`).
pub fn log_level(word: &str) -> Option<LevelFilter> {
    Some(match word.trim().to_ascii_lowercase().as_str() {
        "trace" | "verbose" => LevelFilter::TRACE,
        "debug" => LevelFilter::DEBUG,
        "info" | "information" => LevelFilter::INFO,
        "warn" | "warning" => LevelFilter::WARN,
        "error" | "critical" => LevelFilter::ERROR,
        "off" | "none" => LevelFilter::OFF,
        _ => return None,
    })
}

/// The older products' schedules, in hours. The host reads SYNC_CRON alone, so all that can be done is to say what to
/// set.
fn older_schedules(reader: &Reader<'_>) {
    for name in ["SYNC_SCHEDULE", "EXECUTION_INTERVAL"] {
        let Some(text) = reader.raw(name) else { continue };
        let hours = text.parse().ok().filter(|hours| (1..=24).contains(hours));
        let advice = match hours.map(every) {
            Some((cron, kept)) if Some(kept) == hours => format!("set SYNC_CRON to {cron:?}"),
            Some((cron, kept)) => {
                format!(
                    "set SYNC_CRON to {cron:?}, which is every {}: {text} do not divide a day",
                    counted(kept.into(), "hour")
                )
            }
            None => "set SYNC_CRON, such as \"0 23 * * * *\" for every hour".to_owned(),
        };
        reader.notice(format!(
            "{name} has no effect here: the schedule is SYNC_CRON, which the Functions host reads; {advice}"
        ));
    }
}

/// A schedule of so many hours, and how many they are: of a number that does not divide the day, the next smaller one
/// that does.
fn every(hours: u32) -> (String, u32) {
    let kept = (1..=hours).rev().find(|hours| 24 % hours == 0).unwrap_or(1);
    let cron = match kept {
        1 => "0 23 * * * *".to_owned(),
        24 => "0 23 0 * * *".to_owned(),
        hours => format!("0 23 */{hours} * * *"),
    };
    (cron, kept)
}

/// Which destinations there are.
struct Targets {
    sentinel: bool,
    defender: bool,
}

/// The destinations, under the names of today or the older product's.
fn targets(reader: &Reader<'_>) -> Targets {
    let applications = reader.text("TARGET_APPLICATION").unwrap_or_else(|| "sentinel".to_owned());
    let mut targets = Targets { sentinel: false, defender: false };
    for application in applications.split(',').map(str::trim) {
        match application.to_ascii_lowercase().as_str() {
            "sentinel" | "azure sentinel" => targets.sentinel = true,
            "defender" | "microsoft defender atp" => targets.defender = true,
            _ => reader.fault(
                "TARGET_APPLICATION",
                format!("names {application:?}; accepted: sentinel, defender, or both with a comma between"),
            ),
        }
    }
    targets
}

fn action(reader: &Reader<'_>) -> Action {
    let actions = [("alert", Action::Alert), ("block", Action::Block), ("allow", Action::Allow)];
    reader.choice("DEFAULT_ACTION", &actions).unwrap_or(Action::Alert)
}

/// The longest time between two ticks of `schedule`. Where it is not told, or in a form we do not read, a day: the host
/// alone decides when it ticks, and here it only says how early an indicator is renewed.
fn longest_pause(schedule: Option<&str>) -> TimeDelta {
    schedule
        .and_then(Schedule::parse)
        .and_then(|schedule| schedule.longest_pause())
        .unwrap_or(TimeDelta::days(1))
}

/// Days of validity: a type's own value, else the older product's single one, else the default.
fn expirations(reader: &Reader<'_>) -> Expirations {
    // A STIX timestamp has four digits for the year; ten years are for ever in threat intelligence.
    let days = 1..=3650;
    let all: Option<u32> = reader.number("INDICATOR_EXPIRATION", &days);
    if all.is_some() {
        reader.notice("INDICATOR_EXPIRATION sets all four expirations; the specific settings win over it");
    }
    let of = |name, default| reader.number(name, &days).or(all).unwrap_or(default);
    Expirations(PerType {
        ip: of("IP_INDICATOR_EXPIRATION", 7),
        fqdn: of("FQDN_INDICATOR_EXPIRATION", 7),
        url: of("URL_INDICATOR_EXPIRATION", 7),
        hash: of("HASH_INDICATOR_EXPIRATION", 90),
    })
}

fn price(text: &str) -> Option<f64> {
    text.parse().ok().filter(|price: &f64| price.is_finite() && *price >= 0.0)
}

/// Longer than half the shortest validity it cannot be, which is told if somebody asked for it.
fn renewal_slack(reader: &Reader<'_>, expirations: &Expirations) -> TimeDelta {
    let hours: Option<i64> = reader.number("RENEWAL_SLACK", &(1..=43_800));
    let most = expirations.shortest().num_hours() / 2;
    if let Some(hours) = hours.filter(|hours| *hours > most) {
        reader.notice(format!(
            "RENEWAL_SLACK is {} and counts as {most}, half the shortest validity; a longer validity gives more",
            counted(hours.unsigned_abs(), "hour")
        ));
    }
    TimeDelta::hours(hours.unwrap_or(48))
}

fn tlp(reader: &Reader<'_>) -> Option<TlpLevel> {
    let levels = [
        ("clear", Some(TlpLevel::Clear)),
        ("green", Some(TlpLevel::Green)),
        ("amber", Some(TlpLevel::Amber)),
        ("red", Some(TlpLevel::Red)),
        ("none", None),
    ];
    reader.choice("TLP_LEVEL", &levels).unwrap_or(Some(TlpLevel::Amber))
}

fn source_system(reader: &Reader<'_>) -> String {
    let name = reader.text("SOURCE_SYSTEM").unwrap_or_else(|| "Mandiant".to_owned());
    // learn.microsoft.com, "Import threat intelligence with the upload API": that value is restricted.
    if name.eq_ignore_ascii_case("Microsoft Sentinel") {
        reader.fault(
            "SOURCE_SYSTEM",
            "is \"Microsoft Sentinel\", which Sentinel keeps for itself; accepted: any other name",
        );
    }
    name
}

/// The host's own form: `hh:mm:ss`, with days before a dot, or `-1` for no limit.
pub fn function_timeout(text: &str) -> Option<Duration> {
    /// Without a limit the platform still ends instances for updates and scale-in; a pass stays below that.
    const UNLIMITED: Duration = Duration::from_secs(30 * 60);
    if text == "-1" || text.starts_with("-1.") {
        return Some(UNLIMITED);
    }
    let (days, time) = match text.split_once('.') {
        Some((days, time)) if !days.contains(':') => (days.parse::<u32>().ok()?, time),
        _ => (0, text),
    };
    let parts: Vec<u32> = time.split(':').map(|part| part.parse().ok()).collect::<Option<_>>()?;
    let [hours, minutes, seconds] = parts[..] else { return None };
    let [days, hours, minutes, seconds] = [days, hours, minutes, seconds].map(u64::from);
    let total = ((days * 24 + hours) * 60 + minutes) * 60 + seconds;
    (total > 0).then(|| Duration::from_secs(total).min(UNLIMITED))
}

/// Whether `url` leads to this machine.
pub fn is_local(url: &azure_core::http::Url) -> bool {
    reader::is_loopback(url)
}

/// What a path must be.
const WRITTEN_OUT: &str = "a path, written out: ~ and variables are replaced by a shell alone";

/// A path. What only a shell replaces would become a directory of that very name.
fn path(text: &str) -> Option<PathBuf> {
    (!text.starts_with(['~', '$', '%'])).then(|| PathBuf::from(text))
}
