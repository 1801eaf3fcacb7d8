// Rules for what Microsoft's stock rules cannot match of the indicators: IPv6 addresses, subdomains, hosts of URLs; and a
// hunt for events that are older than the indicator.

@description('Name of the workspace, in the resource group of this module.')
param workspaceName string
@description('Name of the app.')
param appName string
@description('SOURCE_SYSTEM of the app.')
param sourceSystem string

// Within quotes of KQL.
var source = replace(replace(sourceSystem, '\\', '\\\\'), '\'', '\\\'')
var hunt = replace(loadTextContent('../rules/retro-hunt.kql'), '{source}', source)
var detections = [
  {
    name: 'ipv6'
    title: 'mati-sync: a listed IPv6 address'
    text: 'Traffic with an IPv6 address that is listed. Microsoft\'s own rules compare these in upper case and never match them.'
    query: replace(loadTextContent('../rules/ipv6.kql'), '{source}', source)
    entity: 'IP'
    identifier: 'Address'
    column: 'Address'
  }
  {
    name: 'subdomains'
    title: 'mati-sync: a subdomain of a listed domain'
    text: 'A name below a domain that is listed. Microsoft\'s own rules compare whole names.'
    query: replace(loadTextContent('../rules/subdomains.kql'), '{source}', source)
    entity: 'DNS'
    identifier: 'DomainName'
    column: 'Name'
  }
  {
    name: 'url-host'
    title: 'mati-sync: the host of a listed URL'
    text: 'The host of a URL that is listed. Logs often have the host alone, and Microsoft\'s own rules compare whole URLs.'
    query: replace(loadTextContent('../rules/url-host.kql'), '{source}', source)
    entity: 'DNS'
    identifier: 'DomainName'
    column: 'Name'
  }
]

resource workspace 'Microsoft.OperationalInsights/workspaces@2025-07-01' existing = {
  name: workspaceName
}

resource rules 'Microsoft.SecurityInsights/alertRules@2025-09-01' = [
  for one in detections: {
    scope: workspace
    name: guid(workspace.id, appName, one.name)
    kind: 'Scheduled'
    properties: {
      displayName: one.title
      description: one.text
      severity: 'Medium'
      enabled: true
      query: one.query
      queryFrequency: 'PT1H'
      // The longest that a rule may look back; the events' hour stands in the query.
      queryPeriod: 'P14D'
      triggerOperator: 'GreaterThan'
      triggerThreshold: 0
      suppressionEnabled: false
      suppressionDuration: 'PT1H'
      tactics: [
        'CommandAndControl'
      ]
      techniques: [
        'T1071'
      ]
      entityMappings: [
        {
          entityType: one.entity
          fieldMappings: [
            {
              identifier: one.identifier
              columnName: one.column
            }
          ]
        }
      ]
      customDetails: {
        Indicator: 'Id'
        Confidence: 'Confidence'
        ActivityGroupNames: 'ActivityGroupNames'
        Log: 'Log'
      }
    }
  }
]

resource retroHunt 'Microsoft.OperationalInsights/workspaces/savedSearches@2025-07-01' = {
  parent: workspace
  name: guid(workspace.id, appName, 'retro-hunt')
  properties: {
    category: 'Hunting Queries'
    displayName: 'mati-sync: events of 30 days with an indicator that is new'
    query: hunt
    version: 2
    tags: [
      {
        name: 'description'
        value: 'The last 30 days against indicators of high score that came since yesterday. Rules look back an hour.'
      }
      {
        name: 'tactics'
        value: 'CommandAndControl'
      }
    ]
  }
}
