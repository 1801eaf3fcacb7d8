//! Where the state of a killed executable lives.

use std::sync::Arc;

use sandbox::host::Settings;
use uuid::Uuid;

use crate::harness::azurite::Azurite;

/// A home of its own for every life.
pub enum Home {
    /// Beneath the bench's folder.
    Directory,
    Azurite {
        service: Arc<Azurite>,
        container: String,
    },
}

impl Home {
    /// A container of its own.
    pub fn azurite() -> Self {
        Self::Azurite { service: Azurite::plain(), container: format!("test-{}", Uuid::new_v4()) }
    }

    /// Leads the executable here.
    pub fn settle(&self, settings: &mut Settings) {
        if let Self::Azurite { service, container } = self {
            settings.remove("STATE_DIR");
            settings.insert("AzureWebJobsStorage".to_owned(), service.connection_string());
            settings.insert("STORAGE_CONTAINER_NAME".to_owned(), container.clone());
        }
    }

    /// Frees the lease of a process that was killed. An operating system frees a file's lock by itself, the storage
    /// only after half a minute: nothing but time is saved by breaking that lease here.
    pub async fn free_lease(&self) {
        if let Self::Azurite { service, container } = self {
            service.break_lease(container, "lease").await;
        }
    }
}
