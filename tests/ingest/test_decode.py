"""From messages to readings: routing, outcomes, paths, where, units, events, periods, quality."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

import ingest
from schemas.frames import DECODED, OUTCOMES, REASONS, REJECTS

ENERGY = {"channel": "energy", "value": "$.e", "unit": "kWh", "kind": "counter"}
FEED = {"feed": "press", "topic": "acme/{site}/press/{device}", "decoder": "json", "channels": [ENERGY]}


def _feed(**more):
    return {**FEED, **more}


def _channel(**more):
    return _feed(channels=[{**ENERGY, **more}])


def test_a_reading_has_everything_the_frame_names(plant, messages, both_ways, arrival):
    feed = _feed(observed_at={"path": "$.t"}, channels=[{**ENERGY, "scale": 10}])
    found = both_ways(messages(("acme/duisburg/press/p7", '{"t": "2026-05-01T10:00:00Z", "e": 81234.50}')), plant(feed))
    assert found.decoded.to_dicts() == [
        {
            "message": 0,
            "index": 0,
            "feed": "press",
            "channel": "energy",
            "device": "p7",
            "meter": "duisburg/p7:energy",
            "site": "duisburg",
            "observed_at": datetime(2026, 5, 1, 10, tzinfo=UTC),
            "received_at": arrival,
            "period_start": None,
            "period_end": None,
            "event": None,
            "value": "81234.50",
            "scale": "10",
            "unit": "kWh",
            "kind": "counter",
            "quality": "good",
            "native": "e",
        }
    ]


def test_outcomes(plant, messages, both_ways):
    made = plant(_feed(skip=["acme/+/press/lwt"]))
    found = both_ways(
        messages(
            ("acme/duisburg/press/p7", '{"e": 1}'),
            ("acme/duisburg/press/lwt", "offline"),
            {"topic": "acme/duisburg/press/p7", "payload": '{"e": 1}', "retained": True},
            ("other/topic", "1"),
            ("acme/duisburg/press/p7", "{"),
            ("acme/+/press/p7", '{"e": 1}'),
            ("acme/duisburg/press/p7", '{"e": true}'),
        ),
        made,
    )
    assert found.outcomes.rows() == [
        (0, "press", "decoded", None),
        (1, "press", "skipped", "skip"),
        (2, "press", "skipped", "retained"),
        (3, None, "unmatched", None),
        (4, "press", "quarantined", "malformed"),
        (5, None, "quarantined", "malformed"),
        (6, "press", "quarantined", "no_value"),
    ]
    assert found.rejects.select("message", "index", "reason").rows() == [
        (4, None, "malformed"),
        (5, None, "malformed"),
        (6, 0, "no_value"),
    ]


def test_two_feeds_read_one_message_and_one_may_be_asked_alone(plant, messages):
    other = _feed(feed="all", topic="acme/#", site="york", meter="{site}/all", channels=[{**ENERGY, "value": "$.p"}])
    made = ingest.compile(plant(FEED, other))
    given = messages(("acme/duisburg/press/p7", '{"e": 1, "p": 2}'))
    found = ingest.decode(given, made)
    assert found.decoded.select("feed", "meter", "value").rows() == [
        ("press", "duisburg/p7:energy", "1"),
        ("all", "york/all:energy", "2"),
    ]
    assert ingest.decode(given, made, only_feed="all").decoded["feed"].to_list() == ["all"]
    assert ingest.decode(given, made, only_feed="none").outcomes["outcome"].to_list() == ["unmatched"]


def test_a_feed_reads_its_broker_only(plant, messages, both_ways):
    brokers = {"one": {"host": "a"}, "two": {"host": "b"}}
    made = plant(FEED, _feed(feed="second", broker="two", site="york", meter="york/{device}"), brokers=brokers)
    topic, payload = "acme/duisburg/press/p7", '{"e": 1}'
    rows = [{"topic": topic, "payload": payload, "broker": broker} for broker in (None, "one", "two", "three")]
    found = both_ways(messages(*rows), made)
    assert found.outcomes.select("message", "feed").rows() == [(0, "press"), (1, "press"), (2, "second"), (3, None)]


def test_partly_readable(plant, messages, both_ways):
    feed = _feed(channels=[ENERGY, {"channel": "power", "value": "$.p", "unit": "W"}])
    found = both_ways(messages(("acme/duisburg/press/p7", '{"e": null, "p": 3}')), plant(feed))
    assert found.decoded.select("index", "channel").rows() == [(1, "power")]
    assert found.rejects.select("index", "reason", "meter").rows() == [(0, "no_value", "duisburg/p7:energy")]
    assert found.outcomes["outcome"].to_list() == ["decoded"]


def test_each_where_event_and_index(plant, messages, both_ways):
    feed = {
        "feed": "scales",
        "topic": "acme/weighbridge",
        "decoder": "json",
        "site": "duisburg",
        "each": "$[*]",
        "device": "@.scale",
        "observed_at": {"path": "@.t"},
        "channels": [
            {
                "channel": "net",
                "value": "@.net",
                "unit": "kg",
                "kind": "amount",
                "event": "@.ticket",
                "where": {"@.ok": True, "@.kind": ["in", 7]},
            }
        ],
    }
    payload = """[
      {"scale": "w:1", "t": "2026-05-01T10:00:00Z", "net": 12, "ticket": 71, "ok": true, "kind": "in"},
      {"scale": "w 2", "t": "2026-05-01T10:01:00Z", "net": 13, "ticket": "a-2", "ok": true, "kind": 7.0},
      {"scale": "w3", "t": "2026-05-01T10:01:00Z", "net": 13, "ticket": "a-3", "ok": "true", "kind": "in"},
      {"scale": "w4", "t": "2026-05-01T10:02:00Z", "net": 13, "ok": true, "kind": "in"},
      {"scale": null, "t": "2026-05-01T10:02:00Z", "net": 13, "ticket": "a-5", "ok": true, "kind": "in"}]"""
    found = both_ways(messages(("acme/weighbridge", payload)), plant(feed))
    assert found.decoded.select("index", "device", "meter", "event").rows() == [
        (0, "w:1", "duisburg/w:1:net", "71"),
        (1, "w 2", "duisburg/w%202:net", "a-2"),
    ]
    assert found.rejects.select("index", "reason").rows() == [(3, "no_value"), (4, "unlisted")]


def test_unit_from_the_payload(plant, messages, both_ways):
    made = plant(_channel(unit={"path": "$.u", "allow": ["m3", "Nm3"]}))
    rows = [("acme/duisburg/press/p7", f'{{"e": 1, "u": {unit}}}') for unit in ('"Nm3"', '"ft3"', "null", "3")]
    found = both_ways(messages(*rows, ("acme/duisburg/press/p7", '{"e": 1}')), made)
    assert found.decoded.select("message", "unit").rows() == [(0, "Nm3")]
    assert found.rejects.select("message", "reason").rows() == [(n, "unknown_unit") for n in (1, 2, 3, 4)]


def test_periods(plant, messages, both_ways):
    quarter = {"channel": "quarter", "value": "$.e", "unit": "kWh", "kind": "amount", "period": "15m"}
    bill = {"channel": "bill", "value": "$.e", "unit": "kWh", "kind": "amount", "period": {"from": "$.from", "to": "$.to"}}
    made = plant(_feed(observed_at={"path": "$.t", "format": "%d.%m.%Y %H:%M"}, channels=[quarter, bill]))
    ahead = '{"e": 5, "t": "01.05.2026 10:00", "from": "01.04.2026 00:00", "to": "01.05.2026 00:00"}'
    back = '{"e": 5, "t": "01.05.2026 10:00", "from": "01.05.2026 00:00", "to": "01.05.2026 00:00"}'
    found = both_ways(messages(("acme/duisburg/press/p7", ahead), ("acme/duisburg/press/p7", back)), made)
    at = datetime(2026, 5, 1, 8, tzinfo=UTC)
    assert found.decoded.select("message", "channel", "period_start", "period_end").rows() == [
        (0, "quarter", at - timedelta(minutes=15), at),
        (0, "bill", datetime(2026, 3, 31, 22, tzinfo=UTC), datetime(2026, 4, 30, 22, tzinfo=UTC)),
        (1, "quarter", at - timedelta(minutes=15), at),
    ]
    assert found.rejects.select("message", "index", "reason").rows() == [(1, 1, "no_time")]


def test_quality(plant, messages, both_ways):
    made = plant(_feed(quality={"path": "$.q", "good": ["valid", 0]}))
    rows = [("acme/duisburg/press/p7", f'{{"e": 1, "q": {q}}}') for q in ('"valid"', "0", "0.0", '"bad"', "null")]
    found = both_ways(messages(*rows, ("acme/duisburg/press/p7", '{"e": 1}')), made)
    assert found.decoded["quality"].to_list() == ["good", "good", "good", "suspect", "suspect", "suspect"]


@pytest.mark.parametrize(
    ("stated", "value", "reason"),
    [
        ("12.50", "12.50", None),
        ("-0", "-0", None),
        ("1e-7", "1e-7", None),
        ("9007199254740993", "9007199254740993", None),
        ("0.12345678901234567891", "0.12345678901234567891", None),
        ("1e400", "1e400", None),
        ('" 12.5 "', "12.5", None),
        ('"0512.3020"', "512.3020", None),
        ('"+5"', "5", None),
        ('"12,5"', None, "no_value"),
        ('"0x1F"', None, "no_value"),
        ('"1_000"', None, "no_value"),
        ('"١٢"', None, "no_value"),
        ('""', None, "no_value"),
        ('"1355.9060\\tRate too high"', None, "no_value"),
        ("true", None, "no_value"),
        ("null", None, "no_value"),
        ("{}", None, "no_value"),
        ("[1]", None, "no_value"),
        ("NaN", None, "not_finite"),
        ("-Infinity", None, "not_finite"),
        ('"inf"', None, "not_finite"),
        ("1" * 401, None, "out_of_range"),
    ],
)
def test_numbers(stated, value, reason, plant, messages, both_ways):
    found = both_ways(messages(("acme/duisburg/press/p7", f'{{"e": {stated}}}')), plant(FEED))
    assert found.decoded["value"].to_list() == ([] if reason else [value])
    assert found.rejects["reason"].to_list() == ([reason] if reason else [])


def test_csv_with_decimal_comma_and_local_times(plant, messages, both_ways):
    feed = {
        "feed": "bills",
        "topic": "acme/bills",
        "decoder": "csv",
        "site": "duisburg",
        "meter": "duisburg/main",
        "csv": {"delimiter": ";", "decimal": ",", "header": False, "columns": ["date", "time", "kwh"], "encoding": "cp1252"},
        "observed_at": {"columns": ["date", "time"], "format": "%d.%m.%Y %H:%M"},
        "channels": [{"channel": "energy", "value": "kwh", "unit": "kWh", "kind": "amount"}],
    }
    found = both_ways(
        messages(("acme/bills", "01.02.2026;00:15;1,5\r\n\r\n01.07.2026;00:15;1.234,5\r\n01.07.2026;00:30;7\r\n")), plant(feed)
    )
    assert found.decoded.select("index", "observed_at", "value").rows() == [
        (0, datetime(2026, 1, 31, 23, 15, tzinfo=UTC), "1.5"),
        (2, datetime(2026, 6, 30, 22, 30, tzinfo=UTC), "7"),
    ]
    assert found.rejects.select("index", "reason").rows() == [(1, "no_value")]


def test_preset_channels_are_renamed_dropped_reunited_and_added(plant, messages, both_ways):
    feed = {
        "feed": "plugs",
        "site": "duisburg",
        "decoder": "tasmota",
        "channels": [
            {"channel": "energy", "value": "ENERGY.Total"},
            {"channel": "energy_power", "unit": "kW", "kind": "rate"},
            {"channel": "gone", "value": "ENERGY.Today", "drop": True},
            {"channel": "rssi", "value": "$.Wifi.RSSI", "unit": "%"},
        ],
    }
    payload = '{"Time":"2026-05-01T10:00:00","ENERGY":{"Total":1.5,"Today":1,"Power":2,"Period":3},"Wifi":{"RSSI":80}}'
    found = both_ways(messages(("tele/p1/SENSOR", payload)), plant(feed))
    assert set(found.decoded.select("channel", "unit", "kind").rows()) == {
        ("energy", "kWh", "counter"),
        ("energy_power", "kW", "rate"),
        ("energy_period", "Wh", "level"),
        ("rssi", "%", "level"),
        ("wifi_rssi", None, "level"),
    }


def test_short_names_only_where_the_topic_leaves_nothing_open(plant, messages, both_ways):
    channels = [{"channel": "energy", "value": "aenergy.total"}]
    made = plant(
        {"feed": "one", "site": "duisburg", "decoder": "shelly", "topic": "one/{device}/status/switch:0", "channels": channels},
        {"feed": "any", "site": "duisburg", "decoder": "shelly", "topic": "any/{device}/status/+", "channels": channels},
    )
    payload = '{"aenergy":{"total":1}}'
    found = both_ways(messages(("one/p/status/switch:0", payload), ("any/p/status/switch:1", payload)), made)
    assert found.decoded["channel"].to_list() == ["energy", "switch_1_aenergy_total"]


def test_chain_opens_then_reads(plant, messages, both_ways):
    import gzip

    made = plant(_feed(decoder=["gzip", "json"]))
    good, topic = gzip.compress(b'{"e": 9007199254740993}'), "acme/duisburg/press/p7"
    bomb = gzip.compress(bytes(30_000_000))
    found = both_ways(messages((topic, good), (topic, good[:-4]), (topic, b"{}"), (topic, bomb), (topic, good)), made)
    assert found.decoded.select("message", "value").rows() == [(0, "9007199254740993"), (4, "9007199254740993")]
    assert found.rejects.select("message", "reason").rows() == [(1, "malformed"), (2, "malformed"), (3, "too_large")]


def test_no_messages(plant, messages):
    found = ingest.decode(messages().clear(), ingest.compile(plant(FEED)))
    assert [frame.height for frame in found] == [0, 0, 0]


def test_the_frames_have_the_shapes_of_the_contract(plant, messages, both_ways):
    given = [("acme/duisburg/press/p7", '{"e": 1}'), ("acme/duisburg/press/p7", '{"e": "x"}'), ("x", "")]
    for rows in (given, given[:1], given[1:2], given[2:]):
        found = both_ways(messages(*rows), plant(FEED))
        for frame, schema in zip(found, (DECODED, REJECTS, OUTCOMES), strict=True):
            assert frame.schema == pl.Schema(schema)
        assert set(found.rejects["reason"]) <= set(REASONS)
