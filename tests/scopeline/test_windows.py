"""Windows: what new readings touch, neighbours counted in both directions, and how source windows are grouped."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from schemas.frames import TIME
from scopeline import windows

ZERO = datetime(2026, 3, 1, 10, tzinfo=UTC)
MINUTE = 60_000_000


def at(minute: float) -> datetime:
    return ZERO + timedelta(minutes=minute)


def spans(*pairs: tuple[float, float], meter: str = "m") -> pl.DataFrame:
    return pl.DataFrame([(meter, at(a), at(b)) for a, b in pairs], schema=windows.SPAN, orient="row")


def bounds(span: tuple[float, float], instants: list[float], removed: list[float] = [], whole: bool = True, stretch: float = 0):  # noqa: B006
    schema = {"meter": pl.Enum(["m"]), "at": TIME}
    table = pl.DataFrame({"meter": ["m"] * len(instants), "at": [at(m) for m in instants]}, schema=schema)
    out = pl.DataFrame({"meter": ["m"] * len(removed), "at": [at(m) for m in removed]}, schema=schema)
    reach = pl.DataFrame(
        {
            "meter": ["m"],
            "stretch": [timedelta(minutes=stretch)],
            "loaded_from": [at(-1e4)],
            "loaded_to": [at(1e4)],
            "whole_before": [whole],
            "whole_after": [whole],
        }
    )
    found = windows.bounds(spans(span).join(reach, on="meter"), table, out, MINUTE)
    first, last = found.windows.row(0)[1:]
    return (first - ZERO) / timedelta(minutes=1), (last - ZERO) / timedelta(minutes=1), found.missing.rows()


def test_a_new_reading_touches_two_neighbours_on_each_side() -> None:
    assert bounds((5, 5), [0, 1, 2, 3.5, 4, 5, 6, 7.5, 8, 9])[:2] == (3, 8)


def test_the_newest_reading_touches_nothing_after_it() -> None:
    assert bounds((9, 9), [0, 1, 2, 3, 9])[:2] == (2, 10)


def test_neighbours_that_were_taken_out_do_not_count_as_anchors() -> None:
    assert bounds((5, 5), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9], removed=[3, 7])[:2] == (2, 9)


def test_an_only_reading_touches_its_own_interval() -> None:
    assert bounds((5.5, 5.5), [5.5])[:2] == (5, 6)


def test_a_span_where_everything_went_is_still_a_window() -> None:
    assert bounds((5, 6), [])[:2] == (5, 7)


def test_more_is_asked_for_where_neighbours_are_not_loaded() -> None:
    assert bounds((5, 5), [4, 5, 6], whole=False)[2] == [("m", True, True)]
    assert bounds((5, 5), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11], whole=False)[2] == []


def test_periods_stretch_the_window() -> None:
    assert bounds((30, 30), [30], stretch=15)[:2] == (15, 46)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 5)), min_size=1, max_size=12))
def test_merged_spans_cover_the_same_and_do_not_touch(pairs: list[tuple[int, int]]) -> None:
    found = windows.merged(spans(*[(a, a + b) for a, b in pairs]))
    covered = {m for a, b in pairs for m in range(a, a + b + 1)}
    rows = [((s - ZERO) // timedelta(minutes=1), (e - ZERO) // timedelta(minutes=1)) for _, s, e in found.iter_rows()]
    assert {m for a, b in rows for m in range(a, b + 1)} == covered
    assert all(b < c for (_, b), (c, _) in pairwise(rows))


SOME = st.lists(st.tuples(st.sampled_from("abc"), st.integers(-2000, 2000), st.integers(0, 900)), min_size=1, max_size=15)


@given(SOME)
def test_spans_of_several_meters_are_merged_each_for_itself(rows: list[tuple[str, int, int]]) -> None:
    frame = pl.concat([spans((a, a + n), meter=meter) for meter, a, n in rows])
    apart = [windows.merged(frame.filter(meter=meter)) for meter in sorted({meter for meter, _, _ in rows})]
    assert windows.merged(frame).equals(pl.concat(apart))


@given(SOME)
def test_readings_touch_the_spans_that_they_give_one_by_one(rows: list[tuple[str, int, int]]) -> None:
    readings = pl.DataFrame(
        [(meter, at(a), at(a - n) if n > 450 else None, at(a + 3) if n > 450 else None) for meter, a, n in rows],
        schema={"meter": pl.String, "observed_at": TIME, "period_start": TIME, "period_end": TIME},
        orient="row",
    )
    each = [((a - n, a + 3) if n > 450 else (a, a)) for _, a, n in rows]
    alone = pl.concat([spans(span, meter=row[0]) for row, span in zip(rows, each, strict=True)])
    assert windows.touched(readings).equals(windows.merged(alone, gap=windows.NEAR))


@given(SOME, st.lists(st.tuples(st.sampled_from("abcd"), st.integers(-2500, 3000)), max_size=20))
def test_within_takes_what_lies_in_one_of_the_windows(rows: list[tuple[str, int, int]], asked: list[tuple[str, int]]) -> None:
    some = windows.merged(pl.concat([spans((a, a + n + 1), meter=meter) for meter, a, n in rows]))
    frame = pl.DataFrame([(m, at(t)) for m, t in asked], schema={"meter": pl.String, "t": TIME}, orient="row")
    held = [any(name == m and start <= t < end for name, start, end in some.iter_rows()) for m, t in frame.iter_rows()]
    assert windows.within(frame, some, "t").rows() == [row for row, inside in zip(frame.rows(), held, strict=True) if inside]


def test_within_keeps_order_and_borders() -> None:
    frame = pl.DataFrame({"meter": ["m", "x", "m", "m"], "t": [at(3), at(3), at(1), at(2)]})
    kept = windows.within(frame, spans((1, 3)), "t")
    assert kept["t"].to_list() == [at(1), at(2)], "half-open, other meters out"


def test_a_level_holds_until_the_next_or_its_age() -> None:
    known = pl.DataFrame({"meter": ["m", "m"], "at": [at(0), at(20)]}, schema={"meter": pl.String, "at": TIME})
    assert windows.held(spans((0, 0)), known, timedelta(minutes=30)).row(0)[2] == at(20)
    assert windows.held(spans((20, 20)), known, timedelta(minutes=30)).row(0)[2] == at(50)


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3000), st.integers(1, 200)), min_size=1, max_size=10),
    st.integers(1, 6),
)
def test_parts_cover_every_window_and_no_part_is_longer_than_asked(rows: list[tuple[str, int, int]], hours: int) -> None:
    wanted = pl.DataFrame(
        [(s, at(a), at(a + n)) for s, a, n in rows], schema={"source": pl.String, "start": TIME, "end": TIME}, orient="row"
    )
    wanted = windows.merged(wanted, by="source")
    found = list(windows.parts(wanted, timedelta(hours=hours)))
    assert all(part.end - part.start <= timedelta(hours=hours) for part in found)
    told = pl.concat([part.windows.select(wanted.columns) for part in found])
    assert sum((told["end"] - told["start"]).to_list(), timedelta()) == sum(
        (wanted["end"] - wanted["start"]).to_list(), timedelta()
    )
    for source, start, end in wanted.iter_rows():
        minute = start
        while minute < end:
            assert any(source in p.sources and p.start <= minute < p.end for p in found)
            minute += timedelta(minutes=7)


def test_different_finds_new_gone_and_changed_rows_also_with_nulls() -> None:
    old = pl.DataFrame({"k": [1, 2, 3], "v": [None, 5, 6]})
    new = pl.DataFrame({"k": [1, 2, 4], "v": [None, 7, 6]})
    assert sorted(windows.different(old, new, ["k"])["k"]) == [2, 3, 4]
