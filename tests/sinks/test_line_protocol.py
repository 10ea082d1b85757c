"""Line protocol: read back by an own small parser, so that escapes, floats and what is left out are judged from outside."""

import math
import re
import struct
from datetime import UTC, datetime

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from schemas.frames import EVENTS, OUTPUT, READINGS, TIME, shaped
from schemas.influx import FIGURE_FIELDS, FIGURE_TAGS, ROLLUP_FIELDS
from sinks import line_protocol as lp

AT = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
MICROS = 1772366400123456
_ESCAPED = r"(?:\\[,= ]|[^,= ])"
_LINE = re.compile(rf"(?P<head>{_ESCAPED}+(?:,{_ESCAPED}+={_ESCAPED}+)*) (?P<fields>.*) (?P<time>-?\d+)", re.DOTALL)
_TAG = re.compile(rf",({_ESCAPED}+)=({_ESCAPED}+)")
_FIELD = re.compile(r'(?:^|,)(\w+)=("(?:\\["\\]|[^"\\])*"|[^,"]+)')


def parsed(line):
    """(measurement, tags in their order, fields, time) by the rules of the published grammar."""
    found = _LINE.fullmatch(line)
    assert found, line
    head, fields = found["head"], found["fields"]
    tags = [(unescaped(k), unescaped(v)) for k, v in _TAG.findall(head)]
    values = {}
    for name, text in _FIELD.findall(fields):
        if text.startswith('"'):
            values[name] = re.sub(r'\\(["\\])', r"\1", text[1:-1])
        else:
            values[name] = {"true": True, "false": False}.get(text, text) if text in ("true", "false") else float(text)
    return head.split(",")[0], tags, values, int(found["time"])


def unescaped(text):
    return re.sub(r"\\([,= ])", r"\1", text)


def one(tags, fields, time=AT):
    frame = pl.DataFrame({"at": [time], **{k: [v] for k, v in {**tags, **fields}.items()}}, schema_overrides={"at": TIME})
    return lp.lines(frame, "m", list(tags), list(fields), "at").to_list()


def test_tags_stand_in_order_and_empty_ones_are_left_out():
    (line,) = one({"zone": "z", "area": "a", "none": None, "empty": ""}, {"v": 1.0})
    assert line == f"m,area=a,zone=z v=1.0 {MICROS}"


def test_numbers_are_floats_whatever_their_column():
    frame = pl.DataFrame({"at": [AT], "a": [3], "b": [3.0], "c": [True], "d": ["3"]})
    (line,) = lp.lines(frame, "m", [], ["a", "b", "c", "d"], "at").to_list()
    assert line == f'm a=3.0,b=3.0,c=true,d="3" {MICROS}'


def test_what_is_no_number_is_left_out_and_a_row_of_nothing_too():
    frame = pl.DataFrame({"at": [AT] * 4, "a": [math.nan, math.inf, -math.inf, None], "b": [1.0, None, None, None]})
    assert lp.lines(frame, "m", [], ["a", "b"], "at").to_list() == [f"m b=1.0 {MICROS}"]


def test_a_row_without_a_time_is_left_out():
    frame = pl.DataFrame({"at": [None, AT], "v": [1.0, 2.0]}, schema={"at": TIME, "v": pl.Float64})
    assert lp.lines(frame, "m", [], ["v"], "at").to_list() == [f"m v=2.0 {MICROS}"]
    assert lp.lines(frame.clear(), "m", [], ["v"], "at").to_list() == []


@given(st.floats(allow_nan=False, allow_infinity=False))
@example(5e-324)
@example(1.7976931348623157e308)
@example(0.1 + 0.2)
@example(-0.0)
@example(1e16)
def test_a_number_reads_back_as_the_same_double(number):
    (line,) = one({}, {"v": number})
    assert not re.search(r"[iu] \d+$", line)
    assert struct.pack("d", parsed(line)[2]["v"]) == struct.pack("d", number)


text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.text("\\\"',= %0A5C\n\r\t", max_size=12)


@given(st.lists(st.tuples(text, text), min_size=1, max_size=300))
@example([("\\", "\\"), ("a\\", 'q"\\'), ("%5C", "\n"), ("a\nb", ""), ("\\,", "\\\\"), ("%250A", '"')])
@example([("same \\", 'same"')] * 300)
def test_texts_come_back_as_they_were(rows):
    frame = pl.DataFrame(rows, schema=["tag", "text"], orient="row").with_columns(at=pl.lit(AT))
    written = lp.lines(frame, "m", ["tag"], ["text"], "at").to_list()
    assert len(written) == len(rows)
    for line, (tag, words) in zip(written, rows, strict=True):
        _, tags, fields, time = parsed(line)
        assert [lp.decoded(value) for _, value in tags] == ([tag] if tag else [])
        assert (fields, time) == ({"text": words}, MICROS)
        assert not any(value.endswith("\\") or "\n" in value for _, value in tags)


def test_two_tags_never_become_one():
    odd = ["a\n", "a%0A", "a%250A", "a\\", "a%5C", "a%255C", "a%25", "a%", "a%2525"]
    assert len({lp.encoded(tag) for tag in odd}) == len(odd)
    assert lp.encoded("works/boiler%20a:gas") == "works/boiler%20a:gas", "ids of meters are stored as they are"


def output(**values):
    row = {"interval_start": AT, "interval_end": datetime(2026, 3, 1, 12, 1, 0, 123456, tzinfo=UTC), "site": "works"}
    row |= {"source": "boiler", "component": "main", "scope": 1, "category": "stationary", "basis": "", "status": "final"}
    return shaped(pl.DataFrame([row | values]), OUTPUT)


def test_a_figure_has_its_key_as_tags_and_the_rest_as_fields():
    rows = output(co2e_kg=1.5, config="c", factor_age_years=2.0).with_columns(tag_line=pl.lit("b 1"), lag_us=pl.lit(90_500_000))
    measurement, tags, fields, time = parsed(lp.figures(rows, ["tag_line"]).item())
    assert measurement == "figures" and time == MICROS
    assert dict(tags) == {
        "site": "works",
        "source": "boiler",
        "component": "main",
        "scope": "1",
        "category": "stationary",
        "tag_line": "b 1",
    }
    wanted = {"co2e_kg": 1.5, "config": "c", "factor_age_years": 2.0, "status": "final", "interval_s": 60.0, "lag_s": 90.5}
    assert fields == wanted


def test_every_column_of_a_figure_is_stored():
    full = {name: 1.5 if kind == pl.Float64 else "x" for name, kind in OUTPUT.items() if kind in (pl.Float64, pl.String)}
    _, tags, fields, _ = parsed(lp.figures(output(**full).with_columns(lag_s=pl.lit(1.0))).item())
    assert {name for name, _ in tags} == set(FIGURE_TAGS)
    assert list(fields) == list(FIGURE_FIELDS)


def test_a_rollup_has_the_sums_that_it_is_given():
    sums = output(co2e_kg=3.0).select("interval_start", *FIGURE_TAGS, "co2e_kg").with_columns(expected_s=pl.lit(3600.0))
    measurement, _, fields, _ = parsed(lp.rollup_lines(sums, "1h").item())
    assert (measurement, fields) == ("figures_1h", {"co2e_kg": 3.0, "expected_s": 3600.0})
    assert set(fields) <= set(ROLLUP_FIELDS)
    with pytest.raises(KeyError):
        lp.rollup_lines(sums, "2h")


def test_readings_are_in_base_units():
    row = {"meter": "works/m a:e", "site": "works", "kind": "counter", "quality": "good", "observed_at": AT, "unit": "Wh"}
    rows = shaped(pl.DataFrame([row | {"value_n": 12_345_678_900}, row | {"value_n": 3 * 10**24 + 7}]), READINGS)
    first, second = (parsed(line) for line in lp.readings(rows))
    assert dict(first[1]) == {"kind": "counter", "meter": "works/m a:e", "site": "works", "unit": "kWh"}
    assert first[2] == {"value": 12.3456789, "quality": "good"}
    assert second[2]["value"] == (3 * 10**24 + 7) / 10**9
    assert lp.readings(rows.clear()).to_list() == []


def test_a_clock_keeps_its_microseconds_and_one_point_a_minute():
    now = datetime(2026, 4, 1, 10, 30, 17, 5, tzinfo=UTC)
    _, tags, fields, time = parsed(lp.clock({"works": AT}, now).item())
    assert tags == [("site", "works")] and time == int(datetime(2026, 4, 1, 10, 30, tzinfo=UTC).timestamp()) * 1_000_000
    assert round(fields["newest"] * 1_000_000) == MICROS
    assert lp.clock({}, now).to_list() == []


def test_health_has_the_tags_that_are_there():
    counts = pl.DataFrame({"at": [AT], "feed": ["f"], "outcome": ["decoded"], "partition": [3], "messages": [17]})
    assert lp.feeds(counts).item() == f"feeds,feed=f,outcome=decoded,partition=3 messages=17.0 {MICROS}"
    unmatched = counts.with_columns(feed=pl.lit(None, dtype=pl.String), outcome=pl.lit("unmatched"))
    assert lp.feeds(unmatched).item() == f"feeds,outcome=unmatched,partition=3 messages=17.0 {MICROS}"
    behind = pl.DataFrame({"at": [AT], "partition": [3], "records": [5], "seconds": [0.5]})
    assert lp.lag(behind).item() == f"lag,partition=3 records=5.0,seconds=0.5 {MICROS}"
    found = shaped(pl.DataFrame([{"meter": "works/m:e", "at": AT, "event": "reset"}]), EVENTS)
    assert lp.events(found).item() == f'events,event=reset,meter=works/m:e,site=works detail="" {MICROS}'
