"""Which files make a plant folder, what each holds, and the reading of one file into items, places and problems."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from schemas.feed import Feed
from schemas.plant import PlantFile
from schemas.problem import Problem
from schemas.source import MeterRow, Source, VirtualMeter
from schemas.tables import Budget, Contract, Conversion, OwnFactor, Price, Rule
from scopeline.plant import documents, rows
from scopeline.plant.documents import Flaw, Keys
from scopeline.plant.explain import Place, explain, near

Holds = dict[str, tuple[str, type[BaseModel]]]

DOCUMENTS: dict[str, Holds] = {
    "plant.yaml": {"settings": ("organisation", PlantFile)},
    "feeds/": {"feeds": ("feed", Feed)},
    "meters/": {"virtual_meters": ("meter", VirtualMeter)},
    "sources/": {"sources": ("source", Source)},
    "contracts.yaml": {"contracts": ("contract", Contract)},
    "targets.yaml": {"budgets": ("budget", Budget), "rules": ("rule", Rule)},
}
"""YAML file, or folder of YAML files -> what stands there: plural (a field of Plant), the key that names an item, its model."""

TABLES: dict[str, Holds] = {
    "meters/": {"meters": ("meter", MeterRow)},
    "conversions.csv": {"conversions": ("quantity", Conversion)},
    "factors/": {"own_factors": ("factor_id", OwnFactor)},
    "prices.csv": {"prices": ("currency", Price)},
}
"""CSV file, or folder of CSV files -> what stands there."""

_SUFFIXES = {".yaml": DOCUMENTS, ".yml": DOCUMENTS, ".csv": TABLES}
_NOT_OURS = {"secrets", "archive", "schemas", "docs"}
"""Folders that may stand in a plant folder and are not configuration."""


def holds(path: Path) -> Holds | None:
    """What a file of the plant folder holds (path relative to it); None: it is not configuration."""
    table = _SUFFIXES.get(path.suffix)
    if table is None or _hidden(path):
        return None
    suffix = ".yaml" if table is DOCUMENTS else ".csv"
    return table.get(path.with_suffix(suffix).name if len(path.parts) == 1 else path.parts[0] + "/")


def files(folder: Path) -> list[Path]:
    """The files of a plant folder that are configuration, sorted by name."""
    folders = sorted({name.rstrip("/") for name in [*DOCUMENTS, *TABLES] if name.endswith("/")})
    candidates = [*folder.glob("*"), *(path for name in folders for path in (folder / name).rglob("*"))]
    return sorted(path for path in candidates if holds(path.relative_to(folder)) and path.is_file())


def unread(folder: Path) -> list[Problem]:
    """A warning for each YAML or CSV file that stands where nothing reads it."""
    names = sorted({*DOCUMENTS, *TABLES})
    found: list[Problem] = []
    for path in sorted([*folder.glob("*"), *folder.glob("*/*")]):
        name = path.relative_to(folder)
        if path.suffix not in _SUFFIXES or holds(name) or _hidden(name) or name.parts[0] in _NOT_OURS or not path.is_file():
            continue
        hint = near(name.parts[0] + ("/" if len(name.parts) > 1 else ""), names) or f"read are: {', '.join(names)}"
        found.append(Problem("warning", name.as_posix(), None, "", "this file is not read", hint))
    return found


def _known(names: set[str]) -> str:
    return f"known here: {', '.join(sorted(names))}"


def _hidden(path: Path) -> bool:
    return any(part.startswith((".", "~")) for part in path.parts)


class Reading:
    """Collects items, their places and the problems, file by file."""

    def __init__(self) -> None:
        self.items: dict[str, list[Any]] = {}
        self.places: dict[tuple[str, int], Place] = {}
        self.problems: list[Problem] = []
        self.broken: set[str] = set()

    def file(self, folder: Path, path: Path) -> None:
        """Reads one configuration file."""
        name, content = path.relative_to(folder).as_posix(), holds(path.relative_to(folder)) or {}
        try:
            text = path.read_bytes().decode("utf-8-sig")
        except UnicodeDecodeError:
            self._flaws(name, [Flaw(None, (), "is not UTF-8 text", "save the file as UTF-8")], content)
            return
        except OSError as error:
            self._flaws(name, [Flaw(None, (), f"cannot be read ({error.strerror})", "let this user read it")], content)
            return
        if path.suffix == ".csv":
            self._table(name, text, content)
        else:
            self._document(name, text, content)

    def _flaws(self, file: str, flaws: list[Flaw], content: Holds) -> None:
        for flaw in flaws:
            self.problems.append(Place(file, {}).problem("error", flaw.path, flaw.message, flaw.remedy)._replace(line=flaw.line))
            self.broken.update(content)

    def _document(self, file: str, text: str, content: Holds) -> None:
        found = documents.parse(text)
        self._flaws(file, list(found.flaws), content)
        if "settings" in content:
            if found.data is not None or not found.flaws:
                data = {} if found.data is None else found.data
                self._item("settings", PlantFile, data, Place(file, found.lines, (), found.written))
            return
        for plural, item, path in self._listed(file, found, content):
            self._item(plural, content[plural][1], item, Place(file, found.lines, path, found.written))

    def _listed(self, file: str, found: documents.Document, content: Holds) -> Iterator[tuple[str, Any, Keys]]:
        """The items of a document: the one that it is, or those listed under plurals."""
        plurals, whole = list(content), Place(file, found.lines)
        if found.data is None:
            return
        if not isinstance(found.data, dict):
            self._flaws(file, [Flaw(1, (), "is no map of keys", f"write the items under {plurals[0]}:")], content)
            return
        if not any(plural in found.data for plural in plurals):
            yield next((plural for plural in plurals if content[plural][0] in found.data), plurals[0]), found.data, ()
            return
        for key, value in found.data.items():
            if key not in content:
                remedy = near(str(key), plurals) or f"a file that lists items holds only {' and '.join(plurals)}"
                self.problems.append(whole.problem("error", (key,), f"unknown key {key}", remedy))
            elif isinstance(value, list):
                yield from ((key, item, (key, index)) for index, item in enumerate(value))
            elif value is not None:
                self.problems.append(whole.problem("error", (key,), "is no list", "start each item with -"))
                self.broken.add(key)

    def _table(self, file: str, text: str, content: Holds) -> None:
        found = rows.parse(text)
        [(field, (_, model))] = content.items()
        columns = set(model.model_fields) - {"tags"}
        needed = [name for name, info in model.model_fields.items() if info.is_required()]
        flaws = list(found.flaws)
        if found.columns:
            extra = [] if model is MeterRow else [name for name in found.columns if name and name not in columns]
            flaws += [
                Flaw(found.line, (name,), f"unknown column {name}", near(name, columns) or _known(columns)) for name in extra
            ]
            absent = [name for name in needed if name not in found.columns]
            flaws += [Flaw(found.line, (name,), f"the column {name} is missing", "add it to the first line") for name in absent]
        self._flaws(file, flaws, content)
        if len(flaws) > len(found.flaws):
            return
        for line, row in found.rows:
            data: dict[str, Any] = row
            if model is MeterRow:
                tags = {key: value for key, value in row.items() if key == "tags" or key not in MeterRow.model_fields}
                data = {key: value for key, value in row.items() if key not in tags} | {"tags": tags}
            self._item(field, model, data, Place(file, {(): line}))

    def _item(self, field: str, model: type[BaseModel], data: Any, place: Place) -> None:
        try:
            item = model.model_validate(data)
        except ValidationError as error:
            self.problems += explain(error, model, place)
            self.broken.add(field)
            return
        listed = self.items.setdefault(field, [])
        self.places[field, len(listed)] = place
        listed.append(item)
