"""Tells InfluxDB what changed in a replica: figures, their sums, readings, clocks and events; any of it can be told again.

Every point has a key and a value that follow from the replica alone: telling twice changes nothing. A figure that lost a number
is deleted first, since InfluxDB keeps a field that a later point does not mention.
"""

import logging
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from processors import collapse
from processors.output import finish_base
from schemas.connections import InfluxDB
from schemas.frames import EVENTS, FIGURE_KEY, FIGURES, READINGS, TIME
from schemas.influx import FIGURE_TAGS, ROLLUPS, buckets, plant_tags
from schemas.influx import FIGURES as MEASUREMENT
from scopeline.cluster import anew
from scopeline.cluster.annotate import factors, restated
from scopeline.cluster.replica import Replica
from scopeline.cluster.sums import SERIES, sums
from scopeline.log.tables import loaded
from sinks import line_protocol
from sinks.influx import Bound, Influx, Reader

log = logging.getLogger(__name__)

_KEYS = 50_000
"""Figures told in one go."""


class Teller:
    """One InfluxDB. Counts for metrics: points, deleted, refused."""

    def __init__(self, influx: Influx, settings: InfluxDB) -> None:
        self._influx, self._bucket, self._buckets = influx, settings.bucket, buckets(settings.bucket)
        self._kept = {"readings": settings.readings_retention, "health": settings.health_retention}
        self._bound = Bound(settings.max_series)
        self.counts = dict.fromkeys(("points", "deleted", "refused", "over_bound"), 0)
        self.refusals: list[str] = []

    @property
    def problem(self) -> str | None:
        return self._influx.problem

    # figures -------------------------------------------------------------------------------------------------------------
    def figures(self, replica: Replica, changed: pl.DataFrame) -> None:
        """Figures with these keys (FIGURE_KEY, lost)."""
        plan = replica.configuration.plan
        tags = plant_tags(replica.configuration.plant.settings.tags)
        base = timedelta(microseconds=plan.base_us)
        for keys in changed.iter_slices(_KEYS):
            lost = keys.filter("lost")
            if lost.height:
                self._delete(MEASUREMENT, lost, base)
            rows = figures_at(replica, keys)
            output = finish_base(rows, plan, {})
            lags = rows.select(*FIGURE_KEY, "lag_us")
            output = output.join(lags, on=FIGURE_KEY, how="left", nulls_equal=True, maintain_order="left")
            self._write("figures", line_protocol.figures(output, tags))
            self._events(restated(output))
            self._events(factors(replica.log, keys))

    def sums(self, replica: Replica, changed: pl.DataFrame, passed: Mapping[str, tuple[datetime, datetime]]) -> None:
        """The sums of the intervals of changed figures (FIGURE_KEY, lost), and of those that a site's clock passed."""
        self._sums(replica, changed, passed, anew.emptied(replica, changed))

    def reconcile(self, replica: Replica) -> None:
        """What another plant folder has told while nobody held the partition: its sources go, all sums are made again."""
        sites = pl.DataFrame({"site": sorted(set(replica.store.meters()["site"]))}, schema={"site": pl.String})
        figures = anew.coarse(replica)
        there = Reader(self._influx, self._bucket).read_sources(sites["site"])
        strangers = there.join(figures, on=["site", "source"], how="anti")
        if strangers.height:
            log.warning("sources without figures leave InfluxDB: %s", ", ".join(sorted(strangers["source"])))
            self._influx.forget(self._buckets["figures"], MEASUREMENT, strangers)
        for measurement in ROLLUPS.values() if sites.height else ():
            self._influx.forget(self._buckets["figures"], measurement, sites)
        self._sums(replica, figures, {}, figures.select(SERIES).unique())

    def _sums(
        self, replica: Replica, changed: pl.DataFrame, passed: Mapping[str, tuple[datetime, datetime]], series: pl.DataFrame
    ) -> None:
        """`series` (SERIES) are told anew as a whole, for they may stand with other tags, or not at all any more."""
        plan = replica.configuration.plan
        tags = plant_tags(replica.configuration.plant.settings.tags)
        zones = {site.site: site.timezone for site in replica.configuration.plant.settings.sites}
        for measurement in ROLLUPS.values() if series.height else ():
            self._influx.forget(self._buckets["figures"], measurement, _named(series))
        silence = anew.silence(replica, series)
        for found in sums(replica.log, changed, passed, plan, zones, silence, replica.extend):
            gone = found.gone.join(series, on=SERIES, how="anti", nulls_equal=True)
            if gone.height:
                self._delete(ROLLUPS[found.interval], gone, None)
            self._write("figures", line_protocol.rollup_lines(found.rows, found.interval, tags))

    def _delete(self, measurement: str, keys: pl.DataFrame, every: timedelta | None) -> None:
        named = _named(keys).with_columns(time=keys["interval_start"])
        self._influx.delete(self._buckets["figures"], measurement, named, every)
        self.counts["deleted"] += keys.height

    # the rest ------------------------------------------------------------------------------------------------------------
    def readings(self, readings: pl.DataFrame) -> None:
        """READINGS of a batch, for screens: one a meter and instant; more meters of a feed than the bound are refused."""
        if readings.is_empty():
            return
        kept = collapse.collapse(readings, _unasked)
        admitted, refused = self._bound.admit(kept)
        if refused.height:
            self.counts["over_bound"] += refused.height
            names = ", ".join(refused["meter"].head(3))
            self._refuse(f"{refused.height} more meters than influxdb.max_series allows are not written as series: {names} ...")
        self._write("readings", line_protocol.readings(self._still(admitted, "readings", "observed_at")))

    def clocks(self, clocks: Mapping[str, datetime]) -> None:
        """Site -> newest received_at of its readings."""
        if clocks:
            self._write("health", line_protocol.clock(clocks, datetime.now(UTC).replace(second=0, microsecond=0)))

    def events(self, events: pl.DataFrame) -> None:
        """EVENTS of meters."""
        self._events(events)

    def traffic(self, counts: pl.DataFrame) -> None:
        """at, feed, outcome, partition, messages: totals of minutes."""
        if counts.height:
            self._write("health", line_protocol.feeds(self._still(counts, "health", "at")))

    def lag(self, behind: pl.DataFrame) -> None:
        """at, partition, records, seconds."""
        if behind.height:
            self._write("health", line_protocol.lag(behind))

    def _events(self, events: pl.DataFrame) -> None:
        if events.height:
            self._write("health", line_protocol.events(self._still(events, "health", "at")))

    def _still(self, frame: pl.DataFrame, kept: str, time: str) -> pl.DataFrame:
        """What the bucket would not refuse as too old for its retention."""
        return frame.filter(pl.col(time) > datetime.now(UTC) - self._kept[kept] + timedelta(hours=1))

    def _write(self, kept: str, lines: pl.Series) -> None:
        if lines.is_empty():
            return
        written = self._influx.write(self._buckets[kept], lines)
        self.counts["points"] += written.accepted
        for line, reason in written.refused:
            self.counts["refused"] += 1
            self._refuse(f"InfluxDB refuses a point ({reason}): {line}")

    def _refuse(self, text: str) -> None:
        log.error("%s", text)
        self.refusals = [*self.refusals[-99:], text]

    # comparing -----------------------------------------------------------------------------------------------------------
    def compare(self, replica: Replica, sources: Iterable[str], start: datetime, end: datetime) -> pl.DataFrame:
        """Keys (FIGURE_KEY, lost) in [start, end) at which the store says something else than the replica."""
        configuration = replica.configuration
        tags = plant_tags(configuration.plant.settings.tags)
        wanted = sorted(set(sources))
        there = Reader(self._influx, self._bucket, tags).read_figures(start, end, wanted)
        rows = list(replica.store.figures(start, end, sources=wanted))
        here = finish_base(pl.concat(rows), configuration.plan, {}) if rows else there.clear()
        columns = [name for name in here.columns if name != "interval_end"]
        there, here = there.select(columns), here.select(columns)
        missing = here.join(there, on=columns, how="anti", nulls_equal=True).select(FIGURE_KEY)
        extra = there.join(here, on=columns, how="anti", nulls_equal=True).select(FIGURE_KEY)
        return (
            pl.concat([missing.with_columns(lost=pl.lit(False)), extra.with_columns(lost=pl.lit(True))])
            .group_by(FIGURE_KEY)
            .agg(pl.col("lost").any())
        )


def _named(rows: pl.DataFrame) -> pl.DataFrame:
    """The tags by which a figure's series is known, as InfluxDB has them."""
    return rows.select(pl.col(tag).cast(pl.String) for tag in FIGURE_TAGS)


def figures_at(replica: Replica, keys: pl.DataFrame) -> pl.DataFrame:
    """FIGURES with these keys; what has vanished is left out."""
    columns = ", ".join(f'f."{name}"' for name in FIGURES)
    same = " AND ".join(f'f."{name}" IS NOT DISTINCT FROM k."{name}"' for name in FIGURE_KEY)  # scope may be null
    given = keys.select(FIGURE_KEY).with_columns(pl.col("interval_start").dt.replace_time_zone(None))
    sql = f"""SELECT {columns} FROM figures f JOIN keys k ON {same}
    WHERE f.interval_start BETWEEN (SELECT min(interval_start) FROM keys) AND (SELECT max(interval_start) FROM keys)"""
    return loaded(replica.log.asked(sql, keys=given), FIGURES)


def readings_since(replica: Replica, message: int) -> pl.DataFrame:
    """READINGS of messages after a place of the replica's file."""
    columns = ", ".join(f'"{name}"' for name in READINGS)
    return loaded(replica.log.asked(f"SELECT {columns} FROM readings WHERE message > ?", [message]), READINGS)


def events_since(replica: Replica, message: int) -> pl.DataFrame:
    """EVENTS that readings of messages after a place have caused."""
    columns = ", ".join(f'"{name}"' for name in EVENTS)
    return loaded(replica.log.asked(f"SELECT {columns} FROM events WHERE message > ?", [message]), EVENTS)


def traffic_since(replica: Replica, minute: datetime, partition: int) -> pl.DataFrame:
    """Messages by feed, outcome and minute from a minute on."""
    sql = "SELECT minute AS at, feed, outcome, CAST(messages AS DOUBLE) AS messages FROM traffic WHERE minute >= ?"
    schema: dict[str, Any] = {"at": TIME, "feed": pl.String, "outcome": pl.String, "messages": pl.Float64}
    found = loaded(replica.log.asked(sql, [minute.replace(tzinfo=None)]), schema)
    return found.with_columns(partition=pl.lit(str(partition)))


def _unasked(_: list[int]) -> pl.DataFrame:
    """Ties between readings of one microsecond: which of two the screen shows does not matter."""
    return pl.DataFrame(schema={"message": pl.Int64, "topic": pl.String, "payload": pl.Binary})
