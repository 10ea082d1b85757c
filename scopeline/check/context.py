"""What every check sees, and where it puts what it finds."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from typing import Any, Literal

from processors.factors import Catalogue, Span
from schemas.plant import Plant, Site
from schemas.problem import Problem
from schemas.units import UnitProblem, unit
from scopeline.check.meters import Known, known
from scopeline.plant.documents import Keys
from scopeline.plant.explain import Place, near

REFERENCE = "ref"
"""The reserved site of reference meters."""

METER = re.compile(r"[^/:\[\]\s*]+(/[^/\[\]\s*]+)+:[a-z0-9_]+")


@dataclass
class Context:
    """A readable plant, where its items stand, and the problems found so far."""

    plant: Plant
    places: dict[tuple[str, int], Place]
    broken: frozenset[str]
    catalogue: Catalogue
    today: date
    problems: list[Problem] = field(default_factory=list)
    used: list[Span] = field(default_factory=list)
    """The factors that price sources, with the days for which they are pinned."""

    def say(
        self, severity: Literal["error", "warning", "note"], item: tuple[str, int], path: Keys | str, message: str, remedy: str
    ) -> None:
        """A problem of an item (Plant field, index) at one of its keys."""
        self.problems.append(self.places[item].problem(severity, path, message, remedy))

    def error(self, item: tuple[str, int], path: Keys | str, message: str, remedy: str) -> None:
        self.say("error", item, path, message, remedy)

    def warning(self, item: tuple[str, int], path: Keys | str, message: str, remedy: str) -> None:
        self.say("warning", item, path, message, remedy)

    def note(self, item: tuple[str, int], path: Keys | str, message: str) -> None:
        self.say("note", item, path, message, "")

    @cached_property
    def sites(self) -> dict[str, Site]:
        return {site.site: site for site in self.plant.settings.sites}

    @cached_property
    def meters(self) -> Known:
        return known(self.plant)

    @property
    def all_feeds(self) -> bool:
        """Whether every feed and meter could be read, so that an unknown meter is really unknown."""
        return not self.broken & {"feeds", "meters", "virtual_meters"}

    def items(self, name: str) -> Iterator[tuple[tuple[str, int], Any]]:
        """The items of a Plant field, each with its key for `say`."""
        for index, item in enumerate(getattr(self.plant, name)):
            yield (name, index), item

    def site(self, item: tuple[str, int], path: Keys | str, site: str | None) -> bool:
        """Whether a site is one of plant.yaml; says so when it is not."""
        if site is None or site in self.sites:
            return True
        if site == REFERENCE:
            self.error(item, path, "ref is reserved for reference meters, which have no figures", "name a site of plant.yaml")
        else:
            self.error(item, path, f"there is no site {site}", near(site, self.sites) or f"sites: {', '.join(self.sites)}")
        return False

    def unit(self, item: tuple[str, int], path: Keys | str, text: str) -> bool:
        """Whether a text is a unit; says so when it is not."""
        try:
            unit(text)
        except UnitProblem as problem:
            message, _, remedy = str(problem).partition(": ")
            self.error(item, path, message, remedy)
            return False
        return True

    def unique(self, name: str, key: str, what: str) -> None:
        """Says which ids of a Plant field stand more than once."""
        first: dict[str, str] = {}
        for item, value in self.items(name):
            place, text = self.places[item], getattr(value, key)
            here = f"{place.file}:{place.line((key,))}"
            if text in first:
                self.error(item, key, f"the {what} {text} stands twice (first in {first[text]})", "give one of them another id")
            first.setdefault(text, here)

    def days(self, item: tuple[str, int], first: Any, last: Any, keys: tuple[str, str] = ("valid_from", "valid_to")) -> None:
        """Says when a span ends before it begins."""
        if first is not None and last is not None and last < first:
            self.error(item, keys[1], f"{last} is before {keys[0]} {first}", "exchange or correct the two days")

    def meter(self, item: tuple[str, int], path: Keys | str, meter: str) -> bool:
        """Whether some feed or virtual meter gives a meter or pattern of meters; says so when none does."""
        if not METER.fullmatch(meter.replace("*", "x")):
            remedy = "write site/path:channel, like duisburg/press/p7:energy; an expression has brackets: [a/b:c] - [d/e:f]"
            self.error(item, path, f"{meter!r} is no meter", remedy)
            return False
        site = meter.split("/")[0]
        if "*" not in site and site != REFERENCE and not self.site(item, path, site):
            return False
        if not self.all_feeds or self.meters.find(meter):
            return True
        self.error(item, path, f"no feed gives the meter {meter}", self.meters.remedy(meter))
        return False


def each(texts: Iterable[str]) -> str:
    """Texts as a list for people."""
    return ", ".join(dict.fromkeys(texts))
