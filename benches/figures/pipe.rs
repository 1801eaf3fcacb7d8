//! What the pass costs beyond moving records: a bare pipe (fetch, decode, encode, post; no filter, no comparison, no
//! state) beside the whole pass, both inside a process like this one, of the same build.

use std::{process::Command, sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use futures::{StreamExt, stream};
use mati_sync::{
    app::App,
    clock::{Deadline, SharedClock, SystemClock},
    domain::{
        indicator::Indicator,
        observable::Name,
        outcome::Change,
        plan::Planned,
        window::{PlannedWindow, Range},
    },
    http::{traffic::Traffic, transport::Transport},
    pass::{Lane, Work},
};

use crate::{Vars, program::own_cpu};

pub const PIPE: &str = "pipe";
pub const PASS: &str = "pass";

/// Runs one of the two in a process of its own; CPU seconds.
pub fn run(role: &str, vars: &Vars) -> f64 {
    let this = std::env::current_exe().expect("this executable");
    let output = Command::new(this).arg(role).env_clear().envs(vars).output().expect("start a process");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().parse().expect("a number")
}

/// The process's own part.
pub fn measure(role: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let clock: SharedClock = Arc::new(SystemClock);
    let vars: Vars = std::env::vars().collect();
    let app = App::build(&vars, &Transport::network(), &clock, |_, _| {}).expect("sound settings");
    let deadline = Deadline::after(Duration::from_secs(3600));
    let began = own_cpu();
    let sent = match role {
        PIPE => runtime.block_on(pipe(&app, &deadline)),
        _ => {
            let ended = runtime.block_on(app.engine.run(Work::Timer, None, &deadline));
            ended.reports[0].totals().created
        }
    };
    assert!(sent > 0, "nothing was sent");
    println!("{}", own_cpu() - began);
}

/// The indicator as it is sent, without a look at anything but itself.
fn planned(lane: &Lane, indicator: Indicator, now: DateTime<Utc>) -> Planned {
    let policy = &lane.policy;
    let Name { hash_type, .. } = policy.names(&indicator)[0];
    let valid_until = policy.valid_until(&indicator, Change::Created, now);
    Planned::alone(indicator, hash_type, valid_until)
}

/// Every page of the feed to the destination; returns how many records went.
async fn pipe(app: &App, deadline: &Deadline) -> u64 {
    let lane = &app.engine.lanes[0];
    let (now, traffic) = (app.engine.clock.now(), Traffic::default());
    let (from, limits) = (now - TimeDelta::hours(30), app.engine.source.limits());
    let window = PlannedWindow::first_of(Range::Live, from, now, TimeDelta::hours(30), now, limits);
    let mut reader = app.engine.source.open(&window, false);
    let mut sent = 0;
    let mut next = reader.next_page(deadline).await.expect("a page");
    while let Some(page) = next {
        let planned: Vec<Planned> =
            page.indicators.into_iter().map(|indicator| planned(lane, indicator, now)).collect();
        sent += planned.len() as u64;
        let uploads = stream::iter(planned.chunks(lane.destination.limits().batch))
            .map(|batch| lane.destination.deliver(batch, deadline, &traffic))
            .buffer_unordered(4)
            .for_each(|outcome| async { drop(outcome.expect("it is taken")) });
        let ((), following) = tokio::join!(uploads, reader.next_page(deadline));
        next = following.expect("a page");
    }
    sent
}
