"""UK government conversion factors for company reporting (DESNZ/Defra), the flat file of a year.

Each gas is published as kg CO2e by the GWPs of AR5 (CH4 28, N2O 265, as its gwp_set states): undone here, exactly. Where a
row has CO2e only it stays `unsplit`. "Outside of scopes" CO2 is bound to its bioenergy or blended fuel by item and unit. The
refrigerant table is left out: refrigerants are composition times GWP (refrigerants.py).
"""

from fractions import Fraction

import polars as pl

from processors.factors.importing.desnz_derived import derived
from processors.factors.importing.shapes import PARAMETERS, VALUES, Normalised, Publication, exact_text, shaped, slug
from schemas.units import unit

AR5 = {"CO2": Fraction(1), "CH4": Fraction(28), "N2O": Fraction(265)}
"""The GWPs by which the publication multiplied (its column gwp_set: AR5, CH4 28, N2O 265)."""

UNITS = {
    "tonnes": "t",
    "litres": "l",
    "cubic metres": "m3",
    "million litres": "Ml",
    "kWh": "kWh",
    "kWh (Gross CV)": "kWh_gross",
    "kWh (Net CV)": "kWh_net",
    "kg": "kg",
    "km": "km",
    "miles": "mile",
    "tonne.km": "tonne_km",
    "passenger.km": "passenger_km",
    "Room per night": "room_night",
    "per FTE Working Hour": "fte_hour",
}
NET_TABLES = ("Bioenergy", "WTT- bioenergy", "Outside of scopes")
"""Their kWh and GJ are by net calorific value: kg CO2e per tonne / per kWh gives wood logs 14.71 GJ/t, the publication's net
calorific value (its fuel properties: 16.26 gross)."""

BIOGENIC_FOR = ("Fuels", "Bioenergy")
GRID = ("UK electricity", "Electricity generated")
BOUNDARY = {"UK electricity": "generation", "Managed assets- electricity": "generation"}


def normalise(published: pl.DataFrame, publication: Publication, regions: dict[str, str]) -> Normalised:
    """One flat file -> values, parameters and the bindings of category 3. regions: alpha-3 to alpha-2 codes (not needed here)."""
    rows = [_read(row, publication) for row in published.iter_rows(named=True)]
    energy = [_parameter(row) for row in rows if "kWh" in row["numerator"]]
    rows = [row for row in rows if "kWh" not in row["numerator"] and row["table"] != "Refrigerant & other"]
    split = {row["factor_id"] for row in rows if row["gas"] in ("CH4", "N2O")}
    outside = [row for row in rows if row["table"] == "Outside of scopes"]
    values = []
    for row in rows:
        if row["table"] != "Outside of scopes" and not (row["gas"] == "CO2e" and row["factor_id"] in split):
            gas = "unsplit" if row["gas"] == "CO2e" else row["gas"]
            values.append(row | {"gas": gas, "kg": exact_text(row["value"] / AR5.get(gas, Fraction(1)))})
    values += _biogenic(outside, values)
    frame = shaped(values, VALUES)
    return Normalised(frame, shaped(energy, PARAMETERS), derived(frame, publication))


def _read(row: dict, publication: Publication) -> dict:
    scope, table = row["table"].split(" | ")
    activity = row["activity"].split(" > ", 1)[1]
    item = row["fuel_or_item"] or activity
    for ending in (" | kWh", f" | {publication.version}"):  # the flat file repeats unit or year as the last level
        item = item.removesuffix(ending)
    per, factor = _per_unit(row["unit_denominator"], table)
    parts = [slug(table), slug(activity), slug(item), per.replace("_", "-").lower()]
    row_id = row["notes"].split(";")[0].removeprefix("flat-file ID ") if "flat-file ID" in row["notes"] else None
    return {
        "factor_id": "desnz/" + "/".join(part for at, part in enumerate(parts) if at == 0 or part != parts[at - 1]),
        "set": publication.set,
        "version": publication.version,
        "scope": scope.removeprefix("Scope "),
        "table": table,
        "activity": activity,
        "item": item,
        "region": "GB",
        "boundary": BOUNDARY.get(table),
        "role": "grid" if (table, activity) == GRID else None,
        "per_unit": per,
        "gas": row["gas"],
        "value": Fraction(row["value"]) / factor,
        "published": row["value"],
        "published_unit": f"{row['unit_numerator']}/{row['unit_denominator']}",
        "numerator": row["unit_numerator"],
        "row_id": row_id,
    }


def _per_unit(published: str, table: str) -> tuple[str, Fraction]:
    """The canonical unit, and how many of it the published one holds."""
    if published == "GJ" or (published == "kWh" and table in NET_TABLES):
        found = unit(f"{published}_net")
        return "kWh_net", found.factor
    return unit(UNITS[published]).name, Fraction(1)


def _parameter(row: dict) -> dict:
    electric = row["numerator"] == "kWh (net)"
    numerator = "kWh" if electric else "kWh_net"
    return row | {
        "parameter": "vehicle_energy",
        "value": exact_text(row["value"]),
        "unit": f"{numerator}/{row['per_unit']}",
    }


def _biogenic(outside: list[dict], values: list[dict]) -> list[dict]:
    """Outside-of-scopes CO2 as CO2_biogenic of the fuel (or of the grid's kWh) with the same item and unit.

    What finds no twin stays a factor of its own in the table "Outside of scopes".
    """
    fuels = {(r["item"].casefold(), r["per_unit"]): r for r in values if r["table"] in BIOGENIC_FOR}
    grid = {(r["item"].casefold(), r["per_unit"]): r for r in values if r["role"] == "grid"}
    found = []
    for row in outside:
        of_grid = row["activity"] == GRID[1]
        twins, per = (grid, "kWh") if of_grid else (fuels, row["per_unit"])
        target = twins.get((row["item"].casefold(), per), row)
        own = {key: row[key] for key in ("published", "published_unit", "row_id")}
        found.append(target | own | {"gas": "CO2_biogenic", "kg": exact_text(row["value"])})
    return found


_PUBLISHED = "greenhouse gas reporting: conversion factors"
PUBLICATIONS = tuple(
    Publication(
        set="desnz",
        version=year,
        file=f"desnz_{year}.csv.gz",
        title=f"UK {_PUBLISHED} {year} ({form})",
        publisher="UK Department for Energy Security and Net Zero (DESNZ), Defra",
        normalise=normalise,
        gwp_set="AR5",
        note=note,
    )
    for year, form, note in (
        ("2024", "flat file v1.1", ""),
        ("2025", "flat file v1", ""),
        ("2026", "full set v1", "has no flat-file ids; rows of value 0 were wrong at the publisher and are left out"),
    )
)
