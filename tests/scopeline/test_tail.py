"""The newest rows in memory are those of the table, whatever was written, replaced or rolled back."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.frames import AMOUNTS, READINGS, TIME, empty, shaped
from scopeline.log import Log, Working
from scopeline.log.tables import TRAFFIC
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
    log.tails = {table: Tail(tail.schema, tail.time, kept) for table, tail in log.tails.items()}
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

    time, schema = "observed_at", {"meter": pl.String}

    def later(self, start, newest):
        return None


@settings(max_examples=40, deadline=None)
@given(
    batches=st.lists(st.tuples(st.booleans(), st.dictionaries(MINUTE, st.integers(1, 5), min_size=1, max_size=6)), max_size=10),
    kept=st.integers(1, 8),
)
def test_traffic_adds_up_whatever_is_in_memory(tmp_path_factory, batches, kept):
    log = Log(tmp_path_factory.mktemp("traffic") / "state.duckdb")
    log.tails = {table: Tail(tail.schema, tail.time, kept) for table, tail in log.tails.items()}
    sums = Counter()
    for number, (fails, counts) in enumerate(batches):
        try:
            with log.transaction():
                log.count(_traffic(counts, number))
                if fails:
                    raise Broken
            sums.update(counts)
        except Broken:
            pass
    last = {minute: number for number, (fails, counts) in enumerate(batches) if not fails for minute in counts}
    found = Working(log).traffic().with_columns(minute=(pl.col("minute") - T0).dt.total_minutes())
    assert dict(found.select("minute", "messages").iter_rows()) == dict(sums)
    assert dict(found.select("minute", "last_message").iter_rows()) == last
    with log.transaction():
        log.count(_traffic({minute: -n for minute, n in sums.items()}, 99))
        log.uncount()
        log.count(_traffic({3: 1}, 100))
    assert Working(log).traffic()["messages"].to_list() == [1]
    log.close()


def _traffic(counts, number):
    """TRAFFIC of minute -> messages."""
    made = [
        {"feed": "f", "outcome": "decoded", "minute": T0 + timedelta(minutes=m), "messages": n, "last_message": number}
        for m, n in counts.items()
    ]
    return shaped(pl.DataFrame(made, schema={name: TRAFFIC[name] for name in made[0]}), TRAFFIC) if made else empty(TRAFFIC)


def test_what_a_large_batch_says_is_asked_in_memory():
    tail = Tail(AMOUNTS, "interval_start", kept=10)
    assert tail.later(T0, lambda rows: _amounts([])) is not None
    tail.add(_amounts([("s/a:e", n, 1) for n in range(10)]))
    tail.add(_amounts([("s/a:e", n, 1) for n in range(10, 60)]))
    assert tail.later(T0 + timedelta(minutes=8), pytest.fail).height == 52
    tail.trim()
    assert tail._rows.height <= 20 and tail.later(T0 + timedelta(minutes=8), pytest.fail) is None


def test_no_more_than_twice_what_is_kept_stays_in_memory():
    tail = Tail(AMOUNTS, "interval_start", kept=10)
    assert tail.later(T0, lambda rows: _amounts([])) is not None
    for n in range(100):
        tail.add(_amounts([("s/a:e", n, 1)]))
        tail.trim()
    assert tail._rows.height <= 20
    assert tail.later(T0 + timedelta(minutes=95), pytest.fail).height == 5
    assert tail.later(T0, pytest.fail) is None
