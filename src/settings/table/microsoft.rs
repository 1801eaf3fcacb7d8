//! Sentinel, Defender for Endpoint, and the cloud that they are in.

use super::{Section, secret, setting};

pub const SENTINEL: Section = Section {
    title: "Sentinel",
    settings: &[
        setting(
            "AZURE_WORKSPACE_ID",
            "–",
            "The GUID of the Log Analytics workspace (its Overview page), not its name.",
        ),
        setting(
            "SENTINEL_API",
            "stix-objects",
            "The upload API. `upload-indicators` is the legacy one; outside the public cloud it needs \
             `SENTINEL_BASE_URL`.",
        ),
        setting(
            "SENTINEL_REQUESTS_PER_MINUTE",
            "100",
            "The most requests within any 60 seconds, spaced evenly. 100 is the service's own limit; more is \
             accepted with a warning.",
        ),
        setting(
            "AZURE_WORKSPACE_NAME",
            "–",
            "The workspace's name, for the [adoption](sentinel.md#adoption) and the [audit](operations.md#audit). \
             Set all three of this and the next two, or none.",
        ),
        setting(
            "AZURE_SUBSCRIPTION_ID",
            "–",
            "The GUID of the workspace's subscription, for the adoption and the audit.",
        ),
        setting(
            "AZURE_RESOURCE_GROUP_NAME",
            "–",
            "The workspace's resource group, for the adoption and the audit.",
        ),
        setting(
            "VERIFY_ARRIVAL",
            "–",
            "[Look for a sample](sentinel.md#arrival) of what was acknowledged, and offer again what has not arrived: \
             `true` or `false`. Without it: at Sentinel, where the three settings above are given. `true`: at Defender \
             too, by its list.",
        ),
        setting("SENTINEL_BASE_URL", "by cloud", "Another host than that of `SENTINEL_API`."),
        setting(
            "SENTINEL_UPLOAD_PATH",
            "by cloud",
            "Another path than that of `SENTINEL_API`. It holds `{workspaceId}`.",
        ),
    ],
};

pub const DEFENDER: Section = Section {
    title: "Defender for Endpoint",
    settings: &[
        setting(
            "DEFENDER_BASE_URL",
            "by cloud",
            "Another host, without `/api`: a nearer one such as `https://eu.api.security.microsoft.com`, or \
             `https://api-gcc.securitycenter.microsoft.us` for GCC. Required with `AZURE_CLOUD=china`, for \
             which none is known.",
        ),
        setting(
            "DEFENDER_INDICATOR_LIMIT",
            "15000",
            "The most indicators that the tenant may come to hold, 1–15000, those of other applications \
             included. 15,000 is Microsoft's own limit.",
        ),
    ],
};

pub const AZURE: Section = Section {
    title: "Azure",
    settings: &[
        setting(
            "AZURE_CLOUD",
            "public",
            "`public`, `usgov` or `china`: the hosts and scopes of all Microsoft APIs.",
        ),
        setting(
            "AZURE_TENANT_ID",
            "–",
            "The tenant of the app registration that uploads. Without a secret, here or in the key vault, the \
             managed identity uploads.",
        ),
        setting("AZURE_CLIENT_ID", "–", "The client id (a GUID) of the app registration that uploads."),
        secret(
            "AZURE_CLIENT_SECRET",
            "–",
            "The secret of the app registration. The key vault can hold it as `azure-client-secret`.",
        ),
        setting(
            "MANAGED_IDENTITY_CLIENT_ID",
            "–",
            "The client id of a user-assigned identity, for storage, key vault and uploads. Where there is no \
             managed identity, the login of the Azure CLI is used.",
        ),
        setting("AZURE_AUTHORITY_HOST", "by cloud", "Another host of Entra ID."),
        setting("AZURE_RESOURCE_MANAGER_URL", "by cloud", "Another host of Azure Resource Manager."),
        setting(
            "KEY_VAULT_URL",
            "–",
            "The key vault from which secrets are read that are not given directly: `mati-key`, `mati-secret`, \
             `gti-api-key`, `azure-client-secret`, `webhook-url`. A rotated secret is read again when the old one is \
             rejected.",
        ),
        setting(
            "KEY_VAULT_KEY_NAME",
            "mati-secret",
            "The name of the key vault's secret that holds the API secret.",
        ),
    ],
};
