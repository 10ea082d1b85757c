"""The sweep: which hour is compared when, and never one of which the file does not hold everything."""

from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import polars as pl
import pytest

from scopeline.cluster import sweep

NEWEST = datetime(2026, 5, 4, 10, 20, tzinfo=UTC)


class Part:
    """A partition that notes which hours were asked for."""

    number, behind, caught_up, differ = 3, False, True, 0

    def __init__(self, complete_from: datetime | None = None) -> None:
        self.hours: list[datetime] = []
        clocks = pl.DataFrame({"site": ["a"], "newest": [NEWEST]})
        state = SimpleNamespace(clocks=clocks)
        self.replica = SimpleNamespace(upkeep=SimpleNamespace(state=state), reach=SimpleNamespace(complete_from=complete_from))

    def everything(self) -> pl.DataFrame:
        return pl.DataFrame({"source": ["s"], "start": [NEWEST - timedelta(days=400)], "end": [NEWEST]})

    def correct(self, teller: object, told: pl.DataFrame) -> int:
        (row,) = told.rows()
        assert row[0] == "s" and row[2] - row[1] == timedelta(hours=1)
        self.hours.append(row[1])
        return self.differ


@pytest.fixture
def clock():
    return [0.0]


def turns(part: Part, clock: list[float], count: int, horizon: timedelta = timedelta(hours=3)) -> int:
    made = sweep.Sweep(lambda: clock[0])
    found = made.turn([part], lambda _: nullcontext(), object(), horizon)
    for _ in range(count):
        clock[0] += sweep.EVERY
        found += made.turn([part], lambda _: nullcontext(), object(), horizon)
        found += made.turn([part], lambda _: nullcontext(), object(), horizon)  # not due again
    return found


def test_hour_by_hour_over_the_horizon_and_round_again(clock):
    part = Part()
    assert turns(part, clock, 5) == 0
    assert [at.hour for at in part.hours] == [7, 8, 9, 10, 7]


def test_what_differed_is_counted(clock):
    part = Part()
    part.differ = 2
    assert turns(part, clock, 3) == 6


def test_nothing_of_which_the_file_may_hold_less_than_the_store(clock):
    part = Part(complete_from=NEWEST.replace(hour=8, minute=30))
    turns(part, clock, 3)
    assert [at.hour for at in part.hours] == [9, 10, 9]


def test_a_part_that_is_behind_waits(clock):
    part = Part()
    part.behind = True
    assert turns(part, clock, 3) == 0 and not part.hours
