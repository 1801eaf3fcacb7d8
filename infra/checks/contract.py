"""The templates against the program: settings, defaults, allowed values, names of queue, secrets and log fields."""

import json
import re
from pathlib import Path

from bicep import fields, parse, plain, walk

# Settings that are no parameter by their own name, each with the reason.
DERIVED = {
    "MATI_KEY": "a secret, in the key vault",
    "MATI_SECRET": "a secret, in the key vault",
    "AZURE_CLIENT_SECRET": "a secret, in the key vault",
    "AZURE_WORKSPACE_ID": "of the workspace",
    "MANAGED_IDENTITY_CLIENT_ID": "of the identity",
    "KEY_VAULT_URL": "of the vault",
    "STORAGE_ACCOUNT_NAME": "of the storage account",
    "SYNC_CRON": "from the hours, or syncCron",
}
# Settings that a function app does not get.
NOT_SET = {
    "MATI_KEY": "read from the key vault",
    "MATI_SECRET": "read from the key vault",
    "AZURE_CLIENT_SECRET": "read from the key vault",
    "AzureWebJobsStorage": "a connection string; the app uses its identity",
    "STATE_DIR": "refused in a function app",
}
# What the host and the platform read beside the program.
OF_THE_HOST = {
    "AzureWebJobsStorage__accountName", "AzureWebJobsStorage__blobServiceUri", "AzureWebJobsStorage__queueServiceUri",
    "AzureWebJobsStorage__tableServiceUri", "AzureWebJobsStorage__credential", "AzureWebJobsStorage__clientId",
    "APPLICATIONINSIGHTS_CONNECTION_STRING", "APPLICATIONINSIGHTS_AUTHENTICATION_STRING",
    "FUNCTIONS_EXTENSION_VERSION", "FUNCTIONS_WORKER_RUNTIME", "WEBSITE_RUN_FROM_PACKAGE",
}
# Parameters whose default is an expression because it follows from where the template is deployed.
BY_PLACE = {"AZURE_CLOUD": "public"}
# Names that the rule does not give.
NAMES = {"AzureFunctionsJobHost__functionTimeout": "functionTimeout"}


def parameter(setting):
    """MATI_BASE_URL is the parameter matiBaseUrl."""
    first, *rest = setting.lower().split("_")
    return NAMES.get(setting, first + "".join(word.capitalize() for word in rest))


def table(repository):
    """The settings of the program, with the texts of their defaults."""
    text = (repository / "src/settings/table.rs").read_text(encoding="utf-8")
    return dict(re.findall(r'^    setting\("(\w+)", "([^"]*)"\),$', text, re.M))


def text_of(node):
    if node is None:
        return None
    return {"bool": str(node.value).lower(), "number": str(node.value)}.get(node.kind, plain(node))


def set_names(file):
    """The names of app settings in the objects of a file's variables and resources."""
    for one in file.of("var", "resource"):
        for node in walk(one.value):
            for key in fields(node) if node.kind == "object" else []:
                if key and re.fullmatch(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)+|[A-Z]\w*__\w+", key):
                    yield key, fields(node)[key]


def check(root):
    repository, main = root.parent, parse(root / "main.bicep")
    settings, faults = table(repository), []
    if len(settings) < 60:
        return [f"only {len(settings)} settings found in src/settings/table.rs: its form has changed"]
    found = dict(set_names(main))
    for name, default in settings.items():
        one = main.get(parameter(name))
        if name in NOT_SET:
            if name in found:
                faults.append(f"{name} is set, but must not be: {NOT_SET[name]}")
        elif name not in found:
            faults.append(f"{name} is not set")
        if name in DERIVED or name in NOT_SET:
            continue
        if one is None or one.kind != "param":
            faults.append(f"{name}: there is no parameter {parameter(name)}")
            continue
        expected = "" if default in ("–", "by cloud", "host.json") else default
        if name in BY_PLACE:
            if plain(one.value) is not None or default != BY_PLACE[name]:
                faults.append(f"{parameter(name)} does not follow from the place")
        elif text_of(one.value) != expected:
            faults.append(f"{parameter(name)} is {text_of(one.value)!r} by default, the program's is {expected!r}")
        if name in found and one.name not in {node.value for node in walk(found[name]) if node.kind == "name"}:
            faults.append(f"{name} is not set to {one.name}")
    names = set(found)
    for path in (root / "modules").glob("app-*.bicep"):
        names |= {name for name, _ in set_names(parse(path))}
    faults += [f"{name} is set, and neither the program nor the host knows it"
               for name in sorted(names - set(settings) - OF_THE_HOST)]
    return faults + allowed(repository, main) + fixed(repository, root, main) + logged(repository, root)


def allowed(repository, main):
    """What a parameter allows, the README's row of the setting names."""
    faults, rows = [], {}
    # The README also has a table of the vendor's settings, some of which are none of the program's.
    table = (repository / "src/settings/table.rs").read_text(encoding="utf-8")
    ours = set(re.findall(r'setting\("(\w+)"', table))
    for line in (repository / "README.md").read_text(encoding="utf-8").splitlines():
        cells = line.strip("|").split(" | ")
        if len(cells) == 3 and line.startswith("| `"):
            for name in re.findall(r"`(\w+)`", cells[0]):
                if name in ours:
                    rows[parameter(name)] = set(re.findall(r"`([^`]+)`", cells[1] + cells[2]))
    for one in main.of("param"):
        if "allowed" in one.decorators and one.name in rows:
            values = [text_of(node) for node in one.decorators["allowed"][0].items]
            faults += [f"{one.name} allows {value!r}, which the README does not name"
                       for value in values if value not in rows[one.name]]
    return faults


def fixed(repository, root, main):
    """Names that stand in two places because neither can read the other."""
    faults = []

    def same(what, one, other):
        if one != other:
            faults.append(f"{what}: {one!r} and {other!r}")

    queue = json.loads((repository / "SyncContinue/function.json").read_text())["bindings"][0]["queueName"]
    storage = next(one for one in main.of("module") if one.name == "storage")
    same("queue", plain(fields(fields(storage.value)["params"])["queue"]), queue)
    secrets = (repository / "src/secrets.rs").read_text(encoding="utf-8")
    known = set(re.findall(r'^const \w+: &str = "([a-z-]+)";', secrets, re.M))
    ours = {plain(fields(one.value)["name"]) for one in parse(root / "modules/secrets.bicep").of("resource")} - {None}
    same("secrets in the vault", sorted(ours), sorted(known))
    version = re.search(r'^version = "([^"]+)"', (repository / "Cargo.toml").read_text(), re.M)[1]
    url = plain(main.get("packageUrl").value)
    same("the package's version", re.search(r"/download/v([^/]+)/", url)[1], version)
    locked = re.search(r'^name = "mati-sync"\nversion = "([^"]+)"', (repository / "Cargo.lock").read_text(), re.M)[1]
    same("the version in Cargo.lock", locked, version)
    readme = (repository / "README.md").read_text(encoding="utf-8")
    form = r"https://portal\.azure\.(com|us)/#create/Microsoft\.Template/uri/([^/)]+)/createUIDefinitionUri/([^/)]+)\)"
    buttons = re.findall(form, readme)
    same("clouds with a button", [cloud for cloud, _, _ in buttons], ["com", "us"])
    home = url.split("/releases/")[0].replace("https://github.com/", "https://raw.githubusercontent.com/")
    for _, template, ui in buttons:
        for address, name in ((template, "azuredeploy.json"), (ui, "createUiDefinition.json")):
            same("a button's address", address.replace("%3A", ":").replace("%2F", "/"), f"{home}/v{version}/infra/{name}")
    host = json.loads((repository / "host.json").read_text())
    sampled = host["logging"]["applicationInsights"]["samplingSettings"]["excludedTypes"]
    same("types that are not sampled", sampled, "Request;Trace")
    return faults


def logged(repository, root):
    """Every field that a query reads is in the report of a pass, and the line is recognised by what it says."""
    readme = (repository / "README.md").read_text(encoding="utf-8")
    block = re.search(r'```json\n(\{"run_id".*?\})\n```', readme, re.S)[1]
    report = json.loads(block)
    lane = report["lanes"]["sentinel"]
    known = {"Report": {"event", *report}, "Fates": set(lane), "dropped": set(lane["dropped"])}
    faults = []
    for path in sorted((root / "kql").glob("*.kql")):
        text = path.read_text(encoding="utf-8")
        for base, name in re.findall(r"\b(Report|Fates|dropped)\.(\w+)", text):
            if name not in known[base]:
                faults.append(f"{path.name}: a report has no {base}.{name}")
        for name in re.findall(r"Report\.lanes\[Lane\]\.(\w+)", text):
            if name not in known["Fates"]:
                faults.append(f"{path.name}: a lane's report has no {name}")
        ends = set(re.findall(r"'(\w+)'", " ".join(re.findall(r"Report\.end\) !?in \(([^)]*)\)", text))))
        faults += [f"{path.name}: no pass ends {end}" for end in sorted(ends) if f"| `{end}` |" not in readme]
    telemetry = (repository / "src/telemetry.rs").read_text(encoding="utf-8")
    if 'event: "pass_ended"' not in telemetry:
        faults.append("src/telemetry.rs writes no pass_ended, which the queries look for")
    return faults
