"""Takes from a checkout of Azure/azure-resource-manager-schemas what the checks here use.

    subset_schemas.py FOLDER

Written to schemas/: the schema of a template, with any resource in the place of the thousands it lists, and those of
a form for the portal. The resources' own schemas do not exist for every version in use; types/ stands in for them.
"""

import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
NAMES = ["2019-04-01/deploymentTemplate.json", "common/definitions.json",
         *(f"0.1.2-preview/CreateUIDefinition.{one}.json" for one in ("MultiVm", "CommonControl", "ProviderControl"))]


def main(folder):
    for name in NAMES:
        schema = json.loads((Path(folder) / "schemas" / name).read_text(encoding="utf-8"))
        if name.endswith("deploymentTemplate.json"):
            # The resources' own schemas let an expression stand for the tags; what they have in common does not say so.
            schema["definitions"]["resourceBase"]["allOf"][1]["properties"]["tags"]["type"] = ["object", "string"]
            schema["definitions"]["resource"] = {"$ref": "#/definitions/resourceBase"}
        target = HERE / "schemas" / name.replace("/", "-")
        target.parent.mkdir(exist_ok=True)
        target.write_text(json.dumps(schema, separators=(",", ":")) + "\n", encoding="utf-8")
        print(f"{target.name}: {target.stat().st_size} bytes")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
