// What the operator must be told of: silence, a timer that does not fire, a pass that could not go on, rejected records,
// what was accepted and has not arrived, indicators that are not as they were sent, a watermark that stays behind, what
// the source could no longer give.

@description('Name of the app, as it signs its log lines.')
param appName string
@description('Region.')
param location string
@description('Resource id of the workspace with the log lines.')
param logsWorkspaceId string
@description('Hours between two passes.')
param scheduleHours int
@description('Time of the deployment.')
param deployedAt string
@description('Age of the watermark, in hours, from which on an alert fires.')
param checkpointHours int
@description('Where to send a mail. Empty: none.')
param email string
@description('Resource id of an action group to call. Empty: none.')
param actionGroupId string
@description('Tags of every resource.')
param tags { *: string }

var silence = replace(
  replace(replace(loadTextContent('../kql/alert-no-pass.kql'), '{app}', appName), '{hours}', string(2 * scheduleHours)),
  '{deployed}',
  deployedAt
)
var watchdog = replace(loadTextContent('../kql/alert-watchdog.kql'), '{app}', appName)
var stalled = replace(loadTextContent('../kql/alert-stalled.kql'), '{app}', appName)
var rejected = replace(loadTextContent('../kql/alert-rejected.kql'), '{app}', appName)
var arrival = replace(loadTextContent('../kql/alert-arrival.kql'), '{app}', appName)
var audit = replace(loadTextContent('../kql/alert-audit.kql'), '{app}', appName)
var checkpoint = replace(loadTextContent('../kql/alert-checkpoint.kql'), '{app}', appName)
var losses = replace(loadTextContent('../kql/alert-losses.kql'), '{app}', appName)
var actionGroups = concat(
  empty(email)
    ? []
    : [
        mail.id
      ],
  empty(actionGroupId)
    ? []
    : [
        actionGroupId
      ]
)

resource mail 'Microsoft.Insights/actionGroups@2023-01-01' = if (!empty(email)) {
  name: '${appName}-mail'
  location: 'global'
  tags: tags
  properties: {
    enabled: true
    groupShortName: 'mati-sync'
    emailReceivers: [
      {
        name: 'mail'
        emailAddress: empty(email) ? 'nobody@example.org' : email
        useCommonAlertSchema: true
      }
    ]
  }
}

resource noPass 'Microsoft.Insights/scheduledQueryRules@2026-03-01' = {
  name: '${appName}-no-pass'
  location: location
  tags: tags
  kind: 'LogAlert'
  properties: {
    displayName: 'mati-sync: no pass ended in twice the schedule'
    description: 'No pass of ${appName} ended within ${2 * scheduleHours} hours. Look at the function SyncTimer: is the app running, and does the host see its functions?'
    severity: 1
    enabled: true
    evaluationFrequency: 'PT30M'
    windowSize: 'PT1H'
    // The window that counts stands in the query: two days at most, which a daily schedule needs.
    overrideQueryTimeRange: 'P2D'
    autoMitigate: true
    // The table is there from the first log line on.
    skipQueryValidation: true
    scopes: [
      logsWorkspaceId
    ]
    criteria: {
      allOf: [
        {
          query: silence
          metricMeasureColumn: 'Silent'
          timeAggregation: 'Total'
          operator: 'GreaterThan'
          threshold: 0
          failingPeriods: {
            numberOfEvaluationPeriods: 1
            minFailingPeriodsToAlert: 1
          }
        }
      ]
    }
    actions: {
      actionGroups: actionGroups
    }
  }
}

resource watchdogPass 'Microsoft.Insights/scheduledQueryRules@2026-03-01' = {
  name: '${appName}-watchdog'
  location: location
  tags: tags
  kind: 'LogAlert'
  properties: {
    displayName: 'mati-sync: the timer does not fire'
    description: 'The timer of ${appName} started no pass for twice its schedule, so a delayed message of an earlier pass did. Nothing is lost. Restart the app; if that does not help, look at the function SyncTimer.'
    severity: 2
    enabled: true
    evaluationFrequency: 'PT30M'
    windowSize: 'PT1H'
    autoMitigate: true
    skipQueryValidation: true
    scopes: [
      logsWorkspaceId
    ]
    criteria: {
      allOf: [
        {
          query: watchdog
          metricMeasureColumn: 'Passes'
          timeAggregation: 'Total'
          operator: 'GreaterThan'
          threshold: 0
          failingPeriods: {
            numberOfEvaluationPeriods: 1
            minFailingPeriodsToAlert: 1
          }
        }
      ]
    }
    actions: {
      actionGroups: actionGroups
    }
  }
}

resource stalledPass 'Microsoft.Insights/scheduledQueryRules@2026-03-01' = {
  name: '${appName}-stalled'
  location: location
  tags: tags
  kind: 'LogAlert'
  properties: {
    displayName: 'mati-sync: a pass stalled or failed'
    description: 'A pass of ${appName} ended stalled or failed. Its message says what stands in the way; GET /api/status shows it.'
    severity: 2
    enabled: true
    evaluationFrequency: 'PT15M'
    windowSize: 'PT30M'
    autoMitigate: true
    skipQueryValidation: true
    scopes: [
      logsWorkspaceId
    ]
    criteria: {
      allOf: [
        {
          query: stalled
          metricMeasureColumn: 'Passes'
          timeAggregation: 'Total'
          operator: 'GreaterThan'
          threshold: 0
          failingPeriods: {
            numberOfEvaluationPeriods: 1
            minFailingPeriodsToAlert: 1
          }
        }
      ]
    }
    actions: {
      actionGroups: actionGroups
    }
  }
}

resource rejectedRecords 'Microsoft.Insights/scheduledQueryRules@2026-03-01' = {
  name: '${appName}-rejected'
  location: location
  tags: tags
  kind: 'LogAlert'
  properties: {
    displayName: 'mati-sync: records were rejected'
    description: 'The destination rejected records of ${appName}. They lie with their reasons under lanes/<lane>/rejected in the state container.'
    severity: 3
    enabled: true
    evaluationFrequency: 'PT1H'
    windowSize: 'PT1H'
    autoMitigate: false
    skipQueryValidation: true
    scopes: [
      logsWorkspaceId
    ]
    criteria: {
      allOf: [
        {
          query: rejected
          metricMeasureColumn: 'Rejected'
          timeAggregation: 'Total'
          operator: 'GreaterThan'
          threshold: 0
          dimensions: [
            {
              name: 'Lane'
              operator: 'Include'
              values: [
                '*'
              ]
            }
          ]
          failingPeriods: {
            numberOfEvaluationPeriods: 1
            minFailingPeriodsToAlert: 1
          }
        }
      ]
    }
    actions: {
      actionGroups: actionGroups
    }
  }
}

resource notArrived 'Microsoft.Insights/scheduledQueryRules@2026-03-01' = {
  name: '${appName}-arrival'
  location: location
  tags: tags
  kind: 'LogAlert'
  properties: {
    displayName: 'mati-sync: accepted but not arrived'
    description: 'The destination accepted indicators of ${appName} and does not show them three hours later. The message of the pass names one, and GET /api/status shows all.'
    severity: 2
    enabled: true
    evaluationFrequency: 'PT1H'
    windowSize: 'PT1H'
    autoMitigate: false
    skipQueryValidation: true
    scopes: [
      logsWorkspaceId
    ]
    criteria: {
      allOf: [
        {
          query: arrival
          metricMeasureColumn: 'Missing'
          timeAggregation: 'Total'
          operator: 'GreaterThan'
          threshold: 0
          dimensions: [
            {
              name: 'Lane'
              operator: 'Include'
              values: [
                '*'
              ]
            }
          ]
          failingPeriods: {
            numberOfEvaluationPeriods: 1
            minFailingPeriodsToAlert: 1
          }
        }
      ]
    }
    actions: {
      actionGroups: actionGroups
    }
  }
}

resource auditFindings 'Microsoft.Insights/scheduledQueryRules@2026-03-01' = {
  name: '${appName}-audit'
  location: location
  tags: tags
  kind: 'LogAlert'
  properties: {
    displayName: 'mati-sync: an audit found something amiss'
    description: 'A destination does not hold what ${appName} sent: indicators are missing, were changed by others, are unknown or ended early. GET /api/status?audit=true shows them; mati-sync audit --repair repairs them.'
    severity: 3
    enabled: true
    evaluationFrequency: 'PT1H'
    windowSize: 'PT1H'
    autoMitigate: false
    skipQueryValidation: true
    scopes: [
      logsWorkspaceId
    ]
    criteria: {
      allOf: [
        {
          query: audit
          metricMeasureColumn: 'Amiss'
          timeAggregation: 'Total'
          operator: 'GreaterThan'
          threshold: 0
          dimensions: [
            {
              name: 'Lane'
              operator: 'Include'
              values: [
                '*'
              ]
            }
          ]
          failingPeriods: {
            numberOfEvaluationPeriods: 1
            minFailingPeriodsToAlert: 1
          }
        }
      ]
    }
    actions: {
      actionGroups: actionGroups
    }
  }
}

resource oldCheckpoint 'Microsoft.Insights/scheduledQueryRules@2026-03-01' = {
  name: '${appName}-checkpoint'
  location: location
  tags: tags
  kind: 'LogAlert'
  properties: {
    displayName: 'mati-sync: the checkpoint is old'
    description: 'The watermark of ${appName} is more than ${checkpointHours} hours old: what the source updated since then is not delivered.'
    severity: 2
    enabled: true
    evaluationFrequency: 'PT1H'
    windowSize: 'PT1H'
    overrideQueryTimeRange: 'P2D'
    autoMitigate: true
    skipQueryValidation: true
    scopes: [
      logsWorkspaceId
    ]
    criteria: {
      allOf: [
        {
          query: checkpoint
          metricMeasureColumn: 'AgeHours'
          timeAggregation: 'Maximum'
          operator: 'GreaterThan'
          threshold: checkpointHours
          dimensions: [
            {
              name: 'Lane'
              operator: 'Include'
              values: [
                '*'
              ]
            }
          ]
          failingPeriods: {
            numberOfEvaluationPeriods: 1
            minFailingPeriodsToAlert: 1
          }
        }
      ]
    }
    actions: {
      actionGroups: actionGroups
    }
  }
}

resource lostRecords 'Microsoft.Insights/scheduledQueryRules@2026-03-01' = {
  name: '${appName}-losses'
  location: location
  tags: tags
  kind: 'LogAlert'
  properties: {
    displayName: 'mati-sync: the source did not give everything'
    description: 'The source of ${appName} could no longer give something, or perhaps did not give it in full. The report of the pass says what under losses, and the status page shows it for 90 days.'
    severity: 2
    enabled: true
    evaluationFrequency: 'PT1H'
    windowSize: 'PT1H'
    // It is told once, by the pass that noted it.
    autoMitigate: false
    skipQueryValidation: true
    scopes: [
      logsWorkspaceId
    ]
    criteria: {
      allOf: [
        {
          query: losses
          metricMeasureColumn: 'Losses'
          timeAggregation: 'Total'
          operator: 'GreaterThan'
          threshold: 0
          failingPeriods: {
            numberOfEvaluationPeriods: 1
            minFailingPeriodsToAlert: 1
          }
        }
      ]
    }
    actions: {
      actionGroups: actionGroups
    }
  }
}
