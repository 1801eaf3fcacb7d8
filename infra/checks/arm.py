"""Evaluates the expressions that a snapshot leaves open, with made-up answers of Azure.

A snapshot evaluates everything but what only a deployment knows: which cloud it is in (`environment()`), and what Azure
answers about a resource (`reference()`). Both are needed to see a setting as the app will see it.
"""

import re
import uuid

TOKEN = re.compile(r"\s*('(?:[^']|'')*'|[A-Za-z_]\w*|[()\[\].,])")
CLOUDS = {
    "AzureCloud": ("core.windows.net", ".vault.azure.net", "https://login.microsoftonline.com/"),
    "AzureUSGovernment": ("core.usgovcloudapi.net", ".vault.usgovcloudapi.net", "https://login.microsoftonline.us/"),
    "AzureChinaCloud": ("core.chinacloudapi.cn", ".vault.azure.cn", "https://login.chinacloudapi.cn/"),
}


def guid(*parts):
    return str(uuid.uuid5(uuid.NAMESPACE_OID, "/".join(parts)))


def answer(id, cloud):
    """What Azure tells about a resource."""
    storage, vault, _ = CLOUDS[cloud]
    name = id.split("/")[-1]
    return {
        "userAssignedIdentities": {"principalId": guid("principal", id), "clientId": guid("client", id)},
        "components": {"ConnectionString": f"InstrumentationKey={guid(id)}"},
        "workspaces": {"customerId": guid("workspace", id)},
        "vaults": {"vaultUri": f"https://{name}{vault}/"},
        "storageAccounts": {"primaryEndpoints": {service: f"https://{name}.{service}.{storage}/"
                                                 for service in ("blob", "queue", "table")}},
        "sites": {"defaultHostName": f"{name}.example.net"},
        "deploymentScripts": {"outputs": {"url": "https://copy.example.net", "signedUrl": "https://copy.example.net?sig"}},
    }[id.split("/")[-2]]


def evaluate(value, cloud):
    """A value of a snapshot with every expression evaluated."""
    if isinstance(value, dict):
        return {key: evaluate(one, cloud) for key, one in value.items()}
    if isinstance(value, list):
        return [evaluate(one, cloud) for one in value]
    if not isinstance(value, str) or not re.fullmatch(r"\[[^\[].*\]", value, re.S):
        return value
    tokens, at, inner = [], 0, value[1:-1]
    while match := TOKEN.match(inner, at):
        tokens.append(match[1])
        at = match.end()
    if inner[at:].strip():
        raise ValueError(f"cannot read {inner[at:at + 40]!r}")
    found = expression(tokens, cloud)
    if tokens:
        raise ValueError(f"unexpected {tokens[0]!r} in {value[:80]}")
    return found


def expression(tokens, cloud):
    head = tokens.pop(0)
    if head.startswith("'"):
        found = head[1:-1].replace("''", "'")
    else:
        tokens.pop(0)
        arguments = []
        while tokens[0] != ")":
            arguments.append(expression(tokens, cloud))
            if tokens[0] == ",":
                tokens.pop(0)
        tokens.pop(0)
        found = call(head, arguments, cloud)
    while tokens and tokens[0] == ".":
        found = found[tokens[1]]
        del tokens[:2]
    return found


def call(name, arguments, cloud):
    storage, vault, login = CLOUDS[cloud]
    return {
        "environment": lambda: {"name": cloud, "suffixes": {"storage": storage, "keyvaultDns": vault},
                                "authentication": {"loginEndpoint": login}},
        "reference": lambda id, _version: answer(id, cloud),
        "format": lambda pattern, *values: pattern.format(*values),
        "equals": lambda one, other: one == other,
        "if": lambda condition, then, otherwise: then if condition else otherwise,
        "replace": lambda text, old, new: text.replace(old, new),
    }[name](*arguments)
