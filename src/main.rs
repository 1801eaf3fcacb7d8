//! Command line and wiring, nothing else.

use std::{net::Ipv4Addr, process::ExitCode, sync::Arc, time::Duration};

use clap::Parser;
use mati_sync::{
    app::App,
    cli::{self, Arguments, Command},
    clock::{SharedClock, SystemClock},
    host::{self, Server},
    http::transport::Transport,
    settings::{
        self,
        vars::{self, Environment, Layered, Vars},
    },
    telemetry,
};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::watch,
};
use tracing::{error, info};

/// What host.json ships with; for a host that does not let us read it.
const FUNCTION_TIMEOUT: Duration = Duration::from_secs(10 * 60);
/// After a stop signal, passes under way have this long to commit.
const STOPPING: Duration = Duration::from_secs(9);

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let vars: Box<dyn Vars> = match &arguments.settings {
        None => Box::new(Environment),
        Some(path) => match vars::from_file(path) {
            Ok(values) => Box::new(Layered(Box::new(Environment), Box::new(values))),
            Err(problem) => return cli::failure(&problem),
        },
    };
    match arguments.command {
        Some(command) => run_command(command, &*vars).await,
        None => serve(&*vars).await,
    }
}

async fn run_command(command: Command, vars: &dyn Vars) -> ExitCode {
    let quiet = telemetry::start_command(vars.get("LOG_LEVEL").as_deref(), command.prints());
    let announce = if quiet { |_: &_, _: Option<&str>| {} } else { telemetry::pass_ended };
    let clock: SharedClock = Arc::new(SystemClock);
    match App::build(vars, &Transport::network(), &clock, announce) {
        Ok(app) => cli::run(command, &app.engine, app.schedule.as_deref(), stop_signal()).await,
        Err(faults) => cli::faulty(&command, &faults),
    }
}

async fn serve(vars: &dyn Vars) -> ExitCode {
    let Some(port) = vars.get("FUNCTIONS_CUSTOMHANDLER_PORT") else {
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
    telemetry::start_server(vars.get("LOG_LEVEL").as_deref());
    let clock: SharedClock = Arc::new(SystemClock);
    let app = App::build(vars, &Transport::network(), &clock, telemetry::pass_ended);
    let (engine, schedule, function_timeout) = match app {
        Ok(app) => (Ok(app.engine), app.schedule, app.function_timeout),
        Err(faults) => {
            faults.0.iter().for_each(|fault| error!(setting = fault.setting, "{fault}"));
            (Err(faults), None, None)
        }
    };
    let function_timeout = function_timeout.or_else(host_json_timeout).unwrap_or(FUNCTION_TIMEOUT);
    let stop = stop_signal();
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
    ExitCode::SUCCESS
}

/// `functionTimeout` of the host.json beside which the host starts us.
fn host_json_timeout() -> Option<Duration> {
    let text = std::fs::read_to_string("host.json").ok()?;
    let host: serde_json::Value = serde_json::from_str(&text).ok()?;
    settings::function_timeout(host.get("functionTimeout")?.as_str()?)
}

/// Becomes true on SIGTERM and Ctrl-C.
fn stop_signal() -> watch::Receiver<bool> {
    let (sender, receiver) = watch::channel(false);
    let mut terminate = match signal(SignalKind::terminate()) {
        Ok(terminate) => terminate,
        Err(error) => {
            error!("SIGTERM will not be heard: {error}");
            return receiver;
        }
    };
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
        info!("told to stop: what is settled is committed");
        let _ = sender.send(true);
        std::future::pending::<()>().await;
    });
    receiver
}
