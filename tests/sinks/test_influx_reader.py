"""Reading from InfluxDB: what is asked, with everything quoted, and how answers become frames."""

import re
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs

import httpx
import orjson
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.frames import OUTPUT, shaped
from schemas.influx import FIGURE_FIELDS, FIGURE_TAGS
from sinks.influx import InfluxProblem, Reader, provisional
from sinks.influx.quoting import identifier, literal
from sinks.influx.reader import select
from sinks.line_protocol import decoded

AT = datetime(2026, 3, 1, tzinfo=UTC)

meta = st.text(st.sampled_from("\"'\\;-/*$ =,%\n\r\x00a()0"), max_size=15) | st.text(st.characters(exclude_categories=["Cs"]))


@given(meta)
def test_no_value_leaves_its_quotes(value):
    """Read as InfluxQL reads a string: a backslash takes the next sign, the first bare quote ends it."""
    quoted = literal(value)
    inside, rest, place = "", quoted[1:], 0
    while rest[place] != "'":
        if rest[place] == "\\":
            place += 1
            assert rest[place] in "\\'", "InfluxQL knows no other escape"
        inside += rest[place]
        place += 1
    assert place == len(rest) - 1 and decoded(inside) == value
    assert not any(ord(sign) < 0x20 for sign in quoted)


@given(meta.filter(lambda name: name and not any(ord(sign) < 0x20 or ord(sign) == 0x7F for sign in name)))
def test_no_name_leaves_its_quotes(name):
    assert re.fullmatch(r'"(?:[^"\\\n]|\\["\\])*"', identifier(name))
    assert re.sub(r'\\(["\\])', r"\1", identifier(name)[1:-1]) == name


@pytest.mark.parametrize("name", ["", "a\nb", "\x00"])
def test_a_name_that_cannot_be_is_refused(name):
    with pytest.raises(ValueError, match="cannot be a name"):
        identifier(name)


def test_a_query_names_its_range_and_its_values():
    text = select("figures", ["v"], AT, AT + timedelta(microseconds=1), {"source": ["a", "') OR true --"], "site": None})
    start = int(AT.timestamp()) * 10**9
    assert text == (
        f'SELECT "v" FROM "figures" WHERE time >= {start} AND time < {start + 1000} AND '
        "(\"source\"='a' OR \"source\"='\\') OR true --')"
    )


@pytest.fixture
def answering(opened):
    """answering(document, ...): a reader whose store says these, and what it is asked."""

    def make(*documents):
        asked = []

        def answer(request):
            asked.append(parse_qs(request.content.decode()))
            return httpx.Response(200, content=b"\n".join(orjson.dumps(document) for document in documents))

        return Reader(opened(answer), "b", ["tag_line"]), asked

    return make


def document(*rows):
    columns = ["time", "co2e_kg", "status", "interval_s", "source", "scope", "tag_line"]
    names = ["time", *FIGURE_FIELDS, *FIGURE_TAGS, "tag_line"]
    values = [[dict(zip(columns, row, strict=True)).get(name) for name in names] for row in rows]
    return {"results": [{"statement_id": 0, "series": [{"name": "figures", "columns": names, "values": values}]}]}


def test_pieces_of_an_answer_become_frames_that_cut_no_instant(answering):
    t0, t1 = (int(AT.timestamp() + s) * 1_000_000 for s in (0, 60))
    reader, asked = answering(
        document([t0, 3, "final", 60, "b", "1", None]),
        document([t0, 0.1, "final", 60, "a", "1", "x%0A\u0085"], [t1, 1e300, "restated", 60, "a", None, None]),
    )
    frames = list(reader.figures(AT, AT + timedelta(days=1), ["a", "b"]))
    assert [frame["source"].to_list() for frame in frames] == [["a", "b"], ["a"]]
    rows = pl.concat(frames)
    assert dict(list(rows.schema.items())[: len(OUTPUT)]) == OUTPUT and rows.columns[-1] == "tag_line"
    assert rows["co2e_kg"].to_list() == [0.1, 3.0, 1e300]
    assert rows["scope"].to_list() == [1, 1, None] and rows["basis"].to_list() == [""] * 3
    assert rows["interval_end"][0] == AT + timedelta(minutes=1) and rows["tag_line"][0] == "x\n\u0085"
    assert len(asked) == 1 and asked[0]["db"] == ["b"] and asked[0]["chunked"] == ["true"]


def test_long_ranges_are_asked_window_by_window_and_no_source_asks_nothing(answering):
    reader, asked = answering({"results": [{"statement_id": 0}]})
    assert reader.read_figures(AT, AT + timedelta(days=30)).schema == {**OUTPUT, "tag_line": pl.String}
    assert len(asked) == 5
    assert reader.read_figures(AT, AT + timedelta(days=30), []).is_empty() and len(asked) == 5


def test_an_error_in_an_answer_is_raised(answering):
    reader, _ = answering({"results": [{"statement_id": 0, "error": "database not found: b"}]})
    with pytest.raises(InfluxProblem, match="database not found"):
        reader.read_figures(AT, AT + timedelta(days=1))


def test_provisional_until_the_clock_has_passed_the_end_and_the_lateness():
    late = timedelta(minutes=10)
    stored = ["final", "restated", "missing", "unpriced"]
    rows = shaped(pl.DataFrame({"interval_end": [AT] * 4, "site": ["w"] * 4, "status": stored}), OUTPUT)
    open_ = ["provisional", "provisional", "missing", "unpriced"]
    assert provisional(rows, {"w": AT + late}, late)["status"].to_list() == open_
    assert provisional(rows, {"w": AT + late + timedelta(microseconds=1)}, late)["status"].to_list() == stored
    assert provisional(rows, {}, late)["status"].to_list() == stored
