"""How each source is priced over time: segments of days in which nothing changes, and what each prices in them.

A slot is one figure that a source has in every interval: its location-based figure, what a contract covers of it, a part of
its category 3. A piece is how a slot is priced on some day.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import date, timedelta
from fractions import Fraction

from processors.factors import Catalogue, Factor, MissingGwp, Resolution
from processors.product import E18
from schemas.frames import GASES
from schemas.plant import GridRegion
from schemas.units import UnitProblem, unit

OPEN = 9999
"""`published` of a factor that never grows old."""
UNPROVEN, LIFE_CYCLE = "unproven", "life_cycle"
"""Words beside a factor's version: a contract without evidence; a life-cycle value, which nothing is derived from."""


@dataclass(frozen=True)
class Piece:
    """How a slot is priced: factors in 1e-18 kg for a base unit of activity, exact."""

    component: str
    priced: bool
    unit: str
    factors: tuple[tuple[str, int], ...] = ()
    rest: int | None = None  # what co2e has beside CO2: CH4 and N2O, for a live intensity of CO2 alone
    factor_id: str | None = None
    factor_version: str | None = None
    published: int | None = None
    instrument: str | None = None
    fallback: bool = False
    live: GridRegion | None = None
    live_role: str | None = None
    live_share: int = E18
    origin: Factor | None = None


@dataclass(frozen=True)
class Slot:
    """One figure of a source in every interval. `part`: what of the activity it prices: all, rest, or a contract."""

    part: str
    scope: int | None
    category: str
    basis: str
    at: Callable[[date], Piece | None]
    days: frozenset[date]  # first days of something new


@dataclass(frozen=True)
class Pricing:
    """What turns a factor into the factors of a piece for one kind of source."""

    catalogue: Catalogue
    gwp: str
    base: str  # base unit of the activity
    biogenic: Fraction = Fraction(0)  # share of the carbon
    known: bool = True  # False: nothing is priced

    def piece(self, component: str, factor: Factor | None, category: str, **facts: object) -> Piece:
        """A factor as a piece; unpriced where there is none, its unit does not fit, or the GWP set lacks a gas."""
        nothing = Piece(component, False, self.base, **facts)  # type: ignore[arg-type]  # facts are fields of Piece
        if factor is None or not self.known:
            return nothing
        try:
            per = unit(factor.per_unit)
            parts = self.catalogue.parts(factor, self.gwp, category, biogenic=self.biogenic == 1)
        except (UnitProblem, MissingGwp):
            return nothing
        if per.base != self.base:
            return nothing
        parts = self._split(parts)
        exact = {gas: round(parts[gas] / per.factor * E18) for gas in GASES if gas in parts}
        beside = parts.get("co2e", Fraction(0)) - parts.get("co2", Fraction(0)) - parts.get("unsplit", Fraction(0))
        version = f"{factor.version};{LIFE_CYCLE}" if factor.boundary == LIFE_CYCLE else factor.version
        return replace(
            nothing,
            priced=True,
            unit=factor.per_unit,
            factors=tuple(exact.items()),
            rest=round(beside / per.factor * E18),
            factor_id=factor.id,
            factor_version=version,
            published=factor.valid_to.year if factor.valid_to else OPEN,
            origin=factor,
        )

    def _split(self, parts: dict[str, Fraction]) -> dict[str, Fraction]:
        """The biogenic share of the carbon goes to biogenic CO2, outside the scopes."""
        if not self.biogenic or "co2" not in parts:
            return parts
        carbon = parts["co2"] * self.biogenic
        moved = {"co2": parts["co2"] - carbon, "co2e": parts["co2e"] - carbon}
        return parts | moved | {"biogenic_co2": parts.get("biogenic_co2", Fraction(0)) + carbon}


def changes(resolutions: Iterable[Resolution]) -> frozenset[date]:
    """The first days on which a resolution gives something new."""
    found = set()
    for resolution in resolutions:
        for span in resolution.spans:
            found |= {span.start} if span.start else set()
            found |= {span.end + timedelta(days=1)} if span.end and span.end < date.max else set()
    return frozenset(found)


def segments(slots: Iterable[Slot], begin: date | None, end: date | None) -> list[tuple[date | None, list[tuple[Slot, Piece]]]]:
    """First day of each segment (None: since ever) and how the slots are priced in it; an `end` adds an empty last segment.

    begin, end: the source's own first and last day.
    """
    slots = list(slots)
    stop = end + timedelta(days=1) if end else None
    days = {day for slot in slots for day in slot.days if (begin is None or day > begin) and (stop is None or day < stop)}
    starts = [begin, *sorted(days)]
    before = min(days, default=date(2000, 1, 2)) - timedelta(days=1)
    found: list[tuple[date | None, list[tuple[Slot, Piece]]]] = []
    for start in starts:
        day = start or before
        pieces = [(slot, piece) for slot in slots for piece in [slot.at(day)] if piece]
        found.append((start, pieces))
    if stop:
        found.append((stop, []))
    return found
