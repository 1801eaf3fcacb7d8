// Delivery at a glance, among Microsoft Sentinel's workbooks: what we sent, and what Sentinel has.

@description('Name of the app, as it signs its log lines.')
param appName string
@description('Region.')
param location string
@description('Resource id of the workspace with the log lines.')
param logsWorkspaceId string
@description('Resource id of the workspace with the indicators.')
param sentinelWorkspaceId string
@description('SOURCE_SYSTEM of the app.')
param sourceSystem string
@description('Tags of every resource.')
param tags { *: string }

// Within quotes of KQL.
var source = replace(replace(sourceSystem, '\\', '\\\\'), '\'', '\\\'')

// The numbers are the workbooks' own: item 1 is a text, 3 a query, 9 parameters; query type 0 is Logs.
var logs = {
  version: 'KqlItem/1.0'
  queryType: 0
  size: 0
  resourceType: 'microsoft.operationalinsights/workspaces'
  timeContextFromParameter: 'TimeRange'
  crossComponentResources: [
    logsWorkspaceId
  ]
}
var indicators = union(logs, {
  crossComponentResources: [
    sentinelWorkspaceId
  ]
})

var content = {
  version: 'Notebook/1.0'
  '$schema': 'https://github.com/Microsoft/Application-Insights-Workbooks/blob/master/schema/workbook.json'
  fallbackResourceIds: [
    sentinelWorkspaceId
  ]
  items: [
    {
      type: 1
      name: 'introduction'
      content: {
        json: '# mati-sync: delivery\nIndicators from Mandiant, as ${appName} delivered them. The counts come from the report that ends every pass.'
      }
    }
    {
      type: 9
      name: 'parameters'
      content: {
        version: 'KqlParameterItem/1.0'
        style: 'pills'
        queryType: 0
        resourceType: 'microsoft.operationalinsights/workspaces'
        parameters: [
          {
            id: '6a3b2c6e-6f0e-4a0b-8f6c-3d2f6a1b7c10'
            version: 'KqlParameterItem/1.0'
            name: 'TimeRange'
            label: 'Time'
            type: 4
            isRequired: true
            value: {
              durationMs: 604800000
            }
            typeSettings: {
              allowCustom: true
              selectableValues: [
                {
                  durationMs: 86400000
                }
                {
                  durationMs: 604800000
                }
                {
                  durationMs: 2592000000
                }
              ]
            }
          }
        ]
      }
    }
    {
      type: 3
      name: 'now'
      customWidth: '100'
      content: union(logs, {
        title: 'Where each lane stands'
        visualization: 'table'
        query: replace(loadTextContent('../kql/workbook-now.kql'), '{app}', appName)
      })
    }
    {
      type: 3
      name: 'delivery'
      customWidth: '50'
      content: union(logs, {
        title: 'Delivered, by hour'
        visualization: 'barchart'
        query: replace(loadTextContent('../kql/workbook-delivery.kql'), '{app}', appName)
      })
    }
    {
      type: 3
      name: 'ends'
      customWidth: '50'
      content: union(logs, {
        title: 'How passes ended, by hour'
        visualization: 'barchart'
        query: replace(loadTextContent('../kql/workbook-ends.kql'), '{app}', appName)
      })
    }
    {
      type: 3
      name: 'fates'
      customWidth: '50'
      content: union(logs, {
        title: 'What became of the records read'
        visualization: 'piechart'
        query: replace(loadTextContent('../kql/workbook-fates.kql'), '{app}', appName)
      })
    }
    {
      type: 3
      name: 'held'
      customWidth: '50'
      content: union(indicators, {
        title: 'What Sentinel holds of this source'
        visualization: 'table'
        query: replace(loadTextContent('../kql/workbook-held.kql'), '{source}', source)
      })
    }
    {
      type: 3
      name: 'arrivals'
      customWidth: '100'
      content: union(indicators, {
        title: 'Rows that arrived in Sentinel, by hour'
        visualization: 'timechart'
        query: replace(loadTextContent('../kql/workbook-arrivals.kql'), '{source}', source)
      })
    }
    {
      type: 3
      name: 'passes'
      customWidth: '100'
      content: union(logs, {
        title: 'The newest passes'
        visualization: 'table'
        query: replace(loadTextContent('../kql/workbook-passes.kql'), '{app}', appName)
      })
    }
  ]
}

resource workbook 'Microsoft.Insights/workbooks@2023-06-01' = {
  name: guid(resourceGroup().id, appName, 'workbook')
  location: location
  tags: tags
  kind: 'shared'
  properties: {
    displayName: 'mati-sync: delivery (${appName})'
    category: 'sentinel'
    sourceId: sentinelWorkspaceId
    serializedData: string(content)
  }
}
