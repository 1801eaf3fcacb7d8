//! Which retractions of a page are made, where [`Unasked`](super::unasked::Unasked) leaves so many.

use super::purpose::Purpose;

/// An indicator that a page calls to retract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It was held in good standing.
    New,
    /// A survey counted it, or an earlier attempt was rejected.
    Surveyed,
    /// An operator confirmed it, or it is not limited.
    Confirmed,
}

/// What may be retracted by a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permit {
    surveyed: u64,
    new: u64,
}

impl Permit {
    /// What may be retracted in a reading for `purpose` of what `claims` call for, where the retraction limit leaves so much.
    /// While retractions wait, nothing is but what was confirmed.
    pub fn of(
        purpose: Purpose,
        is_waiting: bool,
        limit_left: u64,
        claims: impl Iterator<Item = Claim>,
    ) -> Self {
        let [mut surveyed, mut new] = [0_u64; 2];
        for claim in claims {
            match claim {
                Claim::New => new += 1,
                Claim::Surveyed => surveyed += 1,
                Claim::Confirmed => {}
            }
        }
        match purpose {
            Purpose::Survey => Self { surveyed: 0, new: 0 },
            _ if is_waiting => Self { surveyed: 0, new: 0 },
            Purpose::Collection { allowance } => {
                let bound = allowance.min(limit_left);
                let surveyed = surveyed.min(bound);
                Self { surveyed, new: all_or_none(new, bound - surveyed) }
            }
            // A page that calls for more than the rest is taken for a mistake as a whole.
            Purpose::Live | Purpose::Lookback | Purpose::Rebuild | Purpose::Confirmation | Purpose::Retry => {
                let sum = all_or_none(surveyed + new, limit_left);
                Self { surveyed: sum.min(surveyed), new: sum.saturating_sub(surveyed) }
            }
        }
    }

    /// Whether one more may be retracted; it is counted.
    pub fn take(&mut self, claim: Claim) -> bool {
        let rest = match claim {
            Claim::Confirmed => return true,
            Claim::Surveyed => &mut self.surveyed,
            Claim::New => &mut self.new,
        };
        let may = *rest > 0;
        *rest = rest.saturating_sub(1);
        may
    }
}

fn all_or_none(count: u64, bound: u64) -> u64 {
    if count <= bound { count } else { 0 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_permit_keeps_within_limit_and_allowance(surveyed in 0..50_u64, new in 0..50_u64, confirmed in 0..9_u64, left in 0..60_u64, allowance in 0..60_u64) {
            let claims = || (0..surveyed).map(|_| Claim::Surveyed).chain((0..new).map(|_| Claim::New)).chain((0..confirmed).map(|_| Claim::Confirmed));
            let taken = |purpose, is_waiting| {
                let mut permit = Permit::of(purpose, is_waiting, left, claims());
                claims().filter(|claim| permit.take(*claim)).count() as u64 - confirmed
            };
            prop_assert!(taken(Purpose::Live, false) <= left);
            prop_assert_eq!(taken(Purpose::Survey, false), 0);
            for purpose in [Purpose::Live, Purpose::Collection { allowance }, Purpose::Confirmation] {
                prop_assert_eq!(taken(purpose, true), 0, "while others wait");
            }
            let collected = taken(Purpose::Collection { allowance }, false);
            prop_assert!(collected <= left.min(allowance));
            prop_assert!(collected >= surveyed.min(left).min(allowance), "those that were surveyed come first");
        }
    }
}
