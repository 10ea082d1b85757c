"""Refrigerants and single gases: kg of what they consist of, to be multiplied by the plant's GWP set.

Never a published CO2e row: a blend is mass times composition times GWP. Constituents that have a GWP in no set (hydrocarbons,
HFO) count nothing, as in the EPA hub's table 12, and the factor's note names them. CFC and HCFC become non_kyoto, outside the
scopes.
"""

import re
from fractions import Fraction

import polars as pl

from processors.factors.factor import Factor, Resolution, Span
from processors.factors.importing.gases import PFC, PURE_CITATION

INORGANIC = {"r744": "CO2"}
"""ASHRAE 34: 700 plus the molar mass."""

_HALOCARBON = re.compile(r"(?:HCFC|HFC|CFC)(\d\w*)")


def key(text: str) -> str:
    """A designation without case and punctuation.

    >>> key("R-410A"), key("r410a")
    ('r410a', 'r410a')
    """
    return "".join(c for c in text.casefold() if c.isalnum())


def refrigerants(blends: pl.DataFrame, gases: set[str]) -> dict[str, Factor]:
    """All that `refrigerant:` can name, by key: blends of the table, and single gases by R-number and by gas name."""
    found: dict[str, Factor] = {}
    for gas in sorted(gases):
        for name in _designations(gas):
            found.setdefault(
                key(name), _factor(f"R-{name[2:]}" if name.startswith("R-") else name, {gas: Fraction(1)}, PURE_CITATION)
            )
    for (name,), rows in blends.group_by("refrigerant", maintain_order=True):
        contents = {row["gas"]: Fraction(row["mass_pct"]) / 100 for row in rows.iter_rows(named=True)}
        uncounted = [f"{gas} {float(share) * 100:g} %" for gas, share in contents.items() if gas not in gases]
        note = f"not counted, for they have no GWP in any set: {', '.join(uncounted)}" if uncounted else ""
        counted = {gas: share for gas, share in contents.items() if gas in gases}
        if counted:
            found[key(str(name))] = _factor(str(name), counted, rows["citation"][0], note, rows["source"][0])
    return found


def _designations(gas: str) -> list[str]:
    names = [gas]
    number = _HALOCARBON.fullmatch(gas)
    if number:
        names.append(f"R-{number[1]}")
    names += [f"R-{name[4:]}" for name, other in PFC.items() if other == gas]
    names += [f"R-{name[1:]}" for name, other in INORGANIC.items() if other == gas]
    return names


def _factor(name: str, contents: dict[str, Fraction], citation: str, note: str = "", version: str = "") -> Factor:
    return Factor(
        id=f"refrigerant/{name}",
        set="refrigerant",
        version=version or "single gas",
        item=name,
        per_unit="kg",
        gases=contents,
        table="Refrigerants",
        activity="Refrigerant released",
        scope="1",
        citation=citation,
        note=note,
    )


def resolve_refrigerant(name: str, known: dict[str, Factor]) -> Resolution:
    """`refrigerant: R-410A` -> kg of each constituent of one kg."""
    wanted = key(name)
    factor = known.get(wanted) or known.get(f"r{wanted}")
    if factor:
        return Resolution((Span(None, None, factor),))
    near = [f for k, f in known.items() if k.startswith(wanted[:4])][:8]
    names = ", ".join(f.item for f in near)
    return Resolution(
        problem=f"no composition of refrigerant {name} in the catalogue{f' (there are {names})' if near else ''}: "
        "correct the name, or state its gases as an own factor with a citation",
        candidates=tuple(near),
    )


def gas_factor(gas: str, known: dict[str, str]) -> Resolution:
    """`gas: CH4` (direct measurement): one kg of the gas itself."""
    name = {"co2biogenic": "CO2_biogenic", "co2e": "unsplit"}.get(key(gas)) or known.get(key(gas))
    if name is None:
        return Resolution(problem=f"gas {gas!r} has a GWP in no set: write CO2, CH4, N2O, SF6, NF3, HFC134a, CF4 ...")
    factor = Factor(f"gas/{name}", "gas", "1", name, "kg", {name: Fraction(1)}, table="Gases", activity="Gas released")
    return Resolution((Span(None, None, factor),))
