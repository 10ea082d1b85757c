"""Grid intensities by country and subdivision: four publications in one file, a set each, with its boundary.

A set with yearly rows has one row a region and year under one version; the latest year not after the activity's is taken.
"""

import re
from fractions import Fraction
from functools import partial

import polars as pl

from processors.factors.importing.shapes import DERIVED, PARAMETERS, VALUES, Normalised, Publication, exact_text, shaped, slug
from schemas.units import unit

FILE = "electricity_grid.csv.gz"
REGIONS = {
    "CN-HK": "HK",
    "CN-HK2": "HK",
    "CA-MT": "CA-MB",  # Manitoba
    "AU-NT2": "AU-NT",
    "AU-WA1": "AU-WA",
    "AU-WA2": "AU-WA",
    "US-usa": "US",
    "UK": "GB",
    "WORLD": None,
}
"""Codes of the publications that are not ISO 3166."""

UNIONS = {"EU-27": "EU"}
"""Unions by name; any other row without a region is found by its id only."""

MASSES = {"g CO2e": ("unsplit", "g"), "g CO2": ("CO2", "g"), "lbs/MWh": ("CO2", "lb")}
BOUNDARIES = (
    (r"transmission|T&D", "with_losses"),
    (r"[Gg]eneration factor only|Production mix|Emissions intensity of the power sector", "generation"),
)


def normalise(published: pl.DataFrame, publication: Publication, regions: dict[str, str]) -> Normalised:
    """One of the four publications -> values; regions: alpha-3 to alpha-2 codes."""
    rows = [_read(row, publication, regions) for row in published.iter_rows(named=True)]
    return Normalised(shaped(rows, VALUES), shaped([], PARAMETERS), shaped([], DERIVED))


def _read(row: dict, publication: Publication, regions: dict[str, str]) -> dict:
    gas, mass = MASSES[row["unit_numerator"]]
    per = unit("MWh" if row["unit_numerator"].endswith("/MWh") else "kWh")
    code = region(row["region"], regions) or UNIONS.get(row["fuel_or_item"])
    item = row["fuel_or_item"].removesuffix(" | emissions").removesuffix(" | Any")
    name = code if code and row["region"] not in ("CN-HK", "CN-HK2", "AU-NT2", "AU-WA1", "AU-WA2") else slug(item)
    year, span = _validity(row)
    note = "; ".join(text for text in (row["notes"], row["url"] if not row["url"].startswith("http") else None) if text)
    return row | {
        "factor_id": f"{publication.set}/{name}" + (f"-{year}" if publication.rows == "yearly" else ""),
        "set": publication.set,
        "version": publication.version,
        "scope": "2",
        "table": "Electricity",
        "activity": row["activity"],
        "item": item,
        "region": code,
        "boundary": _boundary(row, publication.set),
        "role": "grid",
        "per_unit": "kWh",
        "gas": gas,
        "kg": exact_text(Fraction(row["value"]) * unit(mass).factor / per.factor),
        "published": row["value"],
        "published_unit": row["unit_numerator"] + (f"/{row['unit_denominator']}" if row["unit_denominator"] else ""),
        "valid_from": span[0],
        "valid_to": span[1],
        "note": note or None,
    }


def region(code: str | None, regions: dict[str, str]) -> str | None:
    """A publication's region as ISO 3166-1 alpha-2 or 3166-2; None for what is none.

    >>> region("GBR", {"GBR": "GB"}), region("UK", {}), region("US-NY", {}), region("WORLD", {})
    ('GB', 'GB', 'US-NY', None)
    """
    if code is None:
        return None
    return REGIONS.get(code, regions.get(code, code))


def _boundary(row: dict, of_set: str) -> str:
    if of_set in FIXED_BOUNDARY:
        return FIXED_BOUNDARY[of_set]
    text = row["notes"] or ""
    return next((boundary for pattern, boundary in BOUNDARIES if re.search(pattern, text)), "not_stated")


def _validity(row: dict) -> tuple[str | None, tuple[str | None, str | None]]:
    """The data year, and the days it covers; where a row states no validity, the data year its citation names."""
    if row["valid_from"]:
        return row["valid_from"][:4], (row["valid_from"], row["valid_to"])
    found = re.search(
        r"(?:data from|Data from|based on|using)\D{0,12}(?:(\d{4})(?:/(\d{2}))?)", f"{row['notes'] or ''} {row['url']}"
    )
    if not found:
        return None, (None, None)
    year = found[1][:2] + found[2] if found[2] else found[1]
    return year, (f"{year}-01-01", f"{year}-12-31")


FIXED_BOUNDARY = {"owid_eu": "generation", "owid_world": "life_cycle", "egrid_states": "generation"}
"""owid_eu: EEA's intensity of electricity generation, CO2 only. owid_world: life cycle, as its rows note."""

_grid = partial(Publication, file=FILE, normalise=normalise)

PUBLICATIONS = (
    _grid(
        set="owid_eu",
        version="2020",
        title="Carbon intensity of electricity generation in Europe, 2000-2020 (Our World in Data, Ember, EEA)",
        publisher="Our World in Data / Ember / European Environment Agency",
        rows="yearly",
        source="codecarbon EU carbon intensity (OWID/Ember/EEA)",
        note="CO2 only; a row for each year, up to 2020; the version is the last year",
    ),
    _grid(
        set="owid_world",
        version="2023",
        title="Carbon intensity of electricity by country, 2009-2023 (Our World in Data, Ember)",
        publisher="Our World in Data / Ember",
        rows="yearly",
        source="codecarbon global_energy_mix (Our World in Data / Ember)",
        note="life-cycle values: never chosen for a grid region, only by explicit id; the version is the last year",
    ),
    _grid(
        set="green_algorithms",
        version="3.0",
        title="Green Algorithms, CI_aggregated (carbonfootprint.com and national sources), v3.0",
        publisher="Green Algorithms project",
        source="Green Algorithms CI_aggregated",
        note="boundary by row as its note says; rows that do not state one are chosen by explicit id only",
    ),
    _grid(
        set="egrid_states",
        version="2016",
        title="US EPA eGRID 2016, state output emission rates of CO2 (as in codecarbon)",
        publisher="US Environmental Protection Agency",
        source="codecarbon usa_emissions (EPA eGRID 2016)",
        note="CO2 only",
    ),
)
