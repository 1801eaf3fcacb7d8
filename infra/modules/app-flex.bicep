// The function app on the Flex Consumption plan.

@description('Name of the app.')
param name string
@description('Region.')
param location string
@description('Resource id of the identity under which the app works.')
param identityId string
@description('The app settings.')
param settings object
@description('URL of the container that keeps the code.')
param packageContainerUrl string
@description('URL of the package. Empty: the code is brought by hand.')
param packageUrl string
@description('The most instances.')
param maximumInstances int
@description('Memory of an instance, in MB.')
param instanceMemory int
@description('Resource id of the subnet for what the app calls. Empty: none.')
param subnetId string
@description('Tags of every resource.')
param tags object

resource plan 'Microsoft.Web/serverfarms@2024-11-01' = {
  name: '${name}-plan'
  location: location
  tags: tags
  kind: 'functionapp'
  sku: {
    name: 'FC1'
    tier: 'FlexConsumption'
  }
  properties: {
    reserved: true
  }
}

resource app 'Microsoft.Web/sites@2024-11-01' = {
  name: name
  location: location
  tags: tags
  kind: 'functionapp,linux'
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: {
      '${identityId}': {}
    }
  }
  properties: {
    serverFarmId: plan.id
    httpsOnly: true
    publicNetworkAccess: 'Enabled'
    virtualNetworkSubnetId: empty(subnetId) ? null : subnetId
    siteConfig: {
      minTlsVersion: '1.2'
      scmMinTlsVersion: '1.2'
      http20Enabled: true
      ftpsState: 'Disabled'
    }
    functionAppConfig: {
      deployment: {
        storage: {
          type: 'blobContainer'
          value: packageContainerUrl
          authentication: {
            type: 'UserAssignedIdentity'
            userAssignedIdentityResourceId: identityId
          }
        }
      }
      runtime: {
        name: 'custom'
        version: '1.0'
      }
      scaleAndConcurrency: {
        maximumInstanceCount: maximumInstances
        instanceMemoryMB: instanceMemory
      }
    }
  }
}

resource appSettings 'Microsoft.Web/sites/config@2024-11-01' = {
  parent: app
  name: 'appsettings'
  properties: settings
}

// Publishing needs a token of Entra ID; there is no user name and password.
resource scm 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2024-11-01' = {
  parent: app
  name: 'scm'
  properties: {
    allow: false
  }
}

resource ftp 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2024-11-01' = {
  parent: app
  name: 'ftp'
  properties: {
    allow: false
  }
}

resource code 'Microsoft.Web/sites/extensions@2024-11-01' = if (!empty(packageUrl)) {
  parent: app
  name: 'onedeploy'
  // The published types know the resource and not what it takes.
  #disable-next-line BCP037 BCP187
  properties: {
    packageUri: packageUrl
    remoteBuild: false
  }
  // The host starts once the code is there, and must find its settings.
  dependsOn: [
    appSettings
    scm
    ftp
  ]
}

output hostName string = app.properties.defaultHostName
