//! The services, in a process of their own: so that what is measured of mati-sync is mati-sync's alone.
//!
//! The two processes speak in lines: a word goes in, an object of JSON comes out.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Duration,
};

use chrono::TimeDelta;
use sandbox::{
    blob::BlobService,
    clock,
    corpus::{CorpusSettings, Generator},
    net,
    world::World,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{from_str, to_string};

use crate::Vars;

pub const ROLE: &str = "stand-ins";
/// Of slow services: more than the space between two uploads at [`crate::PER_MINUTE`].
pub const LATENCY: Duration = Duration::from_millis(80);
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
}

impl StandIns {
    /// Starts the services with so many records in the feed.
    pub fn start(records: usize) -> Self {
        let this = std::env::current_exe().expect("this executable");
        let mut process = Command::new(this)
            .args([ROLE, &records.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("start a process");
        let input = process.stdin.take().expect("it is piped");
        let mut output = BufReader::new(process.stdout.take().expect("it is piped"));
        let [vars, storage] = hear(&mut output);
        Self { process, input, output, vars, storage }
    }

    pub fn counted(&mut self) -> Counted {
        self.ask("count")
    }

    /// From now on a page and an upload take [`LATENCY`].
    pub fn slow_down(&mut self) {
        self.ask::<()>("slow");
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
pub fn serve(records: usize) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let _inside = runtime.enter();
    let world = runtime.block_on(World::start(clock::system())).expect("sockets");
    world.sentinel.knobs(|knobs| {
        knobs.quota = usize::MAX;
        knobs.keep = false;
    });
    let now = clock::system()();
    let corpus = CorpusSettings::new(1, records, now - TimeDelta::hours(26), now - TimeDelta::minutes(20));
    world.mandiant.put_all(Generator::new(&corpus));
    let blobs = BlobService::new(clock::system());
    let address = runtime.block_on(net::serve(blobs.router(), None)).expect("a socket");
    let account = format!(
        "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey=c3RvcmFnZQ==;BlobEndpoint=http://{address}/devstoreaccount1;"
    );
    say(&[world.settings(), [("AzureWebJobsStorage".to_owned(), account)].into()]);
    for word in std::io::stdin().lines().map_while(Result::ok) {
        match word.as_str() {
            "change" => {
                change(&world);
                say(&());
            }
            "slow" => {
                world.sentinel.knobs(|knobs| knobs.delay = LATENCY);
                world.mandiant.set(|knobs| knobs.page_delay = LATENCY);
                say(&());
            }
            _ => say(&Counted {
                span: span(&world),
                connections: world.connections(),
                tokens: [world.mandiant.token_requests(), world.entra.issued().len()],
                uploads: world.sentinel.requests().len(),
                state_bytes: blobs.bytes_written(),
            }),
        }
    }
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
