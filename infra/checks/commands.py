"""The commands of the Azure CLI in the documents, the scripts and the deployment's outputs: each names a command, and
parameters, that az has.

Its own help says so (az.json: the parameters that the help of each command lists). Nothing is run. The commands of
mati-sync and of cargo are held by tests/it/documents.rs.
"""

import json
import re
from pathlib import Path

import arm

HERE = Path(__file__).resolve().parent
FOUND = re.compile(r"(?:^|[\s(|;&=`'\"])az ((?:[^|;&#>)`\n]|>=)*)")


def documents(repository):
    yield from sorted([*repository.glob("*.md"), *(repository / "docs").glob("*.md"), repository / "infra/README.md"])


def joined(text):
    """The lines with their numbers; a line that goes on behind a backslash is one."""
    whole, first = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        first, whole = first or number, whole + line
        if whole.endswith("\\"):
            whole = whole[:-1]
        else:
            yield first, whole
            whole, first = "", 0


def code(text):
    """What stands in a document as code, each piece with the number of its line."""
    fenced, printed = None, False
    for number, line in joined(text):
        fence = re.match(r"\s*```(\w*)", line)
        printed = (printed or "output: begin -->" in line) and "output: end -->" not in line
        if fence:
            fenced = fence[1] if fenced is None else None
        elif fenced is None:
            yield from ((number, one) for one in re.findall(r"`([^`]+)`", line))
        elif not fenced and not printed:
            yield number, line


def called(text):
    """The arguments of every call of az in a piece of a shell's text."""
    text = re.sub(r"<[\w ]+>", "X", text)
    while inner := re.search(r"\$\(([^()]*)\)", text):
        yield from called(inner[1])
        text = text.replace(inner[0], "X")
    text = re.sub(r"\"[^\"]*\"|'[^']*'", "X", text)
    yield from (arguments.strip() for arguments in FOUND.findall(text))


def lines(repository):
    """(where, arguments) of every call in the documents, in the scripts, and in what the deployment puts out."""
    pieces = [(path, *piece) for path in documents(repository) for piece in code(path.read_text(encoding="utf-8"))]
    for script in sorted((repository / "infra").glob("*.sh")):
        pieces += [(script, number, line) for number, line in joined(script.read_text(encoding="utf-8"))
                   if not line.lstrip().startswith("#")]
    for path in sorted((repository / "infra/checks/scenarios").glob("*.snapshot.json")):
        outputs = json.loads(path.read_text(encoding="utf-8"))["outputs"]
        pieces += [(path, name, text) for name, text in arm.evaluate(outputs, "AzureCloud").items()]
    for path, number, piece in pieces:
        yield from ((f"{path.name}:{number}", one) for one in called(piece) if one)


def words(arguments):
    """The command itself: what stands before the first parameter."""
    return " ".join(re.match(r"(?:[a-z][a-z-]*(?:\s+|$))*", arguments)[0].split())


def check(root):
    known = json.loads((HERE / "az.json").read_text(encoding="utf-8"))["commands"]
    faults, seen = [], 0
    for where, arguments in lines(root.parent):
        seen += 1
        command = words(arguments)
        if command not in known:
            faults.append(f"{where}: there is no az {command}")
            continue
        faults += [f"{where}: az {command} has no {one}"
                   for one in re.findall(r"(?:^|[\s\[])(--?[a-z][a-z-]*)", arguments) if one not in known[command]]
    return faults if seen else ["no command of az is found in the documents"]
