"""One emission factor, and what a factor rule resolves to."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from fractions import Fraction

LOSSES = "losses"


@dataclass(frozen=True, slots=True)
class Factor:
    """An emission factor: kg of each gas for one `per_unit` of activity, gases apart and exact.

    `gases`: kg of the gas (CO2, CH4, N2O, HFC32, SF6, CO2_biogenic ...); `unsplit` is kg CO2e at `gwp_set` (None: not stated).
    A gas that the publication does not state is absent. `losses`: share of the energy lost between generation and meter.
    """

    id: str
    set: str
    version: str
    item: str
    per_unit: str
    gases: Mapping[str, Fraction] = field(hash=False)
    table: str = ""
    activity: str = ""
    scope: str = ""
    region: str | None = None
    boundary: str | None = None  # generation, with_losses, life_cycle; only where energy from a grid is meant
    valid_from: date | None = None
    valid_to: date | None = None
    published: date | None = None
    gwp_set: str | None = None
    uncertainty_pct: Fraction | None = None
    losses: Fraction | None = None
    citation: str = ""
    url: str = ""
    licence: str = ""
    row_ids: tuple[str, ...] = ()  # the publisher's own ids
    note: str = ""

    def age_years(self, year: int) -> int:
        """Years between the activity and the last year for which the factor was published, at least 0.

        >>> Factor("s/a", "s", "1", "a", "kg", {}, valid_to=date(2024, 12, 31)).age_years(2026)
        2
        """
        return max(0, year - self.valid_to.year) if self.valid_to else 0

    def scaled(self, share: Fraction, suffix: str, note: str) -> "Factor":
        """The same factor times a share: a derived part of it, named `<id>/<suffix>`."""
        gases = {gas: kg * share for gas, kg in self.gases.items()}
        return replace(self, id=f"{self.id}/{suffix}", gases=gases, losses=None, note=note)

    def label(self) -> str:
        """One line for people: id, version, what it is, unit."""
        return f"{self.id} ({self.set} {self.version}: {self.table} > {self.activity} > {self.item}, per {self.per_unit})"


@dataclass(frozen=True, slots=True)
class Span:
    """The days (in the site's zone, both inclusive; None is open) for which a factor is chosen."""

    start: date | None
    end: date | None
    factor: Factor

    def covers(self, day: date) -> bool:
        return (self.start is None or self.start <= day) and (self.end is None or day <= self.end)


@dataclass(frozen=True, slots=True)
class Resolution:
    """What a rule resolves to: spans in order of time; days outside all of them are unpriced.

    `problem` says, with the remedy, why the rule does not resolve: then there are no spans, and `candidates` lists what came
    near. `warning` names pinned versions in which the rule finds nothing, so that their years are unpriced.
    """

    spans: tuple[Span, ...] = ()
    problem: str | None = None
    candidates: tuple[Factor, ...] = ()
    warning: str | None = None

    def at(self, day: date) -> Factor | None:
        """The factor of a day; None: unpriced."""
        return next((span.factor for span in self.spans if span.covers(day)), None)
