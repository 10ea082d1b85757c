"""Which DESNZ factor gives the well-to-tank and transmission parts (category 3) of a scope 1 or 2 factor: by item and unit."""

import re

import polars as pl

from processors.factors.importing.shapes import DERIVED, Publication, shaped

WTT = {
    "Fuels": "WTT- fuels",
    "Bioenergy": "WTT- bioenergy",
    "Passenger vehicles": "WTT- pass vehs & travel- land",
    "Delivery vehicles": "WTT- delivery vehs & freight",
}
ELECTRIC = "Battery Electric Vehicle"
EV = "UK electricity for EVs"
"""Of a plug-in hybrid the fuel's row (passenger, delivery vehicles) carries the well-to-tank part of both energies; a battery
vehicle burns nothing, so there it belongs to the electricity row."""
EV_WTT = ("WTT- pass vehs & travel- land", "WTT- delivery vehs & freight")

GRID_PARTS = {
    "UK electricity": (
        ("wtt", "WTT- UK electricity", "WTT- UK electricity (generation)", None),
        ("t_and_d", "Transmission and distribution", "T&D- UK electricity", None),
        ("wtt_t_and_d", "WTT- UK electricity", "WTT- UK electricity (T&D)", None),
    ),
    "Heat and steam": (
        ("wtt", "WTT- heat and steam", "WTT- heat and steam", None),
        ("t_and_d", "Transmission and distribution", "Distribution - district heat & steam", "5% loss"),
        ("wtt_t_and_d", "WTT- heat and steam", "WTT- district heat & steam distribution", "5% loss"),
    ),
}
ON_SITE = "Onsite heat and steam"
"""Heat made on the site passes no network: it has no distribution parts."""


def derived(values: pl.DataFrame, publication: Publication) -> pl.DataFrame:
    """The bindings of one publication; derived_id is null where the set should have the factor and does not."""
    factors = values.unique("factor_id", keep="first", maintain_order=True)
    index = {
        (r["table"], _plain(r["activity"]), r["item"].casefold(), r["per_unit"]): r["factor_id"]
        for r in factors.iter_rows(named=True)
    }
    by_item = {(table, item, per): found for (table, _, item, per), found in index.items()}
    rows = []
    for row in factors.filter(pl.col("table").is_in([*WTT, EV, *GRID_PARTS])).iter_rows(named=True):
        for component, found in _parts(row, index, by_item):
            rows.append(
                {
                    "set": publication.set,
                    "version": publication.version,
                    "factor_id": row["factor_id"],
                    "component": component,
                    "derived_id": found,
                }
            )
    return shaped(rows, DERIVED)


def _parts(row: dict, index: dict, by_item: dict) -> list[tuple[str, str | None]]:
    table, activity, item, per = row["table"], _plain(row["activity"]), row["item"].casefold(), row["per_unit"]
    if table in GRID_PARTS:
        return [
            (component, index.get((other, _plain(kind), (name or row["item"]).casefold(), per)))
            for component, other, kind, name in GRID_PARTS[table]
            if not (row["item"] == ON_SITE and component != "wtt")
        ]
    if table == EV:
        found: list[tuple[str, str | None]] = [("t_and_d", index.get(("UK electricity T&D for EVs", activity, item, per)))]
        if ELECTRIC in row["item"]:
            found.append(("wtt", next((f for t in EV_WTT if (f := by_item.get((t, item, per)))), None)))
        return found
    if ELECTRIC in row["item"]:
        return []
    same = index.get((WTT[table], activity, item, per))
    return [("wtt", same or (by_item.get((WTT[table], item, per)) if table == "Fuels" else None))]


def _plain(activity: str) -> str:
    """The activity without the spelling that differs between a table and its well-to-tank twin.

    >>> _plain("WTT- HGV refrigerated (all diesel)") == _plain("HGVs refrigerated (all diesel)")
    True
    """
    return re.sub(r"\bhgvs\b", "hgv", activity.casefold().removeprefix("wtt- "))
