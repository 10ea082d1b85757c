"""Global warming potentials, and a factor's gases joined by them into the parts of a figure.

Sources: IPCC assessment reports as in gwp.csv (GWP over 100 years). Which gas is which part follows the seven gases of the
Kyoto Protocol: CO2, CH4, N2O, HFCs, PFCs, SF6, NF3; all else (CFC, HCFC, halons, ethers) is `non_kyoto`, outside the scopes.
"""

import re
from collections.abc import Mapping
from fractions import Fraction

from processors.factors.factor import Factor

SETS = ("SAR", "TAR", "AR4", "AR5", "AR6")
FOSSIL_CATEGORIES = ("fugitive", "process")
"""Categories in which fossil methane escapes unburnt: AR6 gives it a value of its own, for the CO2 it becomes."""

_PFC = re.compile(r"c?C\d*F\d+")
_MASS = {"CO2": "co2", "CH4": "ch4", "N2O": "n2o", "SF6": "sf6", "NF3": "nf3"}


class MissingGwp(LookupError):
    """The chosen GWP set has no value for a gas of the factor; the text says the remedy."""


def part_of(gas: str) -> str:
    """The part of a figure (schemas.frames.GASES) that a gas goes into.

    >>> [part_of(g) for g in ("CH4", "HFC134a", "cC4F8", "HCFC22", "CO2_biogenic", "unsplit")]
    ['ch4', 'hfc', 'pfc', 'non_kyoto', 'biogenic_co2', 'unsplit']
    """
    if gas in _MASS:
        return _MASS[gas]
    if gas in ("unsplit", "CO2_biogenic"):
        return {"unsplit": "unsplit", "CO2_biogenic": "biogenic_co2"}[gas]
    if gas.startswith("HFC"):
        return "hfc"
    return "pfc" if _PFC.fullmatch(gas) else "non_kyoto"


def parts(
    factor: Factor, gwp: Mapping[str, Fraction], name: str, category: str | None = None, biogenic: bool = False
) -> dict[str, Fraction]:
    """A factor's gases as parts of a figure, per `per_unit`: what is stated and nothing else.

    co2, ch4, n2o, sf6, nf3, biogenic_co2 are kg of gas; hfc, pfc, unsplit, non_kyoto and co2e are kg CO2e. co2e joins
    co2, ch4, n2o, hfc, pfc, sf6, nf3 and unsplit; biogenic CO2 and non-Kyoto gases stay outside it. Methane is worth
    `CH4_fossil` where the set has it and the category is fugitive or process and the methane is not biogenic
    (IPCC AR6 WG1 table 7.15: 29.8 fossil, 27.0 otherwise; a burnt fuel's slip carries its carbon as CO2 already).

    >>> f = Factor("s/a", "s", "1", "a", "kWh", {"CO2": Fraction("0.18"), "CH4": Fraction("0.00001")})
    >>> {k: float(v) for k, v in parts(f, {"CO2": Fraction(1), "CH4": Fraction(27)}, "AR6").items()}
    {'co2': 0.18, 'ch4': 1e-05, 'co2e': 0.18027}
    """
    result: dict[str, Fraction] = {}
    total = None
    for gas, kg in factor.gases.items():
        part = part_of(gas)
        as_it_is = part in ("biogenic_co2", "unsplit")
        co2e = kg if as_it_is else kg * worth(gas, gwp, name, category, biogenic, factor.id)
        amount = kg if part in _MASS.values() else co2e
        result[part] = result.get(part, Fraction(0)) + amount
        if part not in ("biogenic_co2", "non_kyoto"):
            total = (total or Fraction(0)) + co2e
    if total is not None:
        result["co2e"] = total
    return result


def worth(
    gas: str, gwp: Mapping[str, Fraction], name: str, category: str | None = None, biogenic: bool = False, of: str = ""
) -> Fraction:
    """kg CO2e of one kg of a gas, or MissingGwp."""
    if gas == "CH4" and category in FOSSIL_CATEGORIES and not biogenic and "CH4_fossil" in gwp:
        return gwp["CH4_fossil"]
    if gas not in gwp:
        raise MissingGwp(
            f"{name} has no GWP for {gas}{f', which {of} contains' if of else ''}: "
            "choose another `reporting.gwp` in plant.yaml, or price it by an own factor with a CO2e row"
        )
    return gwp[gas]
