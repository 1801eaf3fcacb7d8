"""What every scenario must deploy, asserted on its snapshot."""

import json
import re
from pathlib import Path

import arm

VAULT_SECRET = "Microsoft.KeyVault/vaults/secrets"
# names: Azure's rules for names; for a site 32 characters, because the host's id is cut there. roles: of the identity, and
# on what. not_on_flex: what Flex Consumption refuses ("The following list of 4 site configuration properties …"), in some
# regions even at its default, and what moved to functionAppConfig. waits: the modules that each module waits for. The
# compiler knows that where a value of one goes into the other, and not where both only name the same resource; a
# snapshot shows no order at all.
RULES = json.loads((Path(__file__).resolve().parent / "rules.json").read_text(encoding="utf-8"))
PLANS = {"private": "flex-private", "consumption": "consumption"}


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
        [found] = self.of(kind)
        return found

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


def differing(settings, expected):
    return (f"{name} is {settings.get(name)!r}" for name, value in expected.items() if settings.get(name) != value)


def general(found):
    for one in found.resources:
        rule = RULES["names"].get(one["type"])
        if rule and not re.fullmatch(rule, one["name"].split("/")[-1]):
            yield f"{one['type']} may not be named {one['name']}"
    if re.search(r"\{(app|hours|deployed|source|type)\}", found.text):
        yield "a placeholder is left in a query"


def secrets(found):
    for one in [*found.resources, found.outputs]:
        shown = set(re.findall(r"parameters\('(\w+)'\)|SECRET-", json.dumps(one)))
        if shown and one.get("type") != VAULT_SECRET:
            yield f"{one.get('name', 'an output')} shows a secret"
    wanted = {"mati-key": "matiKey", "mati-secret": "matiSecret", "gti-api-key": "gtiApiKey",
              "azure-client-secret": "azureClientSecret", "webhook-url": "webhookUrl"}
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
    if there != RULES["roles"]:
        yield f"roles are {there}"


def app(found):
    settings, site = found.settings, found.one("Microsoft.Web/sites")
    identity = found.one("Microsoft.ManagedIdentity/userAssignedIdentities")["id"]
    client = arm.answer(identity, found.cloud)["clientId"]
    expected = {"MANAGED_IDENTITY_CLIENT_ID": client, "AzureWebJobsStorage__clientId": client,
                "AzureWebJobsStorage__credential": "managedidentity",
                "APPLICATIONINSIGHTS_AUTHENTICATION_STRING": f"ClientId={client};Authorization=AAD"}
    yield from differing(settings, expected)
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
        yield from differing(settings, {
            "FUNCTIONS_WORKER_RUNTIME": "custom", "FUNCTIONS_EXTENSION_VERSION": "~4",
            "WEBSITE_RUN_FROM_PACKAGE": "https://copy.example.net", "WEBSITE_RUN_FROM_PACKAGE_BLOB_MI_RESOURCE_ID": identity})
        return
    config = site["properties"]["functionAppConfig"]
    if config["runtime"] != {"name": "custom", "version": "1.0"}:
        yield "the runtime is no custom handler"
    refused = RULES["not_on_flex"]
    wrong = set(refused["siteConfig"]) & set(site["properties"]["siteConfig"]) | set(refused["settings"]) & set(settings)
    if wrong:
        yield f"Flex Consumption does not take {sorted(wrong)}"
    container = found.evaluate(config["deployment"]["storage"]["value"]).rsplit("/", 1)[1]
    if not any(one["name"].endswith(f"/{container}") for one in
               found.of("Microsoft.Storage/storageAccounts/blobServices/containers")):
        yield f"the container {container} of the package is not created"
    if bool(deploys) != given:
        yield "the package is deployed though there is none, or not though there is one"


def chosen(found):
    """What follows from the scenario's own parameters."""
    own = found.name == "schedule"
    expected = {f"{name}_INDICATOR_EXPIRATION": "" if own else "7" for name in ("IP", "FQDN", "URL")}
    expected |= {"HASH_INDICATOR_EXPIRATION": "60" if own else "90",
                 "AzureFunctionsJobHost__functionTimeout": "00:09:00" if own else "00:10:00",
                 "MATI_AUTH": "apikey" if found.name == "consumption" else "bearer"}
    yield from differing(found.settings, expected)
    if not re.fullmatch(r"0 7 \*/5 \* \* \*" if own else r"0 \d+ \* \* \* \*", found.settings["SYNC_CRON"]):
        yield f"SYNC_CRON is {found.settings['SYNC_CRON']}"
    pages = {"scheduledQueryRules": 8, "workbooks": 1, "dataConnectorDefinitions": 1}
    there = {kind: sum(one["type"].endswith(kind) for one in found.resources) for kind in pages}
    if there != ({kind: 0 for kind in pages} if own else pages):
        yield f"alerts, workbook and page are {there}"
    there = {kind: sum(one["type"].endswith(kind) for one in found.resources) for kind in ("alertRules", "savedSearches")}
    if there != ({"alertRules": 3, "savedSearches": 1} if found.name == "alerts" else dict.fromkeys(there, 0)):
        yield f"rules and hunts are {there}"
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
    yield from differing(settings, expected)
    if not settings["KEY_VAULT_URL"].endswith(f"{vault}/"):
        yield f"KEY_VAULT_URL is {settings['KEY_VAULT_URL']}"
    zones = sorted(found.evaluate(one["name"]) for one in found.of("Microsoft.Network/privateDnsZones"))
    wanted = [f"privatelink.blob.{storage}", f"privatelink.queue.{storage}", "privatelink" + vault.replace(".vault.", ".vaultcore.")]
    if zones != (sorted(wanted) if found.plan == "flex-private" else []):
        yield f"the DNS zones are {zones}"


def order(root):
    """Modules wait for what they need, and nothing that the app needs comes after it."""
    resources = json.loads((root / "azuredeploy.json").read_text(encoding="utf-8"))["resources"]
    return [f"{name} does not wait for {other}" for name, others in RULES["waits"].items()
            for other in others if other not in resources[name].get("dependsOn", [])]


def numbers(root):
    """Every number is either one of a list or has both bounds, which Microsoft's certification demands."""
    parameters = json.loads((root / "azuredeploy.json").read_text(encoding="utf-8"))["parameters"]
    return [f"the parameter {name} lacks a bound" for name, one in parameters.items()
            if one["type"] == "int" and "allowedValues" not in one and not {"minValue", "maxValue"} <= set(one)]
