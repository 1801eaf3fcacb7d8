// A deployment from a terminal that names nothing but the secrets.
using '../../main.bicep'

param deployedAt = '2026-01-02T03:04:05Z'
param matiKey = 'SECRET-key'
param matiSecret = 'SECRET-secret'
param gtiApiKey = 'SECRET-gti'
param azureClientSecret = 'SECRET-client'
param webhookUrl = 'SECRET-webhook'
param packageUrl = ''
