// The secrets in a vault, new or existing, and the right to read them.

@description('Name of the vault, in the resource group of this module.')
param vaultName string
@description('Id of Mandiant\'s API key. Empty: the vault holds it already.')
@secure()
param matiKey string
@description('Secret of Mandiant\'s API key. Empty: the vault holds it already, or none is needed.')
@secure()
param matiSecret string
@description('API key of Google Threat Intelligence. Empty: the vault holds it already, or none is needed.')
@secure()
param gtiApiKey string
@description('Secret of the app registration that uploads. Empty: there is none, or the vault holds it already.')
@secure()
param azureClientSecret string
@description('Address of the webhook. Empty: there is none, or the vault holds it already.')
@secure()
param webhookUrl string
@description('Name of the vault\'s secret for Mandiant\'s API secret.')
param secretName string
@description('Resource id of the identity: the part of a role assignment\'s name that is known before it exists.')
param identityId string
@description('Principal id of the identity.')
param principalId string

var secretsUser = '4633458b-17de-408a-b874-0445c86b69e6'

resource vault 'Microsoft.KeyVault/vaults@2025-05-01' existing = {
  name: vaultName
}

resource key 'Microsoft.KeyVault/vaults/secrets@2025-05-01' = if (!empty(matiKey)) {
  parent: vault
  name: 'mati-key'
  properties: {
    value: matiKey
    contentType: 'text/plain'
  }
}

resource secret 'Microsoft.KeyVault/vaults/secrets@2025-05-01' = if (!empty(matiSecret)) {
  parent: vault
  name: secretName
  properties: {
    value: matiSecret
    contentType: 'text/plain'
  }
}

resource gtiKey 'Microsoft.KeyVault/vaults/secrets@2025-05-01' = if (!empty(gtiApiKey)) {
  parent: vault
  name: 'gti-api-key'
  properties: {
    value: gtiApiKey
    contentType: 'text/plain'
  }
}

resource clientSecret 'Microsoft.KeyVault/vaults/secrets@2025-05-01' = if (!empty(azureClientSecret)) {
  parent: vault
  name: 'azure-client-secret'
  properties: {
    value: azureClientSecret
    contentType: 'text/plain'
  }
}

resource webhook 'Microsoft.KeyVault/vaults/secrets@2025-05-01' = if (!empty(webhookUrl)) {
  parent: vault
  name: 'webhook-url'
  properties: {
    value: webhookUrl
    contentType: 'text/plain'
  }
}

resource reader 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: vault
  name: guid(vault.id, identityId, secretsUser)
  properties: {
    principalId: principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', secretsUser)
  }
}

output url string = vault.properties.vaultUri
