"""Runs the rules and the hunt of rules/ over rows made of objects that the program sent, beside events that match and
events that do not.

objects.jsonl has the objects, each with the time at which Sentinel took it; a test of the program holds that file.
detections.json has the events by table, each a time (minutes before now) and its columns, and for each query of which
hosts it must tell, by log. What duckdb-kql refuses is a fault; nothing is left out.
"""

import json
import re
from datetime import datetime
from pathlib import Path

import queries
import runs

HERE = Path(__file__).resolve().parent
NOW = datetime(2026, 3, 2, 13, 30)
INDICATORS = "TimeGenerated, Id, SourceSystem, Confidence, ObservableKey, ObservableValue, IsActive, ValidUntil, Data"


def moment(text):
    return datetime.fromisoformat(text.replace("Z", "+00:00")).replace(tzinfo=None)


def row(line, source=runs.SOURCE, days=0):
    """What Sentinel makes of an object, perhaps so many days earlier."""
    sent = json.loads(line)
    one, at = sent["object"], moment(sent["at"])
    key, value = re.fullmatch(r"\[(.*?) = '(.*)'\]", one["pattern"]).groups()
    return (runs.before(days * runs.DAY, at), f"{source}---{one['id']}", source, one["confidence"], key, value,
            moment(one["valid_until"]) > at, moment(one["valid_until"]), json.dumps(one))


def fill(cases, indicators):
    runs.database()
    into = runs.connection().execute
    for one in indicators:
        into(f"INSERT INTO ThreatIntelIndicators ({INDICATORS}) VALUES ({', '.join('?' * len(one))})", one)
    for table, events in cases["events"].items():
        for minutes, columns in events:
            names = ["TimeGenerated", *columns]
            into(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})",
                 [runs.before(minutes, NOW), *columns.values()])


def check(root):
    cases = json.loads((root / "checks/detections.json").read_text(encoding="utf-8"))
    lines = (root / "checks/objects.jsonl").read_text(encoding="utf-8").splitlines()
    shipped = queries.detections(root)
    faults = [f"no cases for {name}" for name in sorted(set(shipped) ^ set(cases["expected"]))]
    ours = [row(line) for line in lines]
    # One of them came before yesterday already.
    old = [row(line, days=9) for line in lines if cases["old"] in line]
    others = [row(line, source="another") for line in lines]
    for name, expected in cases["expected"].items():
        fill(cases, ours + old)
        found = runs.rows(shipped[name], NOW)
        told = sorted(f"{one['Host']} {one['Log']} {one.get('Name') or one.get('Address') or one['Observed']}" for one in found)
        if told != sorted(expected):
            faults.append(f"{name}: tells of {told}, not of {sorted(expected)}")
        groups = {one["ActivityGroupNames"] for one in found}
        if not groups <= {"", "Fancy_Bear", "UNC1234"} or len(found) == 0:
            faults.append(f"{name}: the actors are {groups}")
        fill(cases, others)
        if runs.rows(shipped[name], NOW):
            faults.append(f"{name}: tells of another source's indicators")
    return faults
