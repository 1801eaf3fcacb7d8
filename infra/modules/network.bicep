// A network of its own: a subnet for the app, and one for the private endpoints of storage and vault.

@description('Base of the names.')
param name string
@description('Region.')
param location string
@description('Addresses of the network, /24 or larger.')
param addressPrefix string
@description('Addresses of the app\'s subnet, /27 or larger.')
param appSubnetPrefix string
@description('Addresses of the endpoints\' subnet, /28 or larger.')
param endpointSubnetPrefix string
@description('True: the app calls out from one fixed public address.')
param fixedOutboundAddress bool
@description('Resource id of the storage account.')
param storageAccountId string
@description('Resource id of the vault.')
param vaultId string
@description('Tags of every resource.')
param tags { *: string }

// The zones differ from cloud to cloud; the suffixes of the cloud say how.
var storageSuffix = environment().suffixes.storage
var vaultZone = 'privatelink${replace(environment().suffixes.keyvaultDns, '.vault.', '.vaultcore.')}'

resource address 'Microsoft.Network/publicIPAddresses@2025-05-01' = if (fixedOutboundAddress) {
  name: '${name}-out-ip'
  location: location
  tags: tags
  sku: {
    name: 'Standard'
  }
  properties: {
    publicIPAllocationMethod: 'Static'
  }
}

resource gateway 'Microsoft.Network/natGateways@2025-05-01' = if (fixedOutboundAddress) {
  name: '${name}-out'
  location: location
  tags: tags
  sku: {
    name: 'Standard'
  }
  properties: {
    idleTimeoutInMinutes: 4
    publicIpAddresses: [
      {
        id: address.id
      }
    ]
  }
}

resource group 'Microsoft.Network/networkSecurityGroups@2025-05-01' = {
  name: '${name}-nsg'
  location: location
  tags: tags
  properties: {
    securityRules: []
  }
}

resource network 'Microsoft.Network/virtualNetworks@2025-05-01' = {
  name: '${name}-vnet'
  location: location
  tags: tags
  properties: {
    addressSpace: {
      addressPrefixes: [
        addressPrefix
      ]
    }
    subnets: [
      {
        name: 'app'
        properties: {
          addressPrefix: appSubnetPrefix
          // Mandiant, Entra ID and Sentinel are on the internet.
          defaultOutboundAccess: !fixedOutboundAddress
          delegations: [
            {
              name: 'flex'
              properties: {
                serviceName: 'Microsoft.App/environments'
              }
            }
          ]
          natGateway: fixedOutboundAddress
            ? {
                id: gateway.id
              }
            : null
          networkSecurityGroup: {
            id: group.id
          }
        }
      }
      {
        name: 'endpoints'
        properties: {
          addressPrefix: endpointSubnetPrefix
          defaultOutboundAccess: false
          networkSecurityGroup: {
            id: group.id
          }
          privateEndpointNetworkPolicies: 'Enabled'
        }
      }
    ]
  }
}

module blob 'private-endpoint.bicep' = {
  params: {
    name: '${name}-blob'
    location: location
    networkId: network.id
    subnetId: '${network.id}/subnets/endpoints'
    targetId: storageAccountId
    part: 'blob'
    zone: 'privatelink.blob.${storageSuffix}'
    tags: tags
  }
}

module queue 'private-endpoint.bicep' = {
  params: {
    name: '${name}-queue'
    location: location
    networkId: network.id
    subnetId: '${network.id}/subnets/endpoints'
    targetId: storageAccountId
    part: 'queue'
    zone: 'privatelink.queue.${storageSuffix}'
    tags: tags
  }
}

module vault 'private-endpoint.bicep' = {
  params: {
    name: '${name}-vault'
    location: location
    networkId: network.id
    subnetId: '${network.id}/subnets/endpoints'
    targetId: vaultId
    part: 'vault'
    zone: vaultZone
    tags: tags
  }
}

output appSubnetId string = '${network.id}/subnets/app'
