"""The queries in kql/, with Microsoft's Kusto language service and the columns that Azure Monitor documents."""

import json
import re
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent
PLACEHOLDERS = {"{app}": "mati-sync-abc", "{hours}": "2", "{source}": "Mandiant"}


def check(root, package):
    tables = json.loads((HERE / "tables.json").read_text(encoding="utf-8"))
    queries, faults = {}, []
    loaded = " ".join(path.read_text(encoding="utf-8") for path in (root / "modules").glob("*.bicep"))
    for path in sorted((root / "kql").glob("*.kql")):
        text = path.read_text(encoding="utf-8")
        if f"'../kql/{path.name}'" not in loaded:
            faults.append(f"{path.name}: no template uses it")
        for placeholder, value in PLACEHOLDERS.items():
            text = text.replace(placeholder, value)
        if re.search(r"\{[a-z]+\}", text):
            faults.append(f"{path.name}: an unknown placeholder")
        queries[path.name] = text
    if not queries:
        return ["there are no queries"]
    done = subprocess.run(["node", str(HERE / "kql.mjs"), str(package)], text=True, capture_output=True,
                          input=json.dumps({"tables": tables, "queries": queries}))
    if done.returncode not in (0, 1) or done.stderr:
        return [f"the analysis failed: {done.stderr.strip()[-300:]}"]
    return faults + done.stdout.splitlines()
