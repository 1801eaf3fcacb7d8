"""Every check must have been seen to fail: on a copy of the repository's part that it reads, with a fault planted in it.

plants.json has a line for each: the check that must find it, the file, what stands there, what is put in its place, and
a part of what the check must say.
"""

import json
import shutil
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
# Of the repository outside infra/.
READ = ["README.md", "docs", "Cargo.toml", "Cargo.lock", "host.json", "src/settings/table", "src/app.rs",
        "src/telemetry.rs", "SyncContinue/function.json", ".github", ".ci"]


def copied(root, target):
    """A copy of infra/ and of what it is compared with, under target."""
    shutil.copytree(root, target / "infra", ignore=shutil.ignore_patterns("*.py", "schemas", "__pycache__"))
    for name in READ:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if (root.parent / name).is_dir() else shutil.copy)(root.parent / name, target / name)
    return target / "infra"


def check(root, checks, run):
    """What was planted and not found."""
    plants = json.loads((HERE / "plants.json").read_text(encoding="utf-8"))
    unseen = [f"nothing is planted for: {name}" for name in checks if name not in {one[0] for one in plants}]
    for name, file, old, new, said in plants:
        with tempfile.TemporaryDirectory() as folder:
            infra = copied(root, Path(folder))
            path = infra / file
            text = path.read_text(encoding="utf-8")
            if old not in text:
                unseen.append(f"{name}: {old!r} is not in {file}")
                continue
            path.write_text(text.replace(old, new, 1 if path == infra / "azuredeploy.json" else -1), encoding="utf-8")
            faults = run(checks[name], infra)
            if not any(said in fault for fault in faults):
                unseen.append(f"{name}: {new!r} in {file} was not found; said was {faults[:2]}")
    return unseen
