"""The newest rows in memory are those of the table, whatever was written, replaced or rolled back."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.frames import AMOUNTS, READINGS, TIME, shaped
from scopeline.log import Log, Working
from scopeline.log.tail import Tail

T0 = datetime(2026, 3, 1, tzinfo=UTC)


def _amounts(rows):
    """AMOUNTS of (meter, minute, amount)."""
    made = [{"meter": m, "interval_start": T0 + timedelta(minutes=n), "amount_n": a} for m, n, a in rows]
    types = {"meter": pl.String, "interval_start": TIME, "amount_n": pl.Int128}
    return shaped(pl.DataFrame(made, schema=types), AMOUNTS)


def _readings(rows):
    """READINGS of (meter, minute, event, message)."""
    made = [{"meter": m, "observed_at": T0 + timedelta(minutes=n), "event": e, "message": i} for m, n, e, i in rows]
    types = {"meter": pl.String, "observed_at": TIME, "event": pl.String, "message": pl.Int64}
    return shaped(pl.DataFrame(made, schema=types), READINGS)


def _spans(rows):
    made = [(m, T0 + timedelta(minutes=a), T0 + timedelta(minutes=b)) for m, a, b in rows]
    return pl.DataFrame(made, schema={"meter": pl.String, "start": TIME, "end": TIME}, orient="row")


def _stored(log, table):
    return Working(log)._table(f"SELECT count(*) n FROM {table}")["n"][0]


METER, MINUTE = st.sampled_from(["s/a:e", "s/b:e"]), st.integers(0, 30)
STEP = st.one_of(
    st.tuples(st.just("append"), st.lists(st.tuples(METER, MINUTE), max_size=6)),
    st.tuples(st.just("replace"), st.lists(st.tuples(METER, MINUTE), max_size=6)),
    st.tuples(st.just("remove"), st.lists(METER, max_size=1)),
    st.tuples(st.just("fail"), st.lists(st.tuples(METER, MINUTE), max_size=6)),
    st.tuples(st.just("ask"), st.lists(st.tuples(METER, MINUTE), min_size=1, max_size=1)),
)


class Broken(Exception):
    pass


@settings(max_examples=40, deadline=None)
@given(steps=st.lists(STEP, max_size=12), kept=st.integers(1, 8))
def test_what_is_in_memory_is_what_the_table_holds(tmp_path_factory, steps, kept):
    log = Log(tmp_path_factory.mktemp("tail") / "state.duckdb")
    log.tails = {table: Tail(tail._schema, tail.time, kept) for table, tail in log.tails.items()}
    for number, (kind, what) in enumerate(steps):
        try:
            with log.transaction():
                if kind in ("append", "fail"):
                    log.append("amounts", _amounts([(m, n, number) for m, n in what]))
                    log.append("readings", _readings([(m, n, "e" if n % 5 == 0 else None, number) for m, n in what]))
                elif kind == "replace":
                    new = _amounts([(m, n, number) for m, n in what])
                    log.replace("amounts", new.select("meter", "interval_start"), new)
                elif kind == "remove":
                    log.remove("amounts", "meter", what)
                _same(log, what[0][1] if kind == "ask" else number)
                if kind == "fail":
                    raise Broken
        except Broken:
            pass
    log.close()


def _same(log, minute):
    """Every question gives the same from memory as from the file."""
    store = Working(log)
    spans = _spans([("s/a:e", minute, minute + 9), ("s/b:e", minute + 3, minute + 4)])
    questions = (
        lambda: store.within("amounts", spans),
        lambda: store.amounts(["s/a:e"], T0 + timedelta(minutes=minute), T0 + timedelta(minutes=minute + 5)),
        lambda: store.readings_within(spans),
        lambda: store.readings_known(_readings([("s/a:e", minute, None, 0), ("s/b:e", minute + 2, "e", 0)])),
    )
    for ask in questions:
        mine = ask()
        tails, log.tails = log.tails, {table: _Never() for table in log.tails}
        theirs = ask()
        log.tails = tails
        assert mine.schema == theirs.schema
        assert sorted(mine.rows(), key=repr) == sorted(theirs.rows(), key=repr)


class _Never:
    """Holds nothing: every question goes to the file."""

    time = "observed_at"

    def later(self, start, newest):
        return None


def test_no_more_than_twice_what_is_kept_stays_in_memory():
    tail = Tail(AMOUNTS, "interval_start", kept=10)
    assert tail.later(T0, lambda rows: _amounts([])) is not None
    for n in range(100):
        tail.add(_amounts([("s/a:e", n, 1)]))
    assert tail._rows.height <= 20
    assert tail.later(T0 + timedelta(minutes=95), pytest.fail).height == 5
    assert tail.later(T0, pytest.fail) is None
