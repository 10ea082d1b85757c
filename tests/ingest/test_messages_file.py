"""Message files: every line a message or a reject with its number, the fast way as the definition."""

import base64
import json
import sys
from datetime import UTC, datetime

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.messages_file import parse_messages
from schemas.frames import MESSAGES, REJECTS

module = sys.modules["ingest.messages_file"]
GOOD = '{"topic": "a/b", "payload": "1.50", "received_at": "2026-01-01T00:00:00Z"}'


def _both(data: bytes, first: int = 1):
    before = module._FEW
    try:
        module._FEW = 1
        fast = parse_messages(data, first)
        module._FEW = 10**9
        slow = parse_messages(data, first)
    finally:
        module._FEW = before
    assert fast.messages.equals(slow.messages), (fast.messages, slow.messages)
    assert fast.rejects.equals(slow.rejects)
    assert fast.messages.schema == pl.Schema(MESSAGES) and fast.rejects.schema == pl.Schema(REJECTS)
    return fast


def test_all_keys():
    line = {
        "topic": "a/b",
        "payload_base64": base64.b64encode(b"\xff\x00").decode(),
        "received_at": "2026-01-01T01:00:00.1234567+01:00",
        "retained": True,
        "broker": "b1",
    }
    found = _both(json.dumps(line).encode(), 7)
    assert found.messages.to_dicts() == [
        {
            "message": 7,
            "topic": "a/b",
            "payload": b"\xff\x00",
            "received_at": datetime(2026, 1, 1, 0, 0, 0, 123456, tzinfo=UTC),
            "retained": True,
            "broker": "b1",
        }
    ]


def test_numbers_are_those_of_lines():
    found = _both("\n".join([GOOD, "", "  ", "{", GOOD + "\r", "", GOOD, ""]).encode(), 100)
    assert found.messages["message"].to_list() == [100, 104, 106]
    assert found.rejects["message"].to_list() == [103]


@pytest.mark.parametrize(
    ("line", "word"),
    [
        (b"nonsense", "no JSON"),
        (b"[1]", "no JSON object"),
        (b'{"payload": "1", "received_at": "2026-01-01T00:00:00Z"}', "topic is missing"),
        (b'{"topic": "", "payload": "1", "received_at": "2026-01-01T00:00:00Z"}', "topic is missing"),
        (b'{"topic": 5, "payload": "1", "received_at": "2026-01-01T00:00:00Z"}', "topic is no string"),
        (b'{"topic": "a", "payload": "1"}', "received_at is missing"),
        (b'{"topic": "a", "payload": "1", "received_at": "soon"}', "'soon'"),
        (b'{"topic": "a", "payload": "1", "received_at": "2026-01-01T00:00:00"}', "write it like"),
        (b'{"topic": "a", "payload": "1", "received_at": 1700000000}', "received_at is no string"),
        (b'{"topic": "a", "received_at": "2026-01-01T00:00:00Z"}', "payload is missing"),
        (b'{"topic": "a", "payload": {"v": 1}, "received_at": "2026-01-01T00:00:00Z"}', "JSON inside a string"),
        (b'{"topic": "a", "payload": "1", "payload_base64": "MQ==", "received_at": "2026-01-01T00:00:00Z"}', "leave one"),
        (b'{"topic": "a", "payload_base64": "M", "received_at": "2026-01-01T00:00:00Z"}', "no base64"),
        (b'{"topic": "a", "payload": "1", "received_at": "2026-01-01T00:00:00Z", "retained": "no"}', "retained"),
        (b'{"topic": "a", "topic": "b", "payload": "1", "received_at": "2026-01-01T00:00:00Z"}', "twice"),
        (b'{"topic": "a", "payload": "\xff", "received_at": "2026-01-01T00:00:00Z"}', "UTF-8"),
        (b'{"topic": "a", "payload": "\\ud800", "received_at": "2026-01-01T00:00:00Z"}', "surrogate"),
        (b'\xef\xbb\xbf{"topic": "a", "payload": "1", "received_at": "2026-01-01T00:00:00Z"}', "no JSON"),
    ],
)
def test_lines_that_are_no_message(line, word):
    found = _both(b"\n".join([GOOD.encode(), line, GOOD.encode(), b""]))
    assert found.messages["message"].to_list() == [1, 3]
    assert found.rejects.select("message", "reason").rows() == [(2, "malformed")]
    assert found.rejects["detail"][0].startswith("line 2: ") and word in found.rejects["detail"][0]


payload = st.one_of(st.text(max_size=20), st.sampled_from(['{"v": 1}', "a\nb", "back\\slash", "\\n", 'q"q', "\t", "\x00", ""]))
entry = st.fixed_dictionaries(
    {"topic": st.one_of(st.sampled_from(["a/b", 'q"t', "n\nl"]), st.text(max_size=5)), "payload": payload},
    optional={
        "retained": st.sampled_from([True, False, None, "x"]),
        "broker": st.sampled_from(["b", None, 3, 'q"']),
        "extra": st.just(1),
    },
)


@settings(max_examples=150)
@given(
    st.lists(st.tuples(entry, st.sampled_from([True, False]), st.sampled_from(["text", "base64", "cut"])), max_size=8),
    st.sampled_from([(", ", ": "), (",", ":")]),
)
def test_fast_is_slow(entries, separators):
    lines = []
    for one, ascii_only, how in entries:
        line = {**one, "received_at": "2026-01-01T00:00:00Z"}
        if how == "base64":
            line["payload_base64"] = base64.b64encode(line.pop("payload").encode()).decode()
        text = json.dumps(line, ensure_ascii=ascii_only, separators=separators)
        lines.append(text[:-3] if how == "cut" else text)
    found = _both("\n".join(lines).encode())
    assert found.messages.height + found.rejects.height == len(lines)


@given(st.lists(payload.filter(lambda text: "\0" not in text), min_size=1, max_size=5))
def test_payloads_come_back(payloads):
    lines = [json.dumps({"topic": "t", "payload": one, "received_at": "2026-01-01T00:00:00Z"}) for one in payloads]
    assert _both("\n".join(lines).encode()).messages["payload"].to_list() == [one.encode() for one in payloads]


def test_nothing():
    assert _both(b"").messages.height == 0 and _both(b"\n").messages.height == 0
