//! The time the stand-ins live in.

use std::sync::Arc;

use chrono::{DateTime, Utc};

/// Where a stand-in reads the time: the system clock over sockets, the test's clock in process.
pub type Now = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;

/// The system's clock.
pub fn system() -> Now {
    Arc::new(Utc::now)
}

/// A clock that starts at `start` and moves with tokio's clock, so that a paused runtime moves it too.
pub fn tokio_from(start: DateTime<Utc>) -> Now {
    let origin = tokio::time::Instant::now();
    Arc::new(move || start + origin.elapsed())
}
