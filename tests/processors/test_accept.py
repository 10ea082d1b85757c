"""What is accepted, and the word for what is not."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from processors.accept import accept, channels
from schemas.frames import DECODED, READINGS, REASONS, REJECTS, shaped

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


def decoded(*rows):
    common = {
        "feed": "f",
        "channel": "e",
        "meter": "works/m:e",
        "site": "works",
        "kind": "counter",
        "unit": "kWh",
        "quality": "good",
    }
    common |= {"value": "1", "observed_at": AT, "received_at": AT, "message": 7, "index": 0}
    return shaped(pl.DataFrame([common | row for row in rows], infer_schema_length=None), DECODED)


@pytest.fixture
def rules(works):
    return channels(
        works(
            {"channel": "e", "unit": "Wh", "kind": "counter"},
            {"channel": "p", "unit": "W", "kind": "rate", "min": "-1 kW", "max": "2 MW"},
            {"channel": "g", "unit": {"path": "$.u", "allow": ["m3", "Nm3"]}, "kind": "counter"},
            {"channel": "plain", "unit": "W", "kind": "rate", "max": 500},
            {"channel": "t", "unit": "degC", "kind": "level", "max": "212 degF"},
        )
    )


@pytest.mark.parametrize(
    "row,reason,hint",
    [
        ({"unit": "furlong"}, "unknown_unit", "not in the table"),
        ({"unit": "m3"}, "unknown_unit", "does not become Wh"),
        ({"unit": "W"}, "unknown_unit", "does not add up"),
        ({"unit": None}, "unknown_unit", "needs a unit"),
        ({"channel": "p", "kind": "rate", "unit": "kWh"}, "unknown_unit", "is no rate"),
        ({"channel": "g", "unit": "ft3"}, "unknown_unit", "allow:"),
        ({"value": "NaN"}, "not_finite", "finite"),
        ({"value": "-inf"}, "not_finite", "finite"),
        ({"value": "0x1F"}, "no_value", "no number"),
        ({"value": "1_000"}, "no_value", "no number"),
        ({"value": None}, "no_value", "nothing"),
        ({"value": "1000000000000000.1"}, "out_of_range", "1e15"),
        ({"value": "1e400"}, "out_of_range", "1e15"),
        ({"channel": "p", "kind": "rate", "unit": "W", "value": "-1000.1"}, "below_min", "min:"),
        ({"channel": "p", "kind": "rate", "unit": "MW", "value": "2.000001"}, "above_max", "max:"),
        ({"channel": "plain", "kind": "rate", "unit": "W", "value": "501"}, "above_max", "max:"),
        ({"channel": "t", "kind": "level", "unit": "degC", "value": "100.01"}, "above_max", "max:"),
        ({"observed_at": AT - timedelta(days=400, microseconds=1)}, "too_old", "behind"),
        ({"observed_at": AT + timedelta(minutes=10, microseconds=1)}, "in_future", "ahead"),
        ({"kind": "amount", "period_start": AT, "period_end": AT - timedelta(1)}, "no_time", "period"),
    ],
)
def test_rejected_with_reason_and_remedy(rules, row, reason, hint):
    found = accept(decoded(row, {}), rules)
    assert found.readings.height == 1, "the neighbour is not touched"
    assert found.rejects["reason"].to_list() == [reason] and reason in REASONS
    assert hint in found.rejects["detail"].item()
    assert found.rejects["message"].item() == 7 and found.rejects["meter"].item() == "works/m:e"


@pytest.mark.parametrize(
    "row",
    [
        {"observed_at": AT - timedelta(days=400)},
        {"observed_at": AT + timedelta(minutes=10)},
        {"channel": "p", "kind": "rate", "unit": "W", "value": "-1000"},
        {"channel": "p", "kind": "rate", "unit": "MW", "value": "2"},
        {"channel": "g", "unit": "Nm³"},
        {"value": "1e15"},
    ],
)
def test_limits_themselves_are_accepted(rules, row):
    assert accept(decoded(row), rules).rejects.is_empty()


def test_without_window_time_is_not_judged(rules):
    assert accept(decoded({"observed_at": AT + timedelta(days=9999)}), rules, window=False).rejects.is_empty()


@pytest.mark.parametrize(
    "value,scale,unit,expected",
    [
        ("10.5", None, "Wh", 10_500_000),
        ("1", None, "MJ", 277_777_778),
        ("3.6", None, "MJ", 10**9),
        ("12", "10", "kWh", 120 * 10**9),
        ("0.0000005", None, "Wh", 0),
        ("0.0000015", None, "Wh", 2),
        ("-0.0000025", None, "Wh", -2),
        ("1234567.8901234567891", None, "kWh", 1_234_567_890_123_457),
        ("1e-7", None, "kWh", 100),
    ],
)
def test_quantity_in_base_units(rules, value, scale, unit, expected):
    assert accept(decoded({"value": value, "scale": scale, "unit": unit}), rules).readings["value_n"].item() == expected


def test_temperature_has_an_offset(rules):
    row = {"channel": "t", "kind": "level", "unit": "degF", "value": "68"}
    assert accept(decoded(row), rules).readings["value_n"].item() == 20 * 10**9


def test_shapes_and_enumerated_meters(rules):
    frame = decoded({}, {"unit": "furlong"}, {"value": "2"}).with_columns(pl.col("meter").cast(pl.Enum(["works/m:e"])))
    found = accept(frame, rules)
    assert list(found.readings.schema) == list(READINGS) and found.rejects.schema == pl.Schema(REJECTS)
    assert isinstance(found.readings.schema["meter"], pl.Enum), "a large frame keeps its enumeration"
    empty = accept(frame.clear(), rules)
    assert empty.readings.is_empty() and empty.rejects.schema == pl.Schema(REJECTS)
