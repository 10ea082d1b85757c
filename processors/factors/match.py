"""How the words of a factor rule match published factors: tolerant in case and punctuation, whole words, never a guess."""

import re
from collections.abc import Iterable, Mapping

from processors.factors.factor import Factor
from schemas.units import Unit, UnitProblem, unit

EXPLICIT_ONLY = ("life_cycle", "not_stated")
"""Boundaries that only an explicit id may choose."""

ENERGIES = ("energy", "energy_gross", "energy_net")
_SEPARATORS = re.compile(r"(?:[^\w%<>+.]|(?<=\s)[>](?=\s))+")
_TABLE = re.compile(r"^(?:scope [123]|outside of scopes) \| |^table \d+ ")


def plain(text: str) -> str:
    """Text for comparison: one case, separators as one blank.

    >>> plain("Average car | Diesel") == plain("average car > diesel"), plain("Natural gas")
    (True, 'natural gas')
    """
    return _SEPARATORS.sub(" ", text.casefold()).strip()


def narrow(factors: Iterable[Factor], rule: Mapping[str, str | None], region: str | None) -> list[Factor]:
    """The factors that a rule's words mean. Raises UnitProblem for a per_unit that is no unit.

    `region` (already a code) only decides between factors that are otherwise equal; the rule's own region is binding.
    """
    found = [f for f in factors if _says(rule.get("table"), _tables(f)) and _says(rule.get("activity"), _activities(f))]
    found = by_unit(found, rule.get("per_unit"), rule.get("basis"))
    if rule.get("region"):
        found = [f for f in found if f.region == rule["region"]]
    elif region and len({f.region for f in found}) > 1:
        found = [f for f in found if f.region == region]
    if rule.get("boundary"):
        found = [f for f in found if f.boundary == rule["boundary"]]
    return found


def by_unit(factors: list[Factor], per_unit: str | None, basis: str | None) -> list[Factor]:
    """The factors per a unit: the unit itself, else (exactly convertible) one of its dimension.

    Energy of fuels is kWh_gross or kWh_net: `per_unit: kWh, basis: gross` means kWh_gross; without a basis both are meant.
    """
    if not per_unit:
        return [f for f in factors if not basis or f.per_unit.endswith(f"_{basis}")]
    wanted = wanted_unit(per_unit, basis)
    if wanted.dimension in ENERGIES:
        kinds = ENERGIES if wanted.dimension == "energy" else (wanted.dimension,)
        return [f for f in factors if unit(f.per_unit).dimension in kinds]
    same = [f for f in factors if f.per_unit == wanted.name]
    return same or [f for f in factors if unit(f.per_unit).dimension == wanted.dimension]


def wanted_unit(per_unit: str, basis: str | None) -> Unit:
    """The unit a rule or an own factor means.

    >>> wanted_unit("kWh", "gross").name, wanted_unit("litre", None).name
    ('kWh_gross', 'l')
    """
    found = unit(per_unit)
    if basis and found.dimension in ENERGIES[1:] and found.dimension != f"energy_{basis}":
        raise UnitProblem(f"per_unit {per_unit} contradicts basis {basis}: leave one of them out")
    return unit(f"{found.name}_{basis}") if basis and found.dimension == "energy" else found


def _says(wanted: str | None, texts: Iterable[str]) -> bool:
    return not wanted or plain(wanted) in texts


def _tables(factor: Factor) -> tuple[str, ...]:
    table = plain(factor.table)
    number = re.search(r"table-(\d+)/", factor.id)
    numbered = (f"table {number[1]}", f"table {number[1]} {table}") if number else ()
    return (table, f"scope {factor.scope} {table}", plain(_TABLE.sub("", factor.table.casefold())), *numbered)


def _activities(factor: Factor) -> tuple[str, ...]:
    return (plain(factor.activity), plain(f"{factor.table} {factor.activity}"))
