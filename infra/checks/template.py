"""azuredeploy.json and createUiDefinition.json against Microsoft's schemas and against each other."""

import json
import re
from pathlib import Path

from jsonschema import Draft4Validator
from jsonschema.exceptions import best_match
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT4

from bicep import parse

HERE = Path(__file__).resolve().parent
BASE = "https://schema.management.azure.com/schemas/"
# A control of the portal that its schema lacks. Its documentation names these keys.
SELECTOR = "Microsoft.Solutions.ResourceSelector"
CHECK_BOX = "Microsoft.Common.CheckBox"
SELECTOR_KEYS = {"name", "type", "label", "resourceType", "toolTip", "constraints", "options", "visible"}


def registry():
    found = Registry()
    for path in (HERE / "schemas").glob("*.json"):
        schema = json.loads(path.read_text(encoding="utf-8"))
        name = schema["id"].rstrip("#")
        found = found.with_resource(name, Resource.from_contents(schema, default_specification=DRAFT4))
    return found


def validate(name, value):
    known = registry()
    schema = known.contents(BASE + name)
    validator = Draft4Validator({**schema, "id": BASE + name}, registry=known)
    for error in sorted(validator.iter_errors(value), key=lambda one: list(map(str, one.absolute_path))):
        # What stands deepest says most.
        deepest = best_match([error])
        yield f"{'/'.join(map(str, deepest.absolute_path))}: {deepest.message[:160]}"


def templates(template, path="main"):
    """A template and those nested in it."""
    yield path, template
    for one in template["resources"]:
        if one["type"] == "Microsoft.Resources/deployments":
            yield from templates(one["properties"]["template"], f"{path}/{one['name']}")


def check_template(root):
    """azuredeploy.json by the schema, and by count and name against the Bicep it is said to be made of."""
    template = json.loads((root / "azuredeploy.json").read_text(encoding="utf-8"))
    faults = []
    for path, one in templates(template):
        faults += [f"{path}: {text}" for text in validate("2019-04-01/deploymentTemplate.json", one)]
    faults += against(parse(root / "main.bicep"), template, "main")
    size = len(json.dumps(template))
    if size > 4_000_000 or len(template["parameters"]) > 256:
        faults.append(f"too large for Azure: {size} bytes, {len(template['parameters'])} parameters")
    return faults


def against(file, template, path):
    """One Bicep file and its template, member by member; read apart from the translation that made the template."""
    text = file.path.read_text(encoding="utf-8")
    pairs = {
        "parameters": (re.findall(r"^param (\w+) ", text, re.M), list(template.get("parameters", {}))),
        "outputs": (re.findall(r"^output (\w+) ", text, re.M), list(template.get("outputs", {}))),
        "resources": (
            [one.split("@")[0] for one, existing in
             re.findall(r"^resource \w+ '([^']+)'( existing)? =", text, re.M) if not existing],
            [one["type"] for one in template["resources"] if one["type"] != "Microsoft.Resources/deployments"],
        ),
        "modules": (re.findall(r"^module \w+ '([^']+)'", text, re.M),
                    [None] * sum(one["type"] == "Microsoft.Resources/deployments" for one in template["resources"])),
    }
    faults = []
    for what, (there, here) in pairs.items():
        if what == "modules" and len(there) != len(here) or what != "modules" and sorted(there) != sorted(here):
            faults.append(f"{path}: {what} differ: {sorted(set(there) ^ set(here), key=str) or (len(there), len(here))}")
    secure = set(re.findall(r"^@secure\(\)\nparam (\w+) ", text, re.M))
    if secure != {name for name, one in template.get("parameters", {}).items() if one["type"].startswith("secure")}:
        faults.append(f"{path}: other parameters are secure")
    if text.count("@allowed(") != sum("allowedValues" in one for one in template.get("parameters", {}).values()):
        faults.append(f"{path}: other parameters have allowed values")
    nested = [one for one in template["resources"] if one["type"] == "Microsoft.Resources/deployments"]
    for name, one in zip(pairs["modules"][0], nested):
        faults += against(parse(file.path.parent / name), one["properties"]["template"], f"{path}/{name}")
    return faults


def check_form(root):
    """createUiDefinition.json: by the schema, and whether it gives the template what that takes."""
    form = json.loads((root / "createUiDefinition.json").read_text(encoding="utf-8"))
    template = json.loads((root / "azuredeploy.json").read_text(encoding="utf-8"))
    faults, known = [], json.loads(json.dumps(form))
    for step in known["parameters"]["steps"]:
        for element in [one for one in step["elements"] if one["type"] == SELECTOR]:
            if set(element) - SELECTOR_KEYS or "resourceType" not in element:
                faults.append(f"{element['name']}: a resource selector has other keys")
        step["elements"] = [one for one in step["elements"] if one["type"] != SELECTOR]
        for element in [one for one in step["elements"] if one["type"] == CHECK_BOX]:
            # Nor does the schema know this one, which Microsoft's own forms use.
            if not isinstance(element.pop("defaultValue", False), bool):
                faults.append(f"{element['name']}: a check box begins with true or false")
    faults += validate("0.1.2-preview/CreateUIDefinition.MultiVm.json", known)

    elements = {(step["name"], one["name"]): one for step in form["parameters"]["steps"] for one in step["elements"]}
    outputs, parameters = form["parameters"]["outputs"], template["parameters"]
    text = json.dumps(form)
    asked = set(re.findall(r"steps\('(\w+)'\)\.(\w+)", text))
    faults += [f"{step}.{name} does not exist" for step, name in sorted(asked - set(elements))]
    used = set(re.findall(r"steps\('(\w+)'\)\.(\w+)", json.dumps(outputs)))
    faults += [f"{step}.{name} is asked for and not used" for step, name in sorted(set(elements) - used)]
    for name, value in outputs.items():
        if name not in parameters:
            faults.append(f"the template has no parameter {name}")
            continue
        wanted = parameters[name]
        if ("int(" in value) != (wanted["type"] == "int"):
            faults.append(f"{name}: a number is text in the form, and the template wants {wanted['type']}")
        element = next((one for (_, other), one in elements.items() if other == name), None)
        if element is None:
            continue
        boxes = {"bool": CHECK_BOX, "securestring": "Microsoft.Common.PasswordBox"}
        if element["type"] != boxes.get(wanted["type"], element["type"]) or \
                element["type"] in boxes.values() and wanted["type"] not in boxes:
            faults.append(f"{name}: {element['type']} for {wanted['type']}")
        choices = element.get("constraints", {}).get("allowedValues", [])
        labels = {one["label"]: one["value"] for one in choices}
        allowed = [str(one) for one in wanted.get("allowedValues", labels.values())]
        if labels and not set(labels.values()) <= set(allowed) or \
                labels and "allowedValues" in wanted and set(labels.values()) != set(allowed):
            faults.append(f"{name}: the form offers {sorted(labels.values())}, the template takes {sorted(allowed)}")
        default = element.get("defaultValue")
        chosen = labels.get(default, default)
        if "defaultValue" in element and str(chosen) != str(wanted["defaultValue"]):
            faults.append(f"{name}: the form begins with {chosen!r}, the template with {wanted['defaultValue']!r}")
    return faults
