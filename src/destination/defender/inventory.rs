//! What a tenant holds, compared with what we sent.

use super::{client::Defender, convert::APPLICATION, wire::Listed};
use crate::{
    azure::api::ApiError,
    clock::Deadline,
    domain::{
        deciding_record::Tag,
        entry::{Handle, Rank},
        fingerprint::Fingerprint,
        indicator::Provider,
        inventory::{Held, InventoryPage, Owner},
        observable::{Key, Observable, is_harmful},
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
