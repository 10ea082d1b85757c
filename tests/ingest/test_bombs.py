"""Small payloads that would grow: time and memory stay in proportion to what was sent."""

import json
import tracemalloc

import pytest

import ingest

COUNT = 40_000
LONG = "x" * 400_000


def feed(decoder, **more):
    return {"feed": "f", "topic": "t/{device}", "decoder": decoder, "site": "duisburg", **more}


LISTED = {"each": "$.l[*]", "channels": [{"channel": "e", "value": "@", "unit": "kWh", "kind": "amount"}]}
BOMBS = {
    "a device in each element": (feed("json", device="$.d", **LISTED), {"d": LONG, "l": list(range(COUNT))}),
    "a stamp in each element": (feed("json", observed_at={"path": "$.d"}, **LISTED), {"d": LONG, "l": list(range(COUNT))}),
    "a key above many": (feed("zigbee2mqtt"), {LONG: {str(n): n for n in range(COUNT)}}),
    "keys above keys": (feed("tasmota"), {"ENERGY": {LONG: {str(n): n for n in range(COUNT)}}}),
    "a base name": (feed("senml"), [{"bn": LONG, "n": "0", "v": 1}, *({"n": str(n), "v": n} for n in range(COUNT))]),
    "a base unit": (feed("senml"), [{"bn": "a", "bu": LONG, "v": 1}, *({"v": n} for n in range(COUNT))]),
}


@pytest.mark.parametrize(("made", "payload"), BOMBS.values(), ids=BOMBS)
def test_a_long_name_is_not_repeated_in_every_reading(made, payload, plant, messages):
    text = json.dumps(payload)
    good = '{"l": [1], "d": "2026-01-01T00:00:00Z"}' if made["decoder"] == "json" else None
    given = [("t/a", text)] + ([("t/a", good)] if good else [])
    feeds = ingest.compile(plant(made))
    tracemalloc.start()
    found = ingest.decode(messages(*given), feeds)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.rejects["reason"].to_list() == ["too_large"]
    assert found.decoded.height == len(given) - 1
    assert peak < 200 * len(text)


@pytest.mark.parametrize("decoder", ["json", "plain", "zigbee2mqtt", "tasmota", "shelly", "senml"])
def test_a_string_that_never_ends_is_read_once(decoder, plant, messages):
    """Escaped quotes before the brackets: a search that starts anew at each of them would take hours."""
    evil = '["' + '\\"' * 500_000 + "[" * 65
    made = plant(feed(decoder, **({"channels": [{"channel": "e", "value": "$.e"}]} if decoder == "json" else {})))
    found = ingest.decode(messages(("t/a", evil)), ingest.compile(made))
    assert found.rejects["reason"].to_list() in (["malformed"], ["too_large"])


def test_a_number_of_a_million_digits_is_not_added_to_every_record(plant, messages):
    pack = '[{"bn":"a","bv":0.' + "0" * 1_000_000 + ',"v":1}' + ',{"v":1}' * COUNT + "]"
    found = ingest.decode(messages(("t/a", pack)), ingest.compile(plant(feed("senml"))))
    assert found.rejects["reason"].to_list() == ["too_large"]
