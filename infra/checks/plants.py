"""Every check must have been seen to fail: on a copy of the repository's part that it reads, with a fault planted in it.

A plant: the check that must find it, the file, what stands there, what is put in its place, and a part of what the
check must say. Where Bicep is changed, azuredeploy.json is made anew first, unless the check is about just that.
"""

import shutil
import tempfile
from pathlib import Path

import compile as compiler
from bicep import BicepError

# Of the repository outside infra/.
READ = ["README.md", "docs/cost.md", "docs/operations.md", "docs/releasing.md", "docs/scale.md", "Cargo.toml",
        "Cargo.lock", "host.json", "src/cli/mod.rs", "src/settings/table.rs", "src/secrets.rs", "src/telemetry.rs",
        "SyncContinue/function.json", ".cargo/config.toml", "tests/sandbox/src/bin/demo/main.rs",
        "tests/sandbox/src/bin/simulate.rs", "tools/package/src/main.rs", ".github/workflows/ci.yml",
        ".github/workflows/release.yml", ".ci/run", ".ci/host"]
STORAGE, FLEX, CONSUMPTION = "modules/storage.bicep", "modules/app-flex.bicep", "modules/app-consumption.bicep"
CALLS, RELEASE = "commands in the documents exist", "a release reaches every place that names it"
TYPES, PLAY, AGREE = "resources fit Azure's types", "the deployment plays, in every scenario", "templates and program agree"
NAMES, FORM, ARM = ("names are declared and used", "the portal's form fits the template",
                    "azuredeploy.json fits ARM's schema and the Bicep")
PLANTS = [
    ("bicep.py reads every template", STORAGE, "name: stateContainer", "name = stateContainer", "expected ':'"),
    ("pycep reads every template", STORAGE, "name: stateContainer", "name: stateContainer stateContainer", "storage"),
    ("tree-sitter reads every template", STORAGE, "  name: queue\n}", "  name: queue\n", "storage"),
    (NAMES, STORAGE, "name: queue", "name: queu", "queu is not declared"),
    (NAMES, FLEX, "'Microsoft.Web/sites@2024-11-01' = {", "'Microsoft.Web/sites@2024-11-01' = if (empyt(name)) {",
     "unknown function empyt"),
    (NAMES, STORAGE, "param queue string", "param queue string\n@description('x')\nparam idle string = ''", "not used"),
    (NAMES, "main.bicep", "    stateContainer: storageContainerName\n", "", "needs the parameter stateContainer"),
    (NAMES, "main.bicep", "sentinel.outputs.workspaceGuid", "sentinel.outputs.guid", "has no output guid"),
    ("secrets stay in secure places", "main.bicep", "  SYNC_CRON: cron", "  SYNC_CRON: cron\n  MATI_KEY: matiKey",
     "the secret matiKey may show"),
    ("secrets stay in secure places", "modules/secrets.bicep", "@secure()\nparam matiSecret", "param matiSecret",
     "the secret matiSecret may show"),
    (TYPES, "modules/storage-account.bicep", "supportsHttpsTrafficOnly", "supportHttpsTrafficOnly", "unknown property"),
    (TYPES, "modules/storage-account.bicep", "    name: 'Standard_LRS'\n", "", "missing property sku.name"),
    (TYPES, FLEX, "'FlexConsumption'\n  }", "1\n  }", "should be string"),
    (TYPES, FLEX, "type: 'UserAssignedIdentity'", "type: 'UserAsignedIdentity'", "known are"),
    (TYPES, FLEX, "app.properties.defaultHostName", "app.properties.defaultHostname", "has no properties.defaultHostname"),
    (TYPES, FLEX, "'Microsoft.Web/sites@2024-11-01'", "'Microsoft.Web/sites@2024-11-02'", "not among the types"),
    (TYPES, STORAGE, "  parent: queueService", "  parent: blobService", "parent is of another type"),
    ("azuredeploy.json is in step", "main.bicep", "param maximumInstances int = 40", "param maximumInstances int = 41",
     "not in step"),
    ("compile.py translates as Microsoft's compiler did", "checks/baselines/azure-bastion/main.json", "dependsOn", "needs",
     "the compiler: "),
    (ARM, "azuredeploy.json", '"contentVersion": "1.0.0.0"', '"contentVersion": "1"', "contentVersion"),
    (ARM, "azuredeploy.json", '"type": "securestring"', '"type": "string"', "other parameters are secure"),
    (ARM, "azuredeploy.json", '"outputs": {\n    "functionAppName"', '"outputs": {\n    "appName"', "outputs differ"),
    (PLAY, "main.bicep", "  dependsOn: [\n    storageAccount\n  ]", "", "may not exist yet"),
    (PLAY, "main.bicep", "  dependsOn: [\n    storageAccount\n    vault\n  ]", "", "without waiting"),
    (PLAY, "main.bicep", "  dependsOn: [\n    logsWorkspace\n  ]", "", "without waiting"),
    (PLAY, FLEX, "  properties: settings\n", "  properties: settings\n  dependsOn: [\n    code\n  ]\n", "wait for each other"),
    (PLAY, STORAGE, "974c5e8b-45b9-4653-ba55-5f855dd0fb88", "974c5e8b-45b9-4653-ba55-5f855dd0fb89", "roles are"),
    (PLAY, "main.bicep", "    matiKey: matiKey", "    matiKey: ''", "the secrets are"),
    (PLAY, "main.bicep", "'stmati${suffix}'", "'st-mati-${suffix}'", "may not be named"),
    (PLAY, "main.bicep", "syncSchedule == 24 ? '0' : ", "", "every 24 hours"),
    (PLAY, "main.bicep", "'0 ${minute} ${hours} * * *'", "'0 0 ${hours} * * *'", "the same minutes"),
    (PLAY, "main.bicep", "isEach || ipIndicatorExpiration != 7", "true", "expirations are"),
    (PLAY, "modules/network.bicep", "${storageSuffix}", "core.windows.net", "the DNS zones are"),
    (PLAY, "main.bicep", "  AZURE_WORKSPACE_ID: sentinel",
     "  FUNCTIONS_WORKER_RUNTIME: 'custom'\n  AZURE_WORKSPACE_ID: sentinel", "Flex Consumption does not take"),
    (PLAY, CONSUMPTION, "    FUNCTIONS_WORKER_RUNTIME: 'custom'\n", "", "Consumption plan are wrong"),
    (PLAY, "main.bicep", "empty(keyVaultId) ? resourceId", "!empty(keyVaultId) ? resourceId", "private"),
    (PLAY, "main.bicep", "output schedule string = cron", "output schedule string = '${cron}${matiKey}'", "shows a secret"),
    (PLAY, "azuredeploy.json", "[variables('cron')]", "[variables('corn')]", "corn does not exist"),
    (PLAY, "azuredeploy.json", "[empty(parameters('logsWorkspaceId'))]", "[empty(parameters('logsWorkspaceId')]", "unexpected"),
    (PLAY, "main.bicep", "@maxValue(89)\n", "", "is accepted"),
    (FORM, "createUiDefinition.json", '"type": "Microsoft.Common.TextBox"', '"type": "Microsoft.Common.Textbox"', "steps/"),
    (FORM, "createUiDefinition.json", "\"[steps('sentinel').tlpLevel]\"", "\"[steps('sentinel').tlp]\"", "does not exist"),
    (FORM, "createUiDefinition.json", '"matiKey": "[', '"mandiantKey": "[', "no parameter mandiantKey"),
    (FORM, "createUiDefinition.json", '"value": "amber"', '"value": "yellow"', "the form offers"),
    (FORM, "createUiDefinition.json", "[int(steps('operation').syncSchedule)]", "[steps('operation').syncSchedule]",
     "a number is text"),
    (AGREE, "main.bicep", "param minimumConfidence int = 80", "param minimumConfidence int = 60", "'60' by default"),
    (AGREE, "main.bicep", "  TLP_LEVEL: tlpLevel\n", "", "TLP_LEVEL is not set"),
    (AGREE, "main.bicep", "  TLP_LEVEL: tlpLevel\n", "  TLP_LEVEL: logLevel\n", "is not set to tlpLevel"),
    (AGREE, "main.bicep", "  TLP_LEVEL: tlpLevel\n", "  TLP_LEVEL: tlpLevel\n  TLP_LEVELS: tlpLevel\n", "knows it"),
    (AGREE, "main.bicep", "  TLP_LEVEL: tlpLevel\n", "  TLP_LEVEL: tlpLevel\n  STATE_DIR: '/tmp'\n", "must not be"),
    (AGREE, "main.bicep", "'clear', 'green'", "'white', 'green'", "does not name"),
    (AGREE, "main.bicep", "queue: 'mati-sync'", "queue: 'mati'", "queue"),
    (AGREE, "modules/secrets.bicep", "'azure-client-secret'", "'client-secret'", "secrets in the vault"),
    (AGREE, "main.bicep", "/download/v", "/download/v9", "version"),
    (AGREE, "../README.md", "portal.azure.us/#create", "portal.azure.us/create", "button"),
    (AGREE, "../host.json", "Request;Trace", "Request", "sampled"),
    (AGREE, "../src/settings/table.rs", 'setting("LOG_LEVEL", "info")', 'setting("LOG_LEVELS", "info")', "LOG_LEVELS"),
    (AGREE, "kql/alert-rejected.kql", "[Lane].rejected", "[Lane].refused", "no refused"),
    (AGREE, "kql/alert-stalled.kql", "'stalled', 'failed'", "'stalled', 'broken'", "no pass ends broken"),
    (RELEASE, "../README.md", "portal.azure.us/#create", "portal.azure.us/create", "button"),
    (RELEASE, "../README.md", "Finfra%2FcreateUi", "Fother%2FcreateUi", "places look like"),
    (RELEASE, "../Cargo.toml", "\nversion = ", "\nversion  = ", "places look like"),
    (RELEASE, "main.bicep", "targetScope =", "// https://github.com/mati-sync/mati-sync\ntargetScope =", "still names"),
    (AGREE, "../Cargo.lock", "name = \"mati-sync\"\nversion = \"", "name = \"mati-sync\"\nversion = \"9", "Cargo.lock"),
    (CALLS, "../README.md", "cargo demo -- --both", "cargo demo -- --all", "cargo demo has no --all"),
    (CALLS, "../README.md", "cargo simulate -- --kill 3", "cargo simulations -- --kill 3", "there is no cargo"),
    (CALLS, "../README.md", "az deployment group show", "az deployment groups show", "no az deployment groups show"),
    (CALLS, "../README.md", "-f infra/azuredeploy.json", "-z infra/azuredeploy.json", "has no -z"),
    (CALLS, "../docs/operations.md", "sync --retry-rejected", "sync --retry-refused", "has no --retry-refused"),
    (CALLS, "../docs/operations.md", "mati-sync state export", "mati-sync export", "no mati-sync export"),
    (CALLS, "../src/cli/mod.rs", "    rebuild: bool", "    resend: bool", "sync has no --rebuild"),
    (CALLS, "main.bicep", "az functionapp keys list", "az functionapp key list", "no az functionapp key list"),
    (CALLS, "grant-defender.sh", "ad sp list --filter", "ad sp list --where", "has no --where"),
    ("the queries fit Kusto", "../docs/cost.md", "tobool(_IsBillable)", "_IsBillable", "type bool expected"),
    ("the queries fit Kusto", "kql/alert-no-pass.kql", "summarize Passes", "sumarize Passes", "alert-no-pass"),
    ("the queries fit Kusto", "kql/workbook-held.kql", "ObservableKey, ValidUntil", "Observable, ValidUntil", "Observable"),
    ("the queries fit Kusto", "kql/alert-stalled.kql", "{app}", "{apps}", "unknown placeholder"),
    ("checkov, but for named exceptions", "modules/storage-account.bicep", "'TLS1_2'", "'TLS1_0'", "CKV_AZURE_44"),
    ("workflows are pinned", "../.github/workflows/ci.yml", "@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1", "@v7",
     "not pinned"),
    ("workflows are pinned", "../.github/workflows/release.yml", "permissions: {}\n", "", "not taken away"),
    ("grant-defender.sh is a script", "grant-defender.sh", "\nfi\n", "\n", "grant-defender"),
]


def copied(root, target):
    """A copy of infra/ and of what it is compared with, under target."""
    shutil.copytree(root, target / "infra", ignore=shutil.ignore_patterns("checks", "__pycache__"))
    shutil.copytree(root / "checks/baselines", target / "infra/checks/baselines")
    for name in READ:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(root.parent / name, target / name)
    return target / "infra"


def check(root, checks, run):
    """How many plants were found, and what was not."""
    seen, unseen = 0, [f"nothing is planted for: {name}" for name in checks if name not in {one[0] for one in PLANTS}]
    for name, file, old, new, said in PLANTS:
        with tempfile.TemporaryDirectory() as folder:
            infra = copied(root, Path(folder))
            path = infra / file
            text = path.read_text(encoding="utf-8")
            if old not in text:
                unseen.append(f"{name}: {old!r} is not in {file}")
                continue
            path.write_text(text.replace(old, new, 1 if path.suffix == ".json" else -1), encoding="utf-8")
            if file.endswith(".bicep") and name in (PLAY, ARM, FORM):
                try:
                    (infra / "azuredeploy.json").write_text(compiler.compiled(infra / "main.bicep"), encoding="utf-8")
                except BicepError as error:
                    unseen.append(f"{name}: the plant {new!r} does not even translate: {error}")
                    continue
            faults = run(checks[name], infra)
            if any(said in fault for fault in faults):
                seen += 1
            else:
                unseen.append(f"{name}: {new!r} in {file} was not found; said was {faults[:2]}")
    return seen, unseen
