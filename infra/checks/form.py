"""createUiDefinition.json against Microsoft's schema, against the template, and by the rules of its certification."""

import json
import re
from pathlib import Path

from jsonschema import Draft4Validator
from jsonschema.exceptions import best_match
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT4

HERE = Path(__file__).resolve().parent
BASE = "https://schema.management.azure.com/schemas/"
# A control of the portal that its schema lacks. Its documentation names these keys.
SELECTOR = "Microsoft.Solutions.ResourceSelector"
CHECK_BOX = "Microsoft.Common.CheckBox"
SELECTOR_KEYS = {"name", "type", "label", "resourceType", "toolTip", "constraints", "options", "visible"}


def validate(name, value):
    known = Registry()
    for path in (HERE / "schemas").glob("*.json"):
        schema = json.loads(path.read_text(encoding="utf-8"))
        resource = Resource.from_contents(schema, default_specification=DRAFT4)
        known = known.with_resource(schema["id"].rstrip("#"), resource)
    validator = Draft4Validator({**known.contents(BASE + name), "id": BASE + name}, registry=known)
    for error in validator.iter_errors(value):
        # What stands deepest says most.
        deepest = best_match([error])
        yield f"{'/'.join(map(str, deepest.absolute_path))}: {deepest.message[:160]}"


def check(root):
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
    for (step, name), one in elements.items():
        regex = one.get("constraints", {}).get("regex", "")
        if not one.get("toolTip"):
            faults.append(f"{step}.{name} has no tooltip")
        if one["type"] == "Microsoft.Common.TextBox" and not re.search(r"\{\d+,\d+\}", regex):
            faults.append(f"{step}.{name}: its expression has no bound of length")
        if one.get("options", {}).get("hideConfirmation"):
            faults.append(f"{step}.{name}: a secret is not asked twice")
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
        element = next((one for (_, other), one in elements.items() if other == name), {"type": None})
        boxes = {"bool": CHECK_BOX, "securestring": "Microsoft.Common.PasswordBox"}
        if element["type"] and (element["type"] in boxes.values() or wanted["type"] in boxes) and \
                element["type"] != boxes.get(wanted["type"]):
            faults.append(f"{name}: {element['type']} for {wanted['type']}")
        choices = element.get("constraints", {}).get("allowedValues", [])
        labels = {one["label"]: one["value"] for one in choices}
        allowed = [str(one) for one in wanted.get("allowedValues", labels.values())]
        if labels and set(labels.values()) != set(allowed):
            faults.append(f"{name}: the form offers {sorted(labels.values())}, the template takes {sorted(allowed)}")
        default = element.get("defaultValue")
        chosen, begins = labels.get(default, default), str(wanted.get("defaultValue"))
        # The template's default may follow from another parameter, as the form's visible controls do.
        if "defaultValue" in element and str(chosen) != begins and not begins.startswith("[if("):
            faults.append(f"{name}: the form begins with {chosen!r}, the template with {begins!r}")
    return faults
