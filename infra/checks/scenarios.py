"""What every scenario must deploy, asserted on its snapshot."""

import json
import re

import arm

VAULT_SECRET = "Microsoft.KeyVault/vaults/secrets"
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
    VAULT_SECRET: r"[a-zA-Z0-9-]{1,127}",
    "Microsoft.Web/sites": r"[a-zA-Z0-9]([a-zA-Z0-9-]{0,30}[a-zA-Z0-9])?",  # 32: the host's id is cut there
    "Microsoft.OperationalInsights/workspaces": r"[a-zA-Z0-9][a-zA-Z0-9-]{2,61}[a-zA-Z0-9]",
    "Microsoft.ManagedIdentity/userAssignedIdentities": r"[a-zA-Z0-9][a-zA-Z0-9_-]{2,127}",
    "Microsoft.Authorization/roleAssignments": r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
}
# Flex Consumption refuses these of siteConfig ("The following list of 4 site configuration properties …"), in some
# regions even at their defaults; the others moved to functionAppConfig or do not exist there.
NOT_ON_FLEX = {
    "ftpsState", "use32BitWorkerProcess", "netFrameworkVersion", "functionsRuntimeScaleMonitoringEnabled", "alwaysOn",
    "linuxFxVersion", "windowsFxVersion", "powerShellVersion", "javaVersion", "javaContainer", "javaContainerVersion",
    "preWarmedInstanceCount", "minimumElasticInstanceCount", "functionAppScaleLimit", "vnetRouteAllEnabled",
    "vnetPrivatePortsCount", "appSettings",
}
SETTINGS_NOT_ON_FLEX = {
    "FUNCTIONS_WORKER_RUNTIME", "FUNCTIONS_EXTENSION_VERSION", "WEBSITE_RUN_FROM_PACKAGE", "WEBSITE_CONTENTSHARE",
    "WEBSITE_CONTENTAZUREFILECONNECTIONSTRING", "SCM_DO_BUILD_DURING_DEPLOYMENT", "ENABLE_ORYX_BUILD",
    "WEBSITE_TIME_ZONE", "TZ",
}
PLANS = {"private": "flex-private", "consumption": "consumption"}
# What each module waits for. The compiler knows that where a value of one goes into the other, and not where both
# only name the same resource; a snapshot shows no order at all.
WAITS = {
    "sentinel": {"sentinelWorkspace"}, "insights": {"logsWorkspace"}, "storage": {"storageAccount"},
    "vault": {"logsWorkspace"}, "secrets": {"vault"}, "network": {"storageAccount", "vault"},
    "package": {"storage"}, "flex": {"storage", "secrets", "sentinel", "insights", "network", "package"},
    "consumption": {"storage", "secrets", "sentinel", "insights", "package"}, "alerts": {"logsWorkspace"},
    "workbook": {"logsWorkspace", "sentinelWorkspace"}, "connector": {"sentinelWorkspace", "flex", "consumption"},
}


class Snapshot:
    def __init__(self, path, cloud="AzureCloud"):
        self.name, self.cloud = path.name.split(".")[0], cloud
        self.text = path.read_text(encoding="utf-8")
        whole = json.loads(self.text)
        self.resources, self.outputs = whole["predictedResources"], whole["outputs"]
        self.plan = PLANS.get(self.name, "flex")

    def of(self, kind):
        return [one for one in self.resources if one["type"] == kind]

    def one(self, kind):
        found = self.of(kind)
        if len(found) != 1:
            raise ValueError(f"{len(found)} resources of the type {kind}, not one")
        return found[0]

    def evaluate(self, value):
        return arm.evaluate(value, self.cloud)

    @property
    def settings(self):
        return self.evaluate(next(one["properties"] for one in self.of("Microsoft.Web/sites/config")
                                  if one["name"].endswith("/appsettings")))


def snapshots(root, cloud="AzureCloud"):
    return [Snapshot(path, cloud) for path in sorted((root / "checks/scenarios").glob("*.snapshot.json"))]


def check(root):
    faults = order(root) + numbers(root)
    for one in snapshots(root):
        faults += [f"{one.name}: {text}" for rule in (general, secrets, roles, app, places, chosen) for text in rule(one)]
    for cloud in arm.CLOUDS:
        faults += [f"{one.name} in {cloud}: {text}" for one in snapshots(root, cloud) for text in addresses(one)]
    return faults


def general(found):
    for one in found.resources:
        rule = NAMES.get(one["type"])
        if rule and not re.fullmatch(rule, one["name"].split("/")[-1]):
            yield f"{one['type']} may not be named {one['name']}"
    if re.search(r"\{(app|hours|deployed|source|type)\}", found.text):
        yield "a placeholder is left in a query"


def secrets(found):
    for one in [*found.resources, found.outputs]:
        shown = set(re.findall(r"parameters\('(\w+)'\)|SECRET-", json.dumps(one)))
        if shown and one.get("type") != VAULT_SECRET:
            yield f"{one.get('name', 'an output')} shows a secret"
    wanted = {"mati-key": "matiKey", "mati-secret": "matiSecret", "azure-client-secret": "azureClientSecret"}
    there = {one["name"].split("/")[1]: one["properties"]["value"] for one in found.of(VAULT_SECRET)}
    if there != {name: f"[parameters('{value}')]" for name, value in wanted.items()}:
        yield f"the secrets in the vault are {there}"


def roles(found):
    identity = found.one("Microsoft.ManagedIdentity/userAssignedIdentities")["id"]
    there = {}
    for one in found.of("Microsoft.Authorization/roleAssignments"):
        scope = one["id"].split("/providers/Microsoft.Authorization/")[0]
        role = one["properties"]["roleDefinitionId"]
        there[role.split("/")[-1]] = "/".join(scope.split("/providers/")[-1].split("/")[:2])
        if found.evaluate(one["properties"]["principalId"]) != arm.answer(identity, found.cloud)["principalId"]:
            yield f"the role {role} is not for the identity"
        if role.split("/")[2] != scope.split("/")[2] or one["properties"]["principalType"] != "ServicePrincipal":
            yield f"the role {role} is not of the subscription in which it is given"
    if there != ROLES:
        yield f"roles are {there}"


def app(found):
    settings, site = found.settings, found.one("Microsoft.Web/sites")
    identity = found.one("Microsoft.ManagedIdentity/userAssignedIdentities")["id"]
    client = arm.answer(identity, found.cloud)["clientId"]
    expected = {"MANAGED_IDENTITY_CLIENT_ID": client, "AzureWebJobsStorage__clientId": client,
                "AzureWebJobsStorage__credential": "managedidentity",
                "APPLICATIONINSIGHTS_AUTHENTICATION_STRING": f"ClientId={client};Authorization=AAD"}
    yield from (f"{name} is {settings.get(name)!r}" for name, value in expected.items() if settings.get(name) != value)
    if list(site["identity"]["userAssignedIdentities"]) != [identity]:
        yield "the app does not have the identity"
    yield from (f"{name} is no text" for name, value in settings.items() if not isinstance(value, str))
    if not site["properties"].get("httpsOnly") or any(
            one["properties"]["allow"] or "location" not in one
            for one in found.of("Microsoft.Web/sites/basicPublishingCredentialsPolicies")):
        yield "the app takes http or a password, or a policy lacks its location"
    deploys, copies = found.of("Microsoft.Web/sites/extensions"), found.of("Microsoft.Resources/deploymentScripts")
    given = found.name in ("private", "consumption", "existing")
    if bool(copies) != (given and found.plan != "flex-private"):
        yield "the package is copied though there is none, or not though there is one"
    if found.plan == "consumption":
        wanted = {"FUNCTIONS_WORKER_RUNTIME": "custom", "FUNCTIONS_EXTENSION_VERSION": "~4",
                  "WEBSITE_RUN_FROM_PACKAGE": "https://copy.example.net",
                  "WEBSITE_RUN_FROM_PACKAGE_BLOB_MI_RESOURCE_ID": identity}
        yield from (f"{name} is {settings.get(name)!r}" for name, value in wanted.items() if settings.get(name) != value)
        return
    config = site["properties"]["functionAppConfig"]
    if config["runtime"] != {"name": "custom", "version": "1.0"}:
        yield "the runtime is no custom handler"
    wrong = NOT_ON_FLEX & set(site["properties"]["siteConfig"]) | SETTINGS_NOT_ON_FLEX & set(settings)
    if wrong:
        yield f"Flex Consumption does not take {sorted(wrong)}"
    container = found.evaluate(config["deployment"]["storage"]["value"]).rsplit("/", 1)[1]
    if not any(one["name"].endswith(f"/{container}") for one in
               found.of("Microsoft.Storage/storageAccounts/blobServices/containers")):
        yield f"the container {container} of the package is not created"
    if bool(deploys) != given:
        yield "the package is deployed though there is none, or not though there is one"


def chosen(found):
    settings = found.settings
    expirations = {name: settings[f"{name}_INDICATOR_EXPIRATION"] for name in ("IP", "FQDN", "URL", "HASH")}
    own = found.name == "schedule"
    if expirations != ({"IP": "", "FQDN": "", "URL": "", "HASH": "60"} if own else
                       {"IP": "7", "FQDN": "7", "URL": "7", "HASH": "90"}):
        yield f"expirations are {expirations}"
    if settings["AzureFunctionsJobHost__functionTimeout"] != ("00:09:00" if own else "00:10:00"):
        yield "the time limit is wrong"
    if not re.fullmatch(r"0 7 \*/5 \* \* \*" if own else r"0 \d+ \* \* \* \*", settings["SYNC_CRON"]):
        yield f"SYNC_CRON is {settings['SYNC_CRON']}"
    if settings["MATI_AUTH"] != ("apikey" if found.name == "consumption" else "bearer"):
        yield f"MATI_AUTH is {settings['MATI_AUTH']} for {settings['MATI_BASE_URL']}"
    pages = {"scheduledQueryRules": 4, "workbooks": 1, "dataConnectorDefinitions": 1}
    there = {kind: sum(one["type"].endswith(kind) for one in found.resources) for kind in pages}
    if there != ({kind: 0 for kind in pages} if own else pages):
        yield f"alerts, workbook and page are {there}"
    groups = [one["properties"]["actions"]["actionGroups"] for one in found.of("Microsoft.Insights/scheduledQueryRules")]
    if any(len(one) != (2 if found.name == "alerts" else 0) for one in groups):
        yield f"the alerts call {groups}"


def places(found):
    private = found.plan == "flex-private"
    for kind in ("Microsoft.Storage/storageAccounts", "Microsoft.KeyVault/vaults"):
        for one in found.of(kind):
            if (one["properties"]["publicNetworkAccess"] == "Disabled") != private:
                yield f"{kind} is open to the wrong network"
    if private != bool(found.one("Microsoft.Web/sites")["properties"].get("virtualNetworkSubnetId")):
        yield "the app is in the wrong network"
    new = [kind for kind in ("Microsoft.Storage/storageAccounts", "Microsoft.KeyVault/vaults",
                             "Microsoft.OperationalInsights/workspaces") if found.of(kind)]
    if len(new) != (0 if found.name == "existing" else 3):
        yield f"created: {new}"


def addresses(found):
    """What differs from cloud to cloud."""
    settings, (storage, vault, login) = found.settings, arm.CLOUDS[found.cloud]
    name = settings["STORAGE_ACCOUNT_NAME"]
    expected = {f"AzureWebJobsStorage__{service}ServiceUri": f"https://{name}.{service}.{storage}/"
                for service in ("blob", "queue", "table")}
    expected["AZURE_CLOUD"] = {"AzureCloud": "public", "AzureUSGovernment": "usgov"}.get(found.cloud, "china")
    expected["AZURE_AUTHORITY_HOST"] = login
    yield from (f"{name} is {settings[name]}" for name, value in expected.items() if settings[name] != value)
    if not settings["KEY_VAULT_URL"].endswith(f"{vault}/"):
        yield f"KEY_VAULT_URL is {settings['KEY_VAULT_URL']}"
    zones = sorted(found.evaluate(one["name"]) for one in found.of("Microsoft.Network/privateDnsZones"))
    wanted = [f"privatelink.blob.{storage}", f"privatelink.queue.{storage}", "privatelink" + vault.replace(".vault.", ".vaultcore.")]
    if zones != (sorted(wanted) if found.plan == "flex-private" else []):
        yield f"the DNS zones are {zones}"


def order(root):
    """Modules wait for what they need, and nothing that the app needs comes after it."""
    resources = json.loads((root / "azuredeploy.json").read_text(encoding="utf-8"))["resources"]
    return [f"{name} does not wait for {other}" for name, others in WAITS.items()
            for other in sorted(others - set(resources[name].get("dependsOn", [])))]


def numbers(root):
    """Every number is either one of a list or has both bounds, which Microsoft's certification demands."""
    parameters = json.loads((root / "azuredeploy.json").read_text(encoding="utf-8"))["parameters"]
    return [f"the parameter {name} lacks a bound" for name, one in parameters.items()
            if one["type"] == "int" and "allowedValues" not in one and not {"minValue", "maxValue"} <= set(one)]
