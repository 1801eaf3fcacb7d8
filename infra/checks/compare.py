"""Another translation of main.bicep, as of the Bicep compiler, against azuredeploy.json.

    compare.py TEMPLATE

Both are played in every scenario; what they deploy and give back must be the same. Their texts need not be.
"""

import json
import sys
from pathlib import Path

import scenarios

ROOT = Path(__file__).resolve().parent.parent


def deployed(template, cloud, given):
    played = scenarios.Played(template, cloud, {**scenarios.SECRETS, **given})
    resources = {id: played.cloud.resources[id.lower()] for id in played.cloud.order}
    return {"outputs": played.outputs, **resources}


def differences(ours, theirs, path=""):
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in sorted(set(ours) | set(theirs)):
            yield from differences(ours.get(key), theirs.get(key), f"{path} › {key.split('/')[-1]}")
    # The compiler writes the scope of an extension resource with or without what stands before its provider.
    elif ours != theirs and not (path.endswith("› scope") and theirs and str(ours).endswith(str(theirs))):
        yield f"{path.lstrip(' ›')}: {str(ours)[:80]!r}, there {str(theirs)[:80]!r}"


def check(ours, theirs):
    faults = []
    for what in ("parameters", "outputs"):
        if sorted(ours[what]) != sorted(theirs[what]):
            faults.append(f"{what} differ: {sorted(set(ours[what]) ^ set(theirs[what]))}")
    for name, (cloud, given) in scenarios.SCENARIOS.items():
        both = [deployed(template, cloud, given) for template in (ours, theirs)]
        faults += [f"{name}: {text}" for text in differences(*both)]
    return faults


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    files = [ROOT / "azuredeploy.json", Path(sys.argv[1])]
    found = check(*(json.loads(one.read_text(encoding="utf-8")) for one in files))
    print("\n".join(found[:50]) or f"{len(scenarios.SCENARIOS)} scenarios deploy the same")
    sys.exit(bool(found))
