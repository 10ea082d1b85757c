"""Every problem of a plant folder, before any message comes: what each file says, and whether the files fit together.

Connects to nothing. The service asks here too: a broken edit keeps the configuration in force.
"""

from collections.abc import Callable
from datetime import date
from pathlib import Path

from processors.factors import Catalogue
from schemas.plant import Plant
from schemas.problem import Problem
from scopeline.catalogue import catalogue as shipped
from scopeline.check import feeds, settings, sources, tables
from scopeline.check.context import Context
from scopeline.plant import Folder, read

CHECKS: tuple[Callable[[Context], None], ...] = (settings.check, feeds.check, tables.check, sources.check, settings.outdated)

_WEIGHT = {"error": 0, "warning": 1, "note": 2}


def check(folder: Path, catalogue: Catalogue | None = None, today: date | None = None) -> tuple[Plant | None, list[Problem]]:
    """The plant of a folder, or None where anything is an error; and every problem, by file and line.

    `today` decides whether a factor that is pinned for every year has become old.
    """
    found = read(folder)
    problems = [*found.problems, *of_readable(found, folder, catalogue or shipped(), today or date.today())]
    problems = sorted(dict.fromkeys(problems), key=lambda p: (p.file, p.line or 0, _WEIGHT[p.severity], p.key, p.message))
    return (None if any(p.severity == "error" for p in problems) else found.plant), problems


def of_readable(found: Folder, folder: Path, catalogue: Catalogue, today: date) -> list[Problem]:
    """The problems of what could be read; none where plant.yaml itself could not."""
    if found.readable is None:
        return []
    context = Context(found.readable, found.places, found.broken, catalogue, today)
    for one in CHECKS:
        one(context)
    settings.files(context, folder)
    return context.problems
