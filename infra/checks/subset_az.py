"""Takes from an installed Azure CLI which parameters each command has that the documents use.

    subset_az.py AZ

AZ is the executable, such as /tmp/venv/bin/az after `pip install azure-cli`; nobody need be signed in. Written to
az.json, for commands.py. Due whenever the documents use another command.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

import commands

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent


def parameters(az, command):
    """Every way to spell a parameter of the command, by its own help."""
    done = subprocess.run([az, *command.split(), "--help"], text=True, capture_output=True)
    if done.returncode:
        sys.exit(f"az {command}: {done.stdout}{done.stderr}")
    lines = re.findall(r"^    (-.*?)(?: \[Required\])? *:", done.stdout, re.M)
    return sorted({word for line in lines for word in line.split() if word.startswith("-")})


def main(az):
    version = json.loads(subprocess.run([az, "version"], text=True, capture_output=True, check=True).stdout)["azure-cli"]
    used = sorted({" ".join(commands.words(line)) for _, name, line in commands.lines(ROOT) if name == "az"})
    table = {"version": version, "commands": {command: parameters(az, command) for command in used}}
    (HERE / "az.json").write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
    print(f"az.json: {len(used)} commands of azure-cli {version}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
