//! Which types of indicators an entry binds.

use crate::domain::observable::IndicatorType;

/// Types of indicators that an entry binds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Types(pub u8);

impl Types {
    pub const ALL: Self = Self(0b1_1111);

    pub fn of(indicator_type: IndicatorType) -> Self {
        Self(match indicator_type {
            IndicatorType::Ipv4 => 1,
            IndicatorType::Ipv6 => 2,
            IndicatorType::Fqdn => 4,
            IndicatorType::Url => 8,
            IndicatorType::Hash => 16,
        })
    }

    pub fn addresses() -> Self {
        Self::of(IndicatorType::Ipv4).and(Self::of(IndicatorType::Ipv6))
    }

    pub fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub fn within(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}
