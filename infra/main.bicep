// Everything mati-sync needs in Azure, in one resource group: the function app, its identity and the identity's roles,
// storage, key vault, telemetry, alerts and a workbook. Storage, vault and workspaces may exist already, anywhere in
// the tenant. The settings of the app are parameters by the same names, spelt likeThis; those that say where things
// are follow from what is deployed. `checks/compile.py` makes azuredeploy.json of this file.

targetScope = 'resourceGroup'

// Where and what

@description('Region of everything that is created.')
param location string = resourceGroup().location
@description('Tags of everything that is created.')
param tags object = {}
@description('Mixed into the names. Choose another one after deleting a deployment: the name of a deleted key vault stays taken for 90 days.')
param nameSalt string = ''
@description('Name of the function app, unique in the world.')
@maxLength(32)
param appName string = 'mati-sync-${uniqueString(resourceGroup().id, nameSalt)}'
@description('flex: Flex Consumption. flex-private: the same, with storage and key vault behind private endpoints in a network of its own. consumption: Linux Consumption, which Microsoft retires in September 2028.')
@allowed(['flex', 'flex-private', 'consumption'])
param hostingPlan string = 'flex'
@description('The package of a release, which the app runs. Empty: it is brought by hand.')
param packageUrl string = 'https://github.com/mati-sync/mati-sync/releases/download/v0.1.0/mati-sync.zip'
@description('Flex Consumption: the most instances. Passes never run side by side.')
@minValue(40)
@maxValue(1000)
param maximumInstances int = 40
@description('Flex Consumption: memory of an instance, in MB.')
@allowed([512, 2048, 4096])
param instanceMemory int = 512
@description('flex-private: addresses of the network.')
param networkPrefix string = '10.73.0.0/24'
@description('flex-private: addresses of the app\'s subnet, /27 or larger.')
param appSubnetPrefix string = '10.73.0.0/26'
@description('flex-private: addresses of the private endpoints\' subnet.')
param endpointSubnetPrefix string = '10.73.0.64/27'
@description('flex-private: the app calls out from one fixed public address (a NAT gateway, at its price).')
param fixedOutboundAddress bool = false
@description('Resource id of the Log Analytics workspace that has Microsoft Sentinel. Empty: a new one, with Sentinel.')
param sentinelWorkspaceId string = ''
@description('Resource id of the workspace for logs and telemetry. Empty: a new one. It need not be Sentinel\'s, where each log line costs more.')
param logsWorkspaceId string = ''
@description('Days for which a new workspace keeps its rows.')
@minValue(30)
@maxValue(730)
param retentionDays int = 90
@description('Resource id of a storage account to use. Empty: a new one. The app may then read and write all its blobs and queues.')
param storageAccountId string = ''
@description('Resource id of a key vault to use, with Azure RBAC. Empty: a new one.')
param keyVaultId string = ''
@description('Alert rules for silence, stalled passes, rejected records and an old checkpoint.')
param withAlerts bool = true
@description('Where the alerts send a mail. Empty: none.')
param alertEmail string = ''
@description('Resource id of an action group that the alerts call. Empty: none.')
param alertActionGroupId string = ''
@description('Age of the checkpoint, in hours, from which on it is told.')
@minValue(1)
@maxValue(48)
param alertCheckpointHours int = 26
@description('A workbook of the delivery, in Microsoft Sentinel.')
param withWorkbook bool = true

// Secrets: they go into the key vault, and nowhere else

@description('Id of Mandiant\'s API key (Mandiant Advantage, Settings, APIv4 Access and Key). Empty: the vault holds it already.')
@secure()
param matiKey string = ''
@description('Secret of Mandiant\'s API key. Empty: the vault holds it already.')
@secure()
param matiSecret string = ''
@description('Secret of the app registration that uploads. Empty: the managed identity uploads.')
@secure()
param azureClientSecret string = ''

// The source

@description('Where Mandiant\'s API is. https://www.virustotal.com/api/v3/mati is Google Threat Intelligence\'s compatible one.')
param matiBaseUrl string = 'https://api.intelligence.mandiant.com'
@description('How the API is asked: bearer fetches a token, basic sends key and secret each time, apikey sends the key alone.')
@allowed(['bearer', 'basic', 'apikey'])
param matiAuth string = 'bearer'
@description('Days to read back when there is no state yet.')
@minValue(1)
@maxValue(89)
param initialLookback int = 30
@description('Lowest confidence (Mandiant\'s mscore) with which an indicator is wanted.')
@minValue(0)
@maxValue(100)
param minimumConfidence int = 80
@description('Lowest threat score with which an indicator is wanted; it must meet both.')
@minValue(0)
@maxValue(100)
param minimumThreatScore int = 80
@description('Lowest confidence for addresses, 0 to 100. Empty: the general one.')
param ipMinimumConfidence string = ''
@description('Lowest threat score for addresses, 0 to 100. Empty: the general one.')
param ipMinimumThreatScore string = ''
@description('Lowest confidence for domains, 0 to 100. Empty: the general one.')
param fqdnMinimumConfidence string = ''
@description('Lowest threat score for domains, 0 to 100. Empty: the general one.')
param fqdnMinimumThreatScore string = ''
@description('Lowest confidence for URLs, 0 to 100. Empty: the general one.')
param urlMinimumConfidence string = ''
@description('Lowest threat score for URLs, 0 to 100. Empty: the general one.')
param urlMinimumThreatScore string = ''
@description('Lowest confidence for files, 0 to 100. Empty: the general one.')
param hashMinimumConfidence string = ''
@description('Lowest threat score for files, 0 to 100. Empty: the general one.')
param hashMinimumThreatScore string = ''
@description('What becomes of a record that Mandiant did not rate: include judges it by confidence alone, exclude drops it.')
@allowed(['include', 'exclude'])
param missingThreatScore string = 'include'
@description('Drops an indicator all of whose sources are open source.')
param excludeOsint bool = true
@description('Keeps an indicator without any category.')
param includeUncategorized bool = true
@description('Ingests IPv4 addresses.')
param includeIpv4 bool = true
@description('Ingests IPv6 addresses.')
param includeIpv6 bool = true
@description('Ingests domains.')
param includeFqdn bool = true
@description('Ingests URLs.')
param includeUrl bool = true
@description('Ingests files.')
param includeHash bool = true
@description('The digest that stands for a file at Sentinel.')
@allowed(['md5', 'sha1', 'sha256'])
param hashType string = 'md5'

// What is sent

@description('Where to: sentinel, defender, or both with a comma between.')
param targetApplication string = 'sentinel'
@description('Days for which addresses are valid, from their ingestion on.')
@minValue(1)
param ipIndicatorExpiration int = 7
@description('Days for which domains are valid, from their ingestion on.')
@minValue(1)
param fqdnIndicatorExpiration int = 7
@description('Days for which URLs are valid, from their ingestion on.')
@minValue(1)
param urlIndicatorExpiration int = 7
@description('Days for which files are valid, from their ingestion on.')
@minValue(1)
param hashIndicatorExpiration int = 90
@description('The older product\'s single value for all four. Those that are not at their default win over it. Empty: none.')
param indicatorExpiration string = ''
@description('At Sentinel the label action:… of each indicator. At Defender alert audits and block prevents; allow is refused there.')
@allowed(['alert', 'block', 'allow'])
param defaultAction string = 'alert'
@description('For Defender: only audit, whatever the action.')
param passiveOnly bool = false
@description('Skips what the destination already holds unchanged.')
param enableDeduplication bool = true
@description('Retracts what no longer passes the filters.')
param expireRetracted bool = true
@description('The marking of every object.')
@allowed(['clear', 'green', 'amber', 'red', 'none'])
param tlpLevel string = 'amber'
@description('The name under which Sentinel lists the source. Another name means other indicators.')
param sourceSystem string = 'Mandiant'

// Microsoft Sentinel, Defender for Endpoint, Azure

@description('The upload API: stix-objects, or the legacy upload-indicators.')
@allowed(['stix-objects', 'upload-indicators'])
param sentinelApi string = 'stix-objects'
@description('The most requests in any 60 seconds. 100 is the service\'s own limit.')
@minValue(1)
param sentinelRequestsPerMinute int = 100
@description('For adoption, with the next two: the workspace\'s name. Empty: the workspace is not asked what it holds.')
param azureWorkspaceName string = ''
@description('For adoption: the subscription of the workspace.')
param azureSubscriptionId string = ''
@description('For adoption: the resource group of the workspace.')
param azureResourceGroupName string = ''
@description('Another host of the upload API. Empty: that of the cloud.')
param sentinelBaseUrl string = ''
@description('Another path of the upload API, with {workspaceId} in it. Empty: that of the cloud.')
param sentinelUploadPath string = ''
@description('Another host of Defender for Endpoint. Empty: that of the cloud.')
param defenderBaseUrl string = ''
@description('The most indicators that the tenant may come to hold.')
@minValue(1)
@maxValue(15000)
param defenderIndicatorLimit int = 15000
@description('Hosts and scopes of all Microsoft APIs: the cloud of this deployment.')
@allowed(['public', 'usgov', 'china'])
param azureCloud string = environment().name == 'AzureUSGovernment' ? 'usgov' : environment().name == 'AzureChinaCloud' ? 'china' : 'public'
@description('Tenant of the app registration that uploads. Empty: the managed identity uploads.')
param azureTenantId string = ''
@description('Client id of the app registration that uploads. Empty: the managed identity uploads.')
param azureClientId string = ''
@description('Another host of Entra ID. Empty: that of the cloud.')
param azureAuthorityHost string = ''
@description('Another host of Azure Resource Manager, for adoption. Empty: that of the cloud.')
param azureResourceManagerUrl string = ''
@description('Name of the vault\'s secret that holds Mandiant\'s API secret.')
param keyVaultKeyName string = 'mati-secret'

// State, schedule, run time

@description('Container of the state.')
param storageContainerName string = 'mandiant-threat-intel'
@description('Another endpoint of the storage account. Empty: its own.')
param storageBlobEndpoint string = ''
@description('Hours between two passes. The minute follows from the resource group, so that not everybody asks at once.')
@allowed([1, 2, 3, 4, 6, 8, 12, 24])
param syncSchedule int = 1
@description('When the timer fires, as NCRONTAB with seconds, instead of the hours; the alerts still reckon with those. Empty: by the hours.')
param syncCron string = ''
@description('The host\'s time limit for one invocation, hh:mm:ss. Empty: host.json\'s 10 minutes.')
param functionTimeout string = ''
@description('error, warn, info, debug, trace, or a filter by module.')
param logLevel string = 'info'

var suffix = uniqueString(resourceGroup().id, nameSalt)
var isFlex = hostingPlan != 'consumption'
var isPrivate = hostingPlan == 'flex-private'
var packageContainer = 'package-${suffix}'
var storageName = empty(storageAccountId) ? 'stmati${suffix}' : last(split(storageAccountId, '/'))
var storageId = empty(storageAccountId) ? resourceId('Microsoft.Storage/storageAccounts', storageName) : storageAccountId
var vaultName = empty(keyVaultId) ? 'kv-mati-${suffix}' : last(split(keyVaultId, '/'))
var vaultId = empty(keyVaultId) ? resourceId('Microsoft.KeyVault/vaults', vaultName) : keyVaultId
var sentinelName = empty(sentinelWorkspaceId) ? '${appName}-sentinel' : last(split(sentinelWorkspaceId, '/'))
var sentinelId = empty(sentinelWorkspaceId) ? resourceId('Microsoft.OperationalInsights/workspaces', sentinelName) : sentinelWorkspaceId
var logsId = empty(logsWorkspaceId) ? resourceId('Microsoft.OperationalInsights/workspaces', '${appName}-logs') : logsWorkspaceId

// A minute of the hour out of the letters and digits of the suffix.
var letters = 'abcdefghijklmnopqrstuvwxyz0123456789'
var minute = (36 * indexOf(letters, substring(suffix, 0, 1)) + indexOf(letters, substring(suffix, 1, 1))) % 60
var hours = syncSchedule == 1 ? '*' : syncSchedule == 24 ? '0' : '*/${syncSchedule}'
var cron = empty(syncCron) ? '0 ${minute} ${hours} * * *' : syncCron

// A specific expiration wins over the general one, so one at its default must not be set beside it.
var isEach = empty(indicatorExpiration)
var expirations = {
  IP_INDICATOR_EXPIRATION: isEach || ipIndicatorExpiration != 7 ? string(ipIndicatorExpiration) : ''
  FQDN_INDICATOR_EXPIRATION: isEach || fqdnIndicatorExpiration != 7 ? string(fqdnIndicatorExpiration) : ''
  URL_INDICATOR_EXPIRATION: isEach || urlIndicatorExpiration != 7 ? string(urlIndicatorExpiration) : ''
  HASH_INDICATOR_EXPIRATION: isEach || hashIndicatorExpiration != 90 ? string(hashIndicatorExpiration) : ''
  INDICATOR_EXPIRATION: indicatorExpiration
}
var chosen = {
  MATI_BASE_URL: matiBaseUrl
  MATI_AUTH: matiAuth
  INITIAL_LOOKBACK: string(initialLookback)
  MINIMUM_CONFIDENCE: string(minimumConfidence)
  MINIMUM_THREAT_SCORE: string(minimumThreatScore)
  IP_MINIMUM_CONFIDENCE: ipMinimumConfidence
  IP_MINIMUM_THREAT_SCORE: ipMinimumThreatScore
  FQDN_MINIMUM_CONFIDENCE: fqdnMinimumConfidence
  FQDN_MINIMUM_THREAT_SCORE: fqdnMinimumThreatScore
  URL_MINIMUM_CONFIDENCE: urlMinimumConfidence
  URL_MINIMUM_THREAT_SCORE: urlMinimumThreatScore
  HASH_MINIMUM_CONFIDENCE: hashMinimumConfidence
  HASH_MINIMUM_THREAT_SCORE: hashMinimumThreatScore
  MISSING_THREAT_SCORE: missingThreatScore
  EXCLUDE_OSINT: string(excludeOsint)
  INCLUDE_UNCATEGORIZED: string(includeUncategorized)
  INCLUDE_IPV4: string(includeIpv4)
  INCLUDE_IPV6: string(includeIpv6)
  INCLUDE_FQDN: string(includeFqdn)
  INCLUDE_URL: string(includeUrl)
  INCLUDE_HASH: string(includeHash)
  HASH_TYPE: hashType
  TARGET_APPLICATION: targetApplication
  DEFAULT_ACTION: defaultAction
  PASSIVE_ONLY: string(passiveOnly)
  ENABLE_DEDUPLICATION: string(enableDeduplication)
  EXPIRE_RETRACTED: string(expireRetracted)
  TLP_LEVEL: tlpLevel
  SOURCE_SYSTEM: sourceSystem
  SENTINEL_API: sentinelApi
  SENTINEL_REQUESTS_PER_MINUTE: string(sentinelRequestsPerMinute)
  AZURE_WORKSPACE_NAME: azureWorkspaceName
  AZURE_SUBSCRIPTION_ID: azureSubscriptionId
  AZURE_RESOURCE_GROUP_NAME: azureResourceGroupName
  SENTINEL_BASE_URL: sentinelBaseUrl
  SENTINEL_UPLOAD_PATH: sentinelUploadPath
  DEFENDER_BASE_URL: defenderBaseUrl
  DEFENDER_INDICATOR_LIMIT: string(defenderIndicatorLimit)
  AZURE_CLOUD: azureCloud
  AZURE_TENANT_ID: azureTenantId
  AZURE_CLIENT_ID: azureClientId
  AZURE_RESOURCE_MANAGER_URL: azureResourceManagerUrl
  KEY_VAULT_KEY_NAME: keyVaultKeyName
  STORAGE_CONTAINER_NAME: storageContainerName
  STORAGE_BLOB_ENDPOINT: storageBlobEndpoint
  LOG_LEVEL: logLevel
}
// Some are read by others as well, who take an empty value for a value.
var ifGiven = union(empty(azureAuthorityHost) ? {} : {
  AZURE_AUTHORITY_HOST: azureAuthorityHost
}, empty(functionTimeout) ? {} : {
  AzureFunctionsJobHost__functionTimeout: functionTimeout
})
// Outside the public cloud the host cannot form the addresses from the account's name.
var hostStorage = environment().name == 'AzureCloud' ? {
  AzureWebJobsStorage__accountName: storageName
} : {
  AzureWebJobsStorage__blobServiceUri: 'https://${storageName}.blob.${environment().suffixes.storage}'
  AzureWebJobsStorage__queueServiceUri: 'https://${storageName}.queue.${environment().suffixes.storage}'
  AzureWebJobsStorage__tableServiceUri: 'https://${storageName}.table.${environment().suffixes.storage}'
}

// An identity of its own and not the app's: so it has its roles before the app first starts.
resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: '${appName}-identity'
  location: location
  tags: tags
}

module logsWorkspace 'modules/workspace.bicep' = if (empty(logsWorkspaceId)) {
  name: '${appName}-logs'
  params: {
    name: '${appName}-logs'
    location: location
    retentionDays: retentionDays
    withSentinel: false
    tags: tags
  }
}

module sentinelWorkspace 'modules/workspace.bicep' = if (empty(sentinelWorkspaceId)) {
  name: '${appName}-sentinel'
  params: {
    name: sentinelName
    location: location
    retentionDays: retentionDays
    withSentinel: true
    tags: tags
  }
}

module sentinel 'modules/sentinel.bicep' = {
  name: '${appName}-sentinel-role'
  scope: resourceGroup(split(sentinelId, '/')[2], split(sentinelId, '/')[4])
  params: {
    workspaceName: sentinelName
    identityId: identity.id
    principalId: identity.properties.principalId
  }
  dependsOn: [
    sentinelWorkspace
  ]
}

module insights 'modules/insights.bicep' = {
  name: '${appName}-insights'
  params: {
    name: '${appName}-insights'
    location: location
    workspaceId: logsId
    identityId: identity.id
    principalId: identity.properties.principalId
    tags: tags
  }
  dependsOn: [
    logsWorkspace
  ]
}

module storageAccount 'modules/storage-account.bicep' = if (empty(storageAccountId)) {
  name: '${appName}-storage-account'
  params: {
    name: storageName
    location: location
    isPrivate: isPrivate
    tags: tags
  }
}

module storage 'modules/storage.bicep' = {
  name: '${appName}-storage'
  scope: resourceGroup(split(storageId, '/')[2], split(storageId, '/')[4])
  params: {
    accountName: storageName
    stateContainer: storageContainerName
    packageContainer: isFlex ? packageContainer : ''
    queue: 'mati-sync'
    identityId: identity.id
    principalId: identity.properties.principalId
  }
  dependsOn: [
    storageAccount
  ]
}

module vault 'modules/vault.bicep' = if (empty(keyVaultId)) {
  name: '${appName}-vault'
  params: {
    name: vaultName
    location: location
    isPrivate: isPrivate
    logsWorkspaceId: logsId
    tags: tags
  }
  dependsOn: [
    logsWorkspace
  ]
}

module secrets 'modules/secrets.bicep' = {
  name: '${appName}-secrets'
  scope: resourceGroup(split(vaultId, '/')[2], split(vaultId, '/')[4])
  params: {
    vaultName: vaultName
    matiKey: matiKey
    matiSecret: matiSecret
    azureClientSecret: azureClientSecret
    secretName: keyVaultKeyName
    identityId: identity.id
    principalId: identity.properties.principalId
  }
  dependsOn: [
    vault
  ]
}

module network 'modules/network.bicep' = if (isPrivate) {
  name: '${appName}-network'
  params: {
    name: appName
    location: location
    addressPrefix: networkPrefix
    appSubnetPrefix: appSubnetPrefix
    endpointSubnetPrefix: endpointSubnetPrefix
    fixedOutboundAddress: fixedOutboundAddress
    storageAccountId: storageId
    vaultId: vaultId
    tags: tags
  }
  dependsOn: [
    storageAccount
    vault
  ]
}

var settings = union(chosen, expirations, ifGiven, hostStorage, {
  AzureWebJobsStorage__credential: 'managedidentity'
  AzureWebJobsStorage__clientId: identity.properties.clientId
  APPLICATIONINSIGHTS_CONNECTION_STRING: insights.outputs.connectionString
  APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'ClientId=${identity.properties.clientId};Authorization=AAD'
  AZURE_WORKSPACE_ID: sentinel.outputs.workspaceGuid
  KEY_VAULT_URL: secrets.outputs.url
  MANAGED_IDENTITY_CLIENT_ID: identity.properties.clientId
  STORAGE_ACCOUNT_NAME: storageName
  SYNC_CRON: cron
})

module flex 'modules/app-flex.bicep' = if (isFlex) {
  name: '${appName}-app'
  params: {
    name: appName
    location: location
    identityId: identity.id
    settings: settings
    packageContainerUrl: '${storage.outputs.blobEndpoint}${packageContainer}'
    packageUrl: packageUrl
    maximumInstances: maximumInstances
    instanceMemory: instanceMemory
    subnetId: isPrivate ? network.outputs.appSubnetId : ''
    tags: tags
  }
}

module consumption 'modules/app-consumption.bicep' = if (!isFlex) {
  name: '${appName}-app-consumption'
  params: {
    name: appName
    location: location
    identityId: identity.id
    settings: settings
    packageUrl: packageUrl
    tags: tags
  }
  dependsOn: [
    storage
  ]
}

module alerts 'modules/alerts.bicep' = if (withAlerts) {
  name: '${appName}-alerts'
  params: {
    appName: appName
    location: location
    logsWorkspaceId: logsId
    scheduleHours: syncSchedule
    checkpointHours: alertCheckpointHours
    email: alertEmail
    actionGroupId: alertActionGroupId
    tags: tags
  }
  dependsOn: [
    insights
  ]
}

module workbook 'modules/workbook.bicep' = if (withWorkbook) {
  name: '${appName}-workbook'
  params: {
    appName: appName
    location: location
    logsWorkspaceId: logsId
    sentinelWorkspaceId: sentinelId
    sourceSystem: sourceSystem
    tags: tags
  }
  dependsOn: [
    insights
    sentinel
  ]
}

var hostName = isFlex ? flex.outputs.hostName : consumption.outputs.hostName
var keyCommand = 'az functionapp keys list -g ${resourceGroup().name} -n ${appName} --query functionKeys.default -o tsv'

output functionAppName string = appName
output schedule string = cron
output identityPrincipalId string = identity.properties.principalId
@description('Starts the first pass at once, instead of at the next tick.')
output firstSyncCommand string = 'curl -X POST https://${hostName}/api/sync -H "x-functions-key: $(${keyCommand})" -d "{}"'
@description('Shows where it stands.')
output statusCommand string = 'curl https://${hostName}/api/status -H "x-functions-key: $(${keyCommand})"'
@description('Brings the code by hand, where the package could not be fetched.')
output publishCommand string = 'az functionapp deployment source config-zip -g ${resourceGroup().name} -n ${appName} --src mati-sync.zip'
@description('Grants the role of Defender for Endpoint, which no template can.')
output grantDefenderCommand string = './grant-defender.sh ${identity.properties.principalId}'
