//! What is asked about a value, and what the source answers.

use chrono::{DateTime, Utc};

use super::explained::Said;
use crate::{
    domain::{
        deciding_record::RecordVersion,
        explain::Verdict,
        filter::DropReason,
        indicator::Indicator,
        observable::{HashType, Key, Observable},
        page::{Page, SourceId, Unusable},
        policy::Policy,
    },
    source::Wanted,
};

/// What is asked for.
pub(super) struct Question {
    /// As it was given.
    pub text: String,
    pub observable: Option<Observable>,
    /// Of ours, or of the source's.
    pub key: Option<Key>,
    id: Option<SourceId>,
}

impl Question {
    /// Reads what was asked for.
    pub fn of(text: &str) -> Self {
        let text = text.trim();
        let (key, id) = (Key::of_stix_id(text), SourceId::of(text));
        let is_value = key.is_none() && id.is_none();
        let observable = Some(text).filter(|_| is_value).and_then(|text| Observable::of_person(text).ok());
        Self { text: text.to_owned(), observable, key, id }
    }

    /// What to look up at the source; `None`: see [`Question::unasked`].
    pub fn wanted(&self) -> Option<Wanted> {
        match (&self.key, &self.id) {
            (Some(_), _) => None,
            (None, Some(id)) => Some(Wanted::Id(id.clone())),
            (None, None) => {
                let ours = self.observable.as_ref().map(spelt);
                let mut spellings: Vec<String> = ours.into_iter().chain([self.text.clone()]).collect();
                spellings.dedup();
                Some(Wanted::Value { spellings, observable: self.observable.clone() })
            }
        }
    }

    /// Why the source says nothing of it before it is asked; `None`: it can be asked.
    pub fn unasked(&self) -> Option<&'static str> {
        self.key.map(|_| "the source is not asked for an id of ours, which does not tell its value")
    }

    /// Whether `found` is what was asked for: the source compares without case, and a URL that differs in it is another.
    pub fn is_met_by(&self, found: &Indicator) -> bool {
        match (&self.observable, &found.observable) {
            (None, _) => true,
            (Some(Observable::File(asked)), Observable::File(theirs)) => {
                asked.all().any(|(hash_type, digest)| theirs.get(hash_type) == Some(digest))
            }
            // What is asked for reads as something else than what the source takes it for, such as a digest that is none.
            (Some(asked), theirs) => asked == theirs || asked.indicator_type() != theirs.indicator_type(),
        }
    }
}

/// The records of a value as the source lists them.
#[derive(Default)]
pub(super) struct Records {
    /// Each decides where those after it do not.
    pub indicators: Vec<Indicator>,
    pub unusable: Vec<Unusable>,
    /// Why the source said nothing, if it did not: then neither what is decided nor what comes next is known.
    pub silence: Option<&'static str>,
}

impl Records {
    /// None, because the source said nothing.
    pub fn unsaid(reason: &'static str) -> Self {
        Self { silence: Some(reason), ..Self::default() }
    }

    /// Those of the page that are about what was asked for.
    pub fn of(page: Page, question: &Question, now: DateTime<Utc>) -> Self {
        let mut indicators = page.indicators;
        indicators.retain(|indicator| question.is_met_by(indicator));
        indicators.sort_by_key(|indicator| std::cmp::Reverse(RecordVersion::of(indicator, now)));
        Self { indicators, unusable: page.unusable, silence: None }
    }

    /// What the source says by them.
    pub fn said(&self) -> Said {
        if self.silence.is_some() {
            return Said::default();
        }
        let count = self.indicators.len() + self.unusable.len();
        let Some(deciding) = self.indicators.first() else {
            let id = self.unusable.first().map(|unusable| unusable.id.clone());
            return Said {
                found: Some(count > 0),
                id,
                others: count.saturating_sub(1) as u64,
                ..Said::default()
            };
        };
        Said {
            found: Some(true),
            id: Some(deciding.source_id.clone()),
            last_updated: deciding.last_updated,
            confidence: deciding.confidence,
            threat_score: deciding.threat_score,
            others: count as u64 - 1,
        }
    }

    /// What is decided about them.
    pub fn verdict(&self, policy: &Policy) -> Verdict {
        match (self.indicators.first(), self.unusable.first()) {
            (Some(deciding), _) => policy.verdict(deciding),
            (None, Some(Unusable { reason: DropReason::Type, detail, .. })) => {
                Verdict::dropped(DropReason::Type, detail.clone())
            }
            (None, Some(unusable)) => Verdict::dropped(unusable.reason, unusable.detail.clone()),
            (None, None) => {
                Verdict { detail: self.silence.unwrap_or_default().to_owned(), ..Verdict::default() }
            }
        }
    }
}

/// A value as we send it; of a file the digest that is strongest.
pub(super) fn spelt(observable: &Observable) -> String {
    observable.subject(HashType::Sha256).value.into_owned()
}
