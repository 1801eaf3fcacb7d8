"""The workflows' foreign code is pinned by commit, no job has more rights than it names, and updates are proposed."""

import re

PINNED = re.compile(r"uses: (\./\S+|[\w.-]+/[\w./-]+@[0-9a-f]{40} # v[\d.]+)$")


def check(root):
    faults = []
    folder = root.parent / ".github/workflows"
    for path in sorted(folder.glob("*.yml")):
        text = path.read_text(encoding="utf-8")
        if not re.search(r"^permissions: \{\}$", text, re.M):
            faults.append(f"{path.name}: rights that no job named are not taken away")
        for number, line in enumerate(text.splitlines(), 1):
            if "uses:" in line and not PINNED.search(line):
                faults.append(f"{path.name}:{number}: not pinned by commit: {line.strip()}")
        for command in re.findall(r"(?<![\w/])((?:\.ci|infra)/[\w./-]+)", text):
            if not (root.parent / command).exists():
                faults.append(f"{path.name}: {command} does not exist")
    proposed = (root.parent / ".github/dependabot.yml").read_text(encoding="utf-8")
    faults += [f"Dependabot does not update {name}" for name in ("cargo", "github-actions", "npm", "pip")
               if f"package-ecosystem: {name}\n" not in proposed]
    return faults or ([] if list(folder.glob("*.yml")) else ["there are no workflows"])
