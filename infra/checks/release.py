"""Says where a release is published and as which version, in every place that names it.

    release.py OWNER/REPOSITORY VERSION

Changes the version in Cargo.toml and Cargo.lock, the package's address in main.bicep, azuredeploy.json, and the buttons
in README.md. What is to be done before and after: docs/releasing.md.
"""

import re
import sys
import tempfile
from pathlib import Path

import compiler
import contract
import plants

ROOT = Path(__file__).resolve().parent.parent.parent
NAMES = ("README.md", "Cargo.toml", "Cargo.lock", "infra/main.bicep", "infra/azuredeploy.json")


def apply(repository, where, version):
    """Changes the files under `repository`."""
    def change(name, pattern, new):
        path = repository / name
        text, count = re.subn(pattern, lambda _: new, path.read_text(encoding="utf-8"), flags=re.M | re.S)
        if count != 1:
            raise ValueError(f"{name}: {count} places look like {pattern}, and not one")
        path.write_text(text, encoding="utf-8")

    if not re.fullmatch(r"[\w.-]+/[\w.-]+", where) or not re.fullmatch(r"\d+\.\d+\.\d+", version):
        raise ValueError(f"not OWNER/REPOSITORY and a version of three numbers: {where} {version}")
    change("Cargo.toml", r'^version = "[^"]+"$', f'version = "{version}"')
    for member in ("mati-sync", "package-function", "sandbox"):
        change("Cargo.lock", rf'^name = "{member}"\nversion = "[^"]+"$', f'name = "{member}"\nversion = "{version}"')
    change("infra/main.bicep", r"^param packageUrl string = '[^']*'$",
           f"param packageUrl string = '{contract.package(where, version)}'")
    said = "\nThe buttons deploy the release: its template, and the package that the template names."
    change("README.md", r"(?<=^<!-- buttons: begin -->\n).*(?=^<!-- buttons: end -->$)", "\n".join([*contract.buttons(where, version), said, ""]))
    (repository / "infra/azuredeploy.json").write_text(compiler.built(repository / "infra"), encoding="utf-8")


def check(root):
    """Whether that reaches every place, tried on a copy: a first release, and another one after it."""
    with tempfile.TemporaryDirectory() as folder:
        infra, faults = plants.copied(root, Path(folder)), []
        try:
            for where, version in (("some.one/name", "97.1.2"), ("someone.else/other-name", "98.76.54")):
                apply(infra.parent, where, version)
                faults += contract.check(infra)
        except ValueError as error:
            return [str(error)]
        for name in NAMES:
            text = (infra.parent / name).read_text(encoding="utf-8")
            faults += [f"{name} still names {one}" for one in ("some.one/name", "some.one%2Fname", "97.1.2") if one in text]
        return faults


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    try:
        apply(ROOT, *sys.argv[1:])
    except ValueError as fault:
        sys.exit(str(fault))
