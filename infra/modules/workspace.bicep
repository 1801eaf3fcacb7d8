// A Log Analytics workspace, with Microsoft Sentinel on it where that is wanted.

@description('Name of the workspace.')
param name string
@description('Region.')
param location string
@description('Days for which logs are kept.')
param retentionDays int
@description('True: Microsoft Sentinel is enabled.')
param withSentinel bool
@description('Tags of every resource.')
param tags { *: string }

resource workspace 'Microsoft.OperationalInsights/workspaces@2025-07-01' = {
  name: name
  location: location
  tags: tags
  properties: {
    retentionInDays: retentionDays
    sku: {
      name: 'PerGB2018'
    }
    features: {
      enableLogAccessUsingOnlyResourcePermissions: true
    }
  }
}

resource sentinel 'Microsoft.SecurityInsights/onboardingStates@2025-09-01' = if (withSentinel) {
  scope: workspace
  name: 'default'
  properties: {}
}

output id string = workspace.id
