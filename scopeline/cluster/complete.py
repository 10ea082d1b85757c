"""From when on a data file holds every reading of a meter, and what happens when older ones are needed."""

from datetime import datetime

import polars as pl

from scopeline.log import Log, Store


class Stopping(Exception):
    """The process stops while something waits."""


class Older(Exception):
    """Readings from `at` on are needed, and the file may lack some of them."""

    def __init__(self, at: datetime) -> None:
        super().__init__(f"readings since {at.isoformat()} are needed")
        self.at = at


class Reach:
    """complete_from: the observed_at from which every reading is in the file; None: from the beginning.

    carried: meter -> since when that meter is complete although the file is not, because its last readings before the horizon
    were carried over. `lenient`: nothing is refused (while history is being read, the figures are not told to anybody).
    """

    def __init__(self, store: Store) -> None:
        self.lenient = False
        since = store.fact("complete_from")
        self.complete_from = datetime.fromisoformat(since) if since else None
        self.carried = {name: datetime.fromisoformat(at) for name, at in store.fact("carried", {}).items()}

    def check(self, wanted: pl.DataFrame, meters: pl.DataFrame) -> None:
        """wanted: (meter, at), readings of a meter from `at` on are used; meters: METERS. Raises Older."""
        if self.complete_from is None or self.lenient:
            return
        early = wanted.filter(pl.col("at") < self.complete_from)
        if early.is_empty():
            return
        firsts = dict(early.join(meters, on="meter").select("meter", "first_observed_at").iter_rows())
        lacking = [at for meter, at in early.select("meter", "at").iter_rows() if not self._whole(meter, at, firsts.get(meter))]
        if lacking:
            raise Older(min(lacking))

    def _whole(self, meter: str, at: datetime, first: datetime | None) -> bool:
        """Whether all readings of a meter since `at`, which is before complete_from, are in the file."""
        assert self.complete_from is not None
        if first is None or first >= self.complete_from or meter.startswith("ref/"):  # nothing of it lies before, or all is read
            return True
        since = self.carried.get(meter)
        return since is not None and since <= max(at, first)

    def begun(self, log: Log, complete_from: datetime | None, readings: pl.DataFrame) -> None:
        """A file begins with carried readings; inside a transaction."""
        self.complete_from = complete_from
        timed = readings.filter(pl.col("event").is_null())
        self.carried = dict(timed.group_by("meter").agg(pl.col("observed_at").min()).iter_rows())
        log.set("carried", {name: at.isoformat() for name, at in self.carried.items()})
        log.set("complete_from", complete_from.isoformat() if complete_from else None)

    def extended(self, log: Log, since: datetime | None) -> None:
        """History since then has been read, None: all of it; inside a transaction."""
        self.complete_from = since
        log.set("complete_from", since.isoformat() if since else None)
