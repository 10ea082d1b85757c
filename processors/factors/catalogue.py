"""The catalogue: factor rules in, factors out; what is derived from a factor; what its gases are worth."""

from collections.abc import Iterable, Mapping
from datetime import date
from fractions import Fraction
from typing import Any, NamedTuple

import polars as pl

from processors.factors import gwp as gwps
from processors.factors.edition import Edition, edition
from processors.factors.factor import Factor, Resolution, Span
from processors.factors.match import EXPLICIT_ONLY, narrow
from processors.factors.own import resolve_own
from processors.factors.pins import Pins, by_start, dated, frozen, overlapping, pinned, without_year
from processors.factors.refrigerants import gas_factor, key, refrigerants, resolve_refrigerant
from processors.factors.search import near, search
from schemas.source import FactorRule
from schemas.tables import OwnFactor
from schemas.units import UnitProblem

Rule = FactorRule | Mapping[str, Any]
LOST, MADE = "t-and-d", "generation"
PARTS = (f"/{LOST}", f"/{MADE}")
"""Ends of the ids of parts that are computed from a factor."""


class Tables(NamedTuple):
    """The data files as frames of text columns (processors/factors/importing/shapes.py and gases.py say which)."""

    sources: pl.DataFrame
    values: pl.DataFrame
    parameters: pl.DataFrame
    derived: pl.DataFrame
    gwp: pl.DataFrame
    blends: pl.DataFrame
    regions: pl.DataFrame


class Catalogue:
    """Published factors by set and version, refrigerants and GWPs. Never changes; answers are cached."""

    def __init__(self, tables: Tables):
        self.sources = {(row["set"], row["version"]): row for row in tables.sources.iter_rows(named=True)}
        self._tables = tables
        self._values = tables.values.partition_by("set", "version", as_dict=True)
        self._editions: dict[tuple[str, str], Edition] = {}
        self._answers: dict[Any, Resolution] = {}
        self._regions: dict[str, str] = dict(tables.regions.iter_rows()) | {"UK": "GB"}
        self._gwp: dict[str, dict[str, Fraction]] = {name: {} for name in gwps.SETS}
        for row in tables.gwp.iter_rows(named=True):
            self._gwp[row["set"]][row["gas"]] = Fraction(row["gwp"])
        gases = {gas for values in self._gwp.values() for gas in values} - {"CH4_fossil"}
        self._gases = {key(gas): gas for gas in gases}
        self.refrigerants = refrigerants(tables.blends, gases)

    def versions(self, of_set: str) -> list[str]:
        """The versions of a set, oldest first; empty: no such set."""
        return sorted(version for name, version in self.sources if name == of_set)

    def edition(self, of_set: str, version: str) -> Edition:
        """One version of a set (built once). KeyError where there is none."""
        at = (of_set, version)
        if at not in self._editions:
            of = (pl.col("set") == of_set) & (pl.col("version") == version)
            derived, parameters = self._tables.derived.filter(of), self._tables.parameters.filter(of)
            self._editions[at] = edition(self.sources[at], self._values[at], derived, parameters)
        return self._editions[at]

    def region(self, code: str | None) -> str | None:
        """A region as ISO 3166: UK and GBR become GB."""
        return self._regions.get(code.upper(), code) if code else None

    def resolve(
        self, rule: Rule, *, pins: Pins, region: str | None = None, own: Iterable[OwnFactor] = (), grid: bool = False
    ) -> Resolution:
        """A factor rule -> the one factor of each span of days, or what is wrong and which candidates there are.

        The pin chooses the version by the activity's year (a bare string: every year); an unpinned set or year is unpriced.
        `region` decides between factors that are otherwise equal. `grid`: among averages of grid regions only.
        """
        words = {k: v for k, v in dict(rule).items() if v is not None}
        name = words.get("id", "")
        if name.startswith("own/"):
            return resolve_own(name, tuple(own), self._gases)
        if "refrigerant" in words or name.startswith("refrigerant/"):
            return resolve_refrigerant(words.get("refrigerant") or name.partition("/")[2], self.refrigerants)
        if name.startswith("gas/") or ("gas" in words and "set" not in words):
            return gas_factor(name.partition("/")[2] or words["gas"], self._gases)
        if "naics" in words:
            return Resolution(problem="factors by naics are not in the catalogue: price the spend by an own factor per currency")
        at = (tuple(sorted(words.items())), frozen(pins), region, grid)
        if at not in self._answers:
            self._answers[at] = self._resolve(words, pins, self.region(region), grid)
        return self._answers[at]

    def grid(self, region: str, *, pins: Pins, rule: Rule | None = None, own: Iterable[OwnFactor] = ()) -> Resolution:
        """The grid average of a region for scope 2: what the region's own rule says, else what the pinned sets have."""
        found = self.resolve(rule or {"region": region}, pins=pins, region=region, own=own, grid=True)
        if found.spans or rule or (found.problem and not found.candidates):
            return found
        if not found.candidates:
            text = (
                f"no pinned factor set has a grid average for region {region}: pin one in `factor_sets`, "
                "or give the grid region a `factor:`, like {id: own/...}"
            )
            return Resolution(problem=text)
        sets = dict.fromkeys(f.set for f in found.candidates)
        ways = [f"{{set: {name}}}" for name in sets] if len(sets) > 1 else [f"{{id: {f.id}}}" for f in found.candidates]
        text = f"grid region {region} has more than one factor: choose by the grid region's `factor:`, like {' or '.join(ways)}"
        return Resolution(problem=text, candidates=found.candidates)

    def derived(self, factor: Factor) -> list[tuple[str, Factor | None]]:
        """Category 3 parts of a scope 1 or 2 factor: (wtt | t_and_d | wtt_t_and_d, factor); None: it should be there and is not.

        US grids: losses = use x g / (1 - g), g the share of generation that is lost (EPA eGRID, grid gross loss). A factor of
        boundary with_losses gives its own lost share. Own factors and life-cycle values derive nothing else.
        """
        if factor.boundary == "with_losses":
            return [("t_and_d", factor.scaled(factor.losses, LOST, "share lost in the grid") if factor.losses else None)]
        if (factor.set, factor.version) not in self.sources or factor.boundary in EXPLICIT_ONLY:
            return []
        of = self.edition(factor.set, factor.version)
        found: list[tuple[str, Factor | None]] = []
        for component, name in of.parts.get(factor.id, ()):
            part = of.by_id.get(name) if name else None
            if name and part is None and factor.region in of.losses:
                g = of.losses[factor.region]
                part = factor.scaled(g / (1 - g), LOST, f"grid gross loss {g} of generation: g / (1 - g)")
            found.append((component, part))
        return found

    def scope2(self, factor: Factor) -> Factor | None:
        """What of a grid factor belongs to scope 2: all of a generation factor, x (1 - losses) of one with losses.

        None: the factor includes losses and nobody says how large they are.
        """
        if factor.boundary != "with_losses":
            return factor
        return factor.scaled(1 - factor.losses, MADE, "without the share lost in the grid") if factor.losses else None

    def gwp(self, name: str) -> Mapping[str, Fraction]:
        """kg CO2e per kg of each gas in a GWP set; AR6 has CH4 and CH4_fossil (fugitive and process)."""
        return self._gwp[name]

    def parts(self, factor: Factor, gwp: str, category: str | None = None, biogenic: bool = False) -> dict[str, Fraction]:
        """A factor's gases as parts of a figure (processors.factors.gwp.parts). MissingGwp where the set lacks a gas."""
        return gwps.parts(factor, self._gwp[gwp], gwp, category, biogenic)

    def search(
        self, text: str, *, of_set: str | None = None, region: str | None = None, limit: int = 20, own: Iterable[OwnFactor] = ()
    ) -> list[Factor]:
        """Factors by words, best first; of each only the newest version, of yearly rows the last year."""
        rows = tuple(own)
        mine = [f for name in dict.fromkeys(row.factor_id for row in rows) for f in self._own(f"own/{name}", rows)[:1]]
        return search(text, [*mine, *self._newest(of_set)], of_set, self.region(region), limit)

    def show(self, name: str, own: Iterable[OwnFactor] = ()) -> list[Factor]:
        """All versions of a factor by its id, newest first; also of a part that was derived from it (`<id>/t-and-d`)."""
        of_set, _, rest = name.partition("/")
        if of_set == "own":
            return self._own(name, own)
        if of_set in ("refrigerant", "gas"):
            kind = "refrigerant" if of_set == "refrigerant" else "gas"
            return [span.factor for span in self.resolve({kind: rest}, pins={}).spans]
        editions = [self.edition(of_set, version) for version in reversed(self.versions(of_set))]
        found = [f for of in editions for f in self._of_id(of, name)]
        if found or not name.endswith(PARTS):
            return found
        whole = [f for of in editions for f in of.of_id(name.rpartition("/")[0])]
        parts = [part for f in whole for part in (self.scope2(f), *(p for _, p in self.derived(f))) if part]
        return [part for part in parts if part.id == name]

    def _own(self, name: str, own: Iterable[OwnFactor]) -> list[Factor]:
        return [span.factor for span in reversed(resolve_own(name, tuple(own), self._gases).spans)]

    def _resolve(self, words: dict[str, str], pins: Pins, region: str | None, grid: bool) -> Resolution:
        of_set = words.get("set") or words.get("id", "").partition("/")[0]
        if of_set and not self.versions(of_set):
            known = ", ".join(sorted({name for name, _ in self.sources}))
            return Resolution(problem=f"there is no factor set {of_set}: choose {known}, or own/<id>")
        if of_set and of_set not in pins:
            pin = f'{{{of_set}: "{self.versions(of_set)[-1]}"}}'
            return Resolution(problem=f"factor set {of_set} is not pinned: add `factor_sets: {pin}` to plant.yaml")
        words = words | ({"region": self.region(words["region"]) or ""} if "region" in words else {})
        spans: list[Span] = []
        missing: list[str] = []
        for name in [of_set] if of_set else list(pins):
            for start, end, version in pinned(pins[name]):
                if (name, version) not in self.sources:
                    return Resolution(problem=self._no_version(name, version))
                of = self.edition(name, version)
                try:
                    found = self._chosen(of, words, region, grid)
                except UnitProblem as problem:
                    return Resolution(problem=str(problem))
                if not found and of_set:
                    missing.append(f"{name} {version}")
                spans += dated(of, found, start, end)
        clash = overlapping(spans)
        if clash:
            return Resolution(problem=_ambiguous(clash), candidates=clash)
        if not spans:
            return Resolution() if grid and not of_set else self._nothing(words, pins, of_set)
        warning = f"no factor in {', '.join(missing)} for this rule: the years it serves are unpriced" if missing else None
        return Resolution(tuple(sorted(spans, key=by_start)), warning=warning)

    def _chosen(self, of: Edition, words: dict[str, str], region: str | None, grid: bool) -> list[Factor]:
        if "id" in words:
            return self._of_id(of, words["id"])
        if grid:
            return (
                narrow(of.grid, words, region)
                if "region" in words
                else narrow([f for f in of.grid if f.region == region], words, None)
            )
        pool = of.of_item(words["item"]) if "item" in words else of.factors
        return narrow([f for f in pool if f.boundary not in EXPLICIT_ONLY], words, region)

    def _of_id(self, of: Edition, name: str) -> list[Factor]:
        """By id; an edition without the publisher's row ids has the factor under the id that the other editions give it."""
        found = of.of_id(name)
        if not found and not of.row_ids:
            ours = {f.id for v in self.versions(of.set) for f in self.edition(of.set, v).of_id(name)}
            found = [of.by_id[one] for one in sorted(ours) if one in of.by_id]
        return found

    def _nothing(self, words: dict[str, str], pins: Pins, of_set: str) -> Resolution:
        text = " ".join(words.get(k, "") for k in ("table", "activity", "item", "id", "per_unit", "region"))
        pool = [
            f
            for name in ([of_set] if of_set else pins)
            for _, _, v in pinned(pins[name])[-1:]
            for f in self.edition(name, v).factors
        ]
        found = tuple(near(text, pool, 8))
        rule = ", ".join(f"{k}: {v}" for k, v in words.items())
        explicit = [f for f in found if f.boundary in EXPLICIT_ONLY]
        remedy = (
            f"life-cycle values and values without a stated boundary are chosen by id only, like {{id: {explicit[0].id}}}"
            if explicit and len(explicit) == len(found)
            else "correct table, item, per_unit or basis; candidates: " + "; ".join(f.label() for f in found[:5])
        )
        return Resolution(problem=f"no factor matches {{{rule}}}: {remedy}", candidates=found)

    def _no_version(self, of_set: str, version: str) -> str:
        known = ", ".join(self.versions(of_set)) or "none: there is no such set"
        return f"{of_set} has no version {version} (there is {known}): correct the pin in plant.yaml"

    def _newest(self, of_set: str | None) -> list[Factor]:
        found: dict[str, Factor] = {}
        for name, version in sorted(self.sources):
            if of_set in (None, name):
                of = self.edition(name, version)
                rows = sorted(of.factors, key=lambda f: f.valid_from or date.min) if of.yearly else of.factors
                found |= {without_year(f) if of.yearly else f.id: f for f in rows}
        own = self.refrigerants.values() if of_set in (None, "refrigerant") else ()
        return [*found.values(), *{f.id: f for f in own}.values()]


def _ambiguous(found: tuple[Factor, ...]) -> str:
    names = "; ".join(f.label() for f in found[:8]) + (f"; and {len(found) - 8} more" if len(found) > 8 else "")
    return f"{len(found)} factors match: say table, activity, item, per_unit, basis or region, or choose by id: {names}"
