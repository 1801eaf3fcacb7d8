//! The services, in a process of their own: so that what is measured of mati-sync is mati-sync's alone.
//!
//! The two processes speak in lines: a word goes in, an object of JSON comes out.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use sandbox::{
    blob::BlobService,
    clock,
    corpus::{CorpusSettings, Generator},
    defender::Operation,
    gti::{Ioc, LISTS, hour_of},
    net,
    world::World,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, from_str, to_string};

use crate::Vars;

pub const ROLE: &str = "stand-ins";
const BARE: &str = "bare";
const DEPLOYED: &str = "deployed";
/// Google's threat lists: one hour of them, or a day.
const HOUR: &str = "gti-hour";
const DAY: &str = "gti-day";
/// Of slow services: more than the space between two uploads at [`crate::PER_MINUTE`].
pub const LATENCY: Duration = Duration::from_millis(80);
/// Of services at the other end of a continent.
pub const FAR: Duration = Duration::from_millis(300);
/// So many records change at once.
pub const CHANGED: usize = 20_000;

/// What the services counted since they began.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Counted {
    /// To Mandiant and to Sentinel.
    pub connections: [usize; 2],
    /// Of Mandiant and of Entra.
    pub tokens: [usize; 2],
    pub uploads: usize,
    /// From the first upload's arrival to the last one's, in seconds.
    pub span: f64,
    pub state_bytes: u64,
    /// Requests to Defender, and how many indicators they imported and deleted.
    pub defender: [usize; 3],
}

/// The services' process, from outside.
pub struct StandIns {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    /// The settings that lead there; the state's are left out.
    pub vars: Vars,
    /// Those that lead to a storage account.
    pub storage: Vars,
    /// Those that show who asks, where no key vault is asked for them.
    pub secrets: Vars,
}

impl StandIns {
    /// Starts the services with so many records in the feed.
    pub fn start(records: usize) -> Self {
        Self::begin(records, BARE)
    }

    /// The same as they are once deployed: over TLS, pages compressed, state in blobs, secrets in Key Vault.
    pub fn deployed(records: usize) -> Self {
        let mut stand_ins = Self::begin(records, DEPLOYED);
        stand_ins.vars.extend(stand_ins.storage.clone());
        stand_ins
    }

    /// Google's threat lists as the source, with so many records in each package of one hour, or of a day.
    pub fn lists(records: usize, is_day: bool) -> Self {
        Self::begin(records, if is_day { DAY } else { HOUR })
    }

    fn begin(records: usize, manner: &str) -> Self {
        let this = std::env::current_exe().expect("this executable");
        let mut process = Command::new(this)
            .args([ROLE, &records.to_string(), manner])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("start a process");
        let input = process.stdin.take().expect("it is piped");
        let mut output = BufReader::new(process.stdout.take().expect("it is piped"));
        let [vars, storage, secrets] = hear(&mut output);
        Self { process, input, output, vars, storage, secrets }
    }

    pub fn counted(&mut self) -> Counted {
        self.ask("count")
    }

    /// From now on a page and an upload take [`LATENCY`].
    pub fn slow_down(&mut self) {
        self.ask::<()>("slow");
    }

    /// From now on they take [`FAR`].
    pub fn move_away(&mut self) {
        self.ask::<()>("far");
    }

    /// Gives [`CHANGED`] records another score.
    pub fn change(&mut self) {
        self.ask::<()>("change");
    }

    fn ask<T: DeserializeOwned>(&mut self, word: &str) -> T {
        writeln!(self.input, "{word}").expect("the services are there");
        hear(&mut self.output)
    }
}

impl Drop for StandIns {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn hear<T: DeserializeOwned>(output: &mut impl BufRead) -> T {
    let mut line = String::new();
    output.read_line(&mut line).expect("the services are there");
    from_str(&line).expect("what the services say")
}

fn say(value: &impl Serialize) {
    println!("{}", to_string(value).expect("JSON"));
}

/// The services themselves, until nobody asks any more.
pub fn serve(records: usize, manner: &str) {
    let is_deployed = manner == DEPLOYED;
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let _inside = runtime.enter();
    let world = match is_deployed {
        true => runtime.block_on(World::start_over_tls(clock::system())),
        false => runtime.block_on(World::start(clock::system())),
    };
    let world = world.expect("sockets");
    world.mandiant.set(|knobs| knobs.gzip = is_deployed);
    world.sentinel.knobs(|knobs| {
        knobs.quota = usize::MAX;
        knobs.keep = false;
    });
    world.defender.knobs(|knobs| (knobs.per_minute, knobs.per_hour) = (usize::MAX, usize::MAX));
    let now = clock::system()();
    let is_gti = matches!(manner, HOUR | DAY);
    if is_gti {
        let first = hour_of(now) - TimeDelta::hours(if manner == DAY { 25 } else { 2 });
        world.gti.set(|knobs| {
            knobs.gzip = true;
            knobs.generate = Some(Arc::new(move |list, hour| package(list, hour, first, records)));
        });
    }
    let records = if is_gti { 0 } else { records };
    let corpus = CorpusSettings::new(1, records, now - TimeDelta::hours(26), now - TimeDelta::minutes(20));
    world.mandiant.put_all(Generator::new(&corpus));
    let blobs = BlobService::new(clock::system());
    let address = runtime.block_on(net::serve(blobs.router(), is_deployed.then(|| world.tls())));
    let address = address.expect("a socket");
    let scheme = if is_deployed { "https" } else { "http" };
    let account = format!(
        "DefaultEndpointsProtocol={scheme};AccountName=devstoreaccount1;AccountKey=c3RvcmFnZQ==;BlobEndpoint={scheme}://{address}/devstoreaccount1;"
    );
    let mut settings = world.settings();
    if is_deployed {
        settings.extend(world.secrets_in_key_vault());
    }
    if is_gti {
        settings.extend(world.gti_settings());
    }
    let secrets = world.settings().into_iter().filter(|(name, _)| name.starts_with("MATI_")).collect();
    say(&[settings, [("AzureWebJobsStorage".to_owned(), account)].into(), secrets]);
    for word in std::io::stdin().lines().map_while(Result::ok) {
        match word.as_str() {
            "change" => {
                change(&world);
                say(&());
            }
            "slow" | "far" => {
                let latency = if word == "far" { FAR } else { LATENCY };
                world.sentinel.knobs(|knobs| knobs.delay = latency);
                world.defender.knobs(|knobs| knobs.delay = latency);
                world.mandiant.set(|knobs| knobs.page_delay = latency);
                say(&());
            }
            _ => say(&Counted {
                span: span(&world),
                connections: world.connections(),
                tokens: [world.mandiant.token_requests(), world.entra.issued().len()],
                uploads: world.sentinel.requests().len(),
                state_bytes: blobs.bytes_written(),
                defender: to_defender(&world),
            }),
        }
    }
}

/// So many records of the hours from `first` on. A value stands in four packages, of lists and hours beside each other.
fn package(list: &str, hour: DateTime<Utc>, first: DateTime<Utc>, records: usize) -> Vec<Value> {
    let Ok(hours) = usize::try_from((hour - first).num_hours()) else { return Vec::new() };
    let place = LISTS.iter().position(|(name, _)| *name == list).unwrap_or_default();
    let begin = (hours * LISTS.len() + place) * records / 4;
    let record = |number: usize| {
        let ioc = match number % 4 {
            0 => Ioc::domain(&format!("host-{number}.example.net")),
            1 => Ioc::url(&format!("http://host-{number}.example.net/path/{number}")),
            2 => Ioc::address(&format!(
                "198.{}.{}.{}",
                51 + number / 62_500,
                number / 250 % 250,
                number % 250 + 1
            )),
            _ => Ioc::file(&format!("{:064x}", number + 4096), Some(&format!("{:032x}", number + 4096))),
        };
        let score = 80 + i64::try_from(number % 21).expect("a small number");
        let ioc = ioc.score(score).related("malware_families", &format!("family{}", number % 200));
        ioc.attribute("names", vec!["a-name-of-the-file.exe"; 8]).json(list)
    };
    (begin..begin + records).map(record).collect()
}

fn to_defender(world: &World) -> [usize; 3] {
    let requests = world.defender.requests();
    let items = |operation| {
        let of_it = requests.iter().filter(|request| request.operation == Some(operation));
        of_it.map(|request| request.items).sum()
    };
    [requests.len(), items(Operation::Import), items(Operation::BatchDelete)]
}

fn span(world: &World) -> f64 {
    let requests = world.sentinel.requests();
    let (Some(first), Some(last)) = (requests.first(), requests.last()) else { return 0.0 };
    (last.at - first.at).as_seconds_f64()
}

fn change(world: &World) {
    let records = world.mandiant.oldest(CHANGED);
    let at = clock::system()() - TimeDelta::minutes(5);
    world.mandiant.put_all(records.into_iter().map(|record| {
        let score = if record.indexed_mscore() == 100 { 99 } else { 100 };
        record.mscore(score).updated(at)
    }));
}
