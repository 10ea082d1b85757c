"""Status of base intervals: what makes a figure provisional, restated, unpriced."""

import random
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from processors.output import finish_base, numbers
from processors.price import price
from processors.status import STATUSES
from schemas.frames import AMOUNTS, OUTPUT, READINGS, empty

START = datetime(2026, 1, 5, tzinfo=UTC)
END = START + timedelta(minutes=15)
LATE = timedelta(minutes=10)
GAS = {"source": "x", "site": "leeds", "scope": 1, "category": "stationary_combustion", "measured_by": "leeds/b:gas"}
RULE = {"factor": {"set": "desnz", "table": "Fuels", "item": "Natural gas", "per_unit": "kWh", "basis": "gross"}}


def base(plan, activity, newest):
    clock = {"leeds": newest} if newest else {}
    return finish_base(price(activity, empty(AMOUNTS), empty(READINGS), plan), plan, clock)


@pytest.mark.parametrize(
    ("newest", "lag", "status"),
    [
        (END + LATE, 0, "provisional"),
        (END + LATE + timedelta(microseconds=1), 0, "final"),
        (END + LATE + timedelta(seconds=1), LATE // timedelta(microseconds=1), "final"),
        (END + LATE + timedelta(seconds=1), LATE // timedelta(microseconds=1) + 1, "restated"),
        (END + LATE, LATE // timedelta(microseconds=1) + 1, "provisional"),
    ],
)
def test_status_follows_from_stored_times(plan_of, active, newest, lag, status):
    assert base(plan_of([GAS | RULE]), active("x", [1], lag_us=lag), newest)["status"][0] == status


def test_unpriced_comes_before_provisional(plan_of, active):
    found = base(plan_of([GAS]), active("x", [1]), START).row(0, named=True)
    assert (found["status"], found["unpriced_share"], found["activity"], found["co2e_kg"]) == ("unpriced", 1.0, 1.0, None)
    assert STATUSES == ("missing", "unpriced", "provisional", "restated", "final")


def test_shares_and_coverage_of_an_interval(plan_of, active):
    found = base(plan_of([GAS | RULE]), active("x", [8], covered_us=300_000_000, estimated_n=2 * 10**9), None)
    assert found.filter(component="main").select("coverage", "estimated_share", "unpriced_share").row(0) == (1 / 3, 0.25, 0.0)
    event = base(plan_of([GAS | RULE]), active("x", [0], covered_us=None), None)
    assert event["coverage"].to_list() == [None, None] and event["estimated_share"].to_list() == [0.0, 0.0]


def test_activity_is_shown_in_the_factors_unit(plan_of, active):
    rule = {"set": "desnz", "table": "Fuels", "item": "Natural gas", "per_unit": "tonnes"}
    source = GAS | {"measured_by": "leeds/b:filled", "factor": rule}
    found = base(plan_of([source]), active("x", [2500]), None).filter(component="main").row(0, named=True)
    assert (found["activity"], found["activity_unit"]) == (2.5, "t")


def test_output_has_the_contracts_columns_and_tags(plan_of, active):
    plan = plan_of([GAS | RULE | {"tags": {"line": "L1"}}], tags=["line"])
    found = base(plan, active("x", [1]), None)
    assert found.columns == [*OUTPUT, "tag_line"] and found["tag_line"].unique().to_list() == ["L1"]
    assert found.select(OUTPUT.keys()).schema == pl.Schema(OUTPUT) and not len(base(plan, active("x", []), None))


def test_numbers_are_the_nearest_doubles():
    chosen = random.Random(1)
    some = [chosen.randrange(-(10**k), 10**k) for k in range(1, 36) for _ in range(20)]
    assert numbers(pl.Series(some, dtype=pl.Int128)).to_list() == [n / 10**9 for n in some]
    small = [n for n in some if abs(n) < 10**14]
    assert numbers(pl.Series(small, dtype=pl.Int128)).to_list() == [n / 10**9 for n in small]
