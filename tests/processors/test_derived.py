"""Category 3: which parts a set should have, what is missing shows."""

from datetime import UTC, datetime

import polars as pl

from processors.price import price
from schemas.frames import AMOUNTS, READINGS, empty


def components(plan, activity):
    figures = price(activity, empty(AMOUNTS), empty(READINGS), plan).filter(pl.col("category") == "cat_3")
    return {row["component"]: row for row in figures.rows(named=True)}


def test_parts_of_electricity_and_fuel(plan_of, active):
    grid = {"source": "x", "site": "leeds", "scope": 2, "category": "purchased_electricity", "measured_by": "leeds/m:energy"}
    rule = {"set": "desnz", "table": "Fuels", "item": "Diesel (100% mineral diesel)", "per_unit": "l"}
    fuel = grid | {"scope": 1, "category": "mobile_combustion", "measured_by": "leeds/m:diesel", "factor": rule}
    assert set(components(plan_of([grid]), active("x", [1]))) == {"wtt", "t_and_d", "wtt_t_and_d"}
    found = components(plan_of([fuel]), active("x", ["0.1"], covered_us=None))  # 100 litres
    assert set(found) == {"wtt"} and found["wtt"]["activity_unit"] == "l" and found["wtt"]["priced"]
    assert all(row["basis"] == "" and row["scope"] == 3 for row in found.values())


def test_scope_3_and_own_factors_derive_nothing(plan_of, active):
    rule = {"set": "desnz", "table": "Freighting goods", "item": "All HGVs | Average laden", "per_unit": "tonne_km"}
    freight = {"source": "x", "site": "leeds", "scope": 3, "category": "cat_4", "measured_by": "leeds/m:freight", "factor": rule}
    figures = price(active("x", [10]), empty(AMOUNTS), empty(READINGS), plan_of([freight]))
    assert figures["component"].to_list() == ["main"]
    own = [{"factor_id": "gas", "gas": "CO2", "value": "0.2", "per_unit": "kWh_gross"}]
    boiler = freight | {
        "scope": 1,
        "category": "stationary_combustion",
        "measured_by": "leeds/b:gas",
        "factor": {"id": "own/gas"},
    }
    assert components(plan_of([boiler], own_factors=own), active("x", [1])) == {}


def test_a_part_that_a_set_should_have_and_has_not_is_unpriced(plan_of, active, catalogue):
    """Any factor of the set with such a gap: its figure has an unpriced row beside it, never a smaller total."""
    edition = catalogue.edition("desnz", "2025")
    gap = next((f for f, parts in edition.parts.items() if any(name is None for _, name in parts)), None)
    assert gap is not None
    factor = edition.by_id[gap]
    channel = {"channel": "x", "value": "$.x", "unit": factor.per_unit, "kind": "amount", "event": "$.id"}
    feeds = [{"feed": "f", "topic": "t/{site}/{device}", "decoder": "json", "channels": [channel]}]
    source = {"source": "x", "site": "leeds", "scope": 1, "category": "stationary_combustion", "measured_by": "leeds/m:x"}
    plan = plan_of([source | {"factor": {"id": gap}}], feeds=feeds)
    found = components(plan, active("x", [1], at=datetime(2025, 6, 1, tzinfo=UTC)))
    assert any(not row["priced"] and row["co2e_n"] is None for row in found.values())
