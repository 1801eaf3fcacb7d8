"""Microsoft's Bicep compiler: what it makes of the template, and what it says about it.

The compiler is taken from $BICEP, from the path, or from the folder in which `az bicep install` puts it.
"""

import json
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

PLACE = ["--subscription-id", "00000000-0000-0000-0000-00000000000a", "--resource-group", "rg-mati", "--location",
         "westeurope", "--tenant-id", "00000000-0000-0000-0000-00000000000c", "--deployment-name", "mati-sync"]
HOW = "the Bicep compiler is missing: run `az bicep install`, or set BICEP to the path of the compiler"


def find():
    """Path of the compiler, or None."""
    own = Path.home() / ".azure/bin/bicep"
    return os.environ.get("BICEP") or shutil.which("bicep") or (str(own) if own.is_file() else None)


def run(*arguments):
    """What the compiler prints, and whether it succeeded. A warning is a failure, because nobody reads it later."""
    done = subprocess.run([find(), *map(str, arguments)], text=True, capture_output=True)
    lines = [re.sub(r"^/\S*/infra/", "", line) for line in (done.stderr + done.stdout).splitlines() if line.strip()]
    return lines, done.returncode == 0 and not done.stderr.strip()


def scenarios(root):
    """The parameter files of which there are snapshots."""
    return [path for path in sorted((root / "checks/scenarios").glob("*.bicepparam")) if path.stem != "schedules"]


def built(root):
    """The text of azuredeploy.json, as the compiler makes it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "azuredeploy.json"
        said, good = run("build", root / "main.bicep", "--outfile", path)
        if not good:
            raise ValueError("; ".join(said)[:600])
        return path.read_text(encoding="utf-8")


def plain(node):
    """A template without the name and version of the compiler that made it: another version may make the same."""
    if isinstance(node, dict):
        return {key: plain(one) for key, one in node.items() if key != "_generator"}
    return [plain(one) for one in node] if isinstance(node, list) else node


def build(root):
    """azuredeploy.json is what the compiler makes of main.bicep."""
    there = json.loads((root / "azuredeploy.json").read_text(encoding="utf-8"))
    if plain(json.loads(built(root))) != plain(there):
        return ["azuredeploy.json is not what `bicep build` makes of main.bicep: run infra/checks/run --write"]
    return []


def lint(root):
    """No diagnostic of any level. bicepconfig.json makes the rules errors."""
    said, good = run("lint", root / "main.bicep")
    return [] if good else said


def format(root):
    """Every file has the compiler's format."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "infra"
        shutil.copytree(root, copy, ignore=shutil.ignore_patterns("__pycache__", "*.json"))
        files = [*copy.glob("*.bicep"), *copy.glob("modules/*.bicep"), *copy.glob("checks/scenarios/*.bicepparam")]
        before = {path: path.read_bytes() for path in files}
        faults = tidy(copy)
        changed = [path.relative_to(copy) for path in files if path.read_bytes() != before[path]]
        return faults + [f"{path} is not formatted: run infra/checks/run --write" for path in changed]


def tidy(root):
    both = [run("format", "--pattern", f"{root}/**/*.{ending}") for ending in ("bicep", "bicepparam")]
    return [line for said, good in both for line in said if not good]


def snapshots(root, mode="validate"):
    """Every scenario deploys what its snapshot says."""
    for path in scenarios(root):
        said, good = run("snapshot", path, "--mode", mode, *PLACE)
        if not good:
            return [f"{path.name}: {line}" for line in said[:12]]
    return []


def schedules(root):
    """The timer's schedule for every choice of hours, and whether deployments ask at different minutes."""
    said, good = run("build-params", root / "checks/scenarios/schedules.bicepparam", "--stdout")
    if not good:
        return said
    parameters = json.loads(json.loads("".join(said))["parametersJson"])["parameters"]
    faults, found = [], {name: one["value"] for name, one in parameters.items()}
    for hours, cron in found["crons"].items():
        field = {"1": r"\*", "24": "0"}.get(hours, rf"\*/{hours}")
        if not re.fullmatch(rf"0 [0-5]?\d {field} \* \* \*", cron):
            faults.append(f"every {hours} hours: the schedule is {cron!r}")
    if len(found["crons"]) != 8 or len(set(found["minutes"])) < 10:
        faults.append(f"deployments ask at the same minutes: {sorted(set(found['minutes']))}")
    return faults


def recent(root):
    """What the rule says that goes by the date. It is read at a release, because it begins to fail on a day by itself."""
    with tempfile.TemporaryDirectory() as folder:
        config = json.loads((root / "bicepconfig.json").read_text(encoding="utf-8"))
        config["analyzers"]["core"]["rules"]["use-recent-api-versions"]["level"] = "warning"
        (Path(folder) / "bicepconfig.json").write_text(json.dumps(config), encoding="utf-8")
        return run("lint", root / "main.bicep", "--config", Path(folder) / "bicepconfig.json")[0]


def write(root):
    """Makes everything that is made: the format, azuredeploy.json, the snapshots."""
    faults = tidy(root)
    (root / "azuredeploy.json").write_text(built(root), encoding="utf-8")
    return faults + snapshots(root, "overwrite")
