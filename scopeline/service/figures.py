"""Figures for a question: streamed from the store in chunks of time, added up exactly, and what stands beside them."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import polars as pl

from processors import rollup
from processors.plan import Plan
from schemas.frames import FIGURES, empty
from schemas.plant import Plant
from schemas.scalars import duration_text
from scopeline.log import Store
from scopeline.query import FigureQuery, QueryError, candidates, rfc3339
from scopeline.service.host import Host

CHUNK = 20_000
"""Base figures that are added up at a time: the memory of a long export hangs on it, its speed hardly."""

Progress = Callable[[datetime], None]


class Figures:
    """One question's answer: iterate once for its frames; `facts()` is complete after that."""

    def __init__(self, host: Host, query: FigureQuery) -> None:
        self.host, self.query = host, query
        self.configuration = host.configuration
        known = [s.source for s in self.configuration.plan.sources]
        if strange := sorted(set(self._sources() or ()) - set(known)):
            raise QueryError(f"There is no source {strange[0]!r}", candidates(strange[0], known, "Sources"))
        self.windows = query.windows(self.configuration.plant)
        self.seen: Progress = lambda at: None
        """Called with the time up to which figures are read: for a progress bar."""
        self._position: int | None = None
        self._tally = Tally()

    @property
    def plan(self) -> Plan:
        return self.configuration.plan

    def __iter__(self) -> Iterator[pl.DataFrame]:
        with self.host.store.snapshot() as store:
            self._position = store.position()
            clock = dict(store.clocks().iter_rows())
            made = self._base(store, clock) if self.query.interval == "base" else self._rolled(store, clock)
            self._tally = Tally()
            for frame in made:
                self._tally.add(frame)
                yield frame

    def frame(self) -> pl.DataFrame:
        """All frames in one."""
        return pl.concat(list(self), how="vertical")

    def _read(self, store: Store) -> Iterator[pl.DataFrame]:
        """FIGURES of all sites in time order."""
        if not self.windows:
            return
        start, end = min(w[0] for w in self.windows.values()), max(w[1] for w in self.windows.values())
        for found in store.figures(start, end, sites=sorted(self.windows), sources=self._sources(), chunk=CHUNK):
            self.seen(found["interval_start"][-1])
            yield found

    def _sources(self) -> list[str] | None:
        return next((list(f.values) for f in self.query.where if f.column == "source"), None)

    def _base(self, store: Store, clock: dict[str, datetime]) -> Iterator[pl.DataFrame]:
        """Base intervals in which something is known, ungrouped."""
        yield rollup.finish_base(empty(FIGURES), self.plan, clock)
        for found in self._read(store):
            inside = found.filter(
                pl.any_horizontal(
                    (pl.col("site") == site) & (pl.col("interval_start") >= start) & (pl.col("interval_start") < end)
                    for site, (start, end) in self.windows.items()
                )
            )
            rows = rollup.finish_base(inside, self.plan, clock)
            yield rows.filter(self._wanted())

    def _wanted(self) -> pl.Expr:
        wanted = pl.lit(True) if self.query.basis == "both" else pl.col("basis").is_in(["", self.query.basis])
        for column, values in self.query.where:
            wanted &= pl.col(column).cast(pl.String).fill_null("none" if column == "scope" else "").is_in(list(values))
        return wanted

    def _rolled(self, store: Store, clock: dict[str, datetime]) -> Iterator[pl.DataFrame]:
        where = {f.column: f.values for f in self.query.where}
        request = rollup.Request(
            self.query.interval, self.windows, self.query.group_by, where, self.query.basis, self.query.consolidated
        )
        yield from rollup.stream(self._read(store), self.plan, rollup.layout(self.plan, request), clock, store.first_readings())

    def facts(self) -> dict[str, Any]:
        """What an export's meta file says of the data: position, configuration, sets, units, consolidation, range."""
        settings = self.configuration.plant.settings
        reporting = settings.reporting
        return {
            "organisation": settings.organisation,
            "arguments": self.query.arguments(),
            "range": {site: [rfc3339(start), rfc3339(end)] for site, (start, end) in self.windows.items()},
            "time_zones": {site: self.configuration.plant.site(site).timezone for site in self.windows},
            "log_position": self._position,
            "configuration": configuration_hash(self.configuration.plant),
            "gwp": reporting.gwp,
            "factor_sets": settings.factor_sets,
            "consolidation": {
                "approach": reporting.consolidation,
                "shares_applied": self.query.consolidated,
                "shares": {s.site: str(s.share) for s in settings.sites} if self.query.consolidated else {},
            },
            **self._tally.facts(),
            "units": UNITS,
            "base_interval": duration_text(reporting.base_interval),
            "lateness": duration_text(reporting.lateness),
        }


class Tally:
    """Rows, their status and coverage, counted while they pass."""

    def __init__(self) -> None:
        self.rows, self.status = 0, Counter[str]()
        self.lowest, self.covered, self.time = 1.0, 0.0, 0.0

    def add(self, frame: pl.DataFrame) -> None:
        self.rows += frame.height
        self.status.update(dict(frame.group_by("status").len().iter_rows()))
        known = frame.select("coverage", s=(pl.col("interval_end") - pl.col("interval_start")).dt.total_seconds()).drop_nulls()
        if known.height:
            self.lowest = min(self.lowest, float(known["coverage"].min()))  # type: ignore[arg-type]  # a number: no nulls here
            self.covered += float((known["coverage"] * known["s"]).sum())
            self.time += float(known["s"].sum())

    def facts(self) -> dict[str, Any]:
        """coverage.mean is weighted by time; null where nothing has a coverage."""
        mean = round(self.covered / self.time, 6) if self.time else None
        coverage = {"mean": mean, "lowest": round(self.lowest, 6) if self.time else None}
        return {"rows": self.rows, "status": dict(sorted(self.status.items())), "coverage": coverage}


UNITS = {
    "activity": "activity_unit",
    "co2_kg, ch4_kg, n2o_kg, sf6_kg, nf3_kg, biogenic_co2_kg": "kg of the gas",
    "hfc_co2e_kg, pfc_co2e_kg, unsplit_co2e_kg, co2e_kg, non_kyoto_co2e_kg": "kg CO2e",
    "coverage, estimated_share, unpriced_share": "share from 0 to 1",
    "uncertainty_pct": "percent, half width of the 95 % interval",
}


def configuration_hash(plant: Plant) -> str:
    """SHA-256 of everything that the plant folder says but its connections."""
    text = plant.model_dump_json(exclude={"settings": {"brokers", "kafka", "influxdb", "console", "retention", "profile"}})
    return hashlib.sha256(text.encode()).hexdigest()
