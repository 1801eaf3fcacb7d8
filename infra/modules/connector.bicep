// The page among Microsoft Sentinel's data connectors: the state of the delivery, a graph, and what to do next.

@description('Name of the workspace, in the resource group of this module.')
param workspaceName string
@description('Name of the app.')
param appName string
@description('SOURCE_SYSTEM of the app.')
param sourceSystem string
@description('URL of the status page.')
param statusUrl string
@description('Command that prints the function key.')
param keyCommand string
@description('Command that starts a pass.')
param firstSyncCommand string
@description('Command that shows the status.')
param statusCommand string
@description('Command that grants the role of Defender for Endpoint.')
param grantDefenderCommand string

// Within quotes of KQL.
var source = replace(replace(sourceSystem, '\\', '\\\\'), '\'', '\\\'')
// The portal appends to this query, so it has no comment of its own. It counts the rows of one type by time.
var graph = replace(loadTextContent('../kql/connector-graph.kql'), '{source}', source)

resource workspace 'Microsoft.OperationalInsights/workspaces@2025-07-01' existing = {
  name: workspaceName
}

resource page 'Microsoft.SecurityInsights/dataConnectorDefinitions@2025-09-01' = {
  scope: workspace
  name: appName
  kind: 'Customizable'
  properties: {
    connectorUiConfig: {
      id: appName
      title: 'Mandiant Threat Intelligence (mati-sync)'
      publisher: 'mati-sync'
      descriptionMarkdown: 'Indicators of compromise from Mandiant, uploaded by the function app **${appName}** under the source **${sourceSystem}**.\n\nThe platform itself fills the table ThreatIntelIndicators, and no data connector resource stands behind this page. *Connected* is derived from that table alone: Sentinel received a row of this source within the last 7 days. Whether every pass succeeds shows the status page of the app.'
      availability: {
        isPreview: false
        status: 1
      }
      graphQueries: [
        {
          metricName: 'Addresses'
          legend: 'Addresses'
          baseQuery: replace(graph, '{type}', 'ipv')
        }
        {
          metricName: 'Domains'
          legend: 'Domains'
          baseQuery: replace(graph, '{type}', 'domain-name')
        }
        {
          metricName: 'URLs'
          legend: 'URLs'
          baseQuery: replace(graph, '{type}', 'url')
        }
        {
          metricName: 'Files'
          legend: 'Files'
          baseQuery: replace(graph, '{type}', 'file')
        }
      ]
      dataTypes: [
        {
          name: 'ThreatIntelIndicators (${sourceSystem})'
          lastDataReceivedQuery: replace(loadTextContent('../kql/connector-last.kql'), '{source}', source)
        }
      ]
      connectivityCriteria: [
        {
          // Renewals alone bring a row every few days.
          type: 'IsConnectedQuery'
          value: [
            replace(loadTextContent('../kql/connector-connected.kql'), '{source}', source)
          ]
        }
      ]
      permissions: {
        resourceProvider: [
          {
            provider: 'Microsoft.OperationalInsights/workspaces'
            providerDisplayName: 'Workspace'
            permissionsDisplayText: 'Read permission on the workspace.'
            scope: 'Workspace'
            requiredPermissions: {
              read: true
              write: false
              delete: false
              action: false
            }
          }
        ]
        customs: [
          {
            name: 'Mandiant API key'
            description: 'Key and secret of a subscription to Mandiant Threat Intelligence, or the key of Google Threat Intelligence. The deployment has put them into the key vault.'
          }
          {
            name: 'Function key'
            description: 'Whoever opens the status page or starts a pass needs the function key of the app, and so the right to list its keys.'
          }
        ]
      }
      instructionSteps: [
        {
          title: '1. Open the status page'
          description: 'It shows the state of every lane, the newest passes and what to do about a failure. Append `?code=` and the function key, which the first command prints.'
          instructions: [
            {
              type: 'CopyableLabel'
              parameters: {
                label: 'Function key'
                value: keyCommand
              }
            }
            {
              type: 'CopyableLabel'
              parameters: {
                label: 'Status page'
                value: statusUrl
              }
            }
            {
              type: 'CopyableLabel'
              parameters: {
                label: 'Status in a terminal'
                value: statusCommand
              }
            }
          ]
        }
        {
          title: '2. Start the first sync'
          description: 'The timer starts a pass by itself; this command starts one at once. The first rows appear here some minutes after the pass.'
          instructions: [
            {
              type: 'CopyableLabel'
              parameters: {
                label: 'First sync'
                value: firstSyncCommand
              }
            }
          ]
        }
        {
          title: '3. For Defender for Endpoint: grant the role'
          description: 'Only needed if `TARGET_APPLICATION` contains `defender`. An administrator of the tenant runs the script of the release, because no template can grant it.'
          instructions: [
            {
              type: 'CopyableLabel'
              parameters: {
                label: 'Grant Ti.ReadWrite.All'
                value: grantDefenderCommand
              }
            }
          ]
        }
      ]
    }
  }
}
