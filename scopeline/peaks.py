"""The maximum of a jittering counter before a window: what its falls within `jitter` are measured against.

processors.counters: nothing counts until the old maximum since the last swap, rollover or reset is passed. A window in the
middle of a series needs that maximum; looking for it reaches back until it is certain, and what was found is remembered and
moved along.
"""

from datetime import datetime, timedelta

import polars as pl

from processors import collapse
from scopeline.log import Store

_FIRST = timedelta(hours=1)
_ERAS = ("swap", "rollover", "reset")


class Peaks:
    """peak_n of counters just before an instant. The store must show the readings and events as they are before that instant."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[datetime, int | None]] = {}

    def forget(self, meter: str, since: datetime) -> None:
        """Readings at or after `since` came or changed."""
        if meter in self._known and self._known[meter][0] > since:
            del self._known[meter]

    def clear(self) -> None:
        self._known.clear()

    def before(self, store: Store, meter: str, at: datetime, first: datetime, jitter_n: int, stated: pl.DataFrame) -> int | None:
        """The maximum of the series that a reading at `at` continues; None where nothing comes before.

        first: the meter's first reading; stated: (at, value_n), what replacements say that new devices showed first.
        """
        begin, start = (peak := self._known.get(meter)) and peak[0], at - _FIRST
        if peak and begin is not None and begin <= at:
            found = self._between(store, meter, begin, at, stated)
            era, values = found
            top = max([*values, *([peak[1]] if not era and peak[1] is not None else [])], default=None)
            self._known[meter] = (at, top)
            return top
        while True:
            era, values = self._between(store, meter, start, at, stated)
            if era or start <= first or certain(values, jitter_n):
                top = max(values, default=None)
                self._known[meter] = (at, top)
                return top
            start = at - 4 * (at - start)

    def _between(self, store: Store, meter: str, start: datetime, end: datetime, stated: pl.DataFrame) -> tuple[bool, list[int]]:
        """Whether an era of the series starts in [start, end), and the kept values in it since then."""
        readings = collapse.collapse(store.readings(meter, start, end), store.payloads)
        events = store.events([meter], start, end)
        out = events.filter(pl.col("event").is_in(["spike", "glitch"]))
        kept = readings.join(out, left_on="observed_at", right_on="at", how="anti").select(at="observed_at", value_n="value_n")
        eras = events.filter(pl.col("event").is_in(_ERAS))["at"]
        if eras.is_empty():
            return False, kept["value_n"].to_list()
        since = eras.max()
        shown = pl.concat([kept, stated.select("at", "value_n")]).filter(pl.col("at") >= since, pl.col("at") < end)
        return True, shown["value_n"].drop_nulls().to_list()


def certain(values: list[int], jitter_n: int) -> bool:
    """Whether the maximum of these values is that of the whole series: it has risen by at least `jitter` since one of them.

    A kept value lies at most jitter below the maximum before it (else it were a reset): a later one, jitter higher, passes it.

    >>> certain([100, 99, 100], 2), certain([98, 99, 100], 2)
    (False, True)
    """
    top: int | None = None
    for value in reversed(values):
        top = value if top is None else max(top, value)
        if top >= value + jitter_n:
            return True
    return False
