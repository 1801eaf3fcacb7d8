//! Which attributions a user wants: to threat actors, malware families and campaigns.

use super::indicator::{Indicator, Reference};

/// Names as a user writes them, compared without case.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Names(Vec<String>);

impl Names {
    /// The names of a comma list; empty ones do not count.
    pub fn of_list(list: &str) -> Self {
        let names = list.split(',').map(|name| name.trim().to_lowercase());
        let mut names: Vec<String> = names.filter(|name| !name.is_empty()).collect();
        names.sort();
        names.dedup();
        Self(names)
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn contains(&self, name: &str) -> bool {
        self.0.binary_search(&name.to_lowercase()).is_ok()
    }

    fn name_any(&self, references: &[Reference]) -> bool {
        !self.is_empty()
            && references.iter().any(|reference| spellings(reference).any(|name| self.contains(name)))
    }
}

/// What a user may call it by: its name, a campaign's title, the source's id.
fn spellings(reference: &Reference) -> impl Iterator<Item = &str> {
    [Some(&reference.name), reference.title.as_ref(), Some(&reference.id)]
        .into_iter()
        .flatten()
        .map(String::as_str)
        .filter(|name| !name.is_empty())
}

/// The minimum confidence of what is attributed to a name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NamedThreshold {
    /// Lower case.
    pub name: String,
    pub confidence: u8,
}

/// A user's choice by attribution.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct AttributionFilter {
    /// A record that names no threat actor and no malware family is not wanted.
    pub is_required: bool,
    pub actors: Names,
    pub malware: Names,
    pub campaigns: Names,
    pub categories: Names,
    pub thresholds: Vec<NamedThreshold>,
}

impl AttributionFilter {
    /// Whether the indicator is attributed as wanted. If any names are given, it must match one of them.
    pub fn admits(&self, indicator: &Indicator) -> bool {
        let names = [&self.actors, &self.malware, &self.campaigns, &self.categories];
        let is_named = names.iter().all(|names| names.is_empty())
            || self.actors.name_any(&indicator.threat_actors)
            || self.malware.name_any(&indicator.malware)
            || self.campaigns.name_any(&indicator.campaigns)
            || indicator.categories.iter().any(|category| self.categories.contains(category));
        let is_attributed = !indicator.threat_actors.is_empty() || !indicator.malware.is_empty();
        is_named && (is_attributed || !self.is_required)
    }

    /// The lowest minimum confidence of what the indicator is attributed to; it wins over all others.
    pub fn threshold(&self, indicator: &Indicator) -> Option<u8> {
        if self.thresholds.is_empty() {
            return None;
        }
        let references = indicator.threat_actors.iter().chain(&indicator.malware).chain(&indicator.campaigns);
        let names: Vec<String> = references.flat_map(spellings).map(str::to_lowercase).collect();
        let applying = self.thresholds.iter().filter(|threshold| names.contains(&threshold.name));
        applying.map(|threshold| threshold.confidence).min()
    }
}

/// Reads `FIN7=60, LOCKBIT=70`; `None` if a part has another form.
pub fn thresholds_of(list: &str) -> Option<Vec<NamedThreshold>> {
    let parts = list.split(',').map(str::trim).filter(|part| !part.is_empty());
    parts.map(threshold_of).collect()
}

fn threshold_of(part: &str) -> Option<NamedThreshold> {
    let (name, confidence) = part.rsplit_once('=')?;
    let name = name.trim().to_lowercase();
    let confidence = confidence.trim().parse().ok().filter(|confidence| *confidence <= 100)?;
    (!name.is_empty()).then_some(NamedThreshold { name, confidence })
}
