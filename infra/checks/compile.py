"""Makes azuredeploy.json of main.bicep: `compile` writes it, `compile --check` says whether it is in step.

The form is that of the Bicep compiler without symbolic names: modules become nested deployments that evaluate their
own expressions, names become resourceId(…), and what is known only when something exists becomes reference(…).
"""

import json
import sys
from pathlib import Path

from bicep import BicepError, Node, fields, parse, plain, walk

ROOT = Path(__file__).resolve().parent.parent
SCHEMA = "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#"
DEPLOYMENTS = "Microsoft.Resources/deployments"
DEPLOYMENTS_VERSION = "2022-09-01"
OPERATORS = {"==": "equals", "<": "less", ">": "greater", "<=": "lessOrEquals", ">=": "greaterOrEquals", "&&": "and",
             "||": "or", "??": "coalesce", "+": "add", "-": "sub", "*": "mul", "/": "div", "%": "mod"}
# Of a body: what the form of a resource says in another place.
OF_THE_LANGUAGE = ("name", "parent", "scope", "dependsOn")


def quote(text):
    return "'" + text.replace("'", "''") + "'"


class Template:
    """One Bicep file on its way to a template."""

    def __init__(self, path):
        self.file = parse(path)
        self.folder = Path(path).parent
        self.texts = {}  # texts of files, each a variable
        self.open_vars = []  # variables that are being written out, to notice circles

    def fail(self, node, message):
        raise BicepError(f"{self.file.path.name}:{node.line}: {message}")

    # What a name stands for

    def declared(self, node):
        one = self.file.get(node.value)
        return one or self.fail(node, f"{node.value} is not declared")

    def symbols(self, node, seen=()):
        """The resources and modules that an expression names, also through variables and existing resources."""
        found = []
        for part in walk(node):
            if part.kind != "name":
                continue
            one = self.declared(part)
            if one.kind == "var" and one.name not in seen:
                found += self.symbols(one.value, (*seen, one.name))
            elif one.kind == "resource" and one.existing:
                found += self.symbols(one.value, seen)
            elif one.kind in ("resource", "module"):
                found.append(one)
        return found

    def is_late(self, node, seen=()):
        """Whether a value is known only once something else exists: a variable cannot hold it."""
        for part in walk(node):
            base, path = self.path(part)
            if base is not None and base.kind == "module":
                return True
            if base is not None and base.kind == "resource" and path and path[0] not in ("id", "name"):
                return True
            if part.kind == "name":
                one = self.declared(part)
                if one.kind == "var" and one.name not in seen and self.is_late(one.value, (*seen, one.name)):
                    return True
        return False

    def path(self, node):
        """Of `symbol.a.b`: the declaration of the symbol, and [a, b]."""
        names = []
        while node.kind == "member":
            names.insert(0, node.value)
            node = node.items[0]
        if node.kind == "name" and names:
            one = self.declared(node)
            if one.kind in ("resource", "module"):
                return one, names
        return None, names

    # Names and ids

    def type_of(self, resource):
        return resource.type.split("@")[0]

    def version_of(self, resource):
        return resource.type.split("@")[1]

    def names(self, resource):
        body = fields(resource.value)
        above = []
        if "parent" in body:
            above = self.names(self.declared(body["parent"]))
        return [*above, body["name"]]

    def name(self, resource):
        nodes = self.names(resource)
        if len(nodes) == 1:
            return nodes[0]
        parts = [part for node in nodes for part in ("/", node)][1:]
        return Node("string", resource.line, parts)

    def id(self, resource):
        body = fields(resource.value)
        if resource.kind == "module":
            name = self.expression(body["name"])
            if "scope" not in body:
                return f"resourceId('{DEPLOYMENTS}', {name})"
            subscription, group = (self.expression(one) for one in self.module_scope(resource))
            scope = f"format('/subscriptions/{{0}}/resourceGroups/{{1}}', {subscription}, {group})"
            return f"extensionResourceId({scope}, '{DEPLOYMENTS}', {name})"
        names = ", ".join(self.expression(one) for one in self.names(resource))
        if "scope" in body:
            scope = self.id(self.declared(body["scope"]))
            return f"extensionResourceId({scope}, {quote(self.type_of(resource))}, {names})"
        return f"resourceId({quote(self.type_of(resource))}, {names})"

    def module_scope(self, module):
        scope = fields(module.value)["scope"]
        if scope.kind != "call" or scope.value != "resourceGroup" or len(scope.items) != 2:
            self.fail(module, "a module's scope is resourceGroup(subscription, group)")
        return scope.items

    # Expressions, as they stand between the brackets

    def expression(self, node):
        return getattr(self, "_" + node.kind)(node)

    def _string(self, node):
        text = plain(node)
        if text is not None:
            return quote(text)
        pattern, arguments = "", []
        for part in node.value:
            if isinstance(part, str):
                pattern += part.replace("{", "{{").replace("}", "}}")
            else:
                pattern += "{%d}" % len(arguments)
                arguments.append(self.expression(part))
        return f"format({', '.join([quote(pattern), *arguments])})"

    def _number(self, node):
        return str(node.value)

    def _bool(self, node):
        return "true()" if node.value else "false()"

    def _null(self, _):
        return "null()"

    def _array(self, node):
        return f"createArray({', '.join(self.expression(one) for one in node.items)})"

    def _object(self, node):
        parts = [self.expression(one) for pair in node.items for one in pair]
        return f"createObject({', '.join(parts)})"

    def _name(self, node):
        one = self.declared(node)
        if one.kind == "param":
            return f"parameters({quote(one.name)})"
        if one.kind != "var":
            self.fail(node, f"{one.name} cannot stand for a value by itself")
        if not self.is_late(one.value):
            return f"variables({quote(one.name)})"
        if one.name in self.open_vars:
            self.fail(node, f"{one.name} needs itself")
        self.open_vars.append(one.name)
        written_out = self.expression(one.value)
        self.open_vars.pop()
        return written_out

    def _call(self, node):
        if node.value == "loadTextContent":
            return f"variables({quote(self.text(node))})"
        return f"{node.value}({', '.join(self.expression(one) for one in node.items)})"

    def text(self, node):
        """The variable that holds the text of a file."""
        name = plain(node.items[0])
        source = self.folder / name
        if not source.is_file():
            self.fail(node, f"{name} does not exist")
        text = source.read_text(encoding="utf-8")
        return self.texts.setdefault(text, f"$fxv#{len(self.texts)}")

    def _member(self, node):
        one, path = self.path(node)
        if one is None:
            return f"{self.expression(node.items[0])}.{node.value}"
        if one.kind == "module":
            if path[0] != "outputs" or len(path) != 2:
                self.fail(node, f"{one.name} has outputs and nothing else")
            return f"reference({self.id(one)}, '{DEPLOYMENTS_VERSION}').outputs.{path[1]}.value"
        if path == ["id"]:
            return self.id(one)
        if path == ["name"]:
            return self.expression(fields(one.value)["name"])
        if path[0] in ("type", "apiVersion", "location", "tags", "sku", "kind"):
            self.fail(node, f"{'.'.join([one.name, *path])} is not translated: say it another way")
        version = quote(self.version_of(one))
        if path[0] == "properties":
            return ".".join([f"reference({self.id(one)}, {version})", *path[1:]])
        return ".".join([f"reference({self.id(one)}, {version}, 'full')", *path])

    def _index(self, node):
        return f"{self.expression(node.items[0])}[{self.expression(node.items[1])}]"

    def _unary(self, node):
        inner = self.expression(node.items[0])
        if node.value == "-":
            return f"-{inner}" if inner.isdigit() else f"sub(0, {inner})"
        return f"not({inner})"

    def _binary(self, node):
        left, right = (self.expression(one) for one in node.items)
        if node.value == "!=":
            return f"not(equals({left}, {right}))"
        return f"{OPERATORS[node.value]}({left}, {right})"

    def _ternary(self, node):
        return f"if({', '.join(self.expression(one) for one in node.items)})"

    # Values, as they stand in JSON

    def value(self, node):
        text = plain(node)
        if node.kind == "string" and text is not None:
            return "[" + text if text.startswith("[") else text
        if node.kind in ("number", "bool", "null"):
            return node.value
        if node.kind == "array":
            return [self.value(one) for one in node.items]
        if node.kind == "object":
            return {self.value(key): self.value(one) for key, one in node.items}
        return f"[{self.expression(node)}]"

    # The parts of a template

    def parameter(self, one):
        types = {"string": "securestring", "object": "secureObject"} if "secure" in one.decorators else {}
        made = {"type": types.get(one.type, one.type)}
        if one.value is not None:
            made["defaultValue"] = self.value(one.value)
        for name in ("allowed", "minValue", "maxValue", "minLength", "maxLength"):
            if name in one.decorators:
                made["allowedValues" if name == "allowed" else name] = self.value(one.decorators[name][0])
        made.update(self.metadata(one))
        return made

    def metadata(self, one):
        text = one.decorators.get("description")
        return {"metadata": {"description": plain(text[0])}} if text else {}

    def output(self, one):
        return {"type": one.type, "value": self.value(one.value), **self.metadata(one)}

    def depends(self, one):
        body = fields(one.value)
        found = [*self.symbols(one.value), *(self.symbols(one.condition) if one.condition else [])]
        names = {other.name for other in found if other is not one}
        if "scope" in body and one.kind == "module":
            names -= {other.name for other in self.symbols(body["scope"])}
        ids = [f"[{self.id(self.file.get(name))}]" for name in sorted(names)]
        return {"dependsOn": ids} if ids else {}

    def conditional(self, one):
        return {"condition": self.value(one.condition)} if one.condition else {}

    def resource(self, one):
        body = fields(one.value)
        made = self.conditional(one)
        if self.type_of(one).count("/") != len(self.names(one)):
            self.fail(one, f"{one.name}: a resource within another has a parent")
        if "scope" in body:
            made["scope"] = f"[{self.id(self.declared(body['scope']))}]"
        made.update(type=self.type_of(one), apiVersion=self.version_of(one), name=self.value(self.name(one)))
        for key, node in one.value.items:
            if plain(key) not in OF_THE_LANGUAGE:
                made[plain(key)] = self.value(node)
        return {**made, **self.depends(one)}

    def module(self, one):
        body = fields(one.value)
        inner = Template(self.folder / one.type)
        made = {**self.conditional(one), "type": DEPLOYMENTS, "apiVersion": DEPLOYMENTS_VERSION,
                "name": self.value(body["name"])}
        if "scope" in body:
            subscription, group = (self.value(node) for node in self.module_scope(one))
            made.update(subscriptionId=subscription, resourceGroup=group)
        given = fields(body.get("params"))
        declared = {other.name: other for other in inner.file.of("param")}
        for name in given:
            if name not in declared:
                self.fail(one, f"{one.type} has no parameter {name}")
        for name, other in declared.items():
            if other.value is None and name not in given:
                self.fail(one, f"{one.type} needs the parameter {name}")
        made["properties"] = {
            "expressionEvaluationOptions": {"scope": "inner"},
            "mode": "Incremental",
            "parameters": {name: {"value": self.value(node)} for name, node in given.items()},
            "template": inner.template(),
        }
        return {**made, **self.depends(one)}

    def template(self):
        resources = [self.resource(one) for one in self.file.of("resource") if not one.existing]
        resources += [self.module(one) for one in self.file.of("module")]
        variables = {one.name: self.value(one.value) for one in self.file.of("var") if not self.is_late(one.value)}
        made = {
            "$schema": SCHEMA,
            "contentVersion": "1.0.0.0",
            "parameters": {one.name: self.parameter(one) for one in self.file.of("param")},
            "variables": variables,
            "resources": resources,
            "outputs": {one.name: self.output(one) for one in self.file.of("output")},
        }
        # Last, for it is only now that all of them are known.
        made["variables"] = {**{name: text for text, name in self.texts.items()}, **variables}
        return {name: part for name, part in made.items() if part or name == "resources"}


def compiled(path=ROOT / "main.bicep"):
    template = Template(path).template()
    made_of = "Made of main.bicep and its modules by infra/checks/compile.py; change those, not this."
    template = {"$schema": template.pop("$schema"), "contentVersion": template.pop("contentVersion"),
                "metadata": {"description": made_of}, **template}
    return json.dumps(template, indent=2, ensure_ascii=False) + "\n"


def check(root=ROOT):
    """Faults: where azuredeploy.json is not what main.bicep says."""
    there = (root / "azuredeploy.json").read_text(encoding="utf-8")
    if there != compiled(root / "main.bicep"):
        return ["azuredeploy.json is not in step with main.bicep: run infra/checks/compile.py"]
    return []


if __name__ == "__main__":
    if sys.argv[1:] == ["--check"]:
        faults = check()
        print("\n".join(faults) or "azuredeploy.json is in step")
        sys.exit(bool(faults))
    (ROOT / "azuredeploy.json").write_text(compiled(), encoding="utf-8")
