"""Topics, device names and lines of message files that mean harm, or nothing."""

import json
from typing import Any

import pytest


@pytest.mark.parametrize("retained", [True, False])
def test_a_retained_message_is_no_new_reading(lab, compute, retained):
    messages = [lab.said("bad", 15 * n, n) for n in range(4)]
    again = {**messages[2], "received_at": lab.after(500), "retained": retained}
    whole = compute(lab.plant(lab.COUNTER), messages)
    assert compute(lab.plant(lab.COUNTER), [*messages, again, again, again]).rows == whole.rows
    only = compute(lab.plant(lab.COUNTER), [{**one, "retained": retained} for one in messages])
    assert lab.activity(only.rows) == ([] if retained else [1, 1, 1])
    assert ("skipped: 4" in only.said) == retained


TOPICS = {"plus": "w/+", "hash": "w/#", "NUL": "w/b\x00d", "surrogate": "w/\ud800", "long": "w/" + "d" * 65_534}


@pytest.mark.parametrize("topic", TOPICS.values(), ids=TOPICS)
def test_topics_that_mqtt_forbids_are_quarantined(lab, harmless, topic):
    found = harmless([{**lab.said("bad", 20, 1), "topic": topic}])
    assert lab.quarantined(found.said) == {"malformed": 1}


@pytest.mark.parametrize("topic", ["$share/g/w/bad", "$SYS/bad", "w", "w/bad/more", "/w/bad", "W/bad", "w//bad"])
def test_topics_that_no_feed_names_are_unmatched(lab, harmless, topic):
    found = harmless([{**lab.said("bad", 20, 1), "topic": topic}])
    assert lab.quarantined(found.said) == {}
    assert "unmatched: 1" in found.said


NAMES = ["..", ".", "a b", "a[b]", "100%", "%2e%2e", "\x07", "=1-1", "a:b", "a\u202eb", "'; DROP TABLE readings; --", "{site}"]
NAMES += ["{{ 7*7 }}", "<img onerror>", "ü", "\u00a0", "a\nb", "*", "a\\b", '"', "CON", "~", "-1", "0", "null"]


@pytest.mark.parametrize("name", NAMES)
def test_a_device_may_be_called_anything_and_stays_itself(lab, compute, name):
    """for_each makes a source of each device; no other device is meant, and the sum is whole."""
    files = lab.plant(lab.AMOUNT)
    common = {"site": "w", "scope": "none", "category": "energy_only"}
    each = {"source": "s-{n}", "for_each": "w/*:e", "measured_by": "{meter}", **common}
    files["sources/s.yaml"] = {"sources": [each, {"source": "all", "measured_by": "sum([w/*:e])", **common}]}
    rows = compute(files, [lab.said(f"w/{name}", 1, 5), lab.said("good", 1, 7)]).rows
    sums = {row["source"]: row["activity"] for row in rows}
    assert sums.pop("all") == "12"
    assert sorted(sums.values()) == ["5", "7"]
    assert sums["s-good"] == "7"


def test_a_name_with_the_letters_of_another_is_another(lab, compute):
    """What percent-encoding makes of one name is no other device's name."""
    devices = ["w/bad", "w/bad ", "w/bad%20", "w/BAD", "w/bad\u00a0"]
    rows = compute(lab.plant(lab.AMOUNT), [lab.said(device, 1, 5 + n) for n, device in enumerate(devices)]).rows
    assert lab.activity(rows) == [5]


GOOD = {"topic": "w/bad", "payload": "{}", "received_at": "2026-03-02T00:00:00Z"}


def line(without: str = "", **more: Any) -> bytes:
    """A good line without a key, or with others in its place."""
    return json.dumps({key: value for key, value in {**GOOD, **more}.items() if key != without}).encode() + b"\n"


LINES = {
    "an empty object": b"{}\n",
    "a list": b"[]\n",
    "null": b"null\n",
    "a number": b"5\n",
    "no JSON": b"topic: w/bad\n",
    "no topic": line("topic"),
    "an empty topic": line(topic=""),
    "a topic that is no text": line(topic=5),
    "no payload": line("payload"),
    "a payload that is no text": line(payload={"v": 1}),
    "two payloads": line(payload_base64="e30="),
    "no base64": line("payload", payload_base64="%%%"),
    "half a surrogate": line(payload="\ud800"),
    "no arrival": line("received_at"),
    "an arrival in words": line(received_at="now"),
    "an arrival without zone": line(received_at="2026-03-02T00:00:00"),
    "an arrival that is a number": line(received_at=5),
    "an arrival in the year 1": line(received_at="0001-01-01T00:00:00Z"),
    "an arrival in the year 9999": line(received_at="9999-12-31T23:59:59Z"),
    "retained in words": line(retained="no"),
    "no UTF-8": line(payload="?").replace(b"?", b"\xff"),
    "a byte order mark": b"\xef\xbb\xbf" + line(),
    "NUL": b"\x00\n",
    "brackets": b"[" * 100_000 + b"\n",
    "a topic twice": line().replace(b"{", b'{"topic": "w/x", ', 1),
}


@pytest.mark.parametrize("text", LINES.values(), ids=LINES)
def test_a_line_that_is_no_message_is_quarantined_alone(lab, harmless, text):
    found = harmless([text])
    assert lab.quarantined(found.said) == {"malformed": 1}


def test_blank_lines_and_carriage_returns_are_passed_over(lab, harmless):
    crossed = json.dumps(lab.said("bad", 20, 1)).encode() + b"\r\n"
    found = harmless([b"\n", b"  \n", b"\r\n", crossed, lab.said("bad", 35, 3)])
    assert lab.quarantined(found.said) == {}
    assert sum(lab.activity(found.rows)) == 2


@pytest.mark.parametrize("received", ["1970-01-01T00:10:00Z", "2199-12-31T23:59:59Z"])
def test_a_distant_arrival_is_computed(lab, compute, received):
    messages = [{"topic": "w/bad", "payload": json.dumps({"t": received, "v": 5}), "received_at": received}]
    for more in ((), ("--interval", "1d"), ("--interval", "1y")):
        assert lab.activity(compute(lab.plant(lab.AMOUNT, zone="Pacific/Auckland"), messages, *more).rows) == [5]
