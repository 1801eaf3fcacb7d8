// Application Insights that takes telemetry from known identities alone.

@description('Name of the component.')
param name string
@description('Region.')
param location string
@description('Resource id of the workspace that keeps the telemetry.')
param workspaceId string
@description('Resource id of the identity: the part of a role assignment\'s name that is known before it exists.')
param identityId string
@description('Principal id of the identity.')
param principalId string
@description('Tags of every resource.')
param tags { *: string }

var metricsPublisher = '3913510d-42f4-4e42-8a64-420c390055eb'

resource component 'Microsoft.Insights/components@2020-02-02' = {
  name: name
  location: location
  tags: tags
  kind: 'web'
  properties: {
    Application_Type: 'web'
    DisableLocalAuth: true
    IngestionMode: 'LogAnalytics'
    WorkspaceResourceId: workspaceId
  }
}

resource publisher 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: component
  name: guid(component.id, identityId, metricsPublisher)
  properties: {
    principalId: principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', metricsPublisher)
  }
}

output connectionString string = component.properties.ConnectionString
