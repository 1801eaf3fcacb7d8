// An own schedule and time limit, the older product's single expiration, and neither alerts nor pages.
using '../../main.bicep'

param deployedAt = '2026-01-02T03:04:05Z'
param matiKey = 'SECRET-key'
param matiSecret = 'SECRET-secret'
param gtiApiKey = 'SECRET-gti'
param azureClientSecret = 'SECRET-client'
param webhookUrl = 'SECRET-webhook'
param packageUrl = ''
param syncCron = '0 7 */5 * * *'
param functionTimeout = '00:09:00'
param indicatorExpiration = '30'
param hashIndicatorExpiration = 60
param withAlerts = false
param withWorkbook = false
param withConnectorPage = false
