//! Leases: one holder at a time, for a while or for good.
//!
//! The outcomes are those of the service's reference and, where it names no code, of its emulator. We are
//! stricter than the emulator twice: the id of a lease that has run out is LeaseLost, the code the reference
//! has for it, where the emulator says that there is no lease; and a lease id for a blob that does not exist
//! stops the write, where the emulator creates the blob.

use chrono::{DateTime, TimeDelta, Utc};

use super::answer::{
    Error, LEASE_ABSENT, LEASE_BREAKING_ACQUIRE, LEASE_BREAKING_CHANGE, LEASE_BROKEN, LEASE_HELD,
    LEASE_ID_MISSING, LEASE_LOST, LEASE_MISMATCH, LEASE_NONE, LEASE_OTHER,
};

/// How a lease stands at some time. A blob without one is available.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Leased,
    Expired,
    Breaking,
    Broken,
}

#[derive(Clone, Debug)]
pub struct Lease {
    pub id: String,
    /// None lasts for good.
    length: Option<TimeDelta>,
    since: DateTime<Utc>,
    /// When a lease that was broken ends.
    breaks: Option<DateTime<Utc>>,
}

impl Lease {
    fn new(id: String, length: Option<TimeDelta>, now: DateTime<Utc>) -> Self {
        Self { id, length, since: now, breaks: None }
    }

    pub fn state(&self, now: DateTime<Utc>) -> State {
        match (self.breaks, self.length) {
            (Some(breaks), _) if now < breaks => State::Breaking,
            (Some(_), _) => State::Broken,
            (None, Some(length)) if now >= self.since + length => State::Expired,
            (None, _) => State::Leased,
        }
    }

    /// Whether others are still kept out.
    pub fn holds(&self, now: DateTime<Utc>) -> bool {
        matches!(self.state(now), State::Leased | State::Breaking)
    }

    /// The values of `x-ms-lease-state`, `-status` and, while leased, `-duration`.
    pub fn headers(
        lease: Option<&Self>,
        now: DateTime<Utc>,
    ) -> (&'static str, &'static str, Option<&'static str>) {
        let Some(lease) = lease else { return ("available", "unlocked", None) };
        match lease.state(now) {
            State::Leased if lease.length.is_none() => ("leased", "locked", Some("infinite")),
            State::Leased => ("leased", "locked", Some("fixed")),
            State::Expired => ("expired", "unlocked", None),
            State::Breaking => ("breaking", "locked", None),
            State::Broken => ("broken", "unlocked", None),
        }
    }
}

/// Whether a read may go on: only a lease id that is not the holder's stops it.
pub fn admit_read(lease: Option<&Lease>, id: Option<&str>, now: DateTime<Utc>) -> Result<(), Error> {
    let Some(id) = id else { return Ok(()) };
    match lease {
        None => Err(LEASE_NONE),
        Some(lease) if lease.id != id => Err(LEASE_OTHER),
        Some(lease) if lease.holds(now) => Ok(()),
        Some(_) => Err(LEASE_LOST),
    }
}

/// Whether a write may go on: while a lease holds, only with its id.
pub fn admit_write(lease: Option<&Lease>, id: Option<&str>, now: DateTime<Utc>) -> Result<(), Error> {
    match (lease, id) {
        (Some(lease), None) if lease.holds(now) => Err(LEASE_ID_MISSING),
        _ => admit_read(lease, id, now),
    }
}

/// Takes the lease: 201 with its id. The holder's own id may be proposed again, which makes a repeat safe.
pub fn acquire(
    slot: &mut Option<Lease>,
    id: String,
    length: Option<TimeDelta>,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    if let Some(held) = slot {
        match held.state(now) {
            State::Leased if held.id != id => return Err(LEASE_HELD),
            State::Breaking if held.id != id => return Err(LEASE_HELD),
            State::Breaking => return Err(LEASE_BREAKING_ACQUIRE),
            State::Leased | State::Expired | State::Broken => {}
        }
    }
    *slot = Some(Lease::new(id, length, now));
    Ok(())
}

fn own<'a>(slot: &'a mut Option<Lease>, id: &str) -> Result<&'a mut Lease, Error> {
    slot.as_mut().filter(|lease| lease.id == id).ok_or(LEASE_MISMATCH)
}

/// Starts the lease's time anew; an expired lease too, while no client wrote or leased in between.
pub fn renew(slot: &mut Option<Lease>, id: &str, now: DateTime<Utc>) -> Result<(), Error> {
    let lease = own(slot, id)?;
    if lease.breaks.is_some() {
        return Err(LEASE_BROKEN);
    }
    lease.since = now;
    Ok(())
}

/// Gives the lease up, at once.
pub fn release(slot: &mut Option<Lease>, id: &str) -> Result<(), Error> {
    own(slot, id)?;
    *slot = None;
    Ok(())
}

/// Gives the lease another id. Repeating it is safe: it may already carry the new one.
pub fn change(slot: &mut Option<Lease>, id: &str, new: String, now: DateTime<Utc>) -> Result<(), Error> {
    let lease = slot.as_mut().ok_or(LEASE_ABSENT)?;
    match lease.state(now) {
        State::Expired | State::Broken => Err(LEASE_ABSENT),
        _ if lease.id != id && lease.id != new => Err(LEASE_MISMATCH),
        State::Breaking => Err(LEASE_BREAKING_CHANGE),
        State::Leased => {
            lease.id = new;
            Ok(())
        }
    }
}

/// Ends the lease without its id, after `period` or what is left of it, whichever is shorter; answers
/// how long that is. Without a period a lease that lasts for good ends at once.
pub fn break_up(
    slot: &mut Option<Lease>,
    period: Option<TimeDelta>,
    now: DateTime<Utc>,
) -> Result<TimeDelta, Error> {
    let lease = slot.as_mut().ok_or(LEASE_ABSENT)?;
    let ends = lease.breaks.or(lease.length.map(|length| lease.since + length));
    let left = ends.map(|ends| (ends - now).max(TimeDelta::zero()));
    let wait = match (period, left) {
        (Some(period), Some(left)) => period.min(left),
        (Some(period), None) => period,
        (None, left) => left.unwrap_or_default(),
    };
    lease.breaks = Some(now + wait);
    Ok(wait)
}
