// Everything mati-sync needs in Azure, in one resource group: the function app, its identity and the identity's roles,
// storage, key vault, telemetry, alerts and a workbook. Storage, vault and workspaces may exist already, anywhere in
// the tenant. The settings of the app are parameters by the same names, spelt likeThis; those that say where things
// are follow from what is deployed. `bicep build` makes azuredeploy.json of this file.

targetScope = 'resourceGroup'

metadata description = 'Made of main.bicep and its modules by bicep build; change those, not this.'

import { cron } from 'modules/schedule.bicep'

// Where and what

@description('Region of everything that is created.')
param location string = resourceGroup().location
@description('Tags of everything that is created.')
param tags { *: string } = {}
@description('Mixed into the names. Choose another one after deleting a deployment: the name of a deleted key vault stays taken for 90 days.')
param nameSalt string = ''
@description('Name of the function app, unique in the world.')
@maxLength(32)
param appName string = 'mati-sync-${uniqueString(resourceGroup().id, nameSalt)}'
@description('flex: Flex Consumption. flex-private: the same, with storage and key vault behind private endpoints in a network of its own. consumption: Linux Consumption, which Microsoft retires in September 2028.')
@allowed(['flex', 'flex-private', 'consumption'])
param hostingPlan string = 'flex'
@description('URL of the package of a release. The deployment downloads it, verifies its SHA-256 and copies it into the storage account. Empty: the operator publishes the code, with the command in the output publishCommand.')
param packageUrl string = ''
@description('SHA-256 that the package must have, in hexadecimal. Empty: the one in the file beside it, packageUrl with .sha256.')
@maxLength(64)
param packageSha256 string = ''
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
@description('Alert rules for silence, a timer that does not fire, stalled passes, rejected records, what was accepted and has not arrived, what an audit found amiss, an old watermark, and what the source did not give.')
param withAlerts bool = true
@description('Where the alerts send a mail. Empty: none.')
param alertEmail string = ''
@description('Resource id of an action group that the alerts call. Empty: none.')
param alertActionGroupId string = ''
@description('Age of the watermark, in hours, from which on an alert fires.')
@minValue(1)
@maxValue(48)
param alertCheckpointHours int = 26
@description('A workbook of the delivery, in Microsoft Sentinel.')
param withWorkbook bool = true
@description('A page among the data connectors of Microsoft Sentinel. It needs the role Microsoft Sentinel Contributor on the workspace.')
param withConnectorPage bool = true
@description('Creates rules for what Microsoft\'s own cannot match of the indicators, and a hunt over 30 days.')
param withRules bool = false
@description('Time of this deployment. The alert for silence waits until the first pass can have ended.')
param deployedAt string = utcNow('yyyy-MM-ddTHH:mm:ssZ')

// Secrets: they go into the key vault, and nowhere else

@description('Id of Mandiant\'s API key (Mandiant Advantage, Settings, APIv4 Access and Key). Empty: the vault holds it already.')
@secure()
param matiKey string = ''
@description('Secret of Mandiant\'s API key. Empty: the vault holds it already.')
@secure()
param matiSecret string = ''
@description('API key of Google Threat Intelligence. Empty: the vault holds it already, or Mandiant is the source.')
@secure()
param gtiApiKey string = ''
@description('Secret of the app registration that uploads. Empty: the managed identity uploads.')
@secure()
param azureClientSecret string = ''
@description('Address of a webhook that hears of every change, such as a workflow of Teams. Empty: none, or the vault holds it already.')
@secure()
param webhookUrl string = ''

// The source

@description('Where the indicators come from: mandiant is Mandiant Advantage, gti the hourly threat lists of Google Threat Intelligence.')
@allowed(['mandiant', 'gti'])
param source string = 'mandiant'
@description('Where Google Threat Intelligence\'s API is.')
param gtiBaseUrl string = 'https://www.virustotal.com/api/v3'
@description('Ids of threat lists, with commas between. Empty: every list that the licence gives.')
param gtiLists string = ''
@description('Filter that Google Threat Intelligence applies. Empty: none; a filter by score would hide the record that retracts.')
param gtiQuery string = ''
@description('Where Mandiant\'s API is. https://www.virustotal.com/api/v3/mati is Google Threat Intelligence\'s compatible one.')
param matiBaseUrl string = 'https://api.intelligence.mandiant.com'
@description('How the API is asked: bearer fetches a token, basic sends key and secret each time, apikey sends the key alone, which is the only way at Google Threat Intelligence.')
@allowed(['bearer', 'basic', 'apikey'])
param matiAuth string = startsWith(toLower(matiBaseUrl), 'https://www.virustotal.com/') ? 'apikey' : 'bearer'
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
@description('What becomes of a record without any confidence: include judges it by its threat score alone, exclude drops it.')
@allowed(['include', 'exclude'])
param missingConfidence string = 'include'
@description('Lowest severity with which an indicator is wanted: low, medium or high; a record without one passes. Empty: any.')
param minimumSeverity string = ''
@description('Drops what the source itself calls benign.')
param excludeBenign bool = true
@description('Drops what the source calls infrastructure that many share.')
param excludePervasive bool = true
@description('Drops an indicator all of whose sources are open source.')
param excludeOsint bool = true
@description('Values that are never sent, with commas between: host names with all below them, addresses, ranges, URLs by their beginning, digests. Longer lists are files in the state container, in exclusions/.')
param exclude string = ''
@description('Never sends Defender what is on the built-in list of names and addresses whose block would be an outage.')
param excludeVital bool = true
@description('Keeps an indicator without any category.')
param includeUncategorized bool = true
@description('Drops a record that names no threat actor and no malware family.')
param attributedOnly bool = false
@description('Threat actors, with commas between. Where this or one of the next three is set, a record must match one name of one of them.')
param actors string = ''
@description('Malware families, with commas between.')
param malware string = ''
@description('Names or titles of campaigns, with commas between.')
param campaigns string = ''
@description('Categories, with commas between.')
param categories string = ''
@description('Lowest confidence by attribution: FIN7=60, LOCKBIT=70. Empty: none.')
param attributionThresholds string = ''
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
@description('The digests that stand for a file at Sentinel: md5, sha1, sha256, or several with commas between.')
param hashType string = 'sha256'

// What is sent

@description('Where to: sentinel, defender, or both with a comma between.')
param targetApplication string = 'sentinel'
@description('Days for which addresses are valid, from their ingestion on.')
@minValue(1)
@maxValue(3650)
param ipIndicatorExpiration int = 7
@description('Days for which domains are valid, from their ingestion on.')
@minValue(1)
@maxValue(3650)
param fqdnIndicatorExpiration int = 7
@description('Days for which URLs are valid, from their ingestion on.')
@minValue(1)
@maxValue(3650)
param urlIndicatorExpiration int = 7
@description('Days for which files are valid, from their ingestion on.')
@minValue(1)
@maxValue(3650)
param hashIndicatorExpiration int = 90
@description('The older product\'s single value for all four. Those that are not at their default win over it. Empty: none.')
param indicatorExpiration string = ''
@description('At Sentinel the label action:… of each indicator. At Defender alert audits and block prevents; allow is a fault there.')
@allowed(['alert', 'block', 'allow'])
param defaultAction string = 'alert'
@description('For Defender: only audit, whatever the action.')
param passiveOnly bool = false
@description('Hours between two good passes in which nothing that is held may lapse; at most half the shortest validity.')
@minValue(1)
@maxValue(720)
param renewalSlack int = 48
@description('Your price of a gigabyte of rows, for mati-sync cost. Empty: none.')
param pricePerGb string = ''
@description('Skips what the destination already holds unchanged.')
param enableDeduplication bool = true
@description('Retracts what no longer passes the filters.')
param expireRetracted bool = true
@description('The marking of every object.')
@allowed(['clear', 'green', 'amber', 'red', 'none'])
param tlpLevel string = 'amber'
@description('The name under which Sentinel lists the source, the same default for either source. Another name means other indicators: choose it before the first pass.')
param sourceSystem string = 'Mandiant'

// Microsoft Sentinel, Defender for Endpoint, Azure

@description('The upload API: stix-objects, or the legacy upload-indicators.')
@allowed(['stix-objects', 'upload-indicators'])
param sentinelApi string = 'stix-objects'
@description('The most requests in any 60 seconds. 100 is the service\'s own limit.')
@minValue(1)
@maxValue(1000000)
param sentinelRequestsPerMinute int = 100
@description('For adoption and audit, with the next two: the workspace\'s name. Empty: the workspace is not asked what it holds.')
param azureWorkspaceName string = ''
@description('For adoption and audit: the subscription of the workspace.')
param azureSubscriptionId string = ''
@description('For adoption and audit: the resource group of the workspace.')
param azureResourceGroupName string = ''
@description('Look for a sample of what was acknowledged, and offer again what has not arrived. Empty: at Sentinel, if the three names before are given. true: at Defender too.')
param verifyArrival string = ''
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
param azureCloud string = environment().name == 'AzureUSGovernment'
  ? 'usgov'
  : environment().name == 'AzureChinaCloud' ? 'china' : 'public'
@description('Tenant of the app registration that uploads. Empty: the managed identity uploads.')
param azureTenantId string = ''
@description('Client id of the app registration that uploads. Empty: the managed identity uploads.')
param azureClientId string = ''
@description('Host of Entra ID: that of the cloud.')
param azureAuthorityHost string = environment().authentication.loginEndpoint
@description('Another host of Azure Resource Manager, for adoption and audit. Empty: that of the cloud.')
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
@description('Days between two audits that run by themselves: what the destinations hold is compared with what was sent. 0: never.')
@minValue(0)
@maxValue(365)
param auditDays int = 30
@description('The host\'s time limit for one invocation, hh:mm:ss.')
param functionTimeout string = '00:10:00'
@description('error, warn, info, debug, trace, or a filter by module.')
param logLevel string = 'info'
@description('Collector of OpenTelemetry that gets metrics over HTTP. Empty: none.')
param otelExporterOtlpEndpoint string = ''

var suffix = uniqueString(resourceGroup().id, nameSalt)
var isFlex = hostingPlan != 'consumption'
var isPrivate = hostingPlan == 'flex-private'
var packageContainer = 'package-${suffix}'
var storageName = empty(storageAccountId) ? 'stmati${suffix}' : last(split(storageAccountId, '/'))
var vaultName = empty(keyVaultId) ? 'kv-mati-${suffix}' : last(split(keyVaultId, '/'))
var sentinelName = empty(sentinelWorkspaceId) ? '${appName}-sentinel' : last(split(sentinelWorkspaceId, '/'))
// Resource group and subscription of what may exist elsewhere. A scope must be known before anything is deployed.
var here = split(resourceGroup().id, '/')
var sentinelPath = empty(sentinelWorkspaceId) ? here : split(sentinelWorkspaceId, '/')
var storagePath = empty(storageAccountId) ? here : split(storageAccountId, '/')
var vaultPath = empty(keyVaultId) ? here : split(keyVaultId, '/')
// Ids from the modules' outputs: a resource that uses one waits until what it names exists.
var sentinelId = empty(sentinelWorkspaceId) ? sentinelWorkspace!.outputs.id : sentinelWorkspaceId
var logsId = empty(logsWorkspaceId) ? logsWorkspace!.outputs.id : logsWorkspaceId
var storageId = empty(storageAccountId) ? storageAccount!.outputs.id : storageAccountId
var vaultId = empty(keyVaultId) ? vault!.outputs.id : keyVaultId
var schedule = empty(syncCron) ? cron(syncSchedule, suffix) : syncCron

// A specific expiration wins over the general one, so one at its default must not be set beside it.
var isEach = empty(indicatorExpiration)

// An identity of its own and not the app's: so it has its roles before the app first starts.
resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: '${appName}-identity'
  location: location
  tags: tags
}

module logsWorkspace 'modules/workspace.bicep' = if (empty(logsWorkspaceId)) {
  params: {
    name: '${appName}-logs'
    location: location
    retentionDays: retentionDays
    withSentinel: false
    tags: tags
  }
}

module sentinelWorkspace 'modules/workspace.bicep' = if (empty(sentinelWorkspaceId)) {
  params: {
    name: sentinelName
    location: location
    retentionDays: retentionDays
    withSentinel: true
    tags: tags
  }
}

module sentinel 'modules/sentinel.bicep' = {
  scope: resourceGroup(sentinelPath[2], sentinelPath[4])
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
  params: {
    name: '${appName}-insights'
    location: location
    workspaceId: logsId
    identityId: identity.id
    principalId: identity.properties.principalId
    tags: tags
  }
}

module storageAccount 'modules/storage-account.bicep' = if (empty(storageAccountId)) {
  params: {
    name: storageName
    location: location
    isPrivate: isPrivate
    tags: tags
  }
}

module storage 'modules/storage.bicep' = {
  scope: resourceGroup(storagePath[2], storagePath[4])
  params: {
    accountName: storageName
    stateContainer: storageContainerName
    packageContainer: packageContainer
    queue: 'mati-sync'
    identityId: identity.id
    principalId: identity.properties.principalId
  }
  dependsOn: [
    storageAccount
  ]
}

module vault 'modules/vault.bicep' = if (empty(keyVaultId)) {
  params: {
    name: vaultName
    location: location
    isPrivate: isPrivate
    logsWorkspaceId: logsId
    tags: tags
  }
}

module secrets 'modules/secrets.bicep' = {
  scope: resourceGroup(vaultPath[2], vaultPath[4])
  params: {
    vaultName: vaultName
    matiKey: matiKey
    matiSecret: matiSecret
    gtiApiKey: gtiApiKey
    azureClientSecret: azureClientSecret
    webhookUrl: webhookUrl
    secretName: keyVaultKeyName
    identityId: identity.id
    principalId: identity.properties.principalId
  }
  dependsOn: [
    vault
  ]
}

module network 'modules/network.bicep' = if (isPrivate) {
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
}

// One plain object, and no union: so a snapshot shows each setting on a line of its own.
var settings = {
  SOURCE: source
  GTI_BASE_URL: gtiBaseUrl
  GTI_LISTS: gtiLists
  GTI_QUERY: gtiQuery
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
  MISSING_CONFIDENCE: missingConfidence
  MINIMUM_SEVERITY: minimumSeverity
  EXCLUDE_BENIGN: string(excludeBenign)
  EXCLUDE_PERVASIVE: string(excludePervasive)
  EXCLUDE_OSINT: string(excludeOsint)
  EXCLUDE: exclude
  EXCLUDE_VITAL: string(excludeVital)
  INCLUDE_UNCATEGORIZED: string(includeUncategorized)
  ATTRIBUTED_ONLY: string(attributedOnly)
  ACTORS: actors
  MALWARE: malware
  CAMPAIGNS: campaigns
  CATEGORIES: categories
  ATTRIBUTION_THRESHOLDS: attributionThresholds
  INCLUDE_IPV4: string(includeIpv4)
  INCLUDE_IPV6: string(includeIpv6)
  INCLUDE_FQDN: string(includeFqdn)
  INCLUDE_URL: string(includeUrl)
  INCLUDE_HASH: string(includeHash)
  HASH_TYPE: hashType
  TARGET_APPLICATION: targetApplication
  DEFAULT_ACTION: defaultAction
  PASSIVE_ONLY: string(passiveOnly)
  RENEWAL_SLACK: string(renewalSlack)
  PRICE_PER_GB: pricePerGb
  ENABLE_DEDUPLICATION: string(enableDeduplication)
  EXPIRE_RETRACTED: string(expireRetracted)
  TLP_LEVEL: tlpLevel
  SOURCE_SYSTEM: sourceSystem
  SENTINEL_API: sentinelApi
  SENTINEL_REQUESTS_PER_MINUTE: string(sentinelRequestsPerMinute)
  AZURE_WORKSPACE_NAME: azureWorkspaceName
  AZURE_SUBSCRIPTION_ID: azureSubscriptionId
  AZURE_RESOURCE_GROUP_NAME: azureResourceGroupName
  VERIFY_ARRIVAL: verifyArrival
  SENTINEL_BASE_URL: sentinelBaseUrl
  SENTINEL_UPLOAD_PATH: sentinelUploadPath
  DEFENDER_BASE_URL: defenderBaseUrl
  DEFENDER_INDICATOR_LIMIT: string(defenderIndicatorLimit)
  AZURE_CLOUD: azureCloud
  AZURE_TENANT_ID: azureTenantId
  AZURE_CLIENT_ID: azureClientId
  AZURE_AUTHORITY_HOST: azureAuthorityHost
  AZURE_RESOURCE_MANAGER_URL: azureResourceManagerUrl
  KEY_VAULT_KEY_NAME: keyVaultKeyName
  STORAGE_CONTAINER_NAME: storageContainerName
  STORAGE_BLOB_ENDPOINT: storageBlobEndpoint
  LOG_LEVEL: logLevel
  OTEL_EXPORTER_OTLP_ENDPOINT: otelExporterOtlpEndpoint
  IP_INDICATOR_EXPIRATION: isEach || ipIndicatorExpiration != 7 ? string(ipIndicatorExpiration) : ''
  FQDN_INDICATOR_EXPIRATION: isEach || fqdnIndicatorExpiration != 7 ? string(fqdnIndicatorExpiration) : ''
  URL_INDICATOR_EXPIRATION: isEach || urlIndicatorExpiration != 7 ? string(urlIndicatorExpiration) : ''
  HASH_INDICATOR_EXPIRATION: isEach || hashIndicatorExpiration != 90 ? string(hashIndicatorExpiration) : ''
  INDICATOR_EXPIRATION: indicatorExpiration
  AzureWebJobsStorage__credential: 'managedidentity'
  AzureWebJobsStorage__blobServiceUri: storage.outputs.blobEndpoint
  AzureWebJobsStorage__queueServiceUri: storage.outputs.queueEndpoint
  AzureWebJobsStorage__tableServiceUri: storage.outputs.tableEndpoint
  AzureWebJobsStorage__clientId: identity.properties.clientId
  APPLICATIONINSIGHTS_CONNECTION_STRING: insights.outputs.connectionString
  APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'ClientId=${identity.properties.clientId};Authorization=AAD'
  AZURE_WORKSPACE_ID: sentinel.outputs.workspaceGuid
  KEY_VAULT_URL: secrets.outputs.url
  MANAGED_IDENTITY_CLIENT_ID: identity.properties.clientId
  STORAGE_ACCOUNT_NAME: storage.outputs.accountName
  SYNC_CRON: schedule
  AUDIT_DAYS: string(auditDays)
  AzureFunctionsJobHost__functionTimeout: functionTimeout
}

// A private storage account is out of reach of the script that copies.
module package 'modules/package.bicep' = if (!empty(packageUrl) && !isPrivate) {
  params: {
    name: '${appName}-package'
    location: location
    identityId: identity.id
    accountName: storage.outputs.accountName
    container: packageContainer
    packageUrl: packageUrl
    packageSha256: packageSha256
    deployedAt: deployedAt
    tags: tags
  }
}

module flex 'modules/app-flex.bicep' = if (isFlex) {
  params: {
    name: appName
    location: location
    identityId: identity.id
    settings: settings
    packageContainerUrl: '${storage.outputs.blobEndpoint}${packageContainer}'
    withPackage: !empty(packageUrl)
    packageUrl: empty(packageUrl) || isPrivate ? packageUrl : package!.outputs.signedUrl
    maximumInstances: maximumInstances
    instanceMemory: instanceMemory
    subnetId: isPrivate ? network!.outputs.appSubnetId : ''
    tags: tags
  }
}

module consumption 'modules/app-consumption.bicep' = if (!isFlex) {
  params: {
    name: appName
    location: location
    identityId: identity.id
    settings: settings
    packageUrl: empty(packageUrl)
      ? '${storage.outputs.blobEndpoint}${packageContainer}/mati-sync.zip'
      : package!.outputs.url
    tags: tags
  }
}

module alerts 'modules/alerts.bicep' = if (withAlerts) {
  params: {
    appName: appName
    location: location
    logsWorkspaceId: logsId
    scheduleHours: syncSchedule
    deployedAt: deployedAt
    checkpointHours: alertCheckpointHours
    email: alertEmail
    actionGroupId: alertActionGroupId
    tags: tags
  }
}

module workbook 'modules/workbook.bicep' = if (withWorkbook) {
  params: {
    appName: appName
    location: location
    logsWorkspaceId: logsId
    sentinelWorkspaceId: sentinelId
    sourceSystem: sourceSystem
    tags: tags
  }
}

var hostName = isFlex ? flex!.outputs.hostName : consumption!.outputs.hostName
var keyCommand = 'az functionapp keys list -g ${resourceGroup().name} -n ${appName} --query functionKeys.default -o tsv'
var firstSync = 'curl -X POST https://${hostName}/api/sync -H "x-functions-key: $(${keyCommand})" -d "{}"'
var status = 'curl https://${hostName}/api/status -H "x-functions-key: $(${keyCommand})"'
var grant = './grant-defender.sh ${identity.properties.principalId}'
var configZip = 'az functionapp deployment source config-zip -g ${resourceGroup().name} -n ${appName} --src mati-sync.zip'
var blobUpload = 'az storage blob upload --account-name ${storageName} -c ${packageContainer} -n mati-sync.zip -f mati-sync.zip --auth-mode login --overwrite && az functionapp restart -g ${resourceGroup().name} -n ${appName}'

module connector 'modules/connector.bicep' = if (withConnectorPage) {
  scope: resourceGroup(sentinelPath[2], sentinelPath[4])
  params: {
    workspaceName: sentinelName
    appName: appName
    sourceSystem: sourceSystem
    statusUrl: 'https://${hostName}/api/status'
    keyCommand: keyCommand
    firstSyncCommand: firstSync
    statusCommand: status
    grantDefenderCommand: grant
  }
  dependsOn: [
    sentinelWorkspace
  ]
}

module rules 'modules/rules.bicep' = if (withRules) {
  scope: resourceGroup(sentinelPath[2], sentinelPath[4])
  params: {
    workspaceName: sentinelName
    appName: appName
    sourceSystem: sourceSystem
  }
  dependsOn: [
    sentinelWorkspace
  ]
}

output functionAppName string = appName
output schedule string = schedule
output identityPrincipalId string = identity.properties.principalId
@description('Starts the first pass at once, instead of at the next tick.')
output firstSyncCommand string = firstSync
@description('Shows the state of every lane.')
output statusCommand string = status
@description('Publishes the code from a file. Needed if packageUrl is empty or the deployment could not fetch the package.')
output publishCommand string = isFlex ? configZip : blobUpload
@description('Grants the role of Defender for Endpoint, which no template can.')
output grantDefenderCommand string = grant
