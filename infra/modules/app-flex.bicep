// The function app on the Flex Consumption plan.

@description('Name of the app.')
param name string
@description('Region.')
param location string
@description('Resource id of the identity under which the app works.')
param identityId string
@description('The app settings.')
param settings { *: string }
@description('URL of the container that keeps the code.')
param packageContainerUrl string
@description('URL from which the platform fetches the package. It should not redirect.')
param packageUrl string
@description('True: the platform fetches the package. False: the operator publishes the code.')
param withPackage bool
@description('The most instances.')
param maximumInstances int
@description('Memory of an instance, in MB.')
param instanceMemory int
@description('Resource id of the subnet for what the app calls. Empty: none.')
param subnetId string
@description('Tags of every resource.')
param tags { *: string }

resource plan 'Microsoft.Web/serverfarms@2025-03-01' = {
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

resource app 'Microsoft.Web/sites@2025-03-01' = {
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
    // Newer regions refuse ftpsState and others here, even at their defaults; the plan has no FTP.
    siteConfig: {
      minTlsVersion: '1.2'
      scmMinTlsVersion: '1.2'
      http20Enabled: true
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

resource appSettings 'Microsoft.Web/sites/config@2025-03-01' = {
  parent: app
  name: 'appsettings'
  properties: settings
}

// Publishing needs a token of Entra ID; there is no user name and password.
resource scm 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2025-03-01' = {
  parent: app
  name: 'scm'
  // Azure demands it in some regions; the published types do not know it.
  #disable-next-line BCP187
  location: location
  properties: {
    allow: false
  }
}

resource ftp 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2025-03-01' = {
  parent: app
  name: 'ftp'
  #disable-next-line BCP187
  location: location
  properties: {
    allow: false
  }
}

resource code 'Microsoft.Web/sites/extensions@2025-03-01' = if (withPackage) {
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
