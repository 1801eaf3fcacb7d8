// Alerts that send a mail and call an action group, the rules, and a source whose name holds quotes and a backslash.
using '../../main.bicep'

param deployedAt = '2026-01-02T03:04:05Z'
param matiKey = 'SECRET-key'
param matiSecret = 'SECRET-secret'
param gtiApiKey = 'SECRET-gti'
param azureClientSecret = 'SECRET-client'
param webhookUrl = 'SECRET-webhook'
param packageUrl = ''
param alertEmail = 'soc@example.org'
param alertActionGroupId = '/subscriptions/00000000-0000-0000-0000-00000000000b/resourceGroups/rg-security/providers/Microsoft.Insights/actionGroups/soc'
param withRules = true
param sourceSystem = 'Bob\'s "feed" \\ x'
