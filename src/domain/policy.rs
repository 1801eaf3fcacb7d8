//! What a lane decides by: the user's choices, and the circumstances of a reading.

use chrono::{DateTime, Utc};

use super::{
    deciding_record::Refreshes,
    exclusions::Exclusions,
    expiry::{Expirations, Renewal},
    filter::{DropReason, Filter},
    fingerprint::Fingerprint,
    indicator::Indicator,
    observable::{HashType, HashTypes, Key, Name},
    outcome::Change,
    purpose::Purpose,
};

/// The user's choices that decide about a record, fixed for a pass.
#[derive(Clone, Debug)]
pub struct Policy {
    pub filter: Filter,
    pub exclusions: Exclusions,
    pub expirations: Expirations,
    /// When unchanged indicators are renewed.
    pub renewal: Renewal,
    /// The digests that stand for a file.
    pub hash_types: HashTypes,
    /// `false`: send every admitted record again, held or not.
    pub deduplicate: bool,
    /// `EXPIRE_RETRACTED`: what is held and no longer wanted is retracted.
    pub retract: bool,
    /// What is the same for every object of the lane, see [`Fingerprint::of`](super::fingerprint::Fingerprint::of).
    pub form: u64,
    /// The same of those that name an actor.
    pub attributed_form: u64,
}

/// An indicator with the names under which it is to be held: one object for each.
#[derive(Clone, Debug)]
pub struct Named {
    pub indicator: Indicator,
    pub names: Vec<Name>,
    /// Of one that is offered again: the fingerprint of what could not be done, under the settings of that time.
    pub rejected_as: Option<Fingerprint>,
}

/// The circumstances under which a page is decided about.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances {
    pub purpose: Purpose,
    pub refreshes: Refreshes,
    /// Whether the source can be asked again for all that it lists, see [`Limits::recalls`](super::window::Limits::recalls).
    pub recalls: bool,
    /// The source's times are not believed beyond this: the end of the window that the records came in.
    pub horizon: DateTime<Utc>,
    /// What is valid until earlier than this is renewed.
    pub renew_before: DateTime<Utc>,
    pub now: DateTime<Utc>,
}

impl Policy {
    /// # Errors
    /// The first reason, in the order of [`DropReason`], why the indicator is not wanted.
    pub fn admit(&self, indicator: &Indicator) -> Result<(), DropReason> {
        match self.filter.admit(indicator) {
            Err(DropReason::Type) => Err(DropReason::Type),
            _ if self.exclusions.find(&indicator.observable).is_some() => Err(DropReason::Excluded),
            admitted => admitted,
        }
    }

    /// Whether what is held is retracted once `reason` speaks against it. `EXPIRE_RETRACTED=false` keeps it, but not what
    /// is excluded where the destination acts on endpoints.
    pub fn retracts(&self, indicator: &Indicator, reason: DropReason) -> bool {
        let is_harmful = reason == DropReason::Excluded && self.exclusions.acts;
        is_harmful || self.retract && self.filter.is_stated(indicator, reason)
    }

    /// The names under which an indicator is to be held.
    pub fn names(&self, indicator: &Indicator) -> Vec<Name> {
        indicator.observable.names(self.hash_types)
    }

    /// Every name under which an indicator may stand, wanted or not.
    pub fn possible_names(&self, indicator: &Indicator) -> Vec<Name> {
        let name = |hash_type| Name { key: indicator.observable.subject(hash_type).key(), hash_type };
        let former = indicator.former.iter().map(|key| self.former_name(*key));
        let mut names: Vec<Name> = HashType::ALL.map(name).into_iter().chain(former).collect();
        names.dedup_by_key(|name| name.key);
        names
    }

    /// A name of which only the key is known: no digest of the record belongs to it.
    pub(super) fn former_name(&self, key: Key) -> Name {
        Name { key, hash_type: self.hash_types.strongest() }
    }

    /// Each indicator with its names.
    pub fn named(&self, indicators: Vec<Indicator>) -> Vec<Named> {
        let named = indicators.into_iter().map(|indicator| Named {
            names: self.names(&indicator),
            indicator,
            rejected_as: None,
        });
        named.collect()
    }

    /// The fingerprint of `indicator` as this lane sends it.
    pub fn fingerprint(&self, indicator: &Indicator) -> Fingerprint {
        let is_attributed = indicator.named_actors().next().is_some();
        Fingerprint::of(indicator, if is_attributed { self.attributed_form } else { self.form })
    }

    /// The end of validity of what is sent at `now`; what is retracted ends at once.
    pub fn valid_until(&self, indicator: &Indicator, change: Change, now: DateTime<Utc>) -> DateTime<Utc> {
        if change.removes() {
            return now;
        }
        self.expirations.valid_until(indicator.observable.indicator_type(), now)
    }
}
