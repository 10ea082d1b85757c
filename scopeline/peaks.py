"""The maximum of a jittering counter before a window: what its falls within `jitter` are measured against.

A window in the middle of a series needs the maximum since the last swap, rollover or reset (processors.context). Looking for it
reaches back until it is certain; what was found is remembered and moved along.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

import polars as pl

from processors import collapse, context
from processors.meters import Meters
from scopeline.log import Store

_FIRST = timedelta(hours=1)
_ERAS = ("swap", "rollover", "reset")
_TICK = timedelta(microseconds=1)


class Peaks:
    """peak_n of counters at a kept reading. The store must show readings and events as they are up to that instant."""

    def __init__(self, needs: Callable[[pl.DataFrame], None] | None = None) -> None:
        self._needs = needs  # told (meter, at) before readings from `at` on are used
        self._known: dict[str, tuple[datetime, int]] = {}

    def forget(self, meter: str, since: datetime) -> None:
        """Readings at or after `since` came or changed."""
        if meter in self._known and self._known[meter][0] >= since:
            del self._known[meter]

    def clear(self) -> None:
        self._known.clear()

    def at(
        self, store: Store, meter: str, at: datetime, first: datetime, jitter_n: int, rules: Callable[[pl.DataFrame], Meters]
    ) -> int:
        """The maximum with which a frame of the meter that starts with its kept reading at `at` begins.

        first: the meter's first reading; rules: READINGS -> processors.meters.Meters.
        """
        start, peak = self._known.get(meter, (None, None))
        before = None
        if start is not None and start <= at:
            before = pl.DataFrame({"meter": [meter], "peak_n": [peak]}, schema={"meter": pl.String, "peak_n": pl.Int128})
            kept, _ = self._kept(store, meter, start, at)
        else:
            start = at - _FIRST
            while True:
                if self._needs:
                    self._needs(pl.DataFrame({"meter": [meter], "at": [start]}))
                kept, era = self._kept(store, meter, start, at)
                if era or start <= first or certain(kept["value_n"].to_list(), jitter_n):
                    break
                start = at - 4 * (at - start)
        top = int(context.peaks(kept, rules(kept), before)["peak_n"][0])
        self._known[meter] = (at, top)
        return top

    def _kept(self, store: Store, meter: str, start: datetime, end: datetime) -> tuple[pl.DataFrame, bool]:
        """READINGS in [start, end] that were not taken out, and whether an era of the counter starts after the first of them."""
        readings = collapse.collapse(store.readings(meter, start, end + _TICK), store.payloads).filter(
            pl.col("kind") == "counter"
        )
        events = store.events([meter], start, end + _TICK)
        out = events.filter(pl.col("event").is_in(["spike", "glitch"]))
        kept = readings.join(out, left_on="observed_at", right_on="at", how="anti")
        return kept, events.filter(pl.col("event").is_in(_ERAS), pl.col("at") > kept["observed_at"].min()).height > 0


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
