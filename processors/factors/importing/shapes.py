"""The shapes of normalised factor data, and the small steps that every publication shares."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import polars as pl

VALUES = {
    "factor_id": pl.String,
    "set": pl.String,
    "version": pl.String,
    "scope": pl.String,
    "table": pl.String,
    "activity": pl.String,
    "item": pl.String,
    "region": pl.String,  # ISO 3166-1 alpha-2 or -2; eGRID subregions as US-<four letters>; null: none
    "boundary": pl.String,  # of energy from a grid: generation, with_losses, life_cycle, not_stated; else null
    "role": pl.String,  # grid: the average of a region, for location-based scope 2; else null
    "per_unit": pl.String,  # canonical name of schemas.units
    "gas": pl.String,
    "kg": pl.String,  # kg of gas per per_unit, exact: a decimal, or numerator/denominator; unsplit: kg CO2e
    "published": pl.String,  # the number as published
    "published_unit": pl.String,
    "row_id": pl.String,  # the publisher's id of the row; null where it gives none
    "valid_from": pl.String,  # where it differs from the publication's
    "valid_to": pl.String,
    "note": pl.String,
}
"""One row a factor and gas. Key: factor_id, version, gas."""

PARAMETERS = {
    "set": pl.String,
    "version": pl.String,
    "parameter": pl.String,  # heat_content, loss_fraction, vehicle_energy
    "table": pl.String,
    "activity": pl.String,
    "item": pl.String,
    "region": pl.String,
    "value": pl.String,  # exact, in unit
    "unit": pl.String,
    "published": pl.String,
    "published_unit": pl.String,
    "row_id": pl.String,
}
"""Published numbers that are no emission factors."""

DERIVED = {
    "set": pl.String,
    "version": pl.String,
    "factor_id": pl.String,
    "component": pl.String,  # wtt, t_and_d, wtt_t_and_d
    "derived_id": pl.String,  # null: the set should have it and does not
}
"""Which factor gives a category 3 component of a scope 1 or 2 factor."""

SOURCES = {
    "set": pl.String,
    "version": pl.String,
    "title": pl.String,
    "publisher": pl.String,
    "published": pl.String,
    "valid_from": pl.String,
    "valid_to": pl.String,
    "gwp_set": pl.String,  # of its unsplit rows; null: not stated
    "rows": pl.String,  # one: a factor for the whole version; yearly: a factor for each year
    "url": pl.String,
    "licence": pl.String,
    "file": pl.String,  # in data/published
    "read_in": pl.String,
    "note": pl.String,
}
"""One row a publication."""


class Normalised(NamedTuple):
    values: pl.DataFrame
    parameters: pl.DataFrame
    derived: pl.DataFrame


@dataclass(frozen=True)
class Publication:
    """One publication of a set: where its published form lies and how it is read."""

    set: str
    version: str
    file: str
    title: str
    publisher: str
    normalise: Callable[[pl.DataFrame, "Publication", dict[str, str]], Normalised]
    published: str | None = None
    gwp_set: str | None = None
    rows: str = "one"
    source: str | None = None  # only the rows of the file with this source
    note: str = ""

    def select(self, published: pl.DataFrame) -> pl.DataFrame:
        """This publication's rows of its file."""
        return published if self.source is None else published.filter(pl.col("source") == self.source)

    def described(self, published: pl.DataFrame) -> dict[str, str | None]:
        """The publication's row of the sources table; licence, address and validity as its rows state them."""
        rows = self.select(published)
        own = {key: getattr(self, key) or None for key in ("set", "version", "title", "publisher", "published", "gwp_set")}
        first, last = rows["valid_from"].drop_nulls(), rows["valid_to"]
        return own | {
            "valid_from": first.min(),
            "valid_to": None if last.has_nulls() else last.max(),
            "rows": self.rows,
            "url": _most_common(rows["url"]),
            "licence": _most_common(rows["licence"]),
            "file": self.file,
            "read_in": _most_common(rows["read_in"]),
            "note": self.note,
        }


def _most_common(column: pl.Series) -> str:
    return column.drop_nulls().value_counts(sort=True).sort(["count", column.name], descending=[True, False])[column.name][0]


def exact_text(number: Fraction) -> str:
    """A fraction as text that Fraction() reads back exactly: a decimal if it is finite, else numerator/denominator.

    >>> exact_text(Fraction("0.125")), exact_text(Fraction(1, 3)), exact_text(Fraction(-5)), exact_text(Fraction("3e-9"))
    ('0.125', '1/3', '-5', '0.000000003')
    """
    rest, digits = number.denominator, 0
    for prime in (2, 5):
        count = 0
        while rest % prime == 0:
            rest, count = rest // prime, count + 1
        digits = max(digits, count)
    if rest != 1:
        return f"{number.numerator}/{number.denominator}"
    scaled = abs(number.numerator) * 10**digits // number.denominator
    whole, part = divmod(scaled, 10**digits)
    sign = "-" if number < 0 else ""
    return f"{sign}{whole}" + (f".{part:0{digits}d}" if digits else "")


def slug(text: str) -> str:
    """Lower-case letters, digits and '-', for ids.

    >>> slug("Rigid (>3.5 - 7.5 tonnes) | 0% Laden")
    'rigid-gt3.5-7.5-tonnes-0pct-laden'
    """
    text = (
        text.casefold().replace(">", " gt").replace("<", " lt").replace("%", "pct ").replace("&", " and ").replace("+", " plus ")
    )
    text = re.sub(r"[^a-z0-9.]+", "-", re.sub(r"gt\s+", "gt", text))
    return re.sub(r"(?<!\d)\.|\.(?!\d)", "-", text).replace("--", "-").strip("-")


def shaped(rows: list[dict[str, str | None]], schema: dict[str, type[pl.String]]) -> pl.DataFrame:
    """Rows as a frame of the schema's columns, in its order; missing ones are null."""
    return pl.DataFrame([{name: row.get(name) for name in schema} for row in rows], schema=schema)
