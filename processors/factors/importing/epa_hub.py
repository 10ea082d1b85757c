"""US EPA Emission Factors Hub: CO2 in kg (electricity: lb), CH4 and N2O in g (lb), by higher heating value.

CO2 of biomass fuels is `CO2_biogenic`. Heat contents and grid losses are parameters. Tables 11 and 12 (GWP) give no factors:
the compositions of table 12 go to the blends (blends.py).
"""

import re
from fractions import Fraction

import polars as pl

from processors.factors.importing.shapes import DERIVED, PARAMETERS, VALUES, Normalised, Publication, exact_text, shaped, slug
from schemas.units import unit

NUMERATORS = {
    "kg CO2": ("CO2", "kg"),
    "g CH4": ("CH4", "g"),
    "g N2O": ("N2O", "g"),
    "lb CO2": ("CO2", "lb"),
    "lb CH4": ("CH4", "lb"),
    "lb N2O": ("N2O", "lb"),
    "metric tons CO2e": ("unsplit", "t"),
}
UNITS = {
    "gallon": "us_gallon",
    "scf": "scf",
    "short ton": "short_ton",
    "short ton material": "short_ton",
    "mmBtu": "mmBtu_gross",
    "MWh": "MWh",
    "vehicle-mile": "vehicle_mile",
    "passenger-mile": "passenger_mile",
    "short ton-mile": "short_ton_mile",
    "ton-mile": "short_ton_mile",  # the edition of 2025 writes the same rows as short ton-mile
}
STEAM = "Purchased steam/heat"
"""Its mmBtu is heat delivered, not fuel: plain energy."""

BIOMASS = re.compile(r"Biomass Fuels|Biodiesel \(100%\)|Ethanol \(100%\)")
FOOTNOTE = re.compile(r"(?<=[a-z)])[A-F]$| [A-F]$")
"""The mark of a footnote that the workbook glues to a name (RecycledA, Passenger Car A, Commuter Rail D)."""
MARKED = ("Table 8", "Table 9", "Table 10")


def normalise(published: pl.DataFrame, publication: Publication, regions: dict[str, str]) -> Normalised:
    """One edition of the hub -> values, parameters and where losses give a category 3 part. regions: not needed here."""
    rows = [_read(row, publication) for row in published.iter_rows(named=True) if row["gas"] != "GWP100"]
    values = [_value(row) for row in rows if row["unit_numerator"] in NUMERATORS]
    parameters = [_parameter(row) for row in rows if row["unit_numerator"] not in NUMERATORS]
    frame = shaped(values, VALUES)
    return Normalised(frame, shaped(parameters, PARAMETERS), _derived(frame, parameters, publication))


def _read(row: dict, publication: Publication) -> dict:
    table = re.sub(r"^Table (\d+) ", "", row["table"])
    activity = re.sub(r"\s+", " ", row["activity"].split(" > ", 1)[-1])
    item = re.sub(r"\s+", " ", row["fuel_or_item"])
    if row["table"].startswith(MARKED):
        item = FOOTNOTE.sub("", item)
    return row | {
        "set": publication.set,
        "version": publication.version,
        "table": table,
        "number": row["table"].split()[1],
        "activity": activity,
        "item": item,
        "region": region(row["region"]),
        "note": row["notes"],
        "published": row["value"],
        "published_unit": f"{row['unit_numerator']}/{row['unit_denominator']}",
    }


def region(text: str) -> str:
    """US, or US-<eGRID subregion>; the national average is US.

    >>> region("US-US Average"), region("US-CAMX")
    ('US', 'US-CAMX')
    """
    return "US" if text == "US-US Average" else text


def _value(row: dict) -> dict:
    gas, mass = NUMERATORS[row["unit_numerator"]]
    if gas == "CO2" and BIOMASS.search(f"{row['activity']} {row['item']}"):
        gas = "CO2_biogenic"
    per = unit("mmBtu" if row["activity"] == STEAM else UNITS[row["unit_denominator"]])
    factor = Fraction(1)
    if per.dimension.startswith("energy"):
        per, factor = unit(per.base), per.factor
    grid = row["number"] == "6"
    names = [f"table-{row['number']}", slug(row["activity"]) if row["number"] in ("1", "8", "10") else "", slug(row["item"])]
    if grid:
        names = ["electricity", slug(row["region"]), slug(row["item"].rsplit(" | ", 1)[-1])]
    names.append(per.name.replace("_", "-").lower())
    return row | {
        "factor_id": "epa_hub/" + "/".join(name for name in names if name),
        "boundary": "generation" if grid else None,
        "role": "grid" if grid and row["item"].endswith("| total output") else None,
        "per_unit": per.name,
        "gas": gas,
        "kg": exact_text(Fraction(row["value"]) * unit(mass).factor / factor),
    }


def _parameter(row: dict) -> dict:
    if row["gas"] == "loss fraction":
        return row | {"parameter": "loss_fraction", "value": row["value"], "unit": "", "item": row["item"].split(" | ")[0]}
    per = unit(UNITS[row["unit_denominator"]]).name
    content = unit("mmBtu_gross")
    value = exact_text(Fraction(row["value"]) * content.factor)
    return row | {"parameter": "heat_content", "value": value, "unit": f"{content.base}/{per}"}


def _derived(values: pl.DataFrame, parameters: list[dict], publication: Publication) -> pl.DataFrame:
    """Grid averages: transmission losses, where this edition has loss fractions at all (the region may still lack one)."""
    losses = {row["region"] for row in parameters if row["parameter"] == "loss_fraction"}
    grid = values.filter(pl.col("role") == "grid").unique("factor_id", keep="first", maintain_order=True)
    rows = [
        {
            "set": publication.set,
            "version": publication.version,
            "factor_id": row["factor_id"],
            "component": "t_and_d",
            "derived_id": f"{row['factor_id']}/t-and-d" if row["region"] in losses else None,
        }
        for row in grid.iter_rows(named=True)
        if losses
    ]
    return shaped(rows, DERIVED)


PUBLICATIONS = tuple(
    Publication(
        set="epa_hub",
        version=year,
        file=f"epa_ghg_hub_{year}.csv.gz",
        title=f"US EPA GHG Emission Factors Hub, {year} edition",
        publisher="US Environmental Protection Agency, Center for Corporate Climate Leadership",
        normalise=normalise,
        published=day,
        note=note,
    )
    for year, day, note in (
        (
            "2024",
            "2024-02-13",
            "energy by higher heating value; eGRID subregions as US-<acronym>; no grid losses in this edition",
        ),
        ("2025", "2025-01-15", "energy by higher heating value; eGRID subregions as US-<acronym>"),
    )
)
