"""Payloads that are broken or meant to harm are rejected alone: their neighbours are read as if they were not there."""

import json
import time

import pytest

import ingest

FEED = {
    "feed": "press",
    "topic": "acme/{device}",
    "decoder": "json",
    "site": "duisburg",
    "device": "$.d",
    "channels": [{"channel": "energy", "value": "$.e", "unit": "kWh"}],
}
GOOD = '{"d": "p7", "e": 1.5}'

BROKEN = {
    "empty": b"",
    "cut": b'{"d": "p7", "e": 1.5',
    "trailing comma": b'{"d": "p7", "e": 1.5,}',
    "single quotes": b"{'d': 'p7', 'e': 1.5}",
    "two documents": b'{"d": "p7", "e": 1}\n{"d": "evil", "e": 2}',
    "newline inside": b'{"d": "p\n7", "e": 1.5}',
    "byte order mark": b'\xef\xbb\xbf{"d": "p7", "e": 1.5}',
    "NUL": b'{"d": "p7", "e": 1.5}\x00',
    "escaped NUL": b'{"d": "p\\u00007", "e": 1.5}',
    "cut UTF-8": b'{"d": "p\xc3", "e": 1.5}',
    "overlong UTF-8": b'{"d": "p\xc0\xaf", "e": 1.5}',
    "surrogate in UTF-8": b'{"d": "p\xed\xa0\x80", "e": 1.5}',
    "lone surrogate": b'{"d": "p\\ud800", "e": 1.5}',
    "duplicate key": b'{"d": "p7", "e": 1.5, "e": 2.5}',
    "nested duplicate": b'{"d": "p7", "e": 1.5, "x": {"a": 1, "a": 1}}',
    "leading zero": b'{"d": "p7", "e": 01.5}',
    "plus sign": b'{"d": "p7", "e": +1.5}',
    "hex": b'{"d": "p7", "e": 0x1F}',
    "bare point": b'{"d": "p7", "e": .5}',
    "comment": b'{"d": "p7", "e": 1.5} // ok',
    "utf-16": '{"d": "p7", "e": 1.5}'.encode("utf-16"),
}


@pytest.mark.parametrize("payload", BROKEN.values(), ids=BROKEN.keys())
def test_malformed_is_rejected_and_neighbours_are_untouched(payload, plant, messages, both_ways):
    given = [("acme/x", GOOD), ("acme/x", payload), ("acme/x", GOOD.replace("1.5", "2.5"))]
    found = both_ways(messages(*given), plant(FEED))
    assert found.decoded.select("message", "device", "value").rows() == [(0, "p7", "1.5"), (2, "p7", "2.5")]
    assert found.rejects.select("message", "index", "feed", "reason").rows() == [(1, None, "press", "malformed")]
    assert found.rejects["detail"][0]


@pytest.mark.parametrize(
    "payload",
    [
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"[" * 100 + b"]" * 100,
        b'{"d": "p7", "e": 1.5, "x": "' + b"x" * 5_000_000 + b'"}',
        json.dumps({"d": "p7", "e": 1.5, "x": eval("[" * 80 + "]" * 80)}).encode(),
    ],
    ids=["brackets", "objects", "closed", "5 MB", "deep beside the value"],
)
def test_limits_hold_before_parsing(payload, plant, messages, both_ways):
    start = time.process_time()
    found = both_ways(messages(("acme/x", GOOD), ("acme/x", payload), ("acme/x", GOOD)), plant(FEED))
    assert time.process_time() - start < 5
    assert found.rejects.select("message", "reason").rows() == [(1, "too_large")]
    assert found.decoded["message"].to_list() == [0, 2]


def test_too_many_readings_are_refused_whole(plant, messages, both_ways):
    feed = {**FEED, "each": "$[*]", "device": None, "channels": [{"channel": "energy", "value": "@"}]}
    found = both_ways(messages(("acme/x", "[" + "1," * 100_000 + "1]"), ("acme/x", "[1, 2]")), plant(feed))
    assert found.rejects.select("message", "index", "reason").rows() == [(0, None, "too_large")]
    assert found.decoded.select("message", "value").rows() == [(1, "1"), (1, "2")]


@pytest.mark.parametrize(
    "name", ["p:7", "a/../b", "[x]", "50%", "a b", "tab\there", "nb\u00a0sp", "{{ 7*7 }}", "x" * 3000, "é✓", "*", "+/#"]
)
def test_no_device_name_breaks_a_meter(name, plant, messages, both_ways):
    found = both_ways(messages(("acme/x", json.dumps({"d": name, "e": 1}))), plant(FEED))
    [row] = found.decoded.to_dicts()
    assert row["device"] == name
    place, _, channel = row["meter"].rpartition(":")
    assert channel == "energy" and place.startswith("duisburg/")
    assert not any(c in "[]" or c.isspace() for c in place)
    assert len(place) >= len("duisburg/") + len(name)


@pytest.mark.parametrize("device", ['""', "null", "true", "{}", "[]"])
def test_a_reading_without_device_is_not_read(device, plant, messages, both_ways):
    found = both_ways(messages(("acme/x", f'{{"d": {device}, "e": 1}}'), ("acme/x", '{"e": 1}'), ("acme/x", GOOD)), plant(FEED))
    assert found.rejects["reason"].to_list() == ["unlisted", "unlisted"] and found.decoded["message"].to_list() == [2]


def test_a_site_that_is_no_site_is_not_read(plant, messages, both_ways):
    feed = {**FEED, "site": None, "topic": "acme/{site}/{device}", "device": None}
    rows = [(f"acme/{site}/p", '{"e": 1}') for site in ("duisburg", "nowhere", "", "..", "ref")]
    found = both_ways(messages(*rows), plant(feed))
    assert found.decoded["site"].to_list() == ["duisburg", "ref"]
    assert found.rejects["reason"].to_list() == ["unlisted"] * 3


def test_a_decoder_that_fails_harms_its_message_only(plant, messages, monkeypatch):
    made = ingest.compile(plant(FEED))
    good = made.feeds[0].decoder

    def parse(payload, feed):
        if b"poison" in payload:
            raise ZeroDivisionError("division by zero")
        return good.parse(payload, feed)

    object.__setattr__(made.feeds[0], "decoder", good._replace(parse=parse, by_shape=False))
    found = ingest.decode(messages(("acme/x", GOOD), ("acme/x", "poison"), ("acme/x", GOOD)), made)
    assert found.decoded["message"].to_list() == [0, 2]
    assert found.rejects.select("message", "reason").rows() == [(1, "malformed")]
