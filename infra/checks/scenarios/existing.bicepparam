// Workspace, storage account and key vault exist already, in another resource group of another subscription.
using '../../main.bicep'

param deployedAt = '2026-01-02T03:04:05Z'
param matiKey = 'SECRET-key'
param matiSecret = 'SECRET-secret'
param gtiApiKey = 'SECRET-gti'
param azureClientSecret = 'SECRET-client'
param webhookUrl = 'SECRET-webhook'
param sentinelWorkspaceId = '/subscriptions/00000000-0000-0000-0000-00000000000b/resourceGroups/rg-security/providers/Microsoft.OperationalInsights/workspaces/soc'
param logsWorkspaceId = '/subscriptions/00000000-0000-0000-0000-00000000000b/resourceGroups/rg-security/providers/Microsoft.OperationalInsights/workspaces/soc'
param storageAccountId = '/subscriptions/00000000-0000-0000-0000-00000000000b/resourceGroups/rg-security/providers/Microsoft.Storage/storageAccounts/stshared'
param keyVaultId = '/subscriptions/00000000-0000-0000-0000-00000000000b/resourceGroups/rg-security/providers/Microsoft.KeyVault/vaults/kv-shared'
param packageUrl = 'https://github.com/owner/repository/releases/download/v1.2.3/mati-sync.zip'
