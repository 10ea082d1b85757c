"""The fast path says what the definition says, digit for digit, however messages are batched and whatever stands beside them."""

import json
import sys
from decimal import Decimal

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ingest

CHANNELS = [
    {"channel": "energy", "value": "$.e", "unit": "kWh", "kind": "counter"},
    {"channel": "power", "value": "$.x.p[0]", "unit": {"path": "$.u", "allow": ["W", "kW"]}, "where": {"$.ok": [True, 1, "yes"]}},
]
FEEDS = [
    {
        "feed": "json",
        "topic": "json/{device}",
        "decoder": "json",
        "site": "duisburg",
        "observed_at": {"path": "$.t"},
        "quality": {"path": "$.q", "good": ["ok", 1]},
        "channels": CHANNELS,
    },
    {"feed": "plain", "topic": "plain/{device}", "decoder": "plain", "site": "york", "channels": [{"channel": "v"}]},
    {"feed": "tasmota", "decoder": "tasmota", "site": "york"},
    {"feed": "zigbee", "decoder": "zigbee2mqtt", "site": "howe"},
    {"feed": "shelly", "decoder": "shelly", "site": "york", "topic": "{device}/status/+"},
    {
        "feed": "each",
        "topic": "each/x",
        "decoder": "json",
        "site": "york",
        "each": "$[*]",
        "device": "@.d",
        "channels": [{"channel": "v", "value": "@.e", "event": "@.t"}],
    },
]

number = st.one_of(
    st.integers(-(10**25), 10**25).map(str),
    st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**12), max_value=10**12).map(lambda d: format(d, "f")),
    st.sampled_from(["-0", "0.10", "1e-7", "2E+3", "9007199254740993", "0.12345678901234567891", "01", "+1", ".5", "1.", "NaN"]),
)
string = st.one_of(
    st.sampled_from(
        ["W", "kW", "ok", "yes", "p7", "12.5", " 7 ", "+1", "12,5", "nan", "", "a:b", 'quote"d', "back\\slash", "é", "\t", "\x7f"]
    ),
    st.sampled_from(
        ["2026-05-01T10:00:00Z", "2026-10-25T02:30:00", "2026-03-29T02:30:00", "2026-05-01 10:00:00.5+02:00", "2026-02-30"]
    ),
    st.text(max_size=8),
)
scalar = st.one_of(
    number,
    string.map(json.dumps),
    string.map(lambda s: json.dumps(s, ensure_ascii=False)),
    st.sampled_from(["true", "false", "null"]),
)
space = st.sampled_from(["", "", "", " ", "\n\t ", "\x0b"])


@st.composite
def document(draw, depth=0):
    kind = draw(st.sampled_from(["object", "object", "scalar", "array"] if depth < 2 else ["scalar"]))
    if kind == "scalar":
        return draw(scalar)
    gap = draw(space)
    if kind == "array":
        return "[" + gap + ",".join(draw(st.lists(document(depth + 1), max_size=3))) + gap + "]"
    keys = [
        "t",
        "e",
        "u",
        "x",
        "p",
        "q",
        "d",
        "ok",
        "Time",
        "ENERGY",
        "Total",
        "Power",
        "last_seen",
        "energy",
        "apower",
        "a.b",
        "ä",
    ]
    names = draw(st.lists(st.sampled_from(keys), max_size=6))
    return "{" + gap + f",{gap}".join(f"{json.dumps(n)}:{gap}{draw(document(depth + 1))}" for n in names) + gap + "}"


usual = st.builds(
    '{{"t": "2026-05-01T10:00:0{}Z", "e": {}, "u": "{}", "x": {{"p": [{}]}}, "ok": {}, "q": {}}}'.format,
    st.integers(0, 9),
    number,
    st.sampled_from(["W", "kW", "m3"]),
    scalar,
    scalar,
    scalar,
)
payload = st.one_of(
    usual.map(str.encode),
    document().map(lambda text: text.encode("utf-8", "surrogatepass")),
    scalar.map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.tuples(document(), st.integers(0, 40)).map(lambda pair: pair[0].encode("utf-8", "surrogatepass")[: pair[1]]),
    st.binary(max_size=12),
)
topic = st.sampled_from(
    ["json/a", "json/b", "plain/a", "tele/a/SENSOR", "zigbee2mqtt/a", "zigbee2mqtt/a/energy", "p/status/switch:0", "each/x"]
)


@settings(max_examples=150)
@given(st.lists(st.tuples(topic, payload), min_size=1, max_size=12))
def test_fast_is_slow(plant, messages, both_ways, rows):
    both_ways(messages(*rows), plant(*FEEDS))


@settings(max_examples=60)
@given(st.lists(st.tuples(topic, payload), min_size=2, max_size=12), st.integers(1, 11))
def test_batches_do_not_matter(plant, messages, rows, cut):
    made = ingest.compile(plant(*FEEDS))
    whole = messages(*rows)
    parts = [ingest.decode(part, made) for part in (whole.head(cut), whole.slice(cut))]
    at_once = ingest.decode(whole, made)
    for name in ("decoded", "rejects", "outcomes"):
        assert pl.concat([getattr(part, name) for part in parts]).equals(getattr(at_once, name))


@settings(max_examples=40)
@given(st.lists(st.tuples(topic, payload), min_size=2, max_size=8), st.randoms())
def test_arrival_order_does_not_matter(plant, messages, rows, chance):
    made = ingest.compile(plant(*FEEDS))
    whole = messages(*rows)
    places = list(range(whole.height))
    chance.shuffle(places)
    for one, other in zip(ingest.decode(whole, made), ingest.decode(whole[places], made), strict=True):
        assert one.equals(other)


@given(st.integers(-(10**40), 10**40), st.integers(0, 40))
def test_every_digit_survives(plant, messages, both_ways, digits, places):
    text = format(Decimal(digits).scaleb(-places), "f")
    found = both_ways(messages(("plain/a", text), ("plain/a", f'"{text}"')), plant(*FEEDS))
    assert found.decoded["value"].to_list() == [text, text]


@pytest.mark.parametrize("count", [1, 63, 64, 200])
def test_a_batch_of_one_shape_with_odd_ones_among_it(count, plant, messages, both_ways):
    odd = ['{"t": "2026-05-01T10:00:00Z", "e": "7"}', '{"e": 7, "t": "2026-05-01T10:00:00Z"}', "{", b"\xff"]
    rows = [f'{{"t": "2026-05-01T10:00:00Z", "e": {n}.50}}' for n in range(count)]
    for place, one in enumerate(odd):
        rows.insert(place * count // len(odd), one)
    feed = {**FEEDS[0], "channels": CHANNELS[:1]}
    found = ingest.decode(messages(*(("json/a", row) for row in rows)), ingest.compile(plant(feed)))
    assert found.decoded.height == count + 2 and found.rejects.height == 2
    assert found.decoded.equals(both_ways(messages(*(("json/a", row) for row in rows)), plant(feed)).decoded)
    assert sorted(found.decoded["value"].to_list()) == sorted([*(f"{n}.50" for n in range(count)), "7", "7"])


def test_the_usual_goes_the_fast_way(plant, messages, monkeypatch):
    """Speed rests on this: payloads of one shape are never read one by one."""
    slow = []
    monkeypatch.setattr(
        sys.modules["ingest.decode"]._Reader, "one_by_one", lambda self, feed, place, part: slow.append(part.height)
    )
    rows = [("json/a", f'{{"t": "2026-05-01T10:00:00Z", "e": {n}, "u": "W", "q": "é", "x": {{"p": [{n}]}}}}') for n in range(500)]
    rows += [("tele/a/SENSOR", f'{{"Time":"2026-05-01T10:00:00","ENERGY":{{"Total":{n},"Power":[1,2]}}}}') for n in range(500)]
    found = ingest.decode(messages(*rows), ingest.compile(plant(*FEEDS)))
    assert found.decoded.height == 500 + 3 * 500 and sum(slow) == 0
