"""All checks, each on a line of its own; then each check once more on a copy with a fault planted in it.

    suite.py INFRA CHECKOV_ENVIRONMENT KUSTO_PACKAGE
"""

import json
import subprocess
import sys
import time
from pathlib import Path

import baselines
import commands
import compile as compiler
import contract
import grammars
import plants
import queries
import release
import scenarios
import security
import symbols
import template
import typecheck
import workflows
from bicep import BicepError

HERE = Path(__file__).resolve().parent


def shell(root):
    """The scripts for a person's shell are at least readable to one."""
    done = subprocess.run(["bash", "-n", str(root / "grant-defender.sh")], text=True, capture_output=True)
    return done.stderr.splitlines() if done.returncode else []


def play(root):
    return scenarios.check(json.loads((root / "azuredeploy.json").read_text(encoding="utf-8")))


def checks(checkov, kusto):
    return {
        "bicep.py reads every template": grammars.check_own,
        "pycep reads every template": grammars.check_pycep,
        "tree-sitter reads every template": grammars.check_tree_sitter,
        "names are declared and used": symbols.check,
        "secrets stay in secure places": symbols.secure,
        "resources fit Azure's types": lambda root: typecheck.check(root, HERE / "types"),
        "compile.py translates as Microsoft's compiler did": baselines.check,
        "azuredeploy.json is in step": compiler.check,
        "azuredeploy.json fits ARM's schema and the Bicep": template.check_template,
        "the deployment plays, in every scenario": play,
        "the portal's form fits the template": template.check_form,
        "templates and program agree": contract.check,
        "a release reaches every place that names it": release.check,
        "commands in the documents exist": commands.check,
        "the queries fit Kusto": lambda root: queries.check(root, kusto),
        "checkov, but for named exceptions": lambda root: security.check(root, checkov),
        "workflows are pinned": workflows.check,
        "grant-defender.sh is a script": shell,
    }


def run(check, root):
    try:
        return check(root)
    except BicepError as error:
        return [str(error)]


def main(root, checkov, kusto):
    failed, all_checks = 0, checks(checkov, kusto)
    for name, check in all_checks.items():
        began = time.monotonic()
        faults = run(check, root)
        failed += bool(faults)
        print(f"infra: {'FAILED' if faults else 'ok':6} {name} ({time.monotonic() - began:.1f} s)", flush=True)
        for fault in faults[:20]:
            print(f"           {fault}", flush=True)
    began = time.monotonic()
    seen, unseen = plants.check(root, all_checks, run)
    failed += bool(unseen)
    took = f"({time.monotonic() - began:.1f} s)"
    print(f"infra: {'FAILED' if unseen else 'ok':6} every check finds what is planted: {seen} faults {took}")
    for fault in unseen:
        print(f"           {fault}")
    print(f"infra: {'FAILED' if failed else 'passed'}: {len(all_checks) + 1 - failed} of {len(all_checks) + 1} checks")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main(*(Path(one).resolve() for one in sys.argv[1:4])))
