"""Takes from a checkout of Azure/bicep-types-az what the templates here use, for the type check.

    subset_types.py FOLDER

FOLDER holds types.json files (in the checkout: generated/<provider>/<namespace>/<version>/types.json), or the same
under any other name. Written to types/: one file per namespace and version, with the types of the resources used and
all that those refer to. Descriptions are left out; they are most of the size and nothing reads them.
"""

import json
import sys
from pathlib import Path

from bicep import parse

ROOT = Path(__file__).resolve().parent.parent
# What only Azure writes. It is no use for checking what we write, save for what the templates read.
READ_ONLY = 2
READ = {"accessEndpoints", "principalId", "clientId", "customerId", "vaultUri", "primaryEndpoints", "ConnectionString",
        "defaultHostName", "blob", "id"}


def used(root=ROOT):
    """type@version of every resource."""
    files = [root / "main.bicep", *(root / "modules").glob("*.bicep")]
    return sorted({one.type for path in files for one in parse(path).of("resource")})


def subset(types, names):
    """The entries reachable from these resource types, renumbered."""
    wanted, numbers = {name.lower() for name in names}, {}
    made = []

    def take(number):
        if number in numbers:
            return numbers[number]
        numbers[number] = len(made)
        made.append(None)
        made[numbers[number]] = clean(types[number])
        return numbers[number]

    def clean(node):
        if isinstance(node, list):
            return [clean(one) for one in node]
        if not isinstance(node, dict):
            return node
        if set(node) == {"$ref"}:
            return {"$ref": f"#/{take(int(node['$ref'].split('/')[-1]))}"}
        kept = {}
        for key, one in node.items():
            if key in ("properties", "baseProperties") and "$type" in node:
                kept[key] = {name: {"type": clean(part["type"]), "flags": part["flags"]} for name, part in one.items()
                             if not part["flags"] & READ_ONLY or name in READ}
            elif key not in ("description", "functions"):
                kept[key] = clean(one)
        return kept

    for number, one in enumerate(types):
        if one["$type"] == "ResourceType" and one["name"].lower() in wanted:
            take(number)
    return made


def main(folder):
    for old in (ROOT / "checks/types").glob("*.json"):
        old.unlink()
    missing = {name.lower(): name for name in used()}
    for path in sorted(Path(folder).rglob("*.json")):
        types = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(types, list):
            continue
        names = [one["name"] for one in types if one.get("$type") == "ResourceType" and one["name"].lower() in missing]
        if not names:
            continue
        for name in names:
            del missing[name.lower()]
        provider, version = names[0].split("/")[0].lower(), names[0].split("@")[1]
        target = ROOT / "checks/types" / f"{provider}@{version}.json"
        while target.exists():
            target = target.with_stem(target.stem + "-more")
        target.parent.mkdir(exist_ok=True)
        target.write_text(json.dumps(subset(types, names), separators=(",", ":")) + "\n", encoding="utf-8")
        print(f"{target.name}: {len(names)} types, {target.stat().st_size} bytes")
    for name in missing.values():
        print(f"not found: {name}")
    return bool(missing)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1]))
