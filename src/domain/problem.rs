//! A problem that stops a lane, in words, and what the operator can do about it as data.

use std::fmt;

/// Something that only the operator, or time, can mend. Displayed as the sentence alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub message: String,
    /// The role that the identity lacks, if that is the problem.
    pub role: Option<Role>,
}

impl Problem {
    /// The same problem, mended by assigning `role`.
    pub fn needs(self, role: Role) -> Self {
        Self { role: Some(role), ..self }
    }
}

impl From<String> for Problem {
    fn from(message: String) -> Self {
        Self { message, role: None }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// A role of Azure that an identity of ours needs (learn.microsoft.com, "Azure built-in roles").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    SentinelReader,
    SentinelContributor,
    StorageBlobDataContributor,
    KeyVaultSecretsUser,
    StorageQueueDataContributor,
}

impl Role {
    /// Its name in Azure.
    pub fn name(self) -> &'static str {
        match self {
            Self::SentinelReader => "Microsoft Sentinel Reader",
            Self::SentinelContributor => "Microsoft Sentinel Contributor",
            Self::StorageBlobDataContributor => "Storage Blob Data Contributor",
            Self::KeyVaultSecretsUser => "Key Vault Secrets User",
            Self::StorageQueueDataContributor => "Storage Queue Data Contributor",
        }
    }

    /// What it is assigned on, and where that resource's id stands.
    pub fn scope(self) -> &'static str {
        match self {
            Self::SentinelReader | Self::SentinelContributor => {
                "the workspace (its Properties page has the resource id)"
            }
            Self::StorageBlobDataContributor | Self::StorageQueueDataContributor => {
                "the storage account (its Endpoints page has the resource id)"
            }
            Self::KeyVaultSecretsUser => "the key vault (its Properties page has the resource id)",
        }
    }

    /// How the operator assigns it.
    pub fn assignment(self) -> String {
        format!(
            "In the portal: Access control (IAM) of {scope} → Add role assignment. Or: az role assignment create --role \"{name}\" --assignee <object id of the identity> --scope <resource id>",
            scope = self.scope(),
            name = self.name()
        )
    }
}
