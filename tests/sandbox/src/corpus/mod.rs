//! The indicators the Mandiant stand-in serves: built by hand, generated from a seed, or recorded.

mod date;
mod generate;
mod hostile;
mod record;
mod recorded;
mod value;

pub use date::{DateForm, parse_date};
pub use generate::{CorpusSettings, Generator, generate};
pub use record::{Record, misp};
pub use recorded::{Recorded, Skipped, load_recorded};
