#!/usr/bin/env python3
"""Writes THIRD-PARTY.txt: the crates that are linked into mati-sync, and the licences under which they are used.

    tools/licences/third-party.py [--check | --sbom FILE]

Asks `cargo metadata` for what the program links on Linux on x86-64, without what only its tests and builds use, and
takes the texts from the crates' own sources, which cargo keeps. With --check nothing is written; it ends with 1 where
the file is not in step. With --sbom it writes the same crates as a software bill of materials in CycloneDX's JSON.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "THIRD-PARTY.txt"
# Where a crate leaves the choice, the first of these is taken: Apache-2.0 asks for no text of each crate's own.
PREFERRED = ["Apache-2.0", "MIT", "Zlib", "BSL-1.0", "ISC", "BSD-3-Clause", "Unicode-3.0"]
# Crates that carry no text: where it stands instead.
MICROSOFT = "Copyright (c) Microsoft Corporation. All rights reserved. (https://github.com/Azure/azure-sdk-for-rust)"
MIT = (ROOT / "tools/licences/MIT.txt").read_text(encoding="utf-8")
RULE = "\n" + "-" * 100 + "\n"
HEAD = """\
What is linked into the executable mati-sync, besides its own code (Apache-2.0, see LICENSE) and the GNU C Library
(see NOTICE, and the end of this file). Made by tools/licences/third-party.py.

Rust's standard library, which is linked in too, is used under Apache-2.0: https://github.com/rust-lang/rust
"""


def linked():
    """The packages that a build of mati-sync links, sorted."""
    done = subprocess.run(["cargo", "metadata", "--format-version", "1", "--locked",
                           "--filter-platform", "x86_64-unknown-linux-gnu"], cwd=ROOT, text=True, capture_output=True)
    if done.returncode:
        sys.exit(done.stderr)
    metadata = json.loads(done.stdout)
    packages = {one["id"]: one for one in metadata["packages"]}
    nodes = {one["id"]: one for one in metadata["resolve"]["nodes"]}
    seen, left = set(), [metadata["resolve"]["root"]]
    while left:
        if (one := left.pop()) not in seen:
            seen.add(one)
            left += [dep["pkg"] for dep in nodes[one]["deps"] if any(kind["kind"] is None for kind in dep["dep_kinds"])]
    seen.remove(metadata["resolve"]["root"])
    return sorted((packages[one] for one in seen), key=lambda one: (one["name"], one["version"]))


def chosen(expression):
    """The licences under which a crate is used, of an SPDX expression."""
    taken = set()
    for part in expression.replace(" / ", " OR ").replace("/", " OR ").split(" AND "):
        offered = {one.split(" WITH ")[0].strip(" ()") for one in part.split(" OR ")}
        taken |= {next(one for one in PREFERRED if one in offered)}
    return sorted(taken)


def texts(package, licences):
    """The texts to be kept of a crate: a NOTICE, and the licences that name whose work it is."""
    folder = Path(package["manifest_path"]).parent
    files = {one.name: one.read_text(encoding="utf-8", errors="replace").strip() for one in sorted(folder.iterdir())
             if one.is_file() and re.match(r"(LICEN[CS]E|COPYING|COPYRIGHT|NOTICE)", one.name, re.I)}
    yield from (text for name, text in files.items() if name.upper().startswith("NOTICE"))
    own = set(licences) - {"Apache-2.0"}
    # Some put several licences into one file, and name it by none.
    wanted = [text for name, text in files.items() if own and not re.match(r"NOTICE|.*APACHE", name, re.I)]
    if own and not wanted:
        if package["name"].startswith(("azure_", "typespec")) and licences == ["MIT"]:
            wanted = [f"{MICROSOFT}\n\n{MIT.strip()}"]
        else:
            sys.exit(f"{package['name']} {package['version']} ({package['license']}) carries no text of its licence")
    yield from wanted


def written():
    packages = linked()
    table, kept = [], {}
    for one in packages:
        licences = chosen(one["license"])
        name = f"{one['name']} {one['version']}"
        table.append(f"{name:44} {' AND '.join(licences):28} {one['repository'] or ''}".rstrip())
        for text in texts(one, licences):
            kept.setdefault(text, []).append(name)
    blocks = [f"{', '.join(names)}:\n\n{text}\n" for text, names in kept.items()]
    apache = (ROOT / "LICENSE").read_text(encoding="utf-8").strip()
    lesser = (ROOT / "tools/licences/LGPL-2.1.txt").read_text(encoding="utf-8").strip()
    return "\n".join([HEAD, *table]) + "\n" + RULE + RULE.join([
        *blocks, f"Apache License 2.0, of every crate above that is used under Apache-2.0:\n\n{apache}\n",
        f"GNU Lesser General Public License 2.1, of the GNU C Library:\n\n{lesser}\n"])


def bill():
    """The program and its crates in CycloneDX 1.6. Without a date and a serial number, so that it is reproducible."""
    version = re.search(r'^version = "([^"]+)"', (ROOT / "Cargo.toml").read_text(encoding="utf-8"), re.M)[1]
    components = [{"type": "library", "bom-ref": f"pkg:cargo/{one['name']}@{one['version']}", "name": one["name"],
                   "version": one["version"], "purl": f"pkg:cargo/{one['name']}@{one['version']}",
                   "licenses": [{"license": {"id": name}} for name in chosen(one["license"])]} for one in linked()]
    program = {"type": "application", "bom-ref": "mati-sync", "name": "mati-sync", "version": version,
               "licenses": [{"license": {"id": "Apache-2.0"}}]}
    whole = {"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1, "metadata": {"component": program},
             "components": components, "dependencies": [
                 {"ref": "mati-sync", "dependsOn": [one["bom-ref"] for one in components]}]}
    return json.dumps(whole, indent=2) + "\n"


def main(arguments):
    if arguments[:1] == ["--sbom"] and len(arguments) == 2:
        Path(arguments[1]).write_text(bill(), encoding="utf-8")
        return
    if arguments not in ([], ["--check"]):
        sys.exit(__doc__)
    text = written()
    if not arguments:
        FILE.write_text(text, encoding="utf-8")
    elif not FILE.is_file() or FILE.read_text(encoding="utf-8") != text:
        sys.exit("THIRD-PARTY.txt is not in step with Cargo.lock: run tools/licences/third-party.py")


if __name__ == "__main__":
    main(sys.argv[1:])
