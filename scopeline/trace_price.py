"""How a figure follows from its activity: the factor with its citation, and the formula with the numbers in it."""

from fractions import Fraction
from typing import Any

import polars as pl

from processors.factors import Factor
from processors.output import SHOWN, per_base
from processors.plan import Plan
from processors.product import E18
from schemas.numeric import number_text
from schemas.source import Source
from scopeline.pipeline import Configuration
from scopeline.service.factors import described, versions

_GAS = {"co2_kg": "CO2", "ch4_kg": "CH4", "n2o_kg": "N2O", "sf6_kg": "SF6", "nf3_kg": "NF3"}
_CO2E = ("hfc_co2e_kg", "pfc_co2e_kg", "unsplit_co2e_kg")


def priced(row: dict[str, Any], configuration: Configuration, source: Source) -> dict[str, Any]:
    """A figure's row with `factor` (or null), `gwp_values` and `formula`."""
    span = _span(row, configuration.plan)
    values = _gwp(row, configuration, source)
    found = [described(factor) for factor in _factors(row, configuration)]
    return {**row, "factors": found, "gwp_values": values, "formula": formula(row, values, _stated(row, span))}


def _span(row: dict[str, Any], plan: Plan) -> dict[str, Any]:
    """How the plan prices this row: its factors in 1e-18 kg for a base unit of activity; empty where nothing fits."""
    segments = plan.segments.filter((pl.col("source") == row["source"]) & (pl.col("start") <= row["interval_start"]))
    own = [pl.col(name).eq_missing(pl.lit(row[name])) for name in ("component", "scope", "category", "basis")]
    found = plan.spans.join(segments.sort("start").tail(1), on="segment").filter(*own)
    return found.row(0, named=True) if found.height == 1 else {}


def _stated(row: dict[str, Any], span: dict[str, Any]) -> dict[str, float]:
    """kg of each part for one activity_unit, exactly as the plan has it."""
    if not span or not row["activity_unit"]:
        return {}
    factors = {column: span[f"{gas}_f"] for gas, column in SHOWN.items() if span[f"{gas}_f"] is not None}
    return {column: float(Fraction(f, E18) * per_base(row["activity_unit"])) for column, f in factors.items()}


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


def formula(row: dict[str, Any], gwp: dict[str, float], stated: dict[str, float] | None = None) -> list[str]:
    """The computation of a row, written out; factors as `stated`, or as the figure shows where they are not (live intensity).

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
        per = number_text(_per(value, activity, (stated or {}).get(column)))
        lines.append(f"{column} = {amount} x {per} kg {gas}/{unit} = {number_text(value)}")
        if column in _GAS:
            sums.append(f"{number_text(value)} x {number_text(gwp.get(gas))} ({gas})")
        elif column in _CO2E:
            sums.append(f"{number_text(value)} ({column.removesuffix('_kg')})")
    if row["co2e_kg"] is not None:
        if sums:
            lines.append(f"co2e_kg = {' + '.join(sums)} = {number_text(row['co2e_kg'])}   [{row['gwp'] or 'as published'}]")
        else:
            per = number_text(_per(row["co2e_kg"], activity, (stated or {}).get("co2e_kg")))
            lines.append(f"co2e_kg = {amount} x {per} kg CO2e/{unit} = {number_text(row['co2e_kg'])}")
    return lines


def _per(value: float, activity: float, stated: float | None) -> float | None:
    """The factor that gives the value: the stated one where it does (figures are rounded to 1e-9), else their quotient."""
    if stated is not None and abs(stated * activity - value) <= 1e-8 + 1e-9 * abs(value):
        return stated
    return float(f"{value / activity:.9g}") if activity else stated
