"""Names in the templates: every one declared, every declared one used."""

from bicep import fields, parse, walk

# What Bicep lets one call, as far as it is used here. A new one is a line here: so nothing misspelt slips through.
FUNCTIONS = {"concat", "empty", "environment", "guid", "indexOf", "last", "loadTextContent", "replace", "resourceGroup",
             "resourceId", "split", "string", "subscription", "subscriptionResourceId", "substring", "union",
             "uniqueString"}
DECORATORS = {"allowed", "description", "maxLength", "maxValue", "minLength", "minValue", "secure"}
TYPES = {"string", "int", "bool", "object", "array"}


def check(root):
    faults = []
    for path in [root / "main.bicep", *sorted((root / "modules").glob("*.bicep"))]:
        faults += [f"{path.relative_to(root)}:{line}: {text}" for line, text in of_file(parse(path))]
    files = [root / "main.bicep", *(root / "modules").glob("*.bicep")]
    used = {(path.parent / one.type).resolve() for path in files for one in parse(path).of("module")}
    faults += [f"{path.relative_to(root)}: no file uses this module" for path in files[1:] if path.resolve() not in used]
    return faults


def of_file(file):
    declared = {one.name: one for one in file.declarations if one.kind != "output"}
    used = set()
    for one in file.declarations:
        for name in one.decorators:
            if name not in DECORATORS:
                yield one.line, f"unknown decorator @{name}"
        if one.kind in ("param", "output") and one.type not in TYPES:
            yield one.line, f"unknown type {one.type}"
        if one.kind == "param" and "description" not in one.decorators:
            yield one.line, f"the parameter {one.name} has no description"
        for root in [one.value, one.condition]:
            for node in walk(root) if root else []:
                if node.kind == "call" and node.value not in FUNCTIONS:
                    yield node.line, f"unknown function {node.value}"
                if node.kind != "name":
                    continue
                if node.value not in declared:
                    yield node.line, f"{node.value} is not declared"
                elif node.value != one.name:
                    used.add(node.value)
        if one.kind == "module":
            inner = {other.name: other for other in parse(file.path.parent / one.type).declarations}
            for node in (part for other in file.declarations if other.value for part in walk(other.value)):
                whole = node.items[0] if node.kind == "member" else None
                if whole and whole.kind == "member" and whole.value == "outputs" and \
                        whole.items[0].kind == "name" and whole.items[0].value == one.name and \
                        (node.value not in inner or inner[node.value].kind != "output"):
                    yield node.line, f"{one.type} has no output {node.value}"
            yield from params(one, inner)
    for name, one in declared.items():
        if one.kind in ("param", "var") and name not in used:
            yield one.line, f"{name} is declared and not used"
        if one.kind == "resource" and one.existing and name not in used:
            yield one.line, f"{name} is declared and not used"


def params(module, inner):
    """The parameters that a module is given, against those it has; secrets only into secure ones."""
    given = fields(fields(module.value).get("params"))
    for name, node in given.items():
        one = inner.get(name)
        if one is None or one.kind != "param":
            yield node.line, f"{module.type} has no parameter {name}"
    for name, one in inner.items():
        if one.kind == "param" and one.value is None and name not in given:
            yield module.line, f"{module.type} needs the parameter {name}"


def secure(root):
    """Secure parameters go to secure parameters and to the values of key vault secrets, and nowhere else."""
    faults = []
    for path in [root / "main.bicep", *sorted((root / "modules").glob("*.bicep"))]:
        file = parse(path)
        names = {one.name for one in file.of("param") if "secure" in one.decorators}
        for one in file.declarations:
            for node in walk(one.value) if one.value else []:
                if node.kind == "name" and node.value in names and not is_safe(file, one, node):
                    faults.append(f"{path.relative_to(root)}:{node.line}: the secret {node.value} may show here")
    return faults


def is_safe(file, one, node):
    body = fields(one.value)
    if one.kind == "module":
        inner = parse(file.path.parent / one.type)
        for name, value in fields(body.get("params")).items():
            if value is node:
                return "secure" in inner.get(name).decorators
    if one.kind == "resource" and one.type.startswith("Microsoft.KeyVault/vaults/secrets@"):
        return fields(body["properties"]).get("value") is node
    return False
