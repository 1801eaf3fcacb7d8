//! The program from its arguments to its exit code: command line and wiring, nothing else.

use std::{io::IsTerminal, net::Ipv4Addr, process::ExitCode, sync::Arc, time::Duration};

use clap::Parser;
use tokio::net::TcpListener;
use tracing::{error, info, level_filters::LevelFilter};

use crate::{
    app::App,
    cli::{self, Arguments, Command},
    clock::{SharedClock, SystemClock},
    domain::schedule,
    host::{self, Server},
    http::transport::Transport,
    process::{self, Cause, Parent},
    settings::{
        self,
        vars::{self, Environment, Layered, Vars},
    },
    telemetry,
};

/// What host.json ships with; for a host that does not let us read it.
const FUNCTION_TIMEOUT: Duration = Duration::from_secs(10 * 60);
/// The exit code that the Functions host takes for an intended restart: it starts the next process at once and counts
/// no error. After 0, Functions host 4.1037 starts none and fails every invocation; 143 counts as an error, and the
/// third within 30 minutes ends the host.
const RESTART: u8 = 200;
/// After a stop signal, passes under way have this long to commit.
const STOPPING: Duration = Duration::from_secs(9);

/// Does what the process's arguments ask for, or serves the Functions host where they ask for nothing; the process ends
/// with what it returns.
#[tokio::main(flavor = "current_thread")]
pub async fn run() -> ExitCode {
    // Asked for before anything else: a host that dies meanwhile is noticed.
    let parent = Parent::now();
    let arguments = Arguments::parse();
    if let Some(ended) = arguments.command.as_ref().and_then(cli::at_once) {
        return ended;
    }
    let vars: Box<dyn Vars> = match &arguments.settings {
        None => Box::new(Environment),
        Some(path) => match vars::from_file(path) {
            Ok(values) => {
                let missing = vars::for_the_environment(&values);
                if !missing.is_empty() {
                    return restart_with(missing);
                }
                Box::new(Layered(Box::new(Environment), Box::new(values)))
            }
            Err(problem) => {
                let ended = cli::failure(&problem);
                return arguments.command.as_ref().map_or(ended, Command::fault);
            }
        },
    };
    match arguments.command {
        Some(command) => run_command(command, arguments.output, &*vars).await,
        None => serve(&*vars, parent).await,
    }
}

/// The same command with more in its environment: a running process cannot change its own safely.
fn restart_with(variables: Vec<(&'static str, String)>) -> ExitCode {
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(error) => return cli::failure(&format!("the path of this program cannot be found: {error}")),
    };
    let mut again = std::process::Command::new(program);
    again.args(std::env::args_os().skip(1)).envs(variables);
    process::start_again(again).unwrap_or_else(|error| {
        cli::failure(&format!("the program cannot start itself with the settings file's values: {error}"))
    })
}

async fn run_command(command: Command, output: cli::Output, vars: &dyn Vars) -> ExitCode {
    let colored = cli::out::is_colored(
        output.color,
        Environment.get("NO_COLOR").as_deref(),
        Environment.get("TERM").as_deref(),
    );
    let level = match output {
        cli::Output { quiet: true, .. } => Some(LevelFilter::ERROR),
        cli::Output { verbose: true, .. } => Some(LevelFilter::DEBUG),
        _ => log_level(vars),
    };
    let quiet = telemetry::start_command(level, command.prints(output), colored);
    let announce = if quiet { |_: &_, _: Option<&str>| {} } else { telemetry::pass_ended };
    let clock: SharedClock = Arc::new(SystemClock);
    let mut app = App::build(vars, &Transport::network(), &clock, announce);
    if let Some(watchdog) = app.as_mut().ok().and_then(|app| app.engine.watchdog.as_mut()) {
        // The host has not started this command.
        watchdog.is_on = false;
    }
    let (schedule, notices) =
        app.as_ref().map(|app| (app.schedule.as_deref(), &*app.notices)).unwrap_or_default();
    let price_per_gb = app.as_ref().ok().and_then(|app| app.price_per_gb);
    let circumstances = cli::Circumstances { output, colored, schedule, price_per_gb, notices };
    match &app {
        Ok(app) => cli::run(command, &app.engine, &circumstances, process::stop_signal(None).0).await,
        Err(faults) => cli::faulty(&command, faults, &circumstances),
    }
}

async fn serve(vars: &dyn Vars, parent: Parent) -> ExitCode {
    const PORT: &str = "FUNCTIONS_CUSTOMHANDLER_PORT";
    // The host sets it in the environment; a settings file is a person's.
    let is_hosted = Environment.get(PORT).is_some();
    let (stop, cause) = process::stop_signal(is_hosted.then_some(parent));
    let Some(port) = vars.get(PORT) else {
        if std::io::stdout().is_terminal() {
            return cli::help();
        }
        return cli::failure(
            "FUNCTIONS_CUSTOMHANDLER_PORT is not set. Without a command, mati-sync serves the Azure Functions host, which sets it: use `func start`. From the terminal, try `mati-sync sync --help`.",
        );
    };
    // Bound before anything else: the host asks at once whether we are up.
    let listener = match port.parse() {
        Ok(port) => TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await,
        Err(_) => {
            return cli::failure(&format!(
                "FUNCTIONS_CUSTOMHANDLER_PORT is {port:?}; accepted: a port number"
            ));
        }
    };
    let listener = match listener {
        Ok(listener) => listener,
        Err(error) => {
            return cli::failure(&format!(
                "cannot listen on port {port} (FUNCTIONS_CUSTOMHANDLER_PORT): {error}"
            ));
        }
    };
    telemetry::start_server(log_level(vars));
    let clock: SharedClock = Arc::new(SystemClock);
    let app = App::build(vars, &Transport::network(), &clock, telemetry::pass_ended);
    let (engine, function_timeout) = match app {
        Ok(mut app) => {
            // A port of a settings file, or of a person's environment without a host, brings nobody who reads the queue.
            app.engine.watchdog = app.engine.watchdog.filter(|_| is_hosted);
            (Ok(app.engine), app.function_timeout)
        }
        Err(faults) => {
            faults.0.iter().for_each(|fault| error!(setting = fault.setting, "{fault}"));
            (Err(faults), None)
        }
    };
    // Not of the settings: the host reads it itself, also where those cannot be used.
    let schedule = vars.get("SYNC_CRON").filter(|text| !text.trim().is_empty());
    if let Some(fault) = schedule::fault(schedule.as_deref()) {
        error!(setting = "SYNC_CRON", "{fault}");
    }
    let function_timeout = function_timeout.or_else(host_json_timeout).unwrap_or(FUNCTION_TIMEOUT);
    let server = Arc::new(Server { engine, schedule, function_timeout, stop: stop.clone() });
    info!(
        function_timeout_seconds = function_timeout.as_secs(),
        "mati-sync {} serves",
        env!("CARGO_PKG_VERSION")
    );
    let mut stopping = stop.clone();
    let shutdown = async move {
        let _ = stopping.wait_for(|stop| *stop).await;
    };
    let serving = axum::serve(listener, host::router(server)).with_graceful_shutdown(shutdown).into_future();
    let mut stopping = stop;
    let overdue = async move {
        let _ = stopping.wait_for(|stop| *stop).await;
        tokio::time::sleep(STOPPING).await;
    };
    tokio::select! {
        served = serving => {
            if let Err(error) = served {
                error!("the server ended: {error}");
                return ExitCode::FAILURE;
            }
        }
        () = overdue => info!("stopping although connections are open"),
    }
    info!("stopped");
    match cause.get() {
        Some(Cause::Terminated) if is_hosted => ExitCode::from(RESTART),
        _ => ExitCode::SUCCESS,
    }
}

/// LOG_LEVEL as far as it can be used; where it cannot, that is told with the other faults of the settings.
fn log_level(vars: &dyn Vars) -> Option<LevelFilter> {
    settings::log_level(&vars.get("LOG_LEVEL")?)
}

/// `functionTimeout` of the host.json beside which the host starts us.
fn host_json_timeout() -> Option<Duration> {
    let text = std::fs::read_to_string("host.json").ok()?;
    let host: serde_json::Value = serde_json::from_str(&text).ok()?;
    settings::function_timeout(host.get("functionTimeout")?.as_str()?)
}
