"""Units: checked, never guessed.

Every unit is a row of a closed table, or a quotient of two rows (`m3/h`, `kg/kWh`, `kWh/Nm3`). A quotient by time is a
rate; its base is the base of what it adds up to, an hour (power: kW). A unit is `value_in_base = value * factor + offset`,
both exact fractions.
"""

import re
from collections.abc import Iterable
from decimal import Decimal
from difflib import get_close_matches
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

from schemas.unit_table import ALIASES, CURRENCIES, REFUSED, REFUSED_SPELLINGS, TABLE, TEMPERATURES


class Unit(NamedTuple):
    """A unit: its canonical name, its dimension, the dimension's base unit, and how to get there."""

    name: str
    dimension: str
    base: str
    factor: Fraction
    offset: Fraction = Fraction(0)


class UnitProblem(ValueError):
    """A unit that does not exist, or a conversion that does not exist; the text says the remedy."""


_ADDING = """
    energy energy_gross energy_net reactive_energy apparent_energy volume normal_volume mass distance vehicle_distance
    passenger_distance freight lodging work count time charge data
"""
ADDITIVE = frozenset(_ADDING.split())
"""Dimensions whose quantities add up: what counters and amounts may have, besides currencies."""

_RATE_BASE = {
    "energy": "kW",
    "energy_gross": "kW_gross",
    "energy_net": "kW_net",
    "reactive_energy": "kvar",
    "apparent_energy": "kVA",
}
_GAS = re.compile(r"(?<=[a-z])[ _]?(?:CO[2₂](?:_biogenic|[ -]?e(?:q\.?)?|[ -]?Eq\.?)?|CH[4₄]|N[2₂]O|SF[6₆]|NF[3₃])(?=/|$)")
_WHAT = {
    "energy": "electricity or heat",
    "energy_gross": "energy of a fuel by gross calorific value",
    "energy_net": "energy of a fuel by net calorific value",
    "volume": "volume as metered",
    "normal_volume": "volume at normal conditions",
    "apparent_energy": "apparent energy",
    "apparent_energy_rate": "apparent power",
    "reactive_energy": "reactive energy",
    "reactive_energy_rate": "reactive power",
    "energy_rate": "power",
}


def _build() -> tuple[dict[str, Unit], dict[str, str]]:
    units: dict[str, Unit] = {}
    spellings: dict[str, str] = {}
    for dimension, rows in TABLE.items():
        base = next(iter(rows))
        for name, (factor, others) in rows.items():
            units[name] = Unit(name, dimension, base, factor)
            spellings.update(dict.fromkeys(others.split(), name))
    for name, (factor, offset, others) in TEMPERATURES.items():
        units[name] = Unit(name, "temperature", "degC", factor, offset)
        spellings.update(dict.fromkeys(others.split(), name))
    for code in CURRENCIES:
        units[code] = Unit(code, code, code, Fraction(1))
    return units, spellings


_UNITS, _SPELLINGS = _build()


def names() -> Iterable[str]:
    """All canonical names of the table, in its order (quotients of them are units too)."""
    return _UNITS.keys()


@lru_cache(maxsize=4096)
def unit(text: str) -> Unit:
    """The unit that a text names.

    >>> unit("MWh").factor, unit("m³/h").base, unit("gCO2/kWh").name
    (Fraction(1000, 1), 'm3/h', 'g/kWh')
    >>> unit("gallon")
    Traceback (most recent call last):
    schemas.units.UnitProblem: unit 'gallon' is refused, a gallon has kinds: write us_gallon or imperial_gallon
    """
    found = _simple(text)
    if found:
        return found
    plain = _GAS.sub("", re.sub(r"\s+per\s+", "/", text.strip()))
    plain = re.sub(r"\s*/\s*", "/", ALIASES.get(plain, plain)).strip()
    found = _simple(plain)
    if found:
        return found
    if plain.count("/") == 1 and plain.replace(" ", "_") not in REFUSED | REFUSED_SPELLINGS:
        upper, lower = (_simple(part) for part in plain.split("/"))
        if upper and lower and upper.name and lower.name and "temperature" not in (upper.dimension, lower.dimension):
            return _quotient(upper, lower)
    raise UnitProblem(f"unit {text!r} {_remedy(plain)}")


def convert(value: Fraction | Decimal | int | str, source: str, target: str) -> Fraction:
    """A value in another unit, exactly; refused where the dimensions differ.

    >>> convert(3, "MW", "kW"), float(convert("68", "degF", "degC"))
    (Fraction(3000, 1), 20.0)
    >>> convert(1, "kVAh", "kWh")
    Traceback (most recent call last):
    schemas.units.UnitProblem: kVAh is apparent energy and does not become kWh: measure active energy or power (kWh, kW), \
or state the power factor by an expression
    """
    a, b = unit(source), unit(target)
    if a.dimension != b.dimension:
        raise UnitProblem(no_conversion(a, b))
    return (Fraction(value) * a.factor + a.offset - b.offset) / b.factor


def amount_of(rate: str) -> Unit:
    """The base unit of what a rate adds up to over time: kW -> kWh, l/min -> m3.

    >>> amount_of("MW").name, amount_of("l/min").name
    ('kWh', 'm3')
    """
    found = unit(rate)
    if not is_rate(found):
        raise UnitProblem(f"{found.name!r} is no rate: write a power or a flow, like kW or m3/h, or use another `kind:`")
    name = found.dimension.removesuffix("_rate")
    return unit(name if name in CURRENCIES else _base(name))


def is_rate(found: Unit) -> bool:
    """Whether a unit is something an hour: power, flow."""
    dimension = found.dimension.removesuffix("_rate")
    return dimension != found.dimension and (dimension in ADDITIVE or _currency(dimension))


def is_additive(found: Unit) -> bool:
    """Whether quantities of the unit add up: what counters and amounts may have."""
    return found.dimension in ADDITIVE or _currency(found.dimension)


def no_conversion(a: Unit, b: Unit) -> str:
    """Why two units do not convert, and what to do."""
    pair = {a.dimension, b.dimension}
    if any(dimension.startswith("apparent") for dimension in pair):
        remedy = "measure active energy or power (kWh, kW), or state the power factor by an expression"
    elif any(dimension.startswith("reactive") for dimension in pair):
        remedy = "reactive energy emits nothing: measure active energy (kWh)"
    elif pair in ({"energy", "energy_gross"}, {"energy", "energy_net"}):
        remedy = "plain kWh is electricity and heat; fuels are kWh_gross or kWh_net: write the unit as the bill has it"
    elif pair == {"energy_gross", "energy_net"}:
        remedy = "gross and net differ by fuel: use the unit the bill states and a factor of the same basis"
    elif pair == {"volume", "normal_volume"}:
        remedy = "m3 as metered become Nm3 only through temperature and pressure in conversions.csv"
    elif "mass" in pair and pair & {"volume", "normal_volume"}:
        remedy = "state the density in conversions.csv"
    elif pair & {"volume", "normal_volume", "mass"} and pair & {"energy_gross", "energy_net"}:
        remedy = "state the calorific value in conversions.csv, or choose a factor by the metered unit"
    elif {a.dimension.removesuffix("_rate"), b.dimension.removesuffix("_rate")} == {a.dimension.removesuffix("_rate")}:
        remedy = "one is a rate, the other what it adds up to: correct `unit:` or `kind:`"
    elif any(_currency(dimension) for dimension in pair):
        remedy = "currencies meet only through prices.csv"
    else:
        remedy = "the two measure different things: correct one of the units"
    return f"{_of(a)} and does not become {b.name or 'a plain number'}: {remedy}"


def _of(found: Unit) -> str:
    return f"{found.name or 'a plain number'} is {_WHAT.get(found.dimension, found.dimension.replace('_', ' '))}"


def _currency(dimension: str) -> bool:
    return dimension[:3] in CURRENCIES and (len(dimension) == 3 or re.fullmatch(r"[A-Z]{3}_\d{4}", dimension) is not None)


def _base(dimension: str) -> str:
    return next(iter(TABLE[dimension])) if dimension in TABLE else dimension


def _simple(text: str) -> Unit | None:
    name = text.strip()
    for candidate in (name, name.replace(" ", "_")):
        candidate = _SPELLINGS.get(candidate, candidate)
        if candidate in _UNITS:
            return _UNITS[candidate]
    if re.fullmatch(r"[A-Z]{3}_(19|20)\d\d", name) and name[:3] in CURRENCIES:
        return Unit(name, name, name, Fraction(1))
    return None


def _quotient(upper: Unit, lower: Unit) -> Unit:
    name, factor = f"{upper.name}/{lower.name}", upper.factor / lower.factor
    if upper.dimension == lower.dimension:
        return Unit(name, "ratio", "", factor)
    if lower.dimension == "time":
        base = _RATE_BASE.get(upper.dimension, f"{upper.base}/h")
        return Unit(name, f"{upper.dimension}_rate", base, factor)
    return Unit(name, f"{upper.dimension}/{lower.dimension}", f"{upper.base}/{lower.base}", factor)


def _remedy(name: str) -> str:
    key = name.replace(" ", "_")
    key = REFUSED_SPELLINGS.get(name, REFUSED_SPELLINGS.get(key, key))
    if key in REFUSED:
        return f"is refused, {REFUSED[key]}"
    for part in name.split("/"):
        key = REFUSED_SPELLINGS.get(part, part)
        if "/" in name and key in REFUSED:
            return f"is refused, {REFUSED[key]}"
    every = [*_UNITS, *_SPELLINGS, *ALIASES]
    same = sorted({_SPELLINGS.get(other, other) for other in every if name and other.lower() == name.lower()})
    near = same or sorted({_SPELLINGS.get(other, other) for other in get_close_matches(name, every, 4, 0.7)} - {""})
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    return f"is not in the table of units: {hint}write a unit like kWh, m3, Nm3, kg, km, piece, EUR, kW, m3/h, degC, kg/kWh"
