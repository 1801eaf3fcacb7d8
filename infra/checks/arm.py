"""Plays a template's deployment: evaluates every expression, in the order that dependsOn allows.

What Azure would answer is made up (see `Cloud`), so this finds expressions that do not parse or name what is not there,
resources that do not wait for what they need, and shows what would be deployed. It does not know Azure's own rules.
"""

import hashlib
import json
import re

TOKEN = re.compile(r"\s*(?:(?P<string>'(?:[^']|'')*')|(?P<number>-?\d+)|(?P<name>[A-Za-z_][A-Za-z0-9_]*)|(?P<sign>[()\[\].,]))")


class ArmError(Exception):
    """A fault that the deployment would meet."""


def parse(text):
    """An expression without its outer brackets, as nested tuples."""
    tokens, at = [], 0
    while at < len(text.rstrip()):
        match = TOKEN.match(text, at)
        if not match:
            raise ArmError(f"cannot read {text[at:at + 40]!r}")
        tokens.append((match.lastgroup, match.group(match.lastgroup)))
        at = match.end()
    tokens.append(("end", ""))
    tree, rest = _postfix(tokens, 0)
    if tokens[rest][0] != "end":
        raise ArmError(f"unexpected {tokens[rest][1]!r} in {text[:80]!r}")
    return tree


def _postfix(tokens, at):
    kind, text = tokens[at]
    at += 1
    if kind == "string":
        tree = ("value", text[1:-1].replace("''", "'"))
    elif kind == "number":
        tree = ("value", int(text))
    elif kind == "name" and tokens[at] == ("sign", "("):
        arguments, at = [], at + 1
        while tokens[at] != ("sign", ")"):
            argument, at = _postfix(tokens, at)
            arguments.append(argument)
            if tokens[at] == ("sign", ","):
                at += 1
            elif tokens[at] != ("sign", ")"):
                raise ArmError(f"unexpected {tokens[at][1]!r} among arguments")
        tree, at = ("call", text, arguments), at + 1
    else:
        raise ArmError(f"unexpected {text!r}")
    while True:
        if tokens[at] == ("sign", "."):
            tree, at = ("index", tree, ("value", tokens[at + 1][1])), at + 2
        elif tokens[at] == ("sign", "["):
            index, at = _postfix(tokens, at + 1)
            tree, at = ("index", tree, index), at + 1
        else:
            return tree, at


def unique(*parts):
    """Stands in for uniqueString: 13 letters and digits of Azure's alphabet, the same for the same arguments."""
    number = int.from_bytes(hashlib.sha256("\0".join(map(str, parts)).encode()).digest()[:9], "big")
    return "".join("abcdefghijklmnopqrstuvwxyz234567"[number >> 5 * place & 31] for place in range(13))


def to_guid(*parts):
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()
    return f"{digest[:8]}-{digest[8:12]}-{digest[12:16]}-{digest[16:20]}-{digest[20:32]}"


def merge(*values):
    if isinstance(values[0], list):
        return [one for index, value in enumerate(values) for one in value]
    merged = {}
    for value in values:
        for key, one in value.items():
            both = isinstance(merged.get(key), dict) and isinstance(one, dict)
            merged[key] = merge(merged[key], one) if both else one
    return merged


def strings(value):
    """Every text in a value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (dict, list)):
        for one in [*value.keys(), *value.values()] if isinstance(value, dict) else value:
            yield from strings(one)


def text_of(value):
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, (bool, int)) else json.dumps(value, separators=(",", ":"))


def provider_id(scope, kind, *names):
    segments = kind.split("/")
    if len(names) != len(segments) - 1:
        raise ArmError(f"{kind} has {len(segments) - 1} names, not {len(names)}: {names}")
    pairs = "/".join(f"{segment}/{name}" for segment, name in zip(segments[1:], names))
    return f"{scope}/providers/{segments[0]}/{pairs}"


PURE = {
    "format": lambda pattern, *values: pattern.format(*map(text_of, values)),
    "equals": lambda one, other: one == other, "not": lambda one: not one,
    "less": lambda one, other: one < other, "greater": lambda one, other: one > other,
    "empty": lambda one: not one, "union": merge, "replace": lambda one, old, new: one.replace(old, new),
    "concat": lambda *parts: "".join(parts) if isinstance(parts[0], str) else [one for part in parts for one in part],
    "split": lambda one, by: one.split(by), "last": lambda one: one[-1], "string": text_of,
    "indexOf": lambda one, part: one.find(part), "toLower": str.lower, "length": len,
    "substring": lambda one, start, length: one[start:start + length],
    "uniqueString": unique, "guid": to_guid, "createArray": lambda *items: list(items),
    "createObject": lambda *items: dict(zip(items[::2], items[1::2])),
    "add": lambda one, other: one + other, "sub": lambda one, other: one - other,
    "mul": lambda one, other: one * other, "mod": lambda one, other: one % other,
    "null": lambda: None, "true": lambda: True, "false": lambda: False,
}


class Cloud:
    """What a deployment finds and leaves behind: every resource by its id, and made-up answers of Azure."""

    CLOUDS = {"AzureCloud": ("core.windows.net", ".vault.azure.net"),
              "AzureUSGovernment": ("core.usgovcloudapi.net", ".vault.usgovcloudapi.net"),
              "AzureChinaCloud": ("core.chinacloudapi.cn", ".vault.azure.cn")}

    def __init__(self, name="AzureCloud"):
        self.name, self.resources, self.order = name, {}, []
        self.named = []  # whoever named a resource that was not there at the time
        self.origins = {}  # of what was deployed: each deployment it lies in, with the resource there

    def environment(self):
        storage, vault = self.CLOUDS[self.name]
        return {"name": self.name, "suffixes": {"storage": storage, "keyvaultDns": vault}}

    def answer(self, id):
        """What reference() tells of a resource beside what was deployed."""
        name = id.split("/")[-1]
        storage, vault = self.CLOUDS[self.name]
        kind = id.split("/providers/")[-1].split("/")[0].lower() + "/" + id.split("/")[-2].lower()
        return {
            "microsoft.managedidentity/userassignedidentities":
                {"principalId": to_guid("principal", id), "clientId": to_guid("client", id)},
            "microsoft.insights/components": {"ConnectionString": f"InstrumentationKey={to_guid(id)}"},
            "microsoft.operationalinsights/workspaces": {"customerId": to_guid("workspace", id)},
            "microsoft.keyvault/vaults": {"vaultUri": f"https://{name}{vault}/"},
            "microsoft.storage/storageaccounts":
                {"primaryEndpoints": {"blob": f"https://{name}.blob.{storage}/"}},
            "microsoft.web/sites": {"defaultHostName": f"{name}.example.net"},
        }.get(kind, {})


class Deployment:
    """One template, the outer one or a nested one, with its parameters."""

    def __init__(self, cloud, template, given, group, path="main", outer=None):
        self.cloud, self.template, self.group, self.path, self.outer = cloud, template, group, path, outer
        self.open = []
        self.current = None  # id of the resource in work
        self.waited = None  # ids for which it waited; None: everything
        self.parameters = {}
        for name, declared in template.get("parameters", {}).items():
            if name in given:
                self.parameters[name] = given[name]
            elif "defaultValue" in declared:
                self.parameters[name] = self.value(declared["defaultValue"])
            else:
                raise ArmError(f"{path}: the parameter {name} is not given")
            self.validate(name, declared)
        for name in given:
            if name not in self.parameters:
                raise ArmError(f"{path}: there is no parameter {name}")

    def validate(self, name, declared):
        value = self.parameters[name]
        types = {"string": str, "securestring": str, "int": int, "bool": bool, "object": dict, "array": list}
        if not isinstance(value, types[declared["type"]]) or isinstance(value, bool) != (declared["type"] == "bool"):
            raise ArmError(f"{self.path}: {name} is no {declared['type']}: {value!r}")
        if value not in declared.get("allowedValues", [value]):
            raise ArmError(f"{self.path}: {name} may not be {value!r}")
        size = len(value) if isinstance(value, (str, list)) else 0
        number = value if declared["type"] == "int" else 0
        if size > declared.get("maxLength", size) or size < declared.get("minLength", size) or \
                number > declared.get("maxValue", number) or number < declared.get("minValue", number):
            raise ArmError(f"{self.path}: {name} is out of range: {value!r}")

    def value(self, node):
        if isinstance(node, dict):
            return {self.value(key): self.value(one) for key, one in node.items()}
        if isinstance(node, list):
            return [self.value(one) for one in node]
        if isinstance(node, str) and node.startswith("[["):
            return node[1:]
        if isinstance(node, str) and node.startswith("[") and node.endswith("]"):
            return self.run(parse(node[1:-1]))
        return node

    def run(self, tree):
        if tree[0] == "value":
            return tree[1]
        if tree[0] == "index":
            whole, part = self.run(tree[1]), self.run(tree[2])
            try:
                return whole[part]
            except (KeyError, IndexError, TypeError):
                raise ArmError(f"{self.path}: {part!r} is not in {text_of(whole)[:120]}") from None
        _, name, arguments = tree
        if name == "if":  # only the branch that counts is evaluated, as Azure does it
            return self.run(arguments[1] if self.run(arguments[0]) else arguments[2])
        if name in ("and", "or"):
            return (all if name == "and" else any)(self.run(one) for one in arguments)
        values = [self.run(one) for one in arguments]
        own = getattr(self, "_" + name, None)
        if not own and name not in PURE:
            raise ArmError(f"{self.path}: unknown function {name}")
        return (own or PURE[name])(*values)

    def _parameters(self, name):
        if name not in self.parameters:
            raise ArmError(f"{self.path}: the parameter {name} does not exist")
        return self.parameters[name]

    def _variables(self, name):
        if name not in self.template.get("variables", {}) or name in self.open:
            raise ArmError(f"{self.path}: the variable {name} does not exist, or needs itself")
        self.open.append(name)
        value = self.value(self.template["variables"][name])
        self.open.pop()
        return value

    def _environment(self):
        return self.cloud.environment()

    def _resourceGroup(self):
        _, _, subscription, _, name = self.group.split("/")
        return {"id": self.group, "name": name, "location": "westeurope"}

    def _subscription(self):
        return {"id": "/".join(self.group.split("/")[:3]), "subscriptionId": self.group.split("/")[2],
                "tenantId": to_guid("tenant")}

    def _resourceId(self, kind, *names):
        return provider_id(self.group, kind, *names)

    def _subscriptionResourceId(self, kind, *names):
        return provider_id("/".join(self.group.split("/")[:3]), kind, *names)

    def _extensionResourceId(self, scope, kind, *names):
        return provider_id(scope, kind, *names)

    def chain(self):
        """This deployment and those around it, each with the resource that is in work."""
        return [(self, self.current), *(self.outer.chain() if self.outer else [])]

    def needs(self, id, what):
        """A resource that must exist, and must have been waited for if it is deployed here."""
        known = self.cloud.resources.get(id.lower())
        if known is None:
            raise ArmError(f"{self.path}: {what} {id}, which does not exist yet")
        origin = dict(self.cloud.origins.get(id.lower(), []))
        for deployment, current in self.chain():
            if deployment in origin and origin[deployment] != current:
                if deployment.waited is not None and origin[deployment] not in deployment.waited:
                    raise ArmError(f"{self.path}: {what} {id} without waiting for it: it may not exist yet")
                break
        return known

    def _reference(self, id, _version=None, full=None):
        known = self.needs(id, "reference to")
        properties = merge(known.get("properties", {}), self.cloud.answer(id))
        return merge(known, {"properties": properties}) if full else properties

    def id_of(self, resource):
        names = self.value(resource["name"]).split("/")
        scope = self.value(resource["scope"]) if "scope" in resource else self.group
        if "resourceGroup" in resource:
            subscription, group = self.value(resource["subscriptionId"]), self.value(resource["resourceGroup"])
            scope = f"/subscriptions/{subscription}/resourceGroups/{group}"
        return provider_id(scope, resource["type"], *names)

    def ids(self):
        return {self.id_of(one).lower(): one for one in self.template["resources"]}

    def deploy(self):
        """Deploys everything in order, and gives back the outputs."""
        ids = self.ids()
        if len(ids) != len(self.template["resources"]):
            raise ArmError(f"{self.path}: two resources have the same id")
        needs = {}
        for id, one in ids.items():
            needs[id] = [self.value(other).lower() for other in one.get("dependsOn", [])]
            for other in needs[id]:
                if other not in ids:
                    raise ArmError(f"{self.path}: {id} waits for {other}, which is not in the template")
        done = {}
        while len(done) < len(ids):
            ready = [id for id in ids if id not in done and all(other in done for other in needs[id])]
            if not ready:
                raise ArmError(f"{self.path}: resources wait for each other: {sorted(set(ids) - set(done))}")
            # The last one first: what is missing in dependsOn must not be hidden by the order in the file.
            id = ready[-1]
            done[id] = set(needs[id]).union(*(done[other] for other in needs[id]))
            self.current, self.waited = id, done[id]
            self.resource(ids[id])
        self.current = self.waited = None
        for who, other in self.cloud.named if self.outer is None else []:
            if other.lower() in self.cloud.resources:
                raise ArmError(f"{who} names {other} without waiting for it: it may not exist yet")
        return {name: self.value(one["value"]) for name, one in self.template.get("outputs", {}).items()}

    def resource(self, one):
        if "condition" in one and not self.value(one["condition"]):
            return
        id = self.id_of(one)
        if one["type"] == "Microsoft.Resources/deployments":
            if len(self.value(one["name"])) > 64:
                raise ArmError(f"{self.path}: the name of a deployment is too long: {self.value(one['name'])}")
            group = id.split("/providers/")[0]
            given = {name: self.value(given["value"]) for name, given in one["properties"]["parameters"].items()}
            nested = Deployment(self.cloud, one["properties"]["template"], given, group, self.value(one["name"]), self)
            outputs = {name: {"value": value} for name, value in nested.deploy().items()}
            self.cloud.resources[id.lower()] = {"properties": {"outputs": outputs}}
            self.cloud.origins[id.lower()] = self.chain()
            return
        body = self.value({key: part for key, part in one.items() if key not in ("dependsOn", "condition")})
        if "scope" in body:
            self.needs(body["scope"], f"{one['type']} on")
        elif one["type"].count("/") > 1:
            # The services in between, as blobServices/default, come with the resource at the top.
            head, tail = id.split("/providers/")
            self.needs(f"{head}/providers/{'/'.join(tail.split('/')[:3])}", f"{one['type']} in")
        if id.lower() in self.cloud.resources:
            raise ArmError(f"{self.path}: {id} is deployed twice")
        for other in strings(body):
            top = re.match(r"/subscriptions/[^/]+/resourceGroups/[^/]+/providers/[^/]+/[^/]+/[^/]+", other)
            if top and top[0].lower() in self.cloud.resources:
                self.needs(top[0], f"{id.split('/')[-1]} names")
            elif top:
                self.cloud.named.append((f"{self.path}: {id.split('/')[-1]}", top[0]))
        self.cloud.resources[id.lower()] = {**body, "id": id}
        self.cloud.origins[id.lower()] = self.chain()
        self.cloud.order.append(id)
