"""Meters by pattern and by the dated meters table; feeds that cannot be compiled say why."""

from datetime import UTC, datetime

import pytest

import ingest

FEED = {
    "feed": "plugs",
    "topic": "tele/{device}",
    "decoder": "json",
    "observed_at": {"path": "$.t"},
    "meters": "table",
    "channels": [{"channel": "energy", "value": "$.e", "unit": "Wh"}, {"channel": "power", "value": "$.p", "unit": "W"}],
}
TABLE = [
    {
        "feed": "plugs",
        "device": "A",
        "meter": "duisburg/press/p7",
        "valid_from": "2024-05-01",
        "valid_to": "2026-03-01T09:00:00+01:00",
    },
    {
        "feed": "plugs",
        "device": "B",
        "meter": "duisburg/press/p7",
        "valid_from": "2026-03-01T09:00:00+01:00",
        "unit": "kWh",
        "scale": 40,
    },
    {"feed": "plugs", "device": "B", "channel": "power", "meter": "duisburg/hall", "site": "duisburg"},
    {"feed": "other", "device": "C", "meter": "duisburg/other"},
]


def _payload(stamp: str) -> str:
    return f'{{"t": "{stamp}", "e": 1, "p": 2}}'


def test_dated_rows(plant, messages, both_ways):
    rows = [
        ("tele/A", _payload("2024-04-30T21:59:59.999999Z")),
        ("tele/A", _payload("2024-04-30T22:00:00Z")),
        ("tele/A", _payload("2026-03-01T07:59:59.999999Z")),
        ("tele/A", _payload("2026-03-01T08:00:00Z")),
        ("tele/B", _payload("2026-03-01T07:59:59Z")),
        ("tele/B", _payload("2026-03-01T08:00:00Z")),
        ("tele/C", _payload("2026-03-01T08:00:00Z")),
    ]
    found = both_ways(messages(*rows), plant(FEED, meters=TABLE))
    assert found.decoded.select("message", "meter", "unit", "scale").rows() == [
        (1, "duisburg/press/p7:energy", "Wh", None),
        (1, "duisburg/press/p7:power", "W", None),
        (2, "duisburg/press/p7:energy", "Wh", None),
        (2, "duisburg/press/p7:power", "W", None),
        (4, "duisburg/hall:power", "W", None),
        (5, "duisburg/press/p7:energy", "kWh", "40"),
        (5, "duisburg/hall:power", "W", None),
    ]
    assert found.rejects.select("message", "reason").rows() == [(n, "unlisted") for n in (0, 0, 3, 3, 4, 6, 6)]


def test_local_stamps_are_in_the_zone_of_the_devices_site(plant, messages, both_ways):
    table = [{"feed": "plugs", "device": "A", "meter": "york/a"}, {"feed": "plugs", "device": "B", "meter": "duisburg/b"}]
    found = both_ways(
        messages(("tele/A", _payload("2026-05-01T12:00:00")), ("tele/B", _payload("2026-05-01T12:00:00"))),
        plant(FEED, meters=table),
    )
    assert [at.hour for at in found.decoded["observed_at"]] == [16, 16, 10, 10]
    assert found.decoded["site"].to_list() == ["york", "york", "duisburg", "duisburg"]


def test_unlisted_devices_may_have_a_pattern(plant, messages, both_ways):
    feed = {**FEED, "site": "york", "unlisted": "{site}/new/{device}"}
    rows = [
        ("tele/A", _payload("2024-01-01T00:00:00Z")),
        ("tele/A", _payload("2025-01-01T00:00:00Z")),
        ("tele/Z", _payload("2025-01-01T00:00:00Z")),
    ]
    found = both_ways(messages(*rows), plant(feed, meters=TABLE))
    assert found.decoded.filter(channel="energy")["meter"].to_list() == [
        "york/new/A:energy",
        "duisburg/press/p7:energy",
        "york/new/Z:energy",
    ]


def test_rows_apply_without_meters_table_too(plant, messages, both_ways):
    """A scale in the table is never passed over because `meters: table` was forgotten."""
    feed = {**FEED, "meters": None, "site": "duisburg"}
    found = both_ways(
        messages(("tele/B", _payload("2026-05-01T00:00:00Z")), ("tele/Z", _payload("2026-05-01T00:00:00Z"))),
        plant(feed, meters=TABLE),
    )
    assert found.decoded.filter(channel="energy").select("meter", "scale").rows() == [
        ("duisburg/press/p7:energy", "40"),
        ("duisburg/Z:energy", None),
    ]


def test_patterns(plant, messages, both_ways):
    feed = {
        **FEED,
        "meters": None,
        "topic": "{site}/{line}/{slot}",
        "device": "{line}-{slot}",
        "meter": "{site}/{line}/slot {slot}",
    }
    found = both_ways(messages(("duisburg/l 1/7", _payload("2026-05-01T00:00:00Z"))), plant(feed))
    assert found.decoded.select("device", "meter").rows()[0] == ("l 1-7", "duisburg/l%201/slot 7:energy")
    plain = {"feed": "gas", "topic": "acme/gas", "decoder": "plain", "site": "york"}
    found = both_ways(messages(("acme/gas", "1")), plant(plain))
    assert found.decoded.select("device", "meter").rows() == [(None, "york/gas:value")]
    reference = {**plain, "site": None, "meter": "ref/grid-de", "channels": [{"channel": "intensity", "unit": "g/kWh"}]}
    found = both_ways(messages(("acme/gas", "1")), plant(reference))
    assert found.decoded.select("site", "meter", "kind").rows() == [("ref", "ref/grid-de:intensity", "level")]


@pytest.mark.parametrize(
    ("more", "key", "word"),
    [
        ({"topic": "a/#/b"}, "topic", "last level"),
        ({"topic": "a\0b/{device}"}, "topic", "NUL"),
        ({"topic": None}, "topic", "no topic by default"),
        ({"skip": ["a/#/b"]}, "skip", "last level"),
        ({"decoder": "jsn"}, "decoder", "there is no decoder jsn: use one of json"),
        ({"decoder": ["json", "gzip"]}, "decoder", "a chain opens first"),
        ({"decoder": ["gzip"]}, "decoder", "a chain opens first"),
        ({"broker": "none"}, "broker", "there is no broker none"),
        ({"channels": []}, "channels", "gives no channels by itself"),
        ({"channels": [{"channel": "e"}]}, "channels[0].value", "is missing"),
        ({"channels": [{"channel": "e", "value": "e"}]}, "channels[0].value", "start it with $"),
        ({"channels": [{"channel": "e", "value": "$.a[*]"}]}, "channels[0].value", "each"),
        ({"observed_at": {"path": "$.t", "format": "%H"}}, "observed_at", "no full date"),
        ({"observed_at": {"path": "$.t", "timezone": "Mars"}}, "observed_at", "no time zone"),
        ({"observed_at": {"format": "iso8601"}}, "observed_at", "where the stamp stands"),
        ({"meters": None}, "meter", "{site}"),
        ({"meters": None, "meter": "mars/{device}"}, "meter", "there is no site mars"),
        ({"meters": None, "meter": "duisburg/{slot}"}, "meter", "{slot}"),
        ({"meters": None, "meter": "duisburg"}, "meter", "has no path"),
        ({"meters": None, "meter": "duisburg/a:energy"}, "meter", "holds ':'"),
        ({"topic": "a/b"}, "device", "needs to know the device"),
        ({"site": "mars"}, "site", "there is no site mars"),
        ({"csv": {}}, "csv", "belongs to decoder: csv"),
    ],
)
def test_feeds_that_cannot_be_compiled(more, key, word, plant):
    made = plant({**FEED, **more})
    assert any(fault.key == key and word in fault.message for fault in ingest.faults(made)), ingest.faults(made)
    with pytest.raises(ingest.FeedError, match="feed plugs: "):
        ingest.compile(made)


def test_every_fault_at_once(plant):
    made = plant({**FEED, "topic": "a/#/b", "observed_at": {"path": "t"}}, {**FEED, "feed": "two", "decoder": "x"})
    assert {(fault.feed, fault.key) for fault in ingest.faults(made)} >= {
        ("plugs", "topic"),
        ("plugs", "observed_at.path"),
        ("two", "decoder"),
    }


def test_a_table_date_that_is_none(plant):
    made = plant(FEED, meters=[{"feed": "plugs", "device": "A", "meter": "york/a", "valid_from": "soon"}])
    assert "valid_from 'soon' is no time" in ingest.faults(made)[0].message


def test_the_instant_decides_not_the_arrival(plant, messages):
    made = ingest.compile(plant(FEED, meters=TABLE))
    late = {"topic": "tele/A", "payload": _payload("2025-01-01T00:00:00Z"), "received_at": datetime(2026, 12, 1, tzinfo=UTC)}
    assert ingest.decode(messages(late), made).decoded.height == 2
