"""How a figure follows from its activity: the factor with its citation, and the formula with the numbers in it."""

from typing import Any

from processors.factors import Factor
from processors.output import SHOWN
from schemas.numeric import number_text
from schemas.source import Source
from scopeline.pipeline import Configuration
from scopeline.service.factors import described, versions

_GAS = {"co2_kg": "CO2", "ch4_kg": "CH4", "n2o_kg": "N2O", "sf6_kg": "SF6", "nf3_kg": "NF3"}
_CO2E = ("hfc_co2e_kg", "pfc_co2e_kg", "unsplit_co2e_kg")


def priced(row: dict[str, Any], configuration: Configuration, source: Source) -> dict[str, Any]:
    """A figure's row with `factor` (or null), `gwp_values` and `formula`."""
    factors = _factors(row, configuration)
    values = _gwp(row, configuration, source)
    found = [described(factor) for factor in factors]
    return {**row, "factors": found, "gwp_values": values, "formula": formula(row, values)}


def _factors(row: dict[str, Any], configuration: Configuration) -> list[Factor]:
    """The factors that a row names, in the version that it names; parts (`<id>/generation`) by the factor they are a part of."""
    found = []
    wanted = set((row["factor_version"] or "").split(";"))
    for name in (row["factor_id"] or "").split(";"):
        while name:
            some = versions(configuration, name) if "/" in name else []
            if some:
                found += [factor for factor in some if factor.version in wanted][:1] or some[:1]
                break
            name = name.rpartition("/")[0]
    return found


def _gwp(row: dict[str, Any], configuration: Configuration, source: Source) -> dict[str, float]:
    """kg CO2e of a kg, for the gases that the row has."""
    if not row["gwp"]:
        return {}
    of = configuration.catalogue.gwp(row["gwp"])
    fossil = source.category in ("fugitive", "process") and "CH4_fossil" in of
    named = {"CH4": "CH4_fossil"} if fossil else {}
    return {
        gas: float(of[named.get(gas, gas)])
        for column, gas in _GAS.items()
        if row[column] is not None and named.get(gas, gas) in of
    }


def formula(row: dict[str, Any], gwp: dict[str, float]) -> list[str]:
    """The computation of a row, written out.

    >>> row = dict.fromkeys([*SHOWN.values()]) | {"activity": 2.0, "activity_unit": "kWh"}
    >>> row |= {"co2_kg": 0.4, "co2e_kg": 0.4, "gwp": "AR6"}
    >>> for line in formula(row, {"CO2": 1.0}): print(line)
    co2_kg = 2 kWh x 0.2 kg CO2/kWh = 0.4
    co2e_kg = 0.4 x 1 (CO2) = 0.4   [AR6]
    """
    activity, unit = row["activity"], row["activity_unit"]
    if activity is None:
        return ["the activity is unknown, so is the figure"]
    amount = f"{number_text(activity)} {unit}"
    if row["co2e_kg"] is None and all(row[column] is None for column in SHOWN.values()):
        return [f"{amount} without a factor: unpriced, not zero"]
    lines, sums = [], []
    for column in SHOWN.values():
        value = row[column]
        if value is None or column == "co2e_kg":
            continue
        gas = _GAS.get(column, "CO2" if column == "biogenic_co2_kg" else "CO2e")
        per = number_text(float(f"{value / activity:.12g}")) if activity else "factor"
        lines.append(f"{column} = {amount} x {per} kg {gas}/{unit} = {number_text(value)}")
        if column in _GAS:
            sums.append(f"{number_text(value)} x {number_text(gwp.get(gas))} ({gas})")
        elif column in _CO2E:
            sums.append(f"{number_text(value)} ({column.removesuffix('_kg')})")
    if row["co2e_kg"] is not None:
        if sums:
            lines.append(f"co2e_kg = {' + '.join(sums)} = {number_text(row['co2e_kg'])}   [{row['gwp'] or 'as published'}]")
        else:
            per = number_text(float(f"{row['co2e_kg'] / activity:.12g}")) if activity else "factor"
            lines.append(f"co2e_kg = {amount} x {per} kg CO2e/{unit} = {number_text(row['co2e_kg'])}")
    return lines
