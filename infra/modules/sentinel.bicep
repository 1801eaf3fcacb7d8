// The right to upload indicators to a workspace, in whatever resource group it lies.

@description('Name of the workspace, in the resource group of this module.')
param workspaceName string
@description('Resource id of the identity: the part of a role assignment\'s name that is known before it exists.')
param identityId string
@description('Principal id of the identity.')
param principalId string

var sentinelContributor = 'ab8e14d6-4a74-4a29-9ba8-549422addade'

resource workspace 'Microsoft.OperationalInsights/workspaces@2025-07-01' existing = {
  name: workspaceName
}

resource uploader 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: workspace
  name: guid(workspace.id, identityId, sentinelContributor)
  properties: {
    principalId: principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', sentinelContributor)
  }
}

@description('The id by which the upload API knows the workspace.')
output workspaceGuid string = workspace.properties.customerId
