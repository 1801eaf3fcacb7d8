"""azuredeploy.json played in the cases that users have, each with what must come out of it."""

import itertools
import json
import re

import arm

SUBSCRIPTION = "/subscriptions/00000000-0000-0000-0000-00000000000a"
GROUP = f"{SUBSCRIPTION}/resourceGroups/rg-mati"
# What exists already lies in other groups, and in another subscription.
ELSEWHERE = "/subscriptions/00000000-0000-0000-0000-00000000000b/resourceGroups/rg-security"
WORKSPACE = f"{ELSEWHERE}/providers/Microsoft.OperationalInsights/workspaces/soc"
STORAGE = f"{ELSEWHERE}/providers/Microsoft.Storage/storageAccounts/stshared"
VAULT = f"{ELSEWHERE}/providers/Microsoft.KeyVault/vaults/kv-shared"
SECRETS = {"matiKey": "SECRET-key", "matiSecret": "SECRET-secret", "azureClientSecret": "SECRET-client"}
SCENARIOS = {
    "the defaults": ("AzureCloud", {}),
    "private": ("AzureCloud", {"hostingPlan": "flex-private", "fixedOutboundAddress": True}),
    "private in the US government's cloud": ("AzureUSGovernment", {"hostingPlan": "flex-private"}),
    "consumption": ("AzureCloud", {"hostingPlan": "consumption"}),
    "consumption in China": ("AzureChinaCloud", {"hostingPlan": "consumption", "packageUrl": ""}),
    "everything exists": ("AzureCloud", {"sentinelWorkspaceId": WORKSPACE, "logsWorkspaceId": WORKSPACE,
                                         "storageAccountId": STORAGE, "keyVaultId": VAULT}),
    "the code by hand": ("AzureCloud", {"packageUrl": "", "withAlerts": False, "withWorkbook": False}),
    "alerts to somebody": ("AzureCloud", {"alertEmail": "soc@example.org", "alertActionGroupId": f"{ELSEWHERE}/x"}),
    "own schedule": ("AzureCloud", {"syncCron": "0 7 */5 * * *", "functionTimeout": "00:09:00",
                                    "indicatorExpiration": "30", "hashIndicatorExpiration": 60}),
}
ROLES = {  # of the identity, and on what
    "b7e6dc6d-f1e8-4753-8033-0f276bb0955b": "Microsoft.Storage/storageAccounts",
    "974c5e8b-45b9-4653-ba55-5f855dd0fb88": "Microsoft.Storage/storageAccounts",
    "4633458b-17de-408a-b874-0445c86b69e6": "Microsoft.KeyVault/vaults",
    "ab8e14d6-4a74-4a29-9ba8-549422addade": "Microsoft.OperationalInsights/workspaces",
    "3913510d-42f4-4e42-8a64-420c390055eb": "Microsoft.Insights/components",
}
NAMES = {  # Azure's rules for names
    "Microsoft.Storage/storageAccounts": r"[a-z0-9]{3,24}",
    "Microsoft.Storage/storageAccounts/blobServices/containers": r"[a-z0-9](-?[a-z0-9])+",
    "Microsoft.Storage/storageAccounts/queueServices/queues": r"[a-z0-9](-?[a-z0-9])+",
    "Microsoft.KeyVault/vaults": r"[a-zA-Z](-?[a-zA-Z0-9]){2,23}",
    "Microsoft.KeyVault/vaults/secrets": r"[a-zA-Z0-9-]{1,127}",
    "Microsoft.Web/sites": r"[a-zA-Z0-9]([a-zA-Z0-9-]{0,30}[a-zA-Z0-9])?",  # 32: the host's id is cut there
    "Microsoft.OperationalInsights/workspaces": r"[a-zA-Z0-9][a-zA-Z0-9-]{2,61}[a-zA-Z0-9]",
    "Microsoft.ManagedIdentity/userAssignedIdentities": r"[a-zA-Z0-9][a-zA-Z0-9_-]{2,127}",
    "Microsoft.Authorization/roleAssignments": r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
}
NCRONTAB = re.compile(r"0 [0-5]?\d (\*|0|\*/([2-9]|1\d|2[0-3])) \* \* \*")


class Played:
    def __init__(self, template, cloud, given):
        self.cloud = arm.Cloud(cloud)
        for id in (WORKSPACE, STORAGE, VAULT):
            self.cloud.resources[id.lower()] = {"id": id, "exists": True, "properties": {}}
        self.outputs = arm.Deployment(self.cloud, template, given, GROUP).deploy()

    def of(self, kind):
        return [one for id in self.cloud.order for one in [self.cloud.resources[id.lower()]] if one["type"] == kind]

    def one(self, kind):
        found = self.of(kind)
        if len(found) != 1:
            raise arm.ArmError(f"{len(found)} resources of the type {kind}, not one")
        return found[0]

    @property
    def settings(self):
        return next(one["properties"] for one in self.of("Microsoft.Web/sites/config")
                    if one["name"].endswith("/appsettings"))


def check(template):
    faults = []
    for name, (cloud, given) in SCENARIOS.items():
        try:
            played = Played(template, cloud, {**SECRETS, **given})
            faults += [f"{name}: {text}" for text in itertools.chain(
                general(played), roles(played), secrets(played), app(played, given), places(played, cloud, given))]
        except (arm.ArmError, StopIteration) as error:
            faults.append(f"{name}: {error}")
    # What follows needs a template that plays at all.
    return faults or schedules(template) + refusals(template)


def general(played):
    for id in played.cloud.order:
        one = played.cloud.resources[id.lower()]
        rule = NAMES.get(one["type"])
        if rule and not re.fullmatch(rule, one["name"].split("/")[-1]):
            yield f"{one['type']} may not be named {one['name']}"
    if "SECRET-" in json.dumps(played.outputs):
        yield "an output shows a secret"
    for one in played.of("Microsoft.Insights/workbooks"):
        content = json.loads(one["properties"]["serializedData"])
        kinds = [item["type"] for item in content["items"]]
        if kinds.count(3) < 7 or any("{app}" in text or "{source}" in text for text in [json.dumps(content)]):
            yield "the workbook lacks a query, or a placeholder is left in it"
    for one in played.of("Microsoft.Insights/scheduledQueryRules"):
        if "{" in one["properties"]["criteria"]["allOf"][0]["query"].replace("'{'", ""):
            yield f"a placeholder is left in the query of {one['name']}"


def roles(played):
    identity = played.one("Microsoft.ManagedIdentity/userAssignedIdentities")
    principal = played.cloud.answer(identity["id"])["principalId"]
    found = {}
    for one in played.of("Microsoft.Authorization/roleAssignments"):
        role = one["properties"]["roleDefinitionId"].split("/")[-1]
        found[role] = "/".join(one["scope"].split("/providers/")[-1].split("/")[:2])
        if one["properties"]["principalId"] != principal or one["properties"]["principalType"] != "ServicePrincipal":
            yield f"the role {role} is not for the identity"
        subscription = "/".join(one["scope"].split("/")[:3])
        if not one["properties"]["roleDefinitionId"].startswith(subscription):
            yield f"the role {role} is not of the subscription in which it is given"
    if found != ROLES:
        yield f"roles are {found}"
    order = [id.split("/")[-2] for id in played.cloud.order]
    if "sites" in order and "roleAssignments" in order[order.index("sites"):]:
        yield "a role is assigned only after the app exists"


def secrets(played):
    for id in played.cloud.order:
        one = played.cloud.resources[id.lower()]
        if one["type"] != "Microsoft.KeyVault/vaults/secrets" and "SECRET-" in json.dumps(one):
            yield f"{one['type']} shows a secret"
    names = sorted(one["name"].split("/")[1] for one in played.of("Microsoft.KeyVault/vaults/secrets"))
    if names != ["azure-client-secret", "mati-key", "mati-secret"]:
        yield f"the secrets are {names}"


def app(played, given):
    settings, site = played.settings, played.one("Microsoft.Web/sites")
    identity = played.one("Microsoft.ManagedIdentity/userAssignedIdentities")["id"]
    client = played.cloud.answer(identity)["clientId"]
    for name in ("MANAGED_IDENTITY_CLIENT_ID", "AzureWebJobsStorage__clientId"):
        if settings.get(name) != client:
            yield f"{name} is not the identity's client id"
    if settings.get("APPLICATIONINSIGHTS_AUTHENTICATION_STRING") != f"ClientId={client};Authorization=AAD":
        yield "telemetry is not sent as the identity"
    if "AzureWebJobsStorage" in settings or settings.get("AzureWebJobsStorage__credential") != "managedidentity":
        yield "the host's storage is not reached by identity"
    if list(site["identity"]["userAssignedIdentities"]) != [identity]:
        yield "the app does not have the identity"
    if any(not isinstance(value, str) for value in settings.values()):
        yield "a setting is no text"
    flex = given.get("hostingPlan", "flex") != "consumption"
    url = given.get("packageUrl", "https")
    deploys = played.of("Microsoft.Web/sites/extensions")
    if flex:
        config = site["properties"]["functionAppConfig"]
        if config["runtime"] != {"name": "custom", "version": "1.0"}:
            yield f"the runtime is {config['runtime']}"
        wrong = {"FUNCTIONS_WORKER_RUNTIME", "FUNCTIONS_EXTENSION_VERSION", "WEBSITE_RUN_FROM_PACKAGE"} & set(settings)
        if wrong:
            yield f"Flex Consumption does not take {sorted(wrong)}"
        container = config["deployment"]["storage"]["value"].rsplit("/", 1)[1]
        if not any(one["name"].endswith(f"/{container}") for one in
                   played.of("Microsoft.Storage/storageAccounts/blobServices/containers")):
            yield f"the package's container {container} is not created"
        if bool(deploys) != bool(url):
            yield "the package is deployed though there is none, or not though there is one"
    elif settings.get("FUNCTIONS_WORKER_RUNTIME") != "custom" or settings.get("FUNCTIONS_EXTENSION_VERSION") != "~4" \
            or bool(settings.get("WEBSITE_RUN_FROM_PACKAGE")) != bool(url) or deploys:
        yield "the settings of the Consumption plan are wrong"
    if "functionTimeout" in given and settings.get("AzureFunctionsJobHost__functionTimeout") != given["functionTimeout"] \
            or "functionTimeout" not in given and "AzureFunctionsJobHost__functionTimeout" in settings:
        yield "the time limit is wrong, or set to nothing, which the host cannot read"
    lives = {name: settings[f"{name}_INDICATOR_EXPIRATION"] for name in ("IP", "FQDN", "URL", "HASH")}
    expected = {"IP": "", "FQDN": "", "URL": "", "HASH": "60"} if "indicatorExpiration" in given else \
        {"IP": "7", "FQDN": "7", "URL": "7", "HASH": "90"}
    if lives != expected:
        yield f"expirations are {lives}"
    if settings["SYNC_CRON"] != given.get("syncCron", settings["SYNC_CRON"]):
        yield "the given schedule is not used"


def places(played, cloud, given):
    settings = played.settings
    storage, vault = arm.Cloud.CLOUDS[cloud]
    clouds = {"AzureCloud": "public", "AzureUSGovernment": "usgov", "AzureChinaCloud": "china"}
    if settings["AZURE_CLOUD"] != clouds[cloud]:
        yield f"AZURE_CLOUD is {settings['AZURE_CLOUD']}"
    if not settings["KEY_VAULT_URL"].endswith(f"{vault}/"):
        yield f"KEY_VAULT_URL is {settings['KEY_VAULT_URL']}"
    by_name = "AzureWebJobsStorage__accountName" in settings
    if by_name != (cloud == "AzureCloud") or not by_name and storage not in settings["AzureWebJobsStorage__queueServiceUri"]:
        yield "the host does not find its storage in this cloud"
    zones = sorted(one["name"] for one in played.of("Microsoft.Network/privateDnsZones"))
    private = given.get("hostingPlan") == "flex-private"
    vault_zone = "privatelink" + vault.replace(".vault.", ".vaultcore.")
    expected = sorted([f"privatelink.blob.{storage}", f"privatelink.queue.{storage}", vault_zone]) if private else []
    if zones != expected:
        yield f"the DNS zones are {zones}"
    for kind in ("Microsoft.Storage/storageAccounts", "Microsoft.KeyVault/vaults"):
        for one in played.of(kind):
            if (one["properties"]["publicNetworkAccess"] == "Disabled") != private:
                yield f"{kind} is open to the wrong network"
    if private != bool(played.one("Microsoft.Web/sites")["properties"].get("virtualNetworkSubnetId")):
        yield "the app is in the wrong network"
    if "keyVaultId" in given:
        new = [one["type"] for kind in ("Microsoft.Storage/storageAccounts", "Microsoft.KeyVault/vaults",
                                        "Microsoft.OperationalInsights/workspaces") for one in played.of(kind)]
        if new:
            yield f"created although it exists: {new}"


def schedules(template):
    faults, minutes = [], set()
    for hours in (1, 2, 3, 4, 6, 8, 12, 24):
        played = Played(template, "AzureCloud", {"syncSchedule": hours})
        cron = played.outputs["schedule"]
        match = NCRONTAB.fullmatch(cron)
        every = 1 if match and match[1] == "*" else 24 if match and match[1] == "0" else int(match[2] or 0) if match else 0
        if every != hours or played.settings["SYNC_CRON"] != cron:
            faults.append(f"every {hours} hours: the schedule is {cron!r}")
        rule = next(one for one in played.of("Microsoft.Insights/scheduledQueryRules") if one["name"].endswith("-no-pass"))
        if f"ago({2 * hours}h)" not in rule["properties"]["criteria"]["allOf"][0]["query"]:
            faults.append(f"every {hours} hours: the alert does not wait for twice as long")
    for salt in range(40):
        minutes.add(Played(template, "AzureCloud", {"nameSalt": str(salt)}).outputs["schedule"].split()[1])
    if len(minutes) < 10:
        faults.append(f"everybody asks at the same minutes: {sorted(minutes)}")
    return faults


def refusals(template):
    """What may not be asked for."""
    faults = []
    for given in ({"syncSchedule": 5}, {"initialLookback": 90}, {"hostingPlan": "premium"}, {"minimumConfidence": 101},
                  {"tlpLevel": "white"}, {"retentionDays": 1}, {"alertCheckpointHours": 49}):
        try:
            Played(template, "AzureCloud", given)
            faults.append(f"{given} is accepted")
        except arm.ArmError:
            pass
    return faults
