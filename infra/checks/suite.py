"""All checks, each on a line of its own; then each check once more on a copy with a fault planted in it.

    suite.py INFRA CHECKOV_ENVIRONMENT KUSTO_PACKAGE
"""

import subprocess
import sys
import time
from pathlib import Path

import commands
import compiler
import contract
import detections
import form
import plants
import queries
import release
import runs
import scenarios
import script
import security
import workflows


def shell(root):
    """The scripts for a person's shell are at least readable to one."""
    done = [subprocess.run(["bash", "-n", str(path)], text=True, capture_output=True) for path in root.glob("*.sh")]
    return [line for one in done if one.returncode for line in one.stderr.splitlines()]


def run(check, root):
    try:
        return check(root)
    except Exception as error:  # A fault of any kind is a finding, and the other checks still run.
        return [f"{type(error).__name__}: {str(error)[:300]}"]


def main(root, checkov, kusto):
    checks = {
        "azuredeploy.json is what bicep build makes": compiler.build,
        "bicep lint finds nothing": compiler.lint,
        "bicep format changes nothing": compiler.format,
        "bicep snapshot deploys what the snapshots say": compiler.snapshots,
        "the timer's schedules": compiler.schedules,
        "the snapshots keep our rules": scenarios.check,
        "the portal's form fits the template": form.check,
        "templates and program agree": contract.check,
        "a release reaches every place that names it": release.check,
        "commands in the documents exist": commands.check,
        "the queries fit Kusto": lambda root: queries.check(root, kusto),
        "alerts fire and stay silent, queries give their rows": runs.check,
        "the shipped rules find what Microsoft's do not": detections.check,
        "checkov, but for named exceptions": lambda root: security.check(root, checkov),
        "the package is copied, or refused": script.check,
        "workflows are pinned": workflows.check,
        "the scripts are scripts": shell,
    }
    every = checks | {"every check finds what is planted": lambda root: plants.check(root, checks, run)}
    failed = 0
    for name, check in every.items():
        began = time.monotonic()
        faults = run(check, root)
        failed += bool(faults)
        print(f"infra: {'FAILED' if faults else 'ok':6} {name} ({time.monotonic() - began:.1f} s)", flush=True)
        print("".join(f"           {fault}\n" for fault in faults[:20]), end="", flush=True)
    print(f"infra: {'FAILED' if failed else 'passed'}: {len(every) - failed} of {len(every)} checks")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main(*(Path(one).resolve() for one in sys.argv[1:4])))
