// The package of a release, copied into the storage account, so that no later start depends on an address outside.

@description('Name of the script.')
param name string
@description('Region.')
param location string
@description('Resource id of the identity that may write to the storage account.')
param identityId string
@description('Name of the storage account.')
param accountName string
@description('Container of the code.')
param container string
@description('URL of the package. It may redirect.')
param packageUrl string
@description('SHA-256 of the package. Empty: the one in the file beside it.')
param packageSha256 string
@description('Time of the deployment: another time runs the script again.')
param deployedAt string
@description('Tags of every resource.')
param tags { *: string }

resource copy 'Microsoft.Resources/deploymentScripts@2023-08-01' = {
  name: name
  location: location
  tags: tags
  kind: 'AzureCLI'
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: {
      '${identityId}': {}
    }
  }
  properties: {
    azCliVersion: '2.75.0'
    scriptContent: loadTextContent('../copy-package.sh')
    environmentVariables: [
      {
        name: 'PACKAGE_URL'
        value: packageUrl
      }
      {
        name: 'PACKAGE_SHA256'
        value: packageSha256
      }
      {
        name: 'ACCOUNT'
        value: accountName
      }
      {
        name: 'CONTAINER'
        value: container
      }
    ]
    forceUpdateTag: deployedAt
    timeout: 'PT20M'
    retentionInterval: 'PT1H'
    cleanupPreference: 'Always'
  }
}

@description('URL of the copy.')
output url string = copy.properties.outputs.url
@description('The same with a signature that lasts two hours. It protects nothing: the package is public.')
output signedUrl string = copy.properties.outputs.signedUrl
