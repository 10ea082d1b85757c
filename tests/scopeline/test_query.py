"""Arguments of questions: times, intervals, groups, filters, the same for command line and HTTP."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.plant import Plant, PlantFile, Site
from scopeline.query import Filter, QueryError, chunks, figure_query, file_format, moment

PLANT = Plant(
    settings=PlantFile(
        organisation="Acme",
        tags=("line",),
        sites=(Site(site="duisburg", timezone="Europe/Berlin"), Site(site="gwangyang", timezone="Asia/Seoul")),
    )
)


def utc(*parts):
    return datetime(*parts, tzinfo=UTC)


def test_local_days_of_each_site():
    query = figure_query(PLANT, "2026-03-29", "2026-03-30")
    assert query.windows(PLANT) == {
        "duisburg": (utc(2026, 3, 28, 23), utc(2026, 3, 29, 22)),  # 23 hours
        "gwangyang": (utc(2026, 3, 28, 15), utc(2026, 3, 29, 15)),
    }


def test_instants_are_the_same_everywhere():
    query = figure_query(PLANT, "2026-03-29T00:00:00Z", "2026-03-29T12:00:00+02:00")
    assert set(query.windows(PLANT).values()) == {(utc(2026, 3, 29), utc(2026, 3, 29, 10))}


@given(st.datetimes(min_value=datetime(1970, 1, 2), max_value=datetime(2200, 1, 1), timezones=st.timezones()))
def test_any_rfc3339_instant_is_read_exactly(at):
    if at.utcoffset().total_seconds() % 60:
        return  # RFC 3339 has no seconds in an offset
    assert moment(at.isoformat(), "from").at == at.astimezone(UTC)


@pytest.mark.parametrize(
    "text", ["", "march", "2026-13", "2026-02-30", "20260301", "2026-3-1", "2026-03-01T25:00Z", "1e9", "2026-03-01T10"]
)
def test_what_is_no_time_is_refused_with_the_remedy(text):
    with pytest.raises(QueryError) as error:
        figure_query(PLANT, text, "2027")
    assert "from" in error.value.message and "2026-03" in error.value.remedy


def test_groups_and_filters():
    query = figure_query(PLANT, "2026", "2027", "1mo", ["site", "scope,tag_line"], ["scope=2,scope=1", "site=duisburg"], "market")
    assert query.group_by == ("site", "scope", "tag_line")
    assert query.where == (Filter("scope", ("1", "2")), Filter("site", ("duisburg",)))
    assert list(query.windows(PLANT)) == ["duisburg"]
    assert figure_query(PLANT, "2026", "2027", group_by="none").group_by == ()
    again = query.arguments()
    given_back = figure_query(
        PLANT, again["from"], again["to"], again["interval"], again["group_by"], again["where"], again["basis"]
    )
    assert given_back == query, "the canonical text asks the same question"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"interval": "2h"}, "interval"),
        ({"group_by": "sites"}, "group_by"),
        ({"group_by": "tag_colour"}, "group_by"),
        ({"where": "site"}, "column=value"),
        ({"where": "scope=4"}, "scope"),
        ({"where": "site=nowhere"}, "plant.yaml"),
        ({"where": "1=1;drop table figures=x"}, "where"),
        ({"basis": "best"}, "basis"),
    ],
)
def test_unknown_words_are_refused(arguments, says):
    with pytest.raises(QueryError, match=says):
        figure_query(PLANT, "2026", "2027", **arguments)


def test_a_range_has_a_length():
    with pytest.raises(QueryError, match="not before"):
        figure_query(PLANT, "2026-04", "2026-04")
    with pytest.raises(QueryError, match="to is missing"):
        figure_query(PLANT, "2026-04", None)


def test_formats():
    assert [file_format(None, f"a.{e}") for e in ("csv", "PARQUET", "xlsx", "json")] == ["csv", "parquet", "xlsx", "json"]
    with pytest.raises(QueryError, match="ending"):
        file_format(None, "figures")


@given(st.integers(1, 2_000_000), st.datetimes(datetime(2020, 1, 1), datetime(2026, 1, 1)), st.integers(1, 100_000))
def test_chunks_are_the_range_without_gap_or_overlap(rows, start, minutes):
    begin = start.replace(tzinfo=UTC)
    end = begin + timedelta(minutes=minutes)
    parts = list(chunks(begin, end, "America/New_York", rows))
    assert parts[0][0] == begin and parts[-1][1] == end
    assert all(a[1] == b[0] and a[0] < a[1] for a, b in pairwise(parts))
