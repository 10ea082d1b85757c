"""Own factors (factors/*.csv of the plant folder): strictly within their validity, and nothing is derived from them."""

from collections.abc import Iterable
from datetime import date
from difflib import get_close_matches
from fractions import Fraction
from itertools import pairwise

from processors.factors.factor import LOSSES, Factor, Resolution, Span
from processors.factors.match import wanted_unit
from schemas.tables import OwnFactor
from schemas.units import UnitProblem, unit

GASES = {"co2e": "unsplit", "unsplit": "unsplit", "co2biogenic": "CO2_biogenic", "biogenicco2": "CO2_biogenic", "losses": LOSSES}


def resolve_own(name: str, own: Iterable[OwnFactor], gases: dict[str, str]) -> Resolution:
    """`own/<id>` -> its dated factors. gases: plain name -> name in the GWP table.

    Rows of one id and validity are one factor; a row of gas `losses` (a share, like 4 %) states what the grid loses before
    the meter, for boundary with_losses.
    """
    rows = [row for row in own if row.factor_id == name.removeprefix("own/")]
    if not rows:
        near = (
            get_close_matches(name, [f"own/{row.factor_id}" for row in own], 3) or sorted({f"own/{r.factor_id}" for r in own})[:5]
        )
        hint = f"; there are {', '.join(near)}" if near else "; factors/*.csv has none"
        return Resolution(problem=f"no own factor {name}{hint}: add its rows to factors/*.csv or correct the id")
    groups: dict[tuple[date | None, date | None], list[OwnFactor]] = {}
    for row in rows:
        groups.setdefault((row.valid_from, row.valid_to), []).append(row)
    try:
        spans = tuple(Span(*days, own_factor(group, gases)) for days, group in groups.items())
    except UnitProblem as problem:
        return Resolution(problem=f"in {name}, {problem}")
    spans = tuple(sorted(spans, key=lambda span: span.start or date.min))
    for before, after in pairwise(spans):
        if before.end is None or after.start is None or after.start <= before.end:
            text = f"{name} has two sets of values from {after.start}: valid_to is inclusive; end the earlier ones the day before"
            return Resolution(problem=text, candidates=(before.factor, after.factor))
    return Resolution(spans)


def own_factor(rows: list[OwnFactor], gases: dict[str, str]) -> Factor:
    """Rows of one own factor and validity -> Factor; UnitProblem where a unit, a gas or a repetition is wrong."""
    first, kg, losses = rows[0], {}, None
    for row in rows:
        key = "".join(c for c in row.gas.casefold() if c.isalnum())
        gas = GASES.get(key) or gases.get(key)
        if gas is None:
            raise UnitProblem(
                f"gas {row.gas!r} is not known: write CO2, CH4, N2O, CO2e, CO2_biogenic, SF6, NF3, HFC134a, losses ..."
            )
        if gas in kg or (gas == LOSSES and losses is not None):
            raise UnitProblem(f"gas {row.gas} is stated twice for the same days: keep one row")
        if gas == LOSSES:
            losses = share(row)
            continue
        mass = unit(row.unit)
        if mass.dimension != "mass":
            raise UnitProblem(f"unit {row.unit!r} of gas {row.gas} is no mass: write kg, g or t")
        kg[gas] = Fraction(row.value) * mass.factor
    per = wanted_unit(first.per_unit, first.basis)
    size = per.factor if per.dimension.startswith("energy") else Fraction(1)
    dated = first.published or first.valid_from
    return Factor(
        id=f"own/{first.factor_id}",
        set="own",
        version=dated.isoformat() if dated else "",
        item=first.activity,
        per_unit=per.base if per.dimension.startswith("energy") else per.name,
        gases={gas: amount / size for gas, amount in kg.items()},
        table="Own factors",
        activity=first.activity,
        scope=first.scope or "",
        region=first.region,
        boundary=first.boundary,
        valid_from=first.valid_from,
        valid_to=first.valid_to,
        published=first.published,
        gwp_set=first.gwp_set,
        uncertainty_pct=None if first.uncertainty_pct is None else Fraction(first.uncertainty_pct),
        losses=losses,
        citation=first.citation,
    )


def share(row: OwnFactor) -> Fraction:
    found = unit(row.unit)
    if found.dimension != "ratio":
        raise UnitProblem(f"losses are a share: write unit % or 1, not {row.unit!r}")
    return Fraction(row.value) * found.factor
