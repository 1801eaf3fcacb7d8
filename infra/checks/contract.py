"""The templates against the program: settings, defaults, allowed values, names of queue, secrets and log fields."""

import json
import re

# Settings that are no parameter by their own name, because they follow from what is deployed.
DERIVED = {"AZURE_WORKSPACE_ID", "MANAGED_IDENTITY_CLIENT_ID", "KEY_VAULT_URL", "STORAGE_ACCOUNT_NAME", "SYNC_CRON"}
# Settings that a function app does not get.
NOT_SET = dict.fromkeys(("MATI_KEY", "MATI_SECRET", "GTI_API_KEY", "AZURE_CLIENT_SECRET", "WEBHOOK_URL"), "a secret, read from the key vault") | {
    "OTEL_EXPORTER_OTLP_HEADERS": "a secret that the vault does not hold; set it as a Key Vault reference",
    "AzureWebJobsStorage": "a connection string; the app uses its identity", "STATE_DIR": "refused in a function app"}
# What the host and the platform read beside the program.
OF_THE_HOST = {
    "AzureWebJobsStorage__blobServiceUri", "AzureWebJobsStorage__queueServiceUri",
    "AzureWebJobsStorage__tableServiceUri", "AzureWebJobsStorage__credential", "AzureWebJobsStorage__clientId",
    "APPLICATIONINSIGHTS_CONNECTION_STRING", "APPLICATIONINSIGHTS_AUTHENTICATION_STRING",
}
# Parameters whose default is not the text of the program's: it follows from where the template is deployed or from
# another parameter, and the scenarios show what comes out; host.json stands in `fixed`.
BY_PLACE = {
    "AZURE_CLOUD": r"\[if\(equals\(environment\(\)\.name, .*'public'\)\)\]", "MATI_AUTH": r"\[if\(.*'bearer'\)\]",
    "AZURE_AUTHORITY_HOST": r"\[environment\(\)\.authentication\.loginEndpoint\]",
    "AzureFunctionsJobHost__functionTimeout": r"\d\d:\d\d:\d\d",
}
# Names that the rule does not give.
NAMES = {"AzureFunctionsJobHost__functionTimeout": "functionTimeout"}


def parameter(setting):
    """MATI_BASE_URL is the parameter matiBaseUrl."""
    first, *rest = setting.lower().split("_")
    return NAMES.get(setting, first + "".join(word.capitalize() for word in rest))


def table(repository):
    """The settings of the program, with the texts of their defaults."""
    files = sorted((repository / "src/settings/table").glob("*.rs"))
    text = "\n".join(file.read_text(encoding="utf-8") for file in files)
    return dict(re.findall(r'^ +(?:setting|secret)\(\s*"(\w+)",\s*"([^"]*)",', text, re.M))


def check(root):
    repository, whole = root.parent, json.loads((root / "azuredeploy.json").read_text(encoding="utf-8"))
    settings, faults = table(repository), []
    if len(settings) < 60:
        return [f"only {len(settings)} settings found in src/settings/table/: its form has changed"]
    # The app settings that each plan's module gets, as expressions.
    found, other = (whole["resources"][module]["properties"]["parameters"]["settings"]["value"]
                    for module in ("flex", "consumption"))
    parameters = whole["parameters"]
    if found != other:
        faults.append("the plans get other settings")
    for name, default in settings.items():
        if name in NOT_SET:
            if name in found:
                faults.append(f"{name} is set, but must not be: {NOT_SET[name]}")
        elif name not in found:
            faults.append(f"{name} is not set")
        if name in DERIVED or name in NOT_SET:
            continue
        one = parameters.get(parameter(name))
        if one is None:
            faults.append(f"{name}: there is no parameter {parameter(name)}")
            continue
        expected = BY_PLACE.get(name, "" if default in ("–", "by cloud") else default)
        if not re.fullmatch(expected if name in BY_PLACE else re.escape(expected), str(one["defaultValue"]), re.I):
            faults.append(f"{parameter(name)} is {one['defaultValue']!r} by default, the program's is {expected!r}")
        if f"parameters('{parameter(name)}')" not in found.get(name, ""):
            faults.append(f"{name} is not set to {parameter(name)}")
    faults += [f"{name} is set, and neither the program nor the host knows it"
               for name in sorted(set(found) - set(settings) - OF_THE_HOST)]
    undescribed = [name for name, one in parameters.items() if not one.get("metadata", {}).get("description")]
    faults += [f"the parameter {name} has no description" for name in undescribed]
    return faults + allowed(repository, parameters) + fixed(repository, root, parameters) + logged(repository, root)


def allowed(repository, parameters):
    """What a parameter allows, the setting's row in docs/settings.md names."""
    faults, rows = [], {}
    for line in (repository / "docs/settings.md").read_text(encoding="utf-8").splitlines():
        cells = line.strip("|").split(" | ")
        if len(cells) == 3 and line.startswith("| `"):
            rows[parameter(cells[0].strip(" `"))] = set(re.findall(r"`([^`]+)`", cells[1] + cells[2]))
    if missing := {parameter(name) for name in table(repository)} - set(rows):
        faults.append(f"docs/settings.md has no row of {sorted(missing)}")
    for name, one in parameters.items():
        faults += [f"{name} allows {value!r}, which docs/settings.md does not name"
                   for value in one.get("allowedValues", []) if name in rows and value not in rows[name]]
    return faults


def package(where, version):
    return f"https://github.com/{where}/releases/download/v{version}/mati-sync.zip"


def buttons(where, version):
    """The lines of the README that deploy a release."""
    raw = f"https://raw.githubusercontent.com/{where}/v{version}/infra/".replace(":", "%3A").replace("/", "%2F")
    return [f"[![Deploy to Azure{label}](https://aka.ms/deploytoazure{image}button)](https://portal.azure.{cloud}/#create/"
            f"Microsoft.Template/uri/{raw}azuredeploy.json/createUIDefinitionUri/{raw}createUiDefinition.json)"
            for label, image, cloud in (("", "", "com"), (" Gov", "gov", "us"))]


def fixed(repository, root, parameters):
    """Names that stand in two places because neither can read the other."""
    faults = []

    def same(what, one, other):
        if one != other:
            faults.append(f"{what}: {one!r} and {other!r}")

    resources = json.loads((root / "checks/scenarios/defaults.snapshot.json").read_text())["predictedResources"]
    names = {kind: sorted(one["name"].split("/")[-1] for one in resources if one["type"].endswith(f"/{kind}"))
             for kind in ("queues", "secrets")}
    queue = json.loads((repository / "SyncContinue/function.json").read_text())["bindings"][0]["queueName"]
    same("queue", names["queues"], [queue])
    secrets = (repository / "src/app.rs").read_text(encoding="utf-8")
    known = re.findall(r'^const \w+: &str = "([a-z-]+)";', secrets, re.M)
    same("secrets in the vault", names["secrets"], sorted({*known, parameters["keyVaultKeyName"]["defaultValue"]}))
    version = re.search(r'^version = "([^"]+)"', (repository / "Cargo.toml").read_text(), re.M)[1]
    locked = re.search(r'^name = "mati-sync"\nversion = "([^"]+)"', (repository / "Cargo.lock").read_text(), re.M)[1]
    same("the version in Cargo.lock", locked, version)
    url, readme = parameters["packageUrl"]["defaultValue"], (repository / "README.md").read_text(encoding="utf-8")
    # Both appear with the first release: until then they would name an address that somebody else may come to own.
    where = (re.match(r"https://github\.com/([\w.-]+/[\w.-]+)/", url) or [url, url])[1]
    same("the package's address", url, package(where, version) if url else "")
    same("buttons", re.findall(r"^\[!\[Deploy.*", readme, re.M), buttons(where, version) if url else [])
    host = json.loads((repository / "host.json").read_text())
    same("the time limit", parameters["functionTimeout"]["defaultValue"], host["functionTimeout"])
    sampled = host["logging"]["applicationInsights"]["samplingSettings"]["excludedTypes"]
    same("types that are not sampled", sampled, "Request;Trace")
    return faults


def logged(repository, root):
    """Every field that a query reads is in the report of a pass, and the line is recognised by what it says."""
    reference = (repository / "docs/reference.md").read_text(encoding="utf-8")
    block = re.search(r'```json\n(\{"run_id".*?\})\n```', reference, re.S)[1]
    line = (root / "checks/lines.jsonl").read_text(encoding="utf-8").splitlines()[0]
    # What docs/reference.md says of a report, and what the lines have on which the queries are run.
    both = [json.loads(text) for text in (block, line)]
    lanes = [one["lanes"]["sentinel"] for one in both]
    known = {base: set.intersection(*map(set, of)) for base, of in (
        ("Report", both), ("Fates", lanes), ("dropped", [one["dropped"] for one in lanes]))}
    known["Report"].add("event")
    faults = []
    for path in sorted((root / "kql").glob("*.kql")):
        text = path.read_text(encoding="utf-8")
        for base, name in re.findall(r"\b(Report|Fates|dropped)\.(\w+)", text):
            if name not in known[base]:
                faults.append(f"{path.name}: a report has no {base}.{name}")
        ends = set(re.findall(r"'(\w+)'", " ".join(re.findall(r"Report\.end\) !?in \(([^)]*)\)", text))))
        faults += [f"{path.name}: no pass ends {end}" for end in sorted(ends) if f"| `{end}` |" not in reference]
    telemetry = (repository / "src/telemetry.rs").read_text(encoding="utf-8")
    if 'event: "pass_ended"' not in telemetry:
        faults.append("src/telemetry.rs writes no pass_ended, which the queries look for")
    return faults
