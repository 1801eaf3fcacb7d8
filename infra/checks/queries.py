"""The shipped queries and those of the documents: analysed by Microsoft's Kusto language service, and run.

They are taken from a snapshot, so what is checked is the text that a deployment would bring: with its names, its quotes
and its thresholds.
"""

import json
import re
import subprocess
import textwrap
from pathlib import Path

import commands

HERE = Path(__file__).resolve().parent
SNAPSHOT = "checks/scenarios/alerts.snapshot.json"


def shipped(root):
    """(alert rules by name, other queries by name) of the snapshot."""
    rules, others = {}, {}
    for one in json.loads((root / SNAPSHOT).read_text(encoding="utf-8"))["predictedResources"]:
        kind, properties = one["type"].split("/")[-1], one.get("properties", {})
        if kind == "scheduledQueryRules":
            rules["-".join(one["name"].split("-")[3:])] = properties
        elif kind == "workbooks":
            items = json.loads(properties["serializedData"])["items"]
            others |= {f"workbook {item['name']}": item["content"]["query"] for item in items if item["type"] == 3}
        elif kind == "dataConnectorDefinitions":
            page = properties["connectorUiConfig"]
            others |= {f"graph {item['legend']}": item["baseQuery"] for item in page["graphQueries"]}
            others["last received"] = page["dataTypes"][0]["lastDataReceivedQuery"]
            others["connected"] = page["connectivityCriteria"][0]["value"][0]
    return rules, others


def detections(root):
    """The rules and the hunt for what Microsoft's rules cannot match, by the names of the files with their first lines."""
    found, files = {}, {path.read_text(encoding="utf-8").splitlines()[0]: path.stem for path in (root / "rules").glob("*.kql")}
    for one in json.loads((root / SNAPSHOT).read_text(encoding="utf-8"))["predictedResources"]:
        if one["type"].split("/")[-1] in ("alertRules", "savedSearches"):
            query = one["properties"]["query"]
            found[files.get(query.splitlines()[0], one["name"])] = query
    return found


def fits(path, query):
    """Whether the query is made of the file: anything may stand where that has a placeholder."""
    return re.fullmatch(re.sub(r"\\\{\w+\\\}", ".*", re.escape(path.read_text(encoding="utf-8"))), query)


def documented(repository, tables):
    """The blocks of the documents that begin with a table."""
    for path in commands.documents(repository):
        for block in re.finditer(r"^ *```\n(.*?)^ *```$", path.read_text(encoding="utf-8"), re.M | re.S):
            query = textwrap.dedent(block[1])
            if query.splitlines()[0] in tables:
                yield f"{path.name}:{block.string.count(chr(10), 0, block.start(1)) + 1}", query


def check(root, package):
    """Grammar, functions, columns and types."""
    tables = json.loads((HERE / "tables.json").read_text(encoding="utf-8"))
    rules, others = shipped(root)
    queries = others | {f"alert {name}": rule["criteria"]["allOf"][0]["query"] for name, rule in rules.items()}
    faults = []
    ours = detections(root)
    queries |= {f"rule {name}": query for name, query in ours.items()}
    for path in sorted([*(root / "kql").glob("*.kql"), *(root / "rules").glob("*.kql")]):
        if not any(fits(path, query) for query in queries.values()):
            faults.append(f"{path.name}: no template uses it")
    written = dict(documented(root.parent, tables))
    if len(rules) != 8 or len(others) != 13 or len(ours) != 4 or not written:
        return [f"there are {len(rules)} alerts, {len(others)} other queries, {len(ours)} rules and {len(written)} in the documents"]
    done = subprocess.run(["node", str(HERE / "kql.mjs"), str(package)], text=True, capture_output=True,
                          input=json.dumps({"tables": tables, "queries": queries | written}))
    if done.returncode not in (0, 1) or done.stderr:
        return [f"the analysis failed: {done.stderr.strip()[-300:]}"]
    return faults + done.stdout.splitlines()
