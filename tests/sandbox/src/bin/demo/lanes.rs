//! Where the indicators go, and what is there.

use chrono::{DateTime, Utc};
use sandbox::world::World;
use serde_json::Value;

/// A destination, and the lane of mati-sync that leads there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    Sentinel,
    Defender,
}

impl Lane {
    /// As reports and `TARGET_APPLICATION` name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sentinel => "sentinel",
            Self::Defender => "defender",
        }
    }

    pub fn title(self) -> &'static str {
        match self {
            Self::Sentinel => "Sentinel",
            Self::Defender => "Defender",
        }
    }

    /// What becomes there of an indicator that is no longer wanted.
    pub fn retracted(self) -> &'static str {
        match self {
            Self::Sentinel => "retracted at Sentinel",
            Self::Defender => "deleted at Defender",
        }
    }

    /// The requests that arrived there.
    pub fn requests(self, world: &World) -> usize {
        match self {
            Self::Sentinel => world.sentinel.requests().len(),
            Self::Defender => world.defender.requests().len(),
        }
    }

    /// Mandiant's ids of the indicators that are there and valid.
    pub fn held(self, world: &World, now: DateTime<Utc>) -> Vec<String> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        match self {
            Self::Sentinel => {
                let valid = |object: &Value| {
                    let until = object["valid_until"].as_str().and_then(|until| until.parse().ok());
                    until.is_none_or(|until: DateTime<Utc>| until > now)
                };
                let objects = world.sentinel.stored().into_values().filter(valid);
                objects.map(|object| text(&object["external_references"][0]["external_id"])).collect()
            }
            // Defender's API has no field for it; it stands at the end of the link to Mandiant.
            Self::Defender => {
                let link = |indicator: Value| text(&indicator["recommendedActions"]);
                let links = world.defender.stored().into_values().map(link);
                links.map(|link| link.rsplit('/').next().unwrap_or_default().to_owned()).collect()
            }
        }
    }
}

/// "Sentinel and Defender hold 64 indicators each", by the number of indicators in each lane.
pub fn told(held: &[(Lane, usize)]) -> String {
    let [(first, count), others @ ..] = held else { return String::new() };
    let indicators = crate::plural(*count as u64, "indicator");
    match others {
        [] => format!("{} holds {indicators}", first.title()),
        _ if others.iter().all(|(_, other)| other == count) => {
            let titles: Vec<_> = held.iter().map(|(lane, _)| lane.title()).collect();
            format!("{} hold {indicators} each", titles.join(" and "))
        }
        _ => {
            let others = others.iter().map(|(lane, count)| format!(", {} {count}", lane.title()));
            format!("{} holds {indicators}{}", first.title(), others.collect::<String>())
        }
    }
}
