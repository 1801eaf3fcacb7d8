"""Says where a release is published and as which version, in every place that names it.

    release.py OWNER/REPOSITORY VERSION

Changes the version in Cargo.toml and Cargo.lock, the package's address in main.bicep, azuredeploy.json and the buttons
in README.md. What is to be done before and after: docs/releasing.md.
"""

import re
import sys
import tempfile
from pathlib import Path

import compile as compiler
import contract
import plants

ROOT = Path(__file__).resolve().parent.parent.parent
NAMES = ("README.md", "Cargo.toml", "Cargo.lock", "infra/main.bicep", "infra/azuredeploy.json")


def replaced(text, pattern, new, times, name):
    changed, count = re.subn(pattern, lambda _: new, text, flags=re.M)
    if count != times:
        raise ValueError(f"{name}: {count} places look like {pattern}, and not {times}")
    return changed


def apply(repository, where, version):
    """Changes the files under `repository`."""
    def change(name, pattern, new, times):
        path = repository / name
        path.write_text(replaced(path.read_text(encoding="utf-8"), pattern, new, times, name), encoding="utf-8")

    if not re.fullmatch(r"[\w.-]+/[\w.-]+", where) or not re.fullmatch(r"\d+\.\d+\.\d+", version):
        raise ValueError(f"not OWNER/REPOSITORY and a version of three numbers: {where} {version}")
    change("Cargo.toml", r'^version = "[^"]+"$', f'version = "{version}"', 1)
    for member in ("mati-sync", "package-function", "sandbox"):
        change("Cargo.lock", rf'^name = "{member}"\nversion = "[^"]+"$', f'name = "{member}"\nversion = "{version}"', 1)
    change("infra/main.bicep", r"https://github\.com/[\w.-]+/[\w.-]+/releases/download/v[\d.]+/",
           f"https://github.com/{where}/releases/download/v{version}/", 1)
    raw = f"https://raw.githubusercontent.com/{where}/v{version}/infra/".replace(":", "%3A").replace("/", "%2F")
    change("README.md", r"https%3A%2F%2Fraw\.githubusercontent\.com%2F[\w.%-]+?%2Finfra%2F", raw, 4)
    (repository / "infra/azuredeploy.json").write_text(
        compiler.compiled(repository / "infra/main.bicep"), encoding="utf-8")


def check(root):
    """Whether that reaches every place, tried on a copy with another owner and version."""
    with tempfile.TemporaryDirectory() as folder:
        infra = plants.copied(root, Path(folder))
        try:
            apply(infra.parent, "someone.else/other-name", "98.76.54")
        except ValueError as error:
            return [str(error)]
        old = re.search(r"github\.com/([\w.-]+/[\w.-]+)/releases", (root / "main.bicep").read_text(encoding="utf-8"))[1]
        faults = contract.check(infra) + compiler.check(infra)
        for name in NAMES:
            text = (infra.parent / name).read_text(encoding="utf-8")
            faults += [f"{name} still names {one}" for one in (old, old.replace("/", "%2F")) if one in text]
        return faults


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    try:
        apply(ROOT, *sys.argv[1:])
    except ValueError as fault:
        sys.exit(str(fault))
