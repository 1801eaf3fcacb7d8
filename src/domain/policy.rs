//! What a lane decides by: the user's choices, and the circumstances of a reading.

use chrono::{DateTime, Utc};

use super::{
    deciding_record::Refreshes,
    expiry::{Expirations, Renewal},
    filter::Filter,
    indicator::Indicator,
    observable::{HashType, Key},
    outcome::Change,
    purpose::Purpose,
};

/// The user's choices that decide about a record, fixed for a pass.
#[derive(Clone, Debug)]
pub struct Policy {
    pub filter: Filter,
    pub expirations: Expirations,
    /// When unchanged indicators are renewed.
    pub renewal: Renewal,
    pub hash_type: HashType,
    /// `false`: send every admitted record again, held or not.
    pub deduplicate: bool,
    /// `EXPIRE_RETRACTED`: what is held and no longer wanted is retracted.
    pub retract: bool,
    /// What is the same for every object of the lane, see [`Fingerprint::of`](super::fingerprint::Fingerprint::of).
    pub form: u64,
}

/// The circumstances under which a page is decided about.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances {
    pub purpose: Purpose,
    pub refreshes: Refreshes,
    /// The source's times are not believed beyond this: the end of the window that the records came in.
    pub horizon: DateTime<Utc>,
    /// What is valid until earlier than this is renewed.
    pub renew_before: DateTime<Utc>,
    pub now: DateTime<Utc>,
}

impl Policy {
    /// The key under which an indicator is known.
    pub fn key(&self, indicator: &Indicator) -> Key {
        indicator.observable.subject(self.hash_type).key()
    }

    /// Every key under which an indicator may stand, and the digest that stands for it there.
    pub(super) fn names(&self, indicator: &Indicator) -> Vec<(Key, HashType)> {
        let digests =
            HashType::ALL.map(|hash_type| (indicator.observable.subject(hash_type).key(), hash_type));
        let former = indicator.former.iter().map(|key| (*key, self.hash_type));
        let mut names: Vec<(Key, HashType)> = digests.into_iter().chain(former).collect();
        names.dedup_by_key(|(key, _)| *key);
        names
    }

    /// Each indicator with its key.
    pub fn keyed(&self, indicators: Vec<Indicator>) -> Vec<(Key, Indicator)> {
        indicators.into_iter().map(|indicator| (self.key(&indicator), indicator)).collect()
    }

    /// The end of validity of what is sent at `now`; what is retracted ends at once.
    pub fn valid_until(&self, indicator: &Indicator, change: Change, now: DateTime<Utc>) -> DateTime<Utc> {
        if change.removes() {
            return now;
        }
        self.expirations.valid_until(indicator.observable.indicator_type(), now)
    }
}
