"""JSON Schemas of the plant folder's YAML files, so that editors complete and check them while one types.

`python -m scopeline.plant.schemas DIR` writes them; a template names its schema in its first line:
`# yaml-language-server: $schema=../.schemas/feeds.json`.
"""

import json
import sys
from pathlib import Path
from typing import Any

from pydantic.json_schema import models_json_schema

from scopeline.plant.reading import DOCUMENTS

FOLDER = ".schemas"
"""Where `scopeline init` puts them in a plant folder."""


def schemas() -> dict[str, dict[str, Any]]:
    """File name -> schema, one for each kind of YAML file."""
    return {f"{name.removesuffix('/').removesuffix('.yaml')}.json": _schema(name) for name in DOCUMENTS}


def _schema(name: str) -> dict[str, Any]:
    """One item, or a list of items under its plural; plant.yaml is one item."""
    holds = DOCUMENTS[name]
    models = [model for _, model in holds.values()]
    refs, whole = models_json_schema([(model, "validation") for model in models], by_alias=True)
    items = [refs[model, "validation"] for model in models]
    forms: list[dict[str, Any]] = list(items)
    if "settings" not in holds:
        lists = {plural: {"type": "array", "items": item} for plural, item in zip(holds, items, strict=True)}
        forms.append({"type": "object", "properties": lists, "additionalProperties": False, "minProperties": 1})
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": f"Scopeline {name}"}
    return {**head, **(forms[0] if len(forms) == 1 else {"anyOf": forms}), "$defs": whole["$defs"]}


def write(folder: Path) -> list[Path]:
    """Writes the schemas into a folder; returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, content in schemas().items():
        path = folder / name
        path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        written.append(path)
    return written


if __name__ == "__main__":
    for path in write(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/schemas")):
        print(path)
