"""Arrivals: what is known of meters and clocks does not depend on how readings are batched, nor on repetitions."""

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from schemas.frames import OUTCOMES, READINGS, TIME, empty, shaped
from scopeline import arrivals
from scopeline.log.tables import METERS

ZERO = datetime(2026, 3, 1, tzinfo=UTC)
Row = tuple[str, int, int, int, str, bool]
ROWS = st.lists(
    st.tuples(
        st.sampled_from("ab"),
        st.integers(0, 6),
        st.integers(0, 3),
        st.integers(0, 2),
        st.sampled_from(["Wh", "kWh"]),
        st.booleans(),
    ),
    min_size=1,
    max_size=12,
)


def at(minute: int) -> datetime:
    return ZERO + timedelta(minutes=minute)


def readings(rows: list[Row], first: int = 0) -> pl.DataFrame:
    said: list[dict[str, Any]] = [
        {
            "meter": f"s/{meter}:e",
            "site": "s" if meter == "a" else "t",
            "feed": f"f{value}",
            "kind": "amount" if period else "counter",
            "observed_at": at(observed),
            "received_at": at(observed + late),
            "period_start": at(observed - 2) if period else None,
            "period_end": at(observed) if period else None,
            "value_n": value,
            "unit": unit,
            "message": first + place,
            "index": 0,
        }
        for place, (meter, observed, late, value, unit, period) in enumerate(rows)
    ]
    return shaped(pl.DataFrame(said, schema_overrides={"period_start": TIME, "period_end": TIME}), READINGS)


@given(ROWS, st.integers(0, 12))
def test_meters_grow_alike_in_one_batch_and_in_two(rows: list[Row], cut: int) -> None:
    rows = sorted(rows, key=lambda row: (row[1], row[2]))  # of equal times the later message speaks, in any batch
    whole = readings(rows)
    once = arrivals.grown(empty(METERS), whole)
    meters = empty(METERS)
    for some in (whole[:cut], whole[cut:]):
        if some.height:
            meters = arrivals.replaced(meters, arrivals.grown(meters, some).rows)
    assert once.rows.equals(meters) and once.named and once.rows.columns == list(METERS)


def test_a_meter_is_named_anew_where_it_is_new_or_states_a_unit_that_comes_first() -> None:
    rows = readings([("a", 0, 0, 1, "kWh", False)])
    known = arrivals.grown(empty(METERS), rows)
    assert known.named and not arrivals.grown(known.rows, readings([("a", 1, 0, 2, "kWh", False)])).named
    assert arrivals.grown(known.rows, readings([("a", 1, 0, 2, "Wh", False)])).named, "Wh comes before kWh"
    assert arrivals.grown(known.rows, readings([("b", 1, 0, 2, "kWh", False)])).named


@given(ROWS, st.integers(0, 12))
def test_what_was_said_before_is_a_repetition_whichever_batch_brings_it(rows: list[Row], cut: int) -> None:
    rows = [(meter, observed, late, value, "kWh", False) for meter, observed, late, value, *_ in rows]
    key = ["meter", "observed_at", "value_n"]
    whole = readings(rows)
    earliest = whole.group_by(key).agg(pl.col("received_at").min())
    assert (
        arrivals.arrivals(whole, empty(READINGS)).fresh.select(*key, "received_at").unique().sort(key).equals(earliest.sort(key))
    )
    known, new = whole[:cut], whole[cut:]
    if new.height:
        came = arrivals.arrivals(new, known)
        again = known.select(*key, before="received_at").join(came.fresh, on=key)
        assert (again["received_at"] <= again["before"]).all(), "what came later than it was known can change nothing"
        assert {"s", "t"}.issuperset(came.earlier) and set(came.fresh.columns) == set(READINGS)


@given(st.lists(st.sampled_from(["decoded", "skipped"]), min_size=1, max_size=6), st.booleans())
def test_traffic_counts_messages_by_minute_and_outcome(words: list[str], twice: bool) -> None:
    messages = pl.DataFrame({"message": range(len(words)), "received_at": [at(n % 2) for n in range(len(words))]})
    messages = messages.cast({"received_at": TIME})
    told = pl.DataFrame({"message": range(len(words)), "feed": "f", "outcome": words})
    told = pl.concat([told, told.with_columns(feed=pl.lit(None, dtype=pl.String))]) if twice else told
    found = arrivals.traffic(shaped(told, OUTCOMES), messages)
    for feed in ["f", ""] if twice else ["f"]:
        for minute in (0, 1):
            for word in set(words):
                row = found.filter(feed=feed, minute=at(minute), outcome=word)
                of = [n for n, one in enumerate(words) if one == word and n % 2 == minute]
                assert row["messages"].sum() == len(of) and row["last_message"].max() == max(of, default=None)
