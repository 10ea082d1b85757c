"""Rules of meters in base units, and replacements by the meters table."""

from datetime import UTC, datetime

import pytest

from processors.meters import attributes
from processors.replacements import instant, replacements
from schemas.source import MeterRow

N = 10**9


def rule(readings, works, channel, **plant):
    return attributes(readings, works({"channel": "e", "kind": "counter"} | channel, **plant)).rules.row(0, named=True)


def test_rules_are_in_base_units_with_scale(works, spoken):
    said = {"unit": "Wh", "scale": 10, "rollover_at": 1000, "jitter": 2, "max_rate": "3 MW", "max_gap": "1h"}
    found = rule(spoken([(0, 1)], unit="Wh"), works, said)
    assert found["base"] == "kWh"
    assert (found["rollover_n"], found["jitter_n"], found["max_rate_n"]) == (10 * N, 20_000_000, 3000 * N)
    assert found["max_gap_us"] == 3_600_000_000


def test_the_table_s_scale_counts_too(works, spoken):
    row = {"feed": "f", "device": "m", "meter": "works/m", "scale": "10"}
    assert rule(spoken([(0, 1)]), works, {"unit": "kWh", "rollover_at": 1000}, meters=[row])["rollover_n"] == 10_000 * N


def test_defaults(works, spoken):
    counter = rule(spoken([(0, 1)]), works, {"unit": "kWh"})
    rate = attributes(spoken([(0, 1)], kind="rate", unit="kW", feed="another", channel="p"), works()).rules.row(0, named=True)
    assert (counter["max_gap_us"], counter["jitter_n"], counter["net"]) == (None, 0, False)
    assert (rate["max_gap_us"], rate["between"], rate["direction"]) == (900_000_000, "linear", "net")


def test_max_rate_without_unit_is_the_channel_s_unit_an_hour(works, spoken):
    assert rule(spoken([(0, 1)], unit="m3"), works, {"unit": "m3", "max_rate": 40})["max_rate_n"] == 40 * N


ROW = {"feed": "f", "meter": "works/m"}


def rows(*facts):
    return [MeterRow.model_validate(ROW | {"device": "a"} | fact) for fact in facts]


def swaps(*facts):
    return [(s.at.day, s.old.device, s.new.device) for s in replacements(rows(*facts), "UTC")]


@pytest.mark.parametrize(
    "facts,expected",
    [
        ([{}], []),
        ([{"valid_from": "2026-01-01", "scale": "1"}, {"valid_from": "2026-01-05", "scale": "2"}], []),  # the same device
        (
            [{"valid_from": "2026-01-01"}, {"valid_from": "2026-01-05", "first_reading": "0"}],
            [(5, "a", "a")],
        ),  # a new counter in it
        (
            [{}, {"device": "b", "valid_from": "2026-01-05"}, {"device": "c", "valid_from": "2026-01-09"}],
            [(5, "a", "b"), (9, "b", "c")],
        ),
        ([{"device": "b", "valid_from": "2026-01-05"}, {}], [(5, "a", "b")]),  # the order of the file does not matter
        ([{}, {"feed": "g", "valid_from": "2026-01-05"}], [(5, "a", "a")]),
    ],
)
def test_what_is_a_replacement(facts, expected):
    assert swaps(*facts) == expected


def test_a_row_for_the_channel_wins_over_the_device_s():
    found = rows({"last_reading": "1"}, {"channel": "e", "last_reading": "2"}, {"device": "b", "valid_from": "2026-01-05"})
    (swap,) = replacements(found, "UTC")
    assert str(swap.last) == "2"


def test_swaps_have_two_sides_in_base_units(works, spoken):
    table = [
        ROW | {"device": "m", "last_reading": "5000"},
        ROW | {"device": "x", "valid_from": "2026-03-01", "first_reading": "7", "unit": "MWh"},
    ]
    found = attributes(spoken([(0, 1)], unit="Wh"), works({"channel": "e", "unit": "Wh", "kind": "counter"}, meters=table)).swaps
    assert found.select("side", "value_n").rows() == [(0, 5 * N), (1, 7000 * N)]
    assert found["at"].unique().to_list() == [datetime(2026, 2, 28, 23, tzinfo=UTC)], "days are the site's (Berlin)"


def test_local_times_of_the_table():
    assert instant("2026-10-25T02:30:00", "Europe/Berlin") == datetime(2026, 10, 25, 0, 30, tzinfo=UTC), (
        "the earlier of a repeated hour"
    )
    assert instant("2026-03-29T02:30:00", "Europe/Berlin") == datetime(2026, 3, 29, 1, 30, tzinfo=UTC), (
        "the offset before the change"
    )
