"""What rows repeat stands once, is numbered alike for everybody, and survives a transaction that is rolled back."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from schemas.frames import OUTCOMES, READINGS, shaped
from scopeline.log import Log, Store, Working

T0 = datetime(2026, 3, 1, tzinfo=UTC)


def _readings(first, count, meters=2, quality="good"):
    made = [
        {"meter": f"s/m{n % meters}:e", "site": "s", "observed_at": T0 + timedelta(minutes=n), "message": n, "quality": quality}
        for n in range(first, first + count)
    ]
    return shaped(pl.DataFrame(made), READINGS)


def _said(log, table):
    return log.cursor().execute(f"SELECT * FROM {table}_said ORDER BY said").fetchall()


@pytest.fixture
def log(tmp_path):
    made = Log(tmp_path / "s.duckdb")
    yield made
    made.close()


def test_rows_name_their_texts_by_a_number(log):
    readings = _readings(0, 20)
    with log.transaction():
        log.append("readings", readings[:10])
        log.append("readings", readings[10:])
    assert [row[:2] for row in _said(log, "readings")] == [(0, "s/m0:e"), (1, "s/m1:e")]
    assert Store(log).readings().sort("message").equals(readings)


def test_texts_of_a_transaction_that_is_rolled_back_are_not_known(log):
    with log.transaction():
        log.append("readings", _readings(0, 1))
    with pytest.raises(RuntimeError), log.transaction():
        log.append("readings", _readings(1, 3, quality="suspect"))
        raise RuntimeError("stop")
    more = _readings(1, 3, quality="other")
    with log.transaction():
        log.append("readings", more)
    assert {row[-1] for row in _said(log, "readings")} == {"good", "other"}
    assert Store(log).readings().sort("message").equals(pl.concat([_readings(0, 1), more]))


def test_a_file_that_is_opened_again_goes_on_numbering(log):
    with log.transaction():
        log.append("readings", _readings(0, 2))
    log.reopen()
    more = _readings(2, 6, meters=5)
    with log.transaction():
        log.append("readings", more)
    assert [row[0] for row in _said(log, "readings")] == list(range(5))
    assert Store(log).readings().sort("message").equals(pl.concat([_readings(0, 2), more]))


def test_what_is_not_said_stays_so(log):
    told = [
        {"message": 1, "feed": None, "outcome": "unmatched", "reason": None},
        {"message": 2, "feed": "f", "outcome": "decoded", "reason": None},
        {"message": 2, "feed": "", "outcome": "decoded", "reason": ""},
    ]
    outcomes = shaped(pl.DataFrame(told), OUTCOMES)
    with log.transaction():
        log.append("outcomes", outcomes)
        log.append("outcomes", outcomes)
        log.replace("outcomes", pl.DataFrame({"message": [1]}), outcomes[:1])
    found = Working(log).outcomes_of([1, 2]).sort("message", "feed", nulls_last=True)
    assert found.equals(pl.concat([outcomes, outcomes[1:]]).sort("message", "feed", nulls_last=True))
    assert len(_said(log, "outcomes")) == 3
