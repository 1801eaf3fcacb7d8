"""checkov over the templates. What it reports and we keep stands in checkov.json, each with its reason."""

import json
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent
# checkov leaves a file out in silence when the older grammar it brings along cannot read it.
READS = """
import sys
from pycep import BicepParser
for path in sys.argv[1:]:
    try:
        BicepParser().parse(text=open(path, encoding="utf-8").read())
    except Exception as error:
        print(path.rsplit("/", 1)[1] + ": checkov cannot read it: " + str(error).splitlines()[0])
"""


def check(root, environment):
    files = [str(one) for one in [root / "main.bicep", *sorted((root / "modules").glob("*.bicep"))]]
    read = subprocess.run([environment / "bin/python", "-c", READS, *files], text=True, capture_output=True)
    if read.returncode:
        return [f"checkov's grammar did not run: {read.stderr.strip()[-200:]}"]
    faults = read.stdout.splitlines()
    command = [environment / "bin/checkov", "--directory", root, "--framework", "bicep", "--skip-download",
               # What lies there is others', for another check.
               "--skip-path", "checks/baselines",
               "--output", "json", "--soft-fail"]
    done = subprocess.run(command, text=True, capture_output=True)
    try:
        report = json.loads(done.stdout)
        failed = report["results"]["failed_checks"]
    except (json.JSONDecodeError, KeyError, TypeError):
        return [*faults, f"checkov did not run: {(done.stderr or done.stdout).strip()[-200:]}"]
    excepted = json.loads((HERE / "checkov.json").read_text(encoding="utf-8"))
    found = {one["check_id"] for one in failed}
    faults += sorted({f"{one['file_path'].lstrip('/')}: {one['check_id']} {one['check_name']}"
                      for one in failed if one["check_id"] not in excepted})
    faults += [f"checkov.json: {name} is excepted and no longer reported" for name in sorted(set(excepted) - found)]
    if report["summary"]["passed"] < 40:
        faults.append(f"only {report['summary']['passed']} checks passed: checkov reads less than it did")
    return faults
