"""Loads the factor catalogue's data files (the only place where they are read), and writes factors for people and programs."""

from functools import cache
from pathlib import Path
from typing import Any

import polars as pl

import processors.factors
from processors.factors import Catalogue, Factor, MissingGwp, Tables

DATA = Path(processors.factors.__file__).parent / "data"


def read(file: Path) -> pl.DataFrame:
    """A CSV file (plain or .gz), every column text."""
    return pl.read_csv(file, infer_schema_length=0)


@cache
def catalogue() -> Catalogue:
    """The catalogue that ships with Scopeline; loaded once."""
    return Catalogue(tables())


def tables() -> Tables:
    """The data files as frames."""
    values = pl.concat(read(file) for file in sorted((DATA / "values").glob("*.csv")))
    return Tables(
        sources=read(DATA / "sources.csv"),
        values=values,
        parameters=read(DATA / "parameters.csv"),
        derived=read(DATA / "derived.csv"),
        gwp=read(DATA / "gwp.csv"),
        blends=read(DATA / "blends.csv"),
        regions=read(DATA / "regions.csv"),
    )


def described(factor: Factor) -> dict[str, Any]:
    """A factor as JSON can carry it: kg of each gas for one `per_unit`."""
    return {
        "id": factor.id,
        "set": factor.set,
        "version": factor.version,
        "table": factor.table,
        "activity": factor.activity,
        "item": factor.item,
        "per_unit": factor.per_unit,
        "kg_per_unit": {gas: float(kg) for gas, kg in factor.gases.items()},
        "gwp_set": factor.gwp_set,
        "region": factor.region,
        "boundary": factor.boundary,
        "valid_from": factor.valid_from,
        "valid_to": factor.valid_to,
        "published": factor.published,
        "losses": float(factor.losses) if factor.losses is not None else None,
        "uncertainty_pct": float(factor.uncertainty_pct) if factor.uncertainty_pct is not None else None,
        "citation": factor.citation,
        "url": factor.url,
        "licence": factor.licence,
        "row_ids": list(factor.row_ids),
        "note": factor.note,
    }


def co2e(known: Catalogue, factor: Factor, gwp: str) -> float | None:
    """kg CO2e for one unit in a GWP set; None where the set lacks a gas of it, or all of it is outside the scopes."""
    try:
        parts = known.parts(factor, gwp, "fugitive" if factor.set == "gas" else None)
    except MissingGwp:
        return None
    return float(parts["co2e"]) if "co2e" in parts else None
