//! The switch of the planted defects, one for each thread. `cargo defects` adds this file to its copy of the program as
//! `src/planted.rs`.

use std::cell::RefCell;

thread_local! {
    /// A scenario runs in a process of its own, and its defect comes with the environment.
    static PLANTED: RefCell<Option<String>> = RefCell::new(std::env::var("MATI_SYNC_PLANTED").ok());
    static NOTE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Switches a defect on for this thread, instead of any other; `None` switches all off.
pub fn plant(defect: Option<&str>) {
    PLANTED.set(defect.map(str::to_owned));
    NOTE.take();
}

/// Returns whether the defect is switched on. The replacements in the defects' files ask for it.
pub fn is(defect: &str) -> bool {
    PLANTED.with_borrow(|planted| planted.as_deref() == Some(defect))
}

/// Keeps what a defect remembers beyond the end of a pass, until another one is switched on.
pub fn note(text: Option<String>) {
    NOTE.set(text);
}

/// Returns what was kept last, once.
pub fn take_note() -> Option<String> {
    NOTE.take()
}
