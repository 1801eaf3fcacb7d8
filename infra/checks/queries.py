"""The queries in kql/ and in the documents, with Microsoft's Kusto language service and the columns that Azure Monitor
documents."""

import json
import re
import subprocess
import textwrap
from pathlib import Path

import commands

HERE = Path(__file__).resolve().parent
PLACEHOLDERS = {"{app}": "mati-sync-abc", "{hours}": "2", "{source}": "Mandiant"}


def documented(repository, tables):
    """The blocks of the documents that begin with a table."""
    for path in commands.documents(repository):
        for block in re.finditer(r"^ *```\n(.*?)^ *```$", path.read_text(encoding="utf-8"), re.M | re.S):
            query = textwrap.dedent(block[1])
            if query.splitlines()[0] in tables:
                yield f"{path.name}:{block.string.count(chr(10), 0, block.start(1)) + 1}", query


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
    written = dict(documented(root.parent, tables))
    if not queries or not written:
        return ["there are no queries"]
    queries |= written
    done = subprocess.run(["node", str(HERE / "kql.mjs"), str(package)], text=True, capture_output=True,
                          input=json.dumps({"tables": tables, "queries": queries}))
    if done.returncode not in (0, 1) or done.stderr:
        return [f"the analysis failed: {done.stderr.strip()[-300:]}"]
    return faults + done.stdout.splitlines()
