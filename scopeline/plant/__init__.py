"""The plant folder on disk: every file read, every problem found, nothing written.

`load` gives the plant, or all the problems why there is none. `read` gives what `check` needs beside it: what could be read of
a broken folder, and where each item stands.
"""

import hashlib
import os
from pathlib import Path
from typing import NamedTuple

from pydantic import SecretStr

from schemas.plant import Plant
from schemas.problem import Problem
from scopeline.logs import hide
from scopeline.plant.explain import Place
from scopeline.plant.reading import Reading, files, unread

__all__ = ["Folder", "files", "fingerprint", "load", "read", "secret"]


class Folder(NamedTuple):
    """A plant folder as read."""

    plant: Plant | None
    """None when anything is wrong."""
    readable: Plant | None
    """What could be read, without the items that have problems; None when plant.yaml has problems."""
    problems: list[Problem]
    places: dict[tuple[str, int], Place]
    """Where each readable item stands, by Plant field and index: ("feeds", 0); plant.yaml is ("settings", 0)."""
    broken: frozenset[str]
    """Plant fields of which some item or file could not be read."""


def load(folder: Path) -> tuple[Plant | None, list[Problem]]:
    """The plant that a folder describes, or None and every problem of form at once (`scopeline.check` finds the others)."""
    found = read(folder)
    return found.plant, found.problems


def read(folder: Path) -> Folder:
    """Everything that a plant folder says, as far as it can be read, with every problem of form."""
    if not (folder / "plant.yaml").is_file() and not (folder / "plant.yml").is_file():
        what = "there is no plant.yaml" if folder.is_dir() else f"there is no folder {folder}"
        remedy = "name the plant folder with --plant, or make one with scopeline init"
        return Folder(None, None, [Problem("error", "plant.yaml", None, "", what, remedy)], {}, frozenset({"settings"}))
    reading = Reading()
    for path in files(folder):
        reading.file(folder, path)
    problems = sorted([*reading.problems, *unread(folder)], key=lambda problem: (problem.file, problem.line or 0))
    items = {field: tuple(found) for field, found in reading.items.items()}
    settings = items.pop("settings", ())
    readable = Plant(settings=settings[0], **items) if settings else None
    wrong = any(problem.severity == "error" for problem in problems)
    return Folder(None if wrong else readable, readable, problems, reading.places, frozenset(reading.broken))


def fingerprint(folder: Path) -> str:
    """A text that changes when any configuration file is added, removed, renamed or edited."""
    digest = hashlib.sha256()
    for path in files(folder):
        try:
            content = path.read_bytes()
        except OSError:
            content = b""
        digest.update(f"{path.relative_to(folder).as_posix()}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def secret(folder: Path, file: str | None, variable: str) -> SecretStr | None:
    """A secret: from the environment variable, else the first line of a file (relative to the plant folder); None: neither.

    Raises OSError when the file is named but cannot be read. What was read is hidden in all logs from now on.
    """
    found = os.environ.get(variable)
    if not found and file:
        found = ((folder / file).read_text(encoding="utf-8").splitlines() or [""])[0]
    if not found and not file:
        return None
    hide(found or "")
    return SecretStr(found or "")
