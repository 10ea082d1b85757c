"""What devices and networks send: each fault has its stated outcome, and the messages beside it change by no byte."""

import gzip
import json
import random
import subprocess
import sys
import textwrap
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

VALUES = {
    "NaN": "not_finite",
    "Infinity": "not_finite",
    "-Infinity": "not_finite",
    '"NaN"': "not_finite",
    '"-inf"': "not_finite",
    "1e400": "out_of_range",
    "-1e400": "out_of_range",
    "1e999999999999": "out_of_range",
    "1" * 500: "out_of_range",
    "1000000000000001": "out_of_range",
    '"12,5"': "no_value",
    '"0x1F"': "no_value",
    '"1_000"': "no_value",
    '"٣"': "no_value",
    '"1 2"': "no_value",
    '"12 kWh"': "no_value",
    '"1355.9060\\tRate too high"': "no_value",
    "true": "no_value",
    "false": "no_value",
    '"true"': "no_value",
    "null": "no_value",
    '""': "no_value",
    '"--1"': "no_value",
    "[]": "no_value",
    "[1]": "no_value",
    '{"x": 1}': "no_value",
    "0x1F": "malformed",
    "12,5": "malformed",
    "+5": "malformed",
    "05": "malformed",
    ".5": "malformed",
    "5.": "malformed",
    "None": "malformed",
    "'5'": "malformed",
}


@pytest.mark.parametrize(("text", "reason"), VALUES.items(), ids=lambda x: x[:24])
def test_what_is_no_number_is_rejected_with_its_reason(lab, harmless, text, reason):
    found = harmless([lab.said("bad", 20, text)])
    assert lab.quarantined(found.said) == {reason: 1}
    assert lab.activity(found.rows) == []


def test_what_is_a_number_is_exact(lab, compute):
    texts = {
        "9007199254740993": 9007199254.740993,
        '"9007199254740993"': 9007199254.740993,
        "1e-7": 0,
        "1e-3": 1e-9,
        "-0": 0,
        "-0.0": 0,
        "0.5e3": 0.0005,
        '" 12.5 "': 0.0000125,
        '"+7"': 0.000007,
        '"007"': 0.000007,
        "1" * 18: 111111111111.11111,
        "0." + "0" * 300 + "1": 0,
        "0e999999999": 0,
    }
    files = lab.plant({**lab.AMOUNT, "unit": "mWh"})
    rows = compute(files, [lab.said("bad", 15 * n, text) for n, text in enumerate(texts)]).rows
    assert lab.activity(rows) == list(texts.values())
    assert "-0" not in [row["activity"] for row in rows]


def test_a_counter_beyond_the_digits_of_a_double_counts_single_steps(lab, compute):
    files = lab.plant({**lab.COUNTER, "unit": "Wh"})
    rows = compute(files, [lab.said("bad", 15 * n, str(9007199254740992 + n)) for n in range(3)]).rows
    assert lab.activity(rows) == [0.001, 0.001]


def test_sums_of_the_largest_numbers_stay_finite(lab, compute):
    rows = compute(
        lab.plant(lab.AMOUNT), [lab.said("bad", n / 60, "999999999999999.999999999") for n in range(500)], "--interval", "1d"
    ).rows
    assert lab.activity(rows) == [500 * 1e15]


PAYLOADS = {
    "cut": b'{"t": "2026-03-02T00:20:00Z", "v": 1',
    "cut in a character": b'{"t": "2026-03-02T00:20:00Z", "v": 1, "n": "\xe2\x82',
    "latin-1": b'{"t": "2026-03-02T00:20:00Z", "v": 1, "n": "\xe4"}',
    "utf-16": '{"t": "2026-03-02T00:20:00Z", "v": 1}'.encode("utf-16"),
    "byte order mark": b'\xef\xbb\xbf{"t": "2026-03-02T00:20:00Z", "v": 1}',
    "duplicate key": b'{"t": "2026-03-02T00:20:00Z", "v": 1, "v": 2}',
    "duplicate key by escape": b'{"t": "2026-03-02T00:20:00Z", "v": 1, "\\u0076": 2}',
    "trailing comma": b'{"t": "2026-03-02T00:20:00Z", "v": 1,}',
    "two documents": b'{"t": "2026-03-02T00:20:00Z", "v": 1}{"t": "2026-03-02T00:21:00Z", "v": 2}',
    "two lines": b'{"t": "2026-03-02T00:20:00Z", "v": 1}\n{"t": "2026-03-02T00:21:00Z", "v": 2}',
    "NUL inside": b'{"t": "2026-03-02T00:20:00Z", "v": 1, "n": "\x00"}',
    "NUL after": b'{"t": "2026-03-02T00:20:00Z", "v": 1}\x00',
    "escaped NUL": b'{"t": "2026-03-02T00:20:00Z", "v": 1, "n": "\\u0000"}',
    "lone surrogate": b'{"t": "2026-03-02T00:20:00Z", "v": 1, "n": "\\ud800"}',
    "encoded surrogate": b'{"t": "2026-03-02T00:20:00Z", "v": 1, "n": "\xed\xa0\x80"}',
    "empty": b"",
    "blank": b"  \n ",
    "single quotes": b"{'t': '2026-03-02T00:20:00Z', 'v': 1}",
    "comment": b'{"t": "2026-03-02T00:20:00Z", "v": 1} // kWh',
    "raw newline in a string": b'{"t": "2026-03-02T00:20:00Z", "v": 1, "n": "a\nb"}',
    "noise": bytes(range(256)),
}


@pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS)
def test_a_malformed_payload_is_quarantined_whole(lab, harmless, payload):
    found = harmless([lab.message("w/bad", payload, 20)])
    assert lab.quarantined(found.said) == {"malformed": 1}
    assert lab.activity(found.rows) == []


@settings(max_examples=25)
@given(
    st.lists(
        st.sampled_from([*PAYLOADS.values(), b"[" * 1000, b'{"t": 5, "v": 1}', b'{"v": 1}', b"\xff"]), min_size=2, max_size=9
    )
)
def test_malformed_payloads_side_by_side_stay_apart(lab, harmless, payloads):
    found = harmless([lab.message("w/bad", payload, 20) for payload in payloads])
    assert sum(lab.quarantined(found.said).values()) == len(payloads)


def test_a_newline_beside_an_empty_payload_shifts_nothing(lab, compute):
    """Joined by newlines, the three payloads would give three readings, each at its neighbour's place."""
    evil = '{"t": "2026-03-02T00:20:00Z", "v": 1}\n{"t": "2026-03-02T00:20:00Z", "v": 777}'
    pairs = [("w/bad", evil), ("w/device", ""), ("w/bad", ""), ("w/device", evil)]
    good = [lab.said(device, 3 * n, n) for n in range(70) for device in ("good", "o/other")]
    alone = compute(lab.plant(lab.COUNTER), good).rows
    for place in (0, 1, 64, 100, len(good)):
        found = compute(lab.plant(lab.COUNTER), [*good[:place], *(lab.message(t, p, 20) for t, p in pairs), *good[place:]])
        assert found.rows == alone
        assert lab.quarantined(found.said) == {"malformed": 4}


DEEP = [
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b"[" * 100_000 + b"]" * 100_000,
    b'{"t": "2026-03-02T00:20:00Z", "v": ' + b"[" * 65 + b"]" * 65 + b"}",
]


@pytest.mark.parametrize("payload", DEEP, ids=["open lists", "open maps", "closed lists", "65 levels"])
def test_deep_nesting_is_refused_before_it_is_read(lab, harmless, payload):
    began = time.process_time()
    found = harmless([lab.message("w/bad", payload, 20)])
    assert lab.quarantined(found.said) in ({"too_large": 1}, {"malformed": 1})
    assert time.process_time() - began < 20


def test_brackets_in_strings_are_no_nesting(lab, harmless):
    text = json.dumps({"t": lab.after(20), "v": 1, "n": "[{" * 500 + '\\"' * 20})
    found = harmless([lab.message("w/bad", text, 20), lab.said("bad", 35, 3)])
    assert lab.quarantined(found.said) == {}
    assert sum(lab.activity(found.rows)) == 2


def test_a_huge_key_and_a_long_text_are_only_long(lab, harmless):
    text = json.dumps({"t": lab.after(20), "k" * 1_000_000: 1, "v": 1, "n": "x" * 1_000_000})
    found = harmless([lab.message("w/bad", text, 20), lab.said("bad", 35, 3)])
    assert lab.quarantined(found.said) == {}
    assert sum(lab.activity(found.rows)) == 2


def test_a_payload_of_64_megabytes_and_a_gzip_bomb_are_refused_in_little_memory():
    """In a child process, so that its memory is its own: the bomb of 10 MB would open to 10 GB."""
    script = """
        import resource, sys
        from datetime import UTC, datetime
        import polars as pl
        import ingest
        from schemas.frames import MESSAGES, shaped
        from schemas.plant import Plant

        settings = {"organisation": "w", "sites": [{"site": "w", "timezone": "UTC"}]}
        channels = [{"channel": "e", "value": "$.v", "unit": "kWh", "kind": "amount"}]
        feeds = [{"feed": f, "topic": f"{f}/{{device}}", "decoder": d, "site": "w", "channels": channels}
                 for f, d in (("plain", "json"), ("zipped", ["gzip", "json"]))]
        feeds = ingest.compile(Plant.model_validate({"settings": settings, "feeds": feeds}))
        now = datetime(2026, 1, 1, tzinfo=UTC)

        import gzip
        bomb = gzip.compress(bytes(2**24)) * 640
        payloads = [("plain/a", b'{"v": 1}'), ("plain/b", b'{"v": "' + b"1" * 64 * 2**20 + b'"}'), ("zipped/c", bomb),
                    ("zipped/d", bomb[: 3 * 2**20]), ("plain/e", b'{"v": 2}')]
        rows = [{"message": n, "topic": topic, "payload": p, "retained": False} for n, (topic, p) in enumerate(payloads)]
        frame = shaped(pl.DataFrame(rows).with_columns(received_at=pl.lit(now)), MESSAGES)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        found = ingest.decode(frame, feeds)
        print(found.decoded["value"].to_list(), found.rejects["reason"].to_list())
        print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr
    told, grown = done.stdout.splitlines()
    assert told == "['1', '2'] ['too_large', 'too_large', 'too_large']"
    assert int(grown) < 400


ZIPPED = {
    "cut head": b"\x1f\x8b",
    "cut end": gzip.compress(b'{"v": 1}')[:-4],
    "not zipped": b'{"v": 1}',
    "empty": gzip.compress(b""),
    "zeros": b"\x1f\x8b\x08" + bytes(99),
}


@pytest.mark.parametrize("payload", ZIPPED.values(), ids=list(ZIPPED))
def test_broken_gzip_is_quarantined(lab, harmless, payload):
    files = lab.plant(lab.COUNTER)
    zipped = {**files["feeds/f.yaml"]["feeds"][0], "feed": "zipped", "topic": "z/{device}", "meter": "w/{device}"}
    zipped["decoder"] = ["gzip", "json"]
    files["feeds/f.yaml"]["feeds"].append(zipped)
    fine = [lab.message("z/bad", gzip.compress(json.dumps({"t": lab.after(n), "v": n}).encode()), n) for n in (20, 30)]
    found = harmless([fine[0], lab.message("z/bad", payload, 25), fine[1]], files)
    assert lab.quarantined(found.said) == {"malformed": 1}
    assert sum(lab.activity(found.rows)) == 10


UNFIT = [
    "kVAh counter",
    "kVA rate",
    "W counter",
    "kWh rate",
    "ton counter",
    "gallon amount",
    "bbl amount",
    "kW/h rate",
    "% counter",
]


@pytest.mark.parametrize("unfit", UNFIT)
def test_units_that_do_not_fit_are_refused_before_anything_is_computed(lab, compute, unfit):
    unit, kind = unfit.split()
    found = compute(lab.plant({"channel": "e", "value": "$.v", "unit": unit, "kind": kind}), [lab.said("bad", 1, 1)], code=1)
    assert "feeds/f.yaml" in found.said or "sources/s.yaml" in found.said
    assert "->" in found.said
    assert not found.bytes


def test_a_unit_in_the_payload_that_is_not_allowed_is_rejected(lab, harmless):
    files = lab.plant({**lab.COUNTER, "unit": {"path": "$.u", "allow": ["kWh", "Wh"]}})
    stated = ['"W"', '"kVAh"', '""', "null", '"mWh"', "5"]
    bad = [lab.said("bad", 20 + n, 1, more=f', "u": {unit}') for n, unit in enumerate(stated)] + [lab.said("bad", 29, 1)]
    fine = [lab.said("bad", 30, 1, more=', "u": "kWh"'), lab.said("bad", 60, 3000, more=', "u": "Wh"')]
    found = harmless([*bad, *fine], files, more=', "u": "kWh"')
    assert lab.quarantined(found.said) == {"unknown_unit": 7}
    assert lab.activity(found.rows) == [1, 1]


@settings(max_examples=30)
@given(st.lists(st.binary(max_size=200), min_size=1, max_size=20), st.integers(0, 2**32))
def test_noise_never_harms(lab, harmless, noise, seed):
    """Random bytes, and good payloads with some bytes changed, cut or doubled."""
    chance = random.Random(seed)
    bent = []
    for _ in range(20):
        data = bytearray(f'{{"t": "{lab.after(20)}", "v": {chance.randint(0, 99)}, "n": ["x", {{"y": null}}]}}'.encode())
        for _ in range(chance.randint(1, 3)):
            place = chance.randrange(len(data))
            way = chance.randrange(3)
            if way == 0:
                data[place] = chance.randrange(256)
            elif way == 1:
                del data[place : place + chance.randint(1, 9)]
            else:
                data[place:place] = data[place : place + chance.randint(1, 9)]
        bent.append(bytes(data))
    harmless([lab.message("w/bad", payload, 20) for payload in [*noise, *bent]])
