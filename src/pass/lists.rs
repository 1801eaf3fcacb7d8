//! The lists of what must never be sent, read for each pass.
//!
//! A list that cannot be read in full ends every lane before it begins: to send in spite of it would be the outage that
//! it is there to prevent.

use std::sync::Arc;

use super::{Lane, engine::Engine, halt::Halt};
use crate::{
    domain::{
        exclusions::{Builder, Exclusions, Lists, Unreadable},
        policy::Policy,
    },
    state::{error::StateError, store::Store},
};

/// Why the lists cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListError {
    #[error(transparent)]
    State(#[from] StateError),
    #[error(
        "nothing is sent, because a list of exclusions cannot be read. {0}; mend that line, or remove the list"
    )]
    Unreadable(Unreadable),
}

impl From<ListError> for Halt {
    fn from(error: ListError) -> Self {
        match error {
            ListError::State(error) => error.into(),
            unreadable @ ListError::Unreadable(_) => Self::Failed(unreadable.to_string()),
        }
    }
}

impl Engine {
    /// Reads every list.
    ///
    /// # Errors
    /// One cannot be read in full.
    pub async fn lists(&self) -> Result<Arc<Lists>, ListError> {
        self.lists_in(&(self.open_store)()?).await
    }

    pub(super) async fn lists_in(&self, store: &Store) -> Result<Arc<Lists>, ListError> {
        let mut builder = Builder::default();
        builder.inline(&self.exclude).map_err(ListError::Unreadable)?;
        for name in store.exclusion_lists().await? {
            let Some(bytes) = store.exclusion_list(&name).await? else { continue };
            builder.file(&name, &bytes).map_err(ListError::Unreadable)?;
        }
        Ok(Arc::new(builder.build().map_err(ListError::Unreadable)?))
    }

    /// What the lanes of a pass decide by, with the lists as they stand.
    pub(super) async fn policies(&self, store: &Store, lanes: &[&Lane]) -> Result<Vec<Policy>, ListError> {
        let lists = self.lists_in(store).await?;
        let policy = |lane: &&Lane| {
            let exclusions = Exclusions { lists: Arc::clone(&lists), ..lane.policy.exclusions };
            Policy { exclusions, ..lane.policy.clone() }
        };
        Ok(lanes.iter().map(policy).collect())
    }
}
