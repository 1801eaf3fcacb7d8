"""checkov over what the scenarios would deploy. What it reports and we keep stands in checkov.json, with the reason."""

import json
import subprocess
import tempfile
from pathlib import Path

import scenarios

HERE = Path(__file__).resolve().parent
SCHEMA = "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#"
# Reports of an open network, which a private deployment must not give.
NETWORK = {"CKV_AZURE_35", "CKV_AZURE_59", "CKV_AZURE_109", "CKV_AZURE_189"}


def check(root, environment):
    with tempfile.TemporaryDirectory() as folder:
        for one in scenarios.snapshots(root):
            if one.name in ("defaults", "private", "consumption"):
                # checkov reads a template and no snapshot.
                resources = [{key: value for key, value in resource.items() if key not in ("id", "condition")}
                             for resource in one.resources]
                whole = {"$schema": SCHEMA, "contentVersion": "1.0.0.0", "resources": resources}
                (Path(folder) / f"{one.name}.json").write_text(json.dumps(whole), encoding="utf-8")
        command = [environment / "bin/checkov", "--directory", folder, "--framework", "arm", "--skip-download",
                   "--output", "json", "--soft-fail"]
        done = subprocess.run(command, text=True, capture_output=True)
    try:
        report = json.loads(done.stdout)
        failed = report["results"]["failed_checks"]
    except (json.JSONDecodeError, KeyError, TypeError):
        return [f"checkov did not run: {(done.stderr or done.stdout).strip()[-200:]}"]
    excepted = json.loads((HERE / "checkov.json").read_text(encoding="utf-8"))
    found = {one["check_id"] for one in failed}
    faults = sorted({f"{one['file_path'].lstrip('/')}: {one['check_id']} {one['check_name']}"
                     for one in failed if one["check_id"] not in excepted or one["check_id"] in NETWORK and "private" in one["file_path"]})
    faults += [f"checkov.json: {name} is excepted and no longer reported" for name in sorted(set(excepted) - found)]
    if report["summary"]["passed"] < 40 or report["summary"]["parsing_errors"]:
        faults.append(f"{report['summary']}: checkov reads less than it did")
    return faults
