"""compile.py against Microsoft's compiler: templates in baselines/ with what that made of them, as published beside it.

Not compared are letter case in the names of types, which the compiler takes from its own list; the version of nested
deployments, which differs from compiler to compiler; and its remarks on itself.
"""

import json
import compile as compiler


def plain(node):
    if isinstance(node, dict):
        kept = {key: plain(one) for key, one in node.items() if key not in ("metadata", "languageVersion")}
        if str(kept.get("type")).lower() == compiler.DEPLOYMENTS.lower():
            kept["apiVersion"] = "any"
        return kept
    if isinstance(node, list):
        return [plain(one) for one in node]
    if isinstance(node, str):
        node = node.lower()
        for version in ("'2025-04-01')", f"'{compiler.DEPLOYMENTS_VERSION}')"):
            node = node.replace(f"{version}.outputs", "'any').outputs")
    return node


def differences(ours, theirs, path=""):
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in sorted(set(ours) | set(theirs)):
            yield from differences(ours.get(key), theirs.get(key), f"{path}/{key}")
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for index, (one, other) in enumerate(zip(ours, theirs)):
            yield from differences(one, other, f"{path}/{index}")
    elif ours != theirs:
        yield f"{path}: {str(ours)[:90]!r}, the compiler: {str(theirs)[:90]!r}"


def check(root):
    faults, pairs = [], sorted((root / "checks/baselines").glob("*/main.json"))
    for path in pairs:
        theirs = json.loads(path.read_text(encoding="utf-8-sig"))
        ours = compiler.Template(path.with_suffix(".bicep")).template()
        faults += [f"{path.parent.name}{text}" for text in differences(plain(ours), plain(theirs))]
    return faults if len(pairs) > 4 else [*faults, "baselines are missing"]
