"""The resources against Azure's published types: names and types of properties, required ones, values of closed lists.

The types let any text pass where they list values; here a value that is not listed is a fault, because it is more often
a slip than a novelty. `#disable-next-line BCP037` above a property lets what is below it pass, as it does in Bicep.
"""

import json
from pathlib import Path

from bicep import fields, parse, plain, walk

REQUIRED, READ_ONLY = 1, 2
OF_THE_LANGUAGE = {"parent", "scope", "dependsOn"}
QUIET = {"BCP037", "BCP187"}
SIMPLE = {"StringType": "string", "IntegerType": "int", "BooleanType": "bool", "ObjectType": "object",
          "DiscriminatedObjectType": "object", "ArrayType": "array", "StringLiteralType": "string"}
RESULTS = {"string": "string", "replace": "string", "guid": "string", "empty": "bool", "split": "array",
           "indexOf": "int", "substring": "string", "resourceId": "string", "subscriptionResourceId": "string",
           "uniqueString": "string", "loadTextContent": "string"}


class Types:
    def __init__(self, folder):
        self.resources = {}
        for path in sorted(Path(folder).glob("*.json")):
            table = json.loads(path.read_text(encoding="utf-8"))
            for one in table:
                if one["$type"] == "ResourceType":
                    self.resources[one["name"].lower()] = (table, one["body"])

    def of(self, name):
        table, body = self.resources.get(name.lower(), (None, None))
        return (table, look_up(table, body)) if table else (None, None)


def look_up(table, reference):
    return table[int(reference["$ref"].split("/")[-1])]


class Checker:
    def __init__(self, file, types):
        self.file, self.types, self.faults = file, types, []
        self.one = None

    def say(self, line, text):
        self.faults.append((line, f"{self.one.name}: {text}"))

    def kind(self, node):
        """The type of an expression, where it is plain."""
        if node.kind in ("string", "bool", "object", "array", "null"):
            return node.kind
        if node.kind == "number" or node.kind == "binary" and node.value in "+-*/%":
            return "int"
        if node.kind in ("unary", "binary") and node.value != "-":
            return "bool"
        if node.kind == "call":
            return RESULTS.get(node.value)
        if node.kind == "name":
            declared = self.file.get(node.value)
            return None if declared is None else declared.type if declared.kind == "param" else \
                self.kind(declared.value) if declared.kind == "var" else None
        return None

    def check(self, table, wanted, node, where):
        if any(set(codes) & QUIET for line, codes in self.one.quieted.items() if line == node.line):
            return
        if node.kind == "ternary":
            for branch in node.items[1:]:
                self.check(table, wanted, branch, where)
            return
        kind, found = wanted["$type"], self.kind(node)
        if found == "null" or kind in ("AnyType", "UnionType") and not wanted.get("elements"):
            return
        if kind == "UnionType":
            self.union(table, wanted, node, where)
        elif kind in SIMPLE and found and found != SIMPLE[kind]:
            self.say(node.line, f"{where} is {found}, should be {SIMPLE[kind]}")
        elif kind == "StringLiteralType" and plain(node) not in (None, wanted["value"]):
            self.say(node.line, f"{where} is {plain(node)!r}, should be {wanted['value']!r}")
        elif kind == "ObjectType" and node.kind == "object":
            self.object(table, wanted, node, where)
        elif kind == "DiscriminatedObjectType" and node.kind == "object":
            self.discriminated(table, wanted, node, where)
        elif kind == "ArrayType" and node.kind == "array":
            for index, item in enumerate(node.items):
                self.check(table, look_up(table, wanted["itemType"]), item, f"{where}[{index}]")

    def union(self, table, wanted, node, where):
        elements = [look_up(table, one) for one in wanted["elements"]]
        listed = [one["value"] for one in elements if one["$type"] == "StringLiteralType"]
        if listed and plain(node) is not None and plain(node) not in listed:
            self.say(node.line, f"{where} is {plain(node)!r}, known are {', '.join(listed)}")
        found = self.kind(node)
        if found and all(SIMPLE.get(one["$type"], found) != found for one in elements):
            self.say(node.line, f"{where} is {found}")

    def discriminated(self, table, wanted, node, where):
        chosen = plain(fields(node).get(wanted["discriminator"], node))
        if chosen not in wanted["elements"]:
            self.say(node.line, f"{where}.{wanted['discriminator']} is {chosen!r}, known are {', '.join(wanted['elements'])}")
            return
        properties = look_up(table, wanted["elements"][chosen]).get("properties", {})
        both = {**wanted.get("baseProperties", {}), **properties}
        self.object(table, {"$type": "ObjectType", "properties": both}, node, where)

    def object(self, table, wanted, node, where):
        properties, body = wanted.get("properties", {}), fields(node)
        for key, value in node.items:
            name = plain(key)
            here = f"{where}.{name}" if where else name
            if name in properties:
                if properties[name]["flags"] & READ_ONLY:
                    self.say(value.line, f"{here} is read-only")
                self.check(table, look_up(table, properties[name]["type"]), value, here)
            elif "additionalProperties" in wanted:
                self.check(table, look_up(table, wanted["additionalProperties"]), value, here)
            elif where or name not in OF_THE_LANGUAGE:
                codes = {code for line, quiet in self.one.quieted.items() if line == value.line for code in quiet}
                if not codes & QUIET:
                    self.say(value.line, f"unknown property {here}")
        for name, one in properties.items():
            if one["flags"] & REQUIRED and not one["flags"] & READ_ONLY and name not in body:
                self.say(node.line, f"missing property {where + '.' if where else ''}{name}")

    def resource(self, one):
        self.one = one
        table, body = self.types.of(one.type)
        if table is None:
            self.say(one.line, f"{one.type} is not among the types: run subset_types.py")
            return
        if "parent" in fields(one.value):
            above = self.file.get(fields(one.value)["parent"].value)
            if above is None or above.kind != "resource" or \
                    above.type.split("@")[0] != one.type.split("@")[0].rsplit("/", 1)[0]:
                self.say(one.line, "its parent is of another type")
        elif one.type.count("/") > 1 and not one.existing:
            self.say(one.line, "has no parent")
        if not one.existing:
            self.check(table, body, one.value, "")

    def reads(self):
        """What is read of a resource: symbol.properties.a.b."""
        for one in self.file.declarations:
            self.one = one
            for node in (part for root in (one.value, one.condition) if root for part in walk(root)):
                names, base = [], node
                while base.kind == "member":
                    names.insert(0, base.value)
                    base = base.items[0]
                declared = self.file.get(base.value) if base.kind == "name" and names else None
                if declared is None or declared.kind != "resource" or names[0] in ("id", "name"):
                    continue
                table, wanted = self.types.of(declared.type)
                for name in names:
                    while wanted and wanted["$type"] == "UnionType":
                        wanted = None
                    properties = (wanted or {}).get("properties", {})
                    if wanted and wanted["$type"] == "ObjectType" and name not in properties:
                        self.say(node.line, f"{declared.name} has no {'.'.join(names)}")
                        break
                    wanted = look_up(table, properties[name]["type"]) if name in properties else None


def check(root, folder):
    types, faults = Types(folder), []
    for path in [root / "main.bicep", *sorted((root / "modules").glob("*.bicep"))]:
        checker = Checker(parse(path), types)
        for one in checker.file.of("resource"):
            checker.resource(one)
        checker.reads()
        faults += [f"{path.relative_to(root)}:{line}: {text}" for line, text in checker.faults]
    return faults
