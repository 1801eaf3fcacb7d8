// One service's private address, and the DNS zone by which the network finds it.

@description('Base of the names.')
param name string
@description('Region.')
param location string
@description('Resource id of the network that finds the service by the zone.')
param networkId string
@description('Resource id of the subnet that gives the address.')
param subnetId string
@description('Resource id of the service.')
param targetId string
@description('The part of the service: blob, queue, vault.')
param part string
@description('Name of the DNS zone.')
param zone string
@description('Tags of every resource.')
param tags { *: string }

resource endpoint 'Microsoft.Network/privateEndpoints@2025-05-01' = {
  name: '${name}-endpoint'
  location: location
  tags: tags
  properties: {
    subnet: {
      id: subnetId
    }
    privateLinkServiceConnections: [
      {
        name: part
        properties: {
          privateLinkServiceId: targetId
          groupIds: [
            part
          ]
        }
      }
    ]
  }
}

resource dns 'Microsoft.Network/privateDnsZones@2024-06-01' = {
  name: zone
  location: 'global'
  tags: tags
}

resource link 'Microsoft.Network/privateDnsZones/virtualNetworkLinks@2024-06-01' = {
  parent: dns
  name: name
  location: 'global'
  tags: tags
  properties: {
    registrationEnabled: false
    virtualNetwork: {
      id: networkId
    }
  }
}

resource record 'Microsoft.Network/privateEndpoints/privateDnsZoneGroups@2025-05-01' = {
  parent: endpoint
  name: 'default'
  properties: {
    privateDnsZoneConfigs: [
      {
        name: part
        properties: {
          privateDnsZoneId: dns.id
        }
      }
    ]
  }
}
