"""One edition (set and version) of published factors, as Factor objects with indexes."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from fractions import Fraction

import polars as pl

from processors.factors.factor import Factor
from processors.factors.match import EXPLICIT_ONLY, plain


@dataclass(frozen=True)
class Edition:
    """All factors of one version of a set."""

    set: str
    version: str
    yearly: bool
    factors: tuple[Factor, ...]
    parts: dict[str, tuple[tuple[str, str | None], ...]]  # factor id -> (component, derived id; None: should be there and is not)
    losses: dict[str, Fraction]  # region -> grid gross loss, a share of generation
    grid: tuple[Factor, ...]  # regional averages that scope 2 may take without being asked by id
    by_id: dict[str, Factor] = field(default_factory=dict)
    by_item: dict[str, list[Factor]] = field(default_factory=dict)
    row_ids: dict[str, list[Factor]] = field(default_factory=dict)  # the publisher's, with and without the number of the gas

    def of_id(self, name: str) -> list[Factor]:
        """The factors of an id: ours, the publisher's row id, or, of yearly rows, the id without the year."""
        if name in self.by_id:
            return [self.by_id[name]]
        if self.yearly:
            return [f for f in self.factors if f.id.rsplit("-", 1)[0] == name]
        return self.row_ids.get(name.partition("/")[2], [])

    def of_item(self, item: str) -> list[Factor]:
        return self.by_item.get(plain(item), [])


def edition(source: dict, values: pl.DataFrame, derived: pl.DataFrame, parameters: pl.DataFrame) -> Edition:
    """Build an edition from its rows (columns: processors/factors/importing/shapes.py)."""
    grouped: dict[str, list[dict]] = {}
    for row in values.iter_rows(named=True):
        grouped.setdefault(row["factor_id"], []).append(row)
    factors = tuple(_factor(rows, source) for rows in grouped.values())
    parts: dict[str, tuple[tuple[str, str | None], ...]] = {}
    for row in derived.iter_rows(named=True):
        parts[row["factor_id"]] = (*parts.get(row["factor_id"], ()), (row["component"], row["derived_id"]))
    averages = {rows[0]["factor_id"] for rows in grouped.values() if rows[0]["role"] == "grid"}
    losses = parameters.filter(pl.col("parameter") == "loss_fraction").select("region", "value").iter_rows()
    return Edition(
        source["set"],
        source["version"],
        source["rows"] == "yearly",
        factors,
        parts,
        {region: Fraction(value) for region, value in losses},
        tuple(f for f in factors if f.id in averages and f.boundary not in EXPLICIT_ONLY),
        {f.id: f for f in factors},
        _by_item(factors),
        _by_row_id(factors),
    )


def _by_item(factors: Iterable[Factor]) -> dict[str, list[Factor]]:
    found: dict[str, list[Factor]] = {}
    for factor in factors:
        for key in {plain(factor.item), plain(f"{factor.activity} {factor.item}"), plain(factor.item.partition(":")[2]) or None}:
            if key:
                found.setdefault(key, []).append(factor)
    return found


def _by_row_id(factors: Iterable[Factor]) -> dict[str, list[Factor]]:
    found: dict[str, list[Factor]] = {}
    for factor in factors:
        for key in {key for row in factor.row_ids for key in (row, row.rpartition("_")[0])}:
            found.setdefault(key, []).append(factor)
    return found


def _factor(rows: list[dict], source: dict) -> Factor:
    first = rows[0]
    title = f"{source['title']}, {source['publisher']}"
    place = " > ".join(text for text in (first["table"], first["activity"], first["item"]) if text)
    return Factor(
        id=first["factor_id"],
        set=first["set"],
        version=first["version"],
        item=first["item"],
        per_unit=first["per_unit"],
        gases={row["gas"]: Fraction(row["kg"]) for row in rows},
        table=first["table"],
        activity=first["activity"],
        scope=first["scope"] or "",
        region=first["region"],
        boundary=first["boundary"],
        valid_from=day(first["valid_from"] or source["valid_from"]),
        valid_to=day(first["valid_to"] or source["valid_to"]),
        published=day(source["published"]),
        gwp_set=source["gwp_set"],
        citation=f"{title}: {place}",
        url=source["url"],
        licence=source["licence"],
        row_ids=tuple(row["row_id"] for row in rows if row["row_id"]),
        note=first["note"] or source["note"] or "",
    )


def day(text: str | None) -> date | None:
    """An ISO day, or None."""
    return date.fromisoformat(text) if text else None
