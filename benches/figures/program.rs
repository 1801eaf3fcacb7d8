//! The real executable, as the Functions host would run it: its time, its memory, its passes.

use std::{
    io::Read,
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use nix::{
    time::{ClockId, clock_gettime},
    unistd::Pid,
};
use serde_json::{Value, json};

use crate::Vars;

/// A running mati-sync.
pub struct Program {
    process: Child,
    port: u16,
    log: PathBuf,
    /// From the start of the process to its first answer.
    pub ready_after: Duration,
}

impl Program {
    /// Builds the executable as it is released.
    pub fn build() -> PathBuf {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let cargo = option_env!("CARGO").unwrap_or("cargo");
        let arguments =
            ["build", "--release", "--bin", "mati-sync", "--message-format", "json-render-diagnostics"];
        let output = Command::new(cargo)
            .args(arguments)
            .current_dir(root)
            .stderr(Stdio::inherit())
            .output()
            .expect("cargo runs");
        assert!(output.status.success(), "mati-sync could not be built");
        let messages = String::from_utf8_lossy(&output.stdout);
        let built = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let mut executables = built.filter_map(|message| message["executable"].as_str().map(PathBuf::from));
        executables.next_back().expect("cargo names the executable")
    }

    /// Starts `executable` and waits for its first answer.
    pub fn start(executable: &Path, vars: &Vars, folder: &Path) -> Self {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|socket| socket.local_addr());
        let port = port.expect("a free port").port();
        let log = folder.join("log");
        let mut command = Command::new(executable);
        command.env_clear().envs(vars).env("FUNCTIONS_CUSTOMHANDLER_PORT", port.to_string());
        command.current_dir(env!("CARGO_MANIFEST_DIR"));
        command.stdout(std::fs::File::create(&log).expect("a log"));
        let began = Instant::now();
        let process = command.spawn().expect("start mati-sync");
        let mut program = Self { process, port, log, ready_after: Duration::ZERO };
        while program.call("GET / HTTP/1.1", "").is_none() {
            assert!(began.elapsed() < Duration::from_secs(10), "mati-sync does not answer");
            std::thread::sleep(Duration::from_micros(50));
        }
        program.ready_after = began.elapsed();
        program
    }

    /// One tick of the timer; returns the part of Sentinel's lane of the report.
    pub fn tick(&self) -> Value {
        self.pass()["sentinel"].clone()
    }

    /// The status page; returns its length.
    pub fn status_page(&self) -> usize {
        let invocation = json!({"Data": {"request": {
            "Url": "http://localhost/api/status", "Method": "GET", "Query": {}, "Headers": {"Accept": ["text/html"]},
            "Params": {}, "Body": ""
        }}, "Metadata": {}});
        let answer = self.call("POST /Status HTTP/1.1", &invocation.to_string()).expect("mati-sync answers");
        assert!(answer.contains("<html"), "{answer}");
        answer.len()
    }

    /// One tick of the timer; returns the lanes' parts of the report.
    pub fn pass(&self) -> Value {
        let report = self.turn();
        assert_eq!(report["end"], "caught_up", "{report:#}");
        report["lanes"].clone()
    }

    /// One tick of the timer, which may pause; returns the whole report.
    pub fn turn(&self) -> Value {
        let invocation = json!({"Data": {"timer": {"IsPastDue": false}}, "Metadata": {}}).to_string();
        let answer = self.call("POST /SyncTimer HTTP/1.1", &invocation).expect("mati-sync answers");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        let log = std::fs::read_to_string(&self.log).expect("a log");
        let lines = log.lines().rev().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let mut ended = lines.filter(|line| line["event"] == "pass_ended");
        ended.next().expect("a pass has ended")
    }

    /// CPU time so far, of all its threads, in seconds.
    pub fn cpu(&self) -> f64 {
        let pid = i32::try_from(self.process.id()).expect("a process id");
        cpu(ClockId::pid_cpu_clock_id(Pid::from_raw(pid)).expect("the process is there"))
    }

    /// The most memory resident so far, in MiB: `VmHWM` of /proc/<pid>/status (proc(5)).
    pub fn peak_mib(&self) -> f64 {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap_or_default();
        let kib = line.split_whitespace().nth(1).and_then(|number| number.parse::<f64>().ok());
        kib.expect("the process is there") / 1024.0
    }

    /// A request on a connection of its own, and the whole answer.
    fn call(&self, line: &str, body: &str) -> Option<String> {
        use std::io::Write;
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).ok()?;
        let head = format!(
            "{line}\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(format!("{head}{body}").as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer).filter(|answer| !answer.is_empty())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// CPU time of this process, in seconds.
pub fn own_cpu() -> f64 {
    cpu(ClockId::CLOCK_PROCESS_CPUTIME_ID)
}

fn cpu(clock: ClockId) -> f64 {
    Duration::from(clock_gettime(clock).expect("the clock exists")).as_secs_f64()
}
