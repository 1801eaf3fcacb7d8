//! What goes wrong between mati-sync and the world.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::http::{HeaderMap, HeaderValue, StatusCode, header::RETRY_AFTER};
use sandbox::{
    mandiant::{EndOfData, UsedCursor},
    net::{Exchange, Fault},
};

use super::dice::Dice;
use crate::harness::world::{DEFENDER, QUEUES, World};

/// Where sources answer.
const SOURCES: [&str; 2] = ["api.intelligence.mandiant.com", "www.virustotal.com"];

/// The switch between a broken world and a sound one, and what was broken.
#[derive(Default)]
pub struct Chaos {
    is_over: AtomicBool,
    /// Faults there were.
    pub faults: AtomicU64,
    /// The storage never breaks in this world.
    pub storage_is_sound: bool,
    /// The source answers nothing in this world, and was asked so often in vain.
    pub source_is_down: bool,
    pub asked_in_vain: AtomicU64,
    /// Uploads that may have been stored although mati-sync cannot know it.
    pub uploads_in_doubt: AtomicU64,
    pub imports_in_doubt: AtomicU64,
    /// Scores that fell, and other changes after which a content may be sent again that was sent before.
    pub drops: AtomicU64,
    /// Values that had more than one record at some time: only whole readings tell which of them decides.
    pub twins: Mutex<HashSet<String>>,
}

impl Chaos {
    /// Notes that so many contents may be sent again that were sent before.
    pub fn note_drops(&self, contents: u64) {
        self.drops.fetch_add(contents, Ordering::Relaxed);
    }

    pub fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// Everything is sound from now on.
    pub fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

/// Breaks exchanges of `world` as the dice fall.
pub fn unleash(world: &World, seed: u64) -> Arc<Chaos> {
    let mut dice = Dice::new(seed ^ 0xfa17);
    world.mandiant.set(|knobs| {
        knobs.end_of_data = dice.pick(&EndOfData::ALL);
        knobs.empty_window = dice.pick(&EndOfData::ALL);
        knobs.used_cursor = dice.pick(&[UsedCursor::SamePage, UsedCursor::NextPage]);
        knobs.longest_page = dice.pick(&[20, 100, 400, 1000]);
        knobs.page_delay = Duration::from_millis(dice.below(3000));
        knobs.cursor_ttl = dice.chance(0.3).then(|| Duration::from_secs(120));
    });
    world.sentinel.knobs(|knobs| {
        knobs.retry_after_header = dice.chance(0.5);
        knobs.delay = Duration::from_millis(dice.below(4000));
    });
    world.defender.knobs(|knobs| {
        knobs.retry_after_header = dice.chance(0.5);
        knobs.reverse_answers = dice.chance(0.3);
        knobs.delay = Duration::from_millis(dice.below(4000));
        knobs.page = dice.pick(&[150, 10_000]);
    });
    // How often each side breaks differs from world to world; some are sound on one side.
    let rates = [0.0, 0.02, 0.05, 0.15];
    let [mut source, mut upload, mut defender, token, storage] = [0; 5].map(|_| dice.pick(&rates));
    // And now and then one is down altogether.
    match dice.below(20) {
        0 => source = 1.0,
        1 => upload = 1.0,
        2 => defender = 1.0,
        _ => {}
    }
    let chaos = Arc::new(Chaos {
        storage_is_sound: storage == 0.0,
        source_is_down: source == 1.0,
        ..Chaos::default()
    });
    let dice = Mutex::new(dice);
    // Of its own, so that seeds go on meaning the same worlds.
    let queue_dice = Mutex::new(Dice::new(seed ^ 0x90e0));
    let hook = Arc::clone(&chaos);
    world.net.on_request(move |exchange| {
        if hook.is_over.load(Ordering::Relaxed) {
            return None;
        }
        if exchange.authority == QUEUES {
            let mut dice = queue_dice.lock().unwrap();
            return dice.chance(storage).then(|| Fault::status(dice.pick(&[500, 503])));
        }
        let mut dice = dice.lock().unwrap();
        let host = exchange.uri.host().unwrap_or_default();
        let rate = match host {
            _ if SOURCES.contains(&host) => source,
            "api.ti.sentinel.azure.com" => upload,
            DEFENDER => defender,
            "login.microsoftonline.com" => token,
            _ => storage,
        };
        if !dice.chance(rate) {
            return None;
        }
        hook.faults.fetch_add(1, Ordering::Relaxed);
        hook.asked_in_vain.fetch_add(u64::from(SOURCES.contains(&host)), Ordering::Relaxed);
        let is_down = rate == 1.0;
        let fault =
            if is_down { Fault::status(dice.pick(&[500, 502, 503])) } else { fault(&mut dice, exchange) };
        let may_be_stored = !matches!(fault, Fault::Refuse | Fault::ResetBefore | Fault::AnswerBefore(..));
        if host.contains("sentinel") && may_be_stored {
            hook.uploads_in_doubt.fetch_add(1, Ordering::Relaxed);
        }
        if host == DEFENDER && may_be_stored {
            hook.imports_in_doubt.fetch_add(1, Ordering::Relaxed);
        }
        Some(fault)
    });
    chaos
}

fn fault(dice: &mut Dice, exchange: &Exchange) -> Fault {
    let is_storage = exchange.uri.path().contains("devstoreaccount1");
    match dice.below(if is_storage { 7 } else { 13 }) {
        0 => Fault::Refuse,
        1 => Fault::ResetBefore,
        2 => Fault::ResetAfter,
        3 => Fault::ResetInBody(dice.below(400) as usize),
        4 => Fault::DelayAfter(dice.seconds(1, 50)),
        5 => Fault::status(dice.pick(&[500, 503])),
        // Requests that arrive late bunch up at the server; our pace is that of departures.
        6 if exchange.uri.path().ends_with(":upload") || exchange.uri.host() == Some(DEFENDER) => {
            Fault::DelayAfter(dice.seconds(1, 40))
        }
        6 => Fault::DelayBefore(dice.seconds(1, 40)),
        7 => Fault::Hang,
        8 => Fault::status(502),
        9 => {
            let mut headers = HeaderMap::new();
            if dice.chance(0.5) {
                headers.insert(RETRY_AFTER, HeaderValue::from(dice.between(1, 40)));
            }
            Fault::AnswerBefore(StatusCode::TOO_MANY_REQUESTS, headers, "slow down".into())
        }
        10 => Fault::AnswerBefore(StatusCode::OK, HeaderMap::new(), "<html>Please log in</html>".into()),
        // An answer of 200 that is none: the work was not done.
        11 => Fault::AnswerBefore(StatusCode::OK, HeaderMap::new(), error_body(dice).into()),
        _ => Fault::AnswerAfter(StatusCode::BAD_GATEWAY, HeaderMap::new(), "<html>bad gateway</html>".into()),
    }
}

fn error_body(dice: &mut Dice) -> &'static str {
    dice.pick(&[
        r#"{"message":"Endpoint request timed out"}"#,
        r#"{"error":{"code":"InternalError","message":"try again"}}"#,
        r#"{"errorMessage":"2026-03-02 Task timed out after 29.00 seconds"}"#,
    ])
}
