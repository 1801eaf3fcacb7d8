"""Runs every shipped query on tables made of the program's own log lines (lines.jsonl), with duckdb-kql over DuckDB.

expected.json has cases for each alert: passes (minutes ago, line, minutes from the checkpoint to the pass's end), and
of which lanes it tells then, "" where it knows none, null where it stays silent. For each other query it has the rows
that must come out, without their times. duckdb-kql is no Kusto: what it refuses is a fault, and no query is left out.
"""

import functools
import json
from datetime import datetime, timedelta
from pathlib import Path

import duckdb_kql

import queries

HERE = Path(__file__).resolve().parent
APP, SOURCE = "mati-sync-k5zxvtmucgacy", "Bob's \"feed\" \\ x"
# The lines of lines.jsonl: what the released program wrote at the end of ten passes, and one with what has not arrived.
NAMES = ["first", "idle", "update", "retraction", "stalled", "skipped", "failed", "dry", "missing", "watchdog", "losses"]
LINES = dict(zip(NAMES, (HERE / "lines.jsonl").read_text(encoding="utf-8").splitlines(), strict=True))
TYPES = {"datetime": "TIMESTAMP", "string": "VARCHAR", "int": "INTEGER", "bool": "BOOLEAN", "real": "DOUBLE", "dynamic": "JSON"}
EXPECTED = json.loads((HERE / "expected.json").read_text(encoding="utf-8"))
HOURS = {"PT30M": 0.5, "PT1H": 1, "P2D": 48}
TOTALS = {"Total": sum, "Maximum": max}
HOUR, DAY = 60, 24 * 60
TABLES = json.loads((HERE / "tables.json").read_text(encoding="utf-8"))
# The queries' now() is a fixed time, a month after the snapshot's deployment.
NOW, SOON = datetime(2026, 2, 1, 12), datetime(2026, 1, 2, 4)


def before(minutes, now=NOW):
    return now - timedelta(minutes=minutes)


def message(name, minutes, lag):
    """The line of a pass that ended then, as the host passes it on."""
    report = json.loads(LINES[name])
    report |= {"started_at": f"{before(minutes + 1).isoformat()}Z", "ended_at": f"{before(minutes).isoformat()}Z"}
    for lane in report["lanes"].values():
        lane["watermark"] = f"{before(minutes + lag).isoformat()}Z"
    return json.dumps(report, separators=(",", ":"), ensure_ascii=False)


# One for all cases: to open one takes longer than a case.
connection = functools.cache(duckdb_kql.connect)


def database(passes=(), indicators=(), reach=365 * DAY):
    """Tables as Azure Monitor has them, with these rows among others that must not count; `reach` minutes of them."""
    for table, columns in TABLES.items():
        body = ", ".join(f"{name} {TYPES[kind]}" for name, kind in columns.items())
        connection().execute(f"CREATE OR REPLACE TABLE {table} ({body})")
    traces = [(before(minutes), message(name.split("@")[0], minutes, lag), "another-app" if "@" in name else APP.upper())
              for minutes, name, lag in passes if minutes < reach]
    traces += [(before(3), '{"level":"INFO","message":"the last pass_ended well","end":"stalled"}', APP),
               (before(3), "pass_ended", APP)]
    for index, (time, text, app) in enumerate(traces):
        # The host puts its own words before some lines.
        connection().execute("INSERT INTO AppTraces (TimeGenerated, Message, AppRoleName) VALUES (?, ?, ?)",
                           (time, "Worker: " * (index % 2) + text, app))
    for row in indicators:
        connection().execute("INSERT INTO ThreatIntelIndicators (TimeGenerated, Id, SourceSystem, ObservableKey, IsActive, "
                           "ValidUntil) VALUES (?, ?, ?, ?, ?, ?)", row)


@functools.cache
def translated(query, now):
    return duckdb_kql.to_sql(query, {table: list(columns) for table, columns in TABLES.items()}, query_now=now)


def rows(query, now=NOW):
    sql = translated(query, now)
    done = connection().execute(sql, sql.parameters)
    return [dict(zip([column[0] for column in done.description], row)) for row in done.fetchall()]


def told(rule, passes, now):
    """Of whom an alert rule tells, evaluated as Azure Monitor does; None for nobody."""
    criterion = rule["criteria"]["allOf"][0]
    database(passes, reach=HOURS[rule.get("overrideQueryTimeRange", rule["windowSize"])] * HOUR)
    groups = {}
    for row in rows(criterion["query"], now):
        if row["TimeGenerated"] > before(HOURS[rule["windowSize"]] * HOUR, now):
            key = " ".join(str(row[one["name"]]) for one in criterion.get("dimensions", []))
            groups.setdefault(key, []).append(row[criterion["metricMeasureColumn"]])
    if criterion["operator"] != "GreaterThan":
        raise ValueError(f"{criterion['operator']} is not known here")
    total = TOTALS[criterion["timeAggregation"]]
    return sorted(key for key, values in groups.items() if total(values) > criterion["threshold"]) or None


def alerts(root):
    """Every alert fires when it should, and stays silent when it should."""
    rules, _ = queries.shipped(root)
    faults = [f"no cases for {name}" for name in sorted(set(rules) ^ set(EXPECTED["alerts"]))]
    for name, cases in EXPECTED["alerts"].items():
        outcomes = {expected is None for _, expected in cases.values()}
        faults += [] if outcomes == {True, False} else [f"{name}: there must be a case of each kind"]
        for case, (passes, expected) in cases.items():
            found = told(rules[name], passes, SOON if case == "deployed an hour ago" else NOW)
            if found != expected:
                faults.append(f"{name}: {case}: tells of {found}, not of {expected}")
    return faults


def timeless(found):
    """Rows without their times, those of several hours added up."""
    times = {key for row in found for key, value in row.items() if isinstance(value, datetime)}
    kept = [{key: value for key, value in row.items() if key not in times} for row in found]
    if times != {"TimeGenerated"} or any((row["TimeGenerated"].minute, row["TimeGenerated"].second) != (0, 0) for row in found):
        return kept
    merged = {}
    for row in kept:
        texts = {key: value for key, value in row.items() if isinstance(value, str)}
        sums = merged.setdefault(tuple(texts.values()), dict.fromkeys(row, 0) | texts)
        sums.update({key: sums[key] + value for key, value in row.items() if key not in texts})
    return list(merged.values())


def others(root):
    """Every query of the workbook and of the page gives the rows that it must give."""
    indicators = [  # minutes ago, id, source, what it observes, active, minutes until its validity ends
        (2 * DAY, "a", SOURCE, "ipv4-addr:value", True, -HOUR), (HOUR, "a", SOURCE.upper(), "ipv4-addr:value", True, HOUR),
        (HOUR, "b", SOURCE, "ipv4-addr:value", False, HOUR * 100), (HOUR, "c", SOURCE, "domain-name:value", True, -1),
        (2 * HOUR, "d", SOURCE, "file:hashes.'SHA-256'", True, 90 * DAY), (5, "e", "Mandiant", "url:value", True, DAY)]
    table = [(before(ago), *row, before(-left)) for ago, *row, left in indicators]
    _, shipped = queries.shipped(root)
    database(EXPECTED["passes"], table)
    faults = [f"no rows are expected of {name}" for name in sorted(set(shipped) ^ set(EXPECTED["rows"]))]
    for name, expected in EXPECTED["rows"].items():
        found = timeless(rows(shipped[name]))
        kept = [{key: row[key] for key in (expected[0] if expected else row)} for row in found]
        same = kept == expected if "order by Ended" in shipped[name] else sorted(map(repr, kept)) == sorted(map(repr, expected))
        faults += [] if same else [f"{name}: {kept}, expected {expected}"]
    for ago, source in ((8 * DAY, SOURCE), (HOUR, "Mandiant")):
        database((), [(before(ago), "a", source, "ipv4-addr:value", True, NOW)])
        if rows(shipped["connected"]) != [{"IsConnected": False}]:
            faults.append(f"connected: a row of {source} {ago} minutes ago connects")
    return faults


def check(root):
    return alerts(root) + others(root)
