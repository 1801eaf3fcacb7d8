// Storage and key vault on a private network, a fixed outbound address, the package of a release.
using '../../main.bicep'

param deployedAt = '2026-01-02T03:04:05Z'
param matiKey = 'SECRET-key'
param matiSecret = 'SECRET-secret'
param gtiApiKey = 'SECRET-gti'
param azureClientSecret = 'SECRET-client'
param webhookUrl = 'SECRET-webhook'
param hostingPlan = 'flex-private'
param fixedOutboundAddress = true
param packageUrl = 'https://github.com/owner/repository/releases/download/v1.2.3/mati-sync.zip'
