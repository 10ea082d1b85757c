"""Loads the factor catalogue's data files: the only place where they are read."""

from functools import cache
from pathlib import Path

import polars as pl

import processors.factors
from processors.factors import Catalogue, Tables

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
