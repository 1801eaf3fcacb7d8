//! What a tenant holds, compared with what we sent.

use super::{
    client::Defender,
    convert::{APPLICATION, Action, Style},
    wire::Listed,
};
use crate::{
    azure::api::ApiError,
    clock::Deadline,
    domain::{
        deciding_record::Tag,
        entry::{Handle, Rank},
        fingerprint::Fingerprint,
        indicator::Provider,
        inventory::{Held, InventoryPage, Owner},
        observable::{HashType, Key, Observable, SubjectKind, is_harmful},
        shown::{Field, Fields, Labels, Shown, ShownPage},
    },
    http::traffic::Traffic,
};

impl Defender {
    /// Everything that the tenant holds, as one page.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn inventory(&self, deadline: &Deadline, traffic: &Traffic) -> Result<InventoryPage, ApiError> {
        let held = self.list(deadline, traffic).await?.into_iter();
        let held = held.map(|listed| self::held(listed, self.style.provider)).collect();
        Ok(InventoryPage { held, ..InventoryPage::default() })
    }

    /// Everything of ours that the tenant shows, as one page.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn shown(&self, deadline: &Deadline, traffic: &Traffic) -> Result<ShownPage, ApiError> {
        let all = self.list(deadline, traffic).await?;
        let shown = all.iter().filter_map(|listed| shown(listed, &self.style)).collect();
        Ok(ShownPage { shown, ..ShownPage::default() })
    }
}

/// `None`: it is another application's.
fn shown(listed: &Listed, style: &Style) -> Option<Shown> {
    if listed.application.as_deref() != Some(APPLICATION) {
        return None;
    }
    let kind = listed.kind();
    let is_file = matches!(kind, Some(SubjectKind::File(_)));
    let is = |action: Action| listed.action.as_deref() == Some(action.word(is_file));
    let observable = kind.and_then(|_| Observable::of_text(&listed.value).ok());
    // An edit by the application that made it is one of ours.
    let makers = [&listed.source, &listed.created_by];
    let editor = listed.last_updated_by.as_ref().filter(|editor| !editor.is_empty());
    let is_edited = editor.is_some_and(|editor| !makers.contains(&&Some(editor.clone())));
    Some(Shown {
        id: listed.external_id.as_deref().and_then(Key::of_stix_id),
        // Of a digest that is looked for alone it does not matter which one stands for the file.
        value: observable.map(|observable| observable.subject(HashType::Sha256).key()),
        handle: listed.id.map(|id| Handle::Numbered { id, rank: Rank::default() }),
        valid_until: listed.expiration,
        fingerprint: Fingerprint::VOID,
        tag: listed.source_id(style.provider).map_or(Tag::UNKNOWN, Tag::of),
        indicator_type: kind.map(|kind| kind.indicator_type()),
        differs: Fields::default()
            .with(Field::Action, !Action::ALL.into_iter().any(is))
            .with(Field::GenerateAlert, listed.generate_alert == Some(false)),
        differs_today: Fields::default().with(Field::Action, !is(style.action)),
        labels: Labels::Untold,
        edited: listed.last_updated.filter(|_| is_edited),
    })
}

fn held(listed: Listed, provider: Provider) -> Held {
    let is_ours = listed.application.as_deref() == Some(APPLICATION);
    let kind = listed.kind();
    Held {
        key: listed.external_id.as_deref().filter(|_| is_ours).and_then(Key::of_stix_id),
        owner: if is_ours { Owner::Us } else { Owner::Other },
        compared_as: listed.compared_as(),
        handle: listed.id.map(|id| Handle::Numbered { id, rank: Rank::default() }),
        valid_until: listed.expiration,
        fingerprint: Fingerprint::VOID,
        // Whose it is is known all the same: a file's former name is found by that.
        tag: listed.source_id(provider).map_or(Tag::UNKNOWN, Tag::of),
        indicator_type: kind.map(|kind| kind.indicator_type()),
        observable: kind.and_then(|_| Observable::of_text(&listed.value).ok()),
        harm: kind.and_then(|kind| is_harmful(kind, &listed.value)),
    }
}
