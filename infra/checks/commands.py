"""The commands in the documents: each names a command, and parameters, that the program called has.

For mati-sync and the commands of cargo that are ours their sources say so, for the Azure CLI its own help (az.json:
the parameters that the help of each command lists). Nothing is run.
"""

import json
import re
from pathlib import Path

import arm

HERE = Path(__file__).resolve().parent
# What cargo has itself, or an alias of ours that the documents use without options.
CARGO = {"test", "test --test it backlog", "bench --bench figures", "bench --bench page", "build --release", "deny check bans licenses sources",
         "defects"}
OURS = {"demo": "tests/sandbox/src/bin/demo/main.rs", "simulate": "tests/sandbox/src/bin/simulate.rs",
        "package-function": "tools/package/src/main.rs"}
FOUND = re.compile(r"(?:^|[\s(|;&=`'\"])(mati-sync|az|cargo) ((?:[^|;&#>)`\n]|>=)*)")


def documents(repository):
    yield from sorted([repository / "README.md", *(repository / "docs").glob("*.md"), repository / "infra/README.md"])


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
    """The program and its arguments, of every call in a piece of a shell's text."""
    text = re.sub(r"<[\w ]+>", "X", text)
    while inner := re.search(r"\$\(([^()]*)\)", text):
        yield from called(inner[1])
        text = text.replace(inner[0], "X")
    text = re.sub(r"\"[^\"]*\"|'[^']*'", "X", text)
    yield from ((name, arguments.strip()) for name, arguments in FOUND.findall(text))


def lines(repository):
    """(where, program, arguments) of every call in the documents, in the scripts, and in what the deployment puts out."""
    pieces = [(path, *piece) for path in documents(repository) for piece in code(path.read_text(encoding="utf-8"))]
    for script in sorted((repository / "infra").glob("*.sh")):
        pieces += [(script, number, line) for number, line in joined(script.read_text(encoding="utf-8"))
                   if not line.lstrip().startswith("#")]
    for path in sorted((repository / "infra/checks/scenarios").glob("*.snapshot.json")):
        outputs = json.loads(path.read_text(encoding="utf-8"))["outputs"]
        pieces += [(path, name, text) for name, text in arm.evaluate(outputs, "AzureCloud").items()]
    for path, number, piece in pieces:
        yield from ((f"{path.name}:{number}", *one) for one in called(piece) if one[1])


def words(arguments):
    """The command itself: what stands before the first parameter."""
    return " ".join(re.match(r"(?:[a-z][a-z-]*(?:\s+|$))*", arguments)[0].split())


def bodies(source):
    """What stands in the braces of every struct and enum."""
    return dict(re.findall(r"^(?:pub )?(?:struct|enum) (\w+) \{\n(.*?)^\}", source, re.M | re.S))


def long(body):
    """The parameters that clap makes of a struct's fields."""
    for attribute, name in re.findall(r"#\[arg\((long.*?)\)\]\s+(?:pub )?(\w+):", body, re.S):
        given = re.match(r'long = "([\w-]+)"', attribute)
        yield "--" + (given[1] if given else name.replace("_", "-"))


def commands(source, name="Command"):
    """Each command of an enum with its parameters; those of commands within commands as well."""
    found = bodies(source)
    body = re.sub(r"^    ///.*\n", "", found[name], flags=re.M)
    for variant, inner, block in re.findall(r"^    (\w+)(?:\((\w+)\)| \{\n(.*?)^    \})?,$", body, re.M | re.S):
        command = variant.lower()
        if inner.endswith("Command"):
            yield from ((f"{command} {below}", parameters) for below, parameters in commands(source, inner))
        else:
            yield command, set(long(found[inner] if inner else block))


def check(root):
    repository = root.parent
    source = (repository / "src/cli/mod.rs").read_text(encoding="utf-8")
    everywhere = set(long(bodies(source)["Arguments"])) | {"--help", "--version"}
    ours = {command: parameters | everywhere for command, parameters in commands(source)}
    extra = {name: set(long(bodies((repository / path).read_text(encoding="utf-8"))["Arguments"])) | {"--help"}
             for name, path in OURS.items()}
    aliases = (repository / ".cargo/config.toml").read_text(encoding="utf-8")
    az = json.loads((HERE / "az.json").read_text(encoding="utf-8"))["commands"]
    faults = [f"cargo {name} is no alias in .cargo/config.toml" for name in OURS if f"\n{name} = " not in aliases]
    seen = {"mati-sync": 0, "az": 0, "cargo": 0}
    if len(ours) < 4 or not all(extra.values()):
        faults.append("the commands are not found in the sources: their form has changed")
    for where, program, arguments in lines(repository):
        seen[program] += 1
        # Parameters of mati-sync itself may stand before the command.
        command = words(re.sub(r"^(--settings \S+ )+", "", arguments))
        known = {"mati-sync": ours, "az": az}.get(program, {}).get(command)
        if program == "cargo":
            name, _, rest = arguments.partition(" ")
            known = extra.get(name) if name in extra else {*rest.split()} if arguments in CARGO else None
            arguments = rest.removeprefix("-- ") if name in extra else rest
        if known is None:
            faults.append(f"{where}: there is no {program} {command}")
            continue
        faults += [f"{where}: {program} {command} has no {one}"
                   for one in re.findall(r"(?:^|[\s\[])(--?[a-z][a-z-]*)", arguments) if one not in known]
    return faults + [f"no command of {name} is found in the documents" for name, times in seen.items() if not times]
