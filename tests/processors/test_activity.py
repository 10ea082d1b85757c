"""Activity of sources: missing terms, coverage of sums, exact factors."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from processors.activity import activity
from schemas.frames import ACTIVITY, AMOUNTS, shaped
from schemas.source import Source

MINUTE = 60_000_000
ZERO = datetime(2026, 3, 1, tzinfo=UTC)


def amounts(*rows):
    """(meter, minute, amount, share covered or None, more)"""
    found = []
    for meter, minute, amount, share, *more in rows:
        covered = None if share is None else round(share * MINUTE)
        row = {"meter": meter, "interval_start": ZERO + timedelta(minutes=minute), "amount_n": amount, "covered_us": covered}
        found.append(row | {"estimated_n": 0, "suspect": False, "lag_us": 0} | (more[0] if more else {}))
    return shaped(pl.DataFrame(found, schema_overrides={"amount_n": pl.Int128}, infer_schema_length=None), AMOUNTS)


def first(**seconds):
    rows = [(meter.replace("_", "/") + ":e", ZERO + timedelta(seconds=second)) for meter, second in seconds.items()]
    return pl.DataFrame(rows, schema={"meter": pl.String, "first_observed_at": pl.Datetime("us", "UTC")}, orient="row")


def sources(*texts):
    common = {"site": "works", "scope": 2, "category": "purchased_electricity"}
    return [Source(source=f"s{i}", measured_by=text, **common) for i, text in enumerate(texts)]


def run(frame, seen, *texts):
    found = activity(frame, sources(*texts), seen, MINUTE)
    minute = (pl.col("interval_start") - pl.lit(ZERO)).dt.total_minutes()
    covered = pl.col("covered_us") / MINUTE
    return found, found.select(pl.col("source"), minute, "quantity_n", covered).rows()


def test_one_meter_one_source_and_a_meter_of_two(works):
    _, rows = run(amounts(("a:e", 0, 5, 1), ("a:e", 1, 7, 0.5), ("b:e", 0, 1, 1)), first(a=0, b=0), "a:e", "[a:e]", "c:e")
    assert rows == [("s0", 0, 5, 1), ("s0", 1, 7, 0.5), ("s1", 0, 5, 1), ("s1", 1, 7, 0.5)]


def test_a_missing_term_makes_the_interval_unknown(works):
    frame = amounts(("a:e", 0, 5, 1), ("a:e", 1, 7, 1), ("b:e", 1, 9, 0.5))
    assert run(frame, first(a=0, b=0), "[a:e] - [b:e]")[1] == [("s0", 1, -2, 0.5)]


def test_factors_are_exact_and_rounded_half_to_even_once():
    frame = amounts(("a:e", 0, 5, 1), ("b:e", 0, 2, 1), ("a:e", 1, 7, 1), ("b:e", 1, 0, 1))
    texts = ("0.5 * [a:e]", "0.5 * ([a:e] - [b:e])", "[a:e] / 3 + [b:e] / 3 + [a:e] / 3 * 2")
    rows = run(frame, first(a=0, b=0), *texts)[1]
    assert [row[2] for row in rows] == [2, 4, 2, 4, 6, 7]


def test_products_beyond_128_bits_are_exact_too():
    frame = amounts(("a:e", 0, 10**24 + 1, 1), ("b:e", 0, 10**24, 1))
    factor = "123456789012345678901234567.5"
    assert run(frame, first(a=0, b=0), f"{factor} * ([a:e] - [b:e]) / {factor}")[1] == [("s0", 0, 1, 1)]


def test_sum_keeps_what_it_has_and_covers_a_share_of_the_meters_expected():
    frame = amounts(("p/1:e", 0, 4, 1), ("p/2:e", 0, 6, 0.5), ("p/1:e", 1, 4, 1), ("p/1:e", 5, 1, 1))
    rows = run(frame, first(p_1=0, p_2=0, p_3=119, p_4=120), "sum([p/*:e])")[1]
    assert rows == [("s0", 0, 10, 0.75), ("s0", 1, 4, pytest.approx(1 / 3, abs=1e-6)), ("s0", 5, 1, 0.25)]


def test_a_meter_is_expected_from_the_interval_in_which_it_first_spoke():
    frame = amounts(("p/1:e", 0, 4, 1), ("p/1:e", 1, 4, 1))
    assert [row[3] for row in run(frame, first(p_1=0, p_2=60), "sum([p/*:e])")[1]] == [1, 0.5]


def test_sum_beside_other_terms():
    frame = amounts(("a:e", 0, 100, 0.25), ("p/1:e", 0, 4, 1), ("p/2:e", 0, 6, 1), ("a:e", 1, 50, 1))
    assert run(frame, first(a=0, p_1=0, p_2=0), "[a:e] - sum([p/*:e])")[1] == [("s0", 0, 90, 0.25)]


def test_events_have_no_coverage_unless_others_span():
    frame = amounts(("a:e", 0, 5, None), ("b:e", 0, 2, 0.5), ("c:e", 0, 1, None))
    rows = run(frame, first(a=0, b=0, c=0), "[a:e] + [c:e]", "[a:e] + [b:e]", "a:e")[1]
    assert [row[2:] for row in rows] == [(6, None), (7, 0.5), (5, None)]


def test_marks_travel():
    late, doubtful = {"lag_us": 9, "estimated_n": 3}, {"suspect": True, "lag_us": 4, "estimated_n": 1}
    found, _ = run(amounts(("a:e", 0, 5, 1, late), ("b:e", 0, 2, 1, doubtful)), first(a=0, b=0), "2 * [a:e] - [b:e]")
    assert found.select("estimated_n", "suspect", "lag_us").rows() == [(7, True, 9)]


def test_what_cannot_be_computed_has_no_rows():
    found, rows = run(amounts(("a:e", 0, 5, 1)), first(a=0), "[a:e] * [a:e]", "delta([a:e])", "[oops")
    assert rows == [] and found.schema == pl.Schema(ACTIVITY)


def test_enumerated_meters():
    frame = amounts(("a:e", 0, 5, 1)).with_columns(pl.col("meter").cast(pl.Enum(["a:e", "z:e"])))
    assert run(frame, first(a=0), "[a:e] * 2", "a:e", "unknown:e")[1] == [("s0", 0, 10, 1), ("s1", 0, 5, 1)]
