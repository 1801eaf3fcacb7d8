//! What Azure Resource Manager shows of our indicators, and what of it cannot be as we sent it.
//!
//! Only what nobody but a person changes is compared: Microsoft rewrites times of its own, leaves out what is empty and
//! cuts long texts.

use serde_json::Value;

use super::{
    convert::{stated_confidence, unmute},
    pattern,
    resource::{Properties, Unclear, date, items, of_source, stix_id},
};
use crate::domain::{
    deciding_record::Tag,
    entry::Handle,
    fingerprint::Fingerprint,
    observable::Key,
    shown::{Field, Fields, Labels, Shown, ShownPage},
};

/// Every object that we send has a label that begins so.
const ACTION: &str = "action:";

/// The body of a 200.
///
/// # Errors
/// It is no page, or does not say how to go on.
pub fn read_page(body: &[u8], source_system: &str) -> Result<ShownPage, Unclear> {
    let (items, next) = items(body)?;
    let mut page = ShownPage { next, ..ShownPage::default() };
    for item in items {
        // Another source's are nobody's business here.
        let Ok(properties) = of_source(item, source_system) else { continue };
        match shown(&properties) {
            Some(shown) => page.shown.push(shown),
            None => page.left_alone += 1,
        }
    }
    Ok(page)
}

/// `None`: it has no id under which we would send anything.
fn shown(properties: &Properties) -> Option<Shown> {
    let id = Key(stix_id(properties.external_id.as_deref()?)?);
    let pattern = properties.pattern.as_deref().unwrap_or_default();
    let value = pattern::read(pattern).ok().map(|(key, _)| key);
    // An older version may have spelt it otherwise.
    let is_ours = value == Some(id) || pattern::key_as_spelt(pattern) == Some(id);
    let description = properties.description.as_str().unwrap_or_default();
    let stated = stated_confidence(description);
    let mut unmuted = description.to_owned();
    unmute(&mut unmuted);
    let labels = [&properties.threat_intelligence_tags, &properties.labels];
    let mut labels =
        labels.into_iter().filter_map(Value::as_array).flatten().filter_map(Value::as_str).peekable();
    let has_labels = labels.peek().is_some();
    let has_action = labels.any(|label| label.starts_with(ACTION));
    let differs = Fields::default()
        .with(Field::Revoked, properties.revoked == Some(true))
        .with(Field::Pattern, !is_ours)
        .with(Field::Confidence, stated.is_some_and(|stated| stated != properties.confidence))
        .with(Field::Labels, has_labels && !has_action)
        .with(Field::Description, unmuted != description);
    Some(Shown {
        id: Some(id),
        value,
        handle: (value != Some(id)).then_some(Handle::Foreign(id.0)),
        valid_until: properties.valid_until.as_deref().and_then(date),
        fingerprint: Fingerprint::adopted(properties.confidence),
        tag: Tag::default(),
        indicator_type: None,
        differs,
        differs_today: Fields::default(),
        labels: if has_action {
            Labels::Some
        } else if has_labels {
            Labels::Untold
        } else {
            Labels::None
        },
        edited: None,
    })
}
