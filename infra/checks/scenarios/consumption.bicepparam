// Linux Consumption with the package of a release, against Google Threat Intelligence.
using '../../main.bicep'

param deployedAt = '2026-01-02T03:04:05Z'
param matiKey = 'SECRET-key'
param matiSecret = 'SECRET-secret'
param gtiApiKey = 'SECRET-gti'
param azureClientSecret = 'SECRET-client'
param webhookUrl = 'SECRET-webhook'
param hostingPlan = 'consumption'
param packageUrl = 'https://github.com/owner/repository/releases/download/v1.2.3/mati-sync.zip'
param matiBaseUrl = 'https://www.virustotal.com/api/v3/mati'
