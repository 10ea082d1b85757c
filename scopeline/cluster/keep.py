"""Upkeep of a replica's figures: reads no more than what its own sites say, and notes what the store must be told."""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any

import polars as pl

from ingest.routing import REF
from processors.plan import Plan
from schemas.plant import Plant
from scopeline import pipeline
from scopeline.cluster.changes import NotingLog
from scopeline.corrections import feeds_read
from scopeline.log import Store, Working
from scopeline.remeter import Needs, Remeter
from scopeline.reprice import sources_fingerprints
from scopeline.upkeep import State, Upkeep, units_seen

History = Callable[[int, datetime], Iterator[pl.DataFrame]]
"""Messages before an offset of the log, received at or after an instant."""
Sites = Callable[[Plant], Iterable[str]]
"""The sites of a plant whose readings are kept."""


class OfSites:
    """scopeline.pipeline, reading no more than what certain sites say."""

    def __init__(self, sites: Sites) -> None:
        self._sites = sites

    def __getattr__(self, name: str) -> Any:
        return getattr(pipeline, name)

    def read(self, messages: pl.DataFrame, configuration: pipeline.Configuration) -> pipeline.Read:
        found = pipeline.read(messages, configuration)
        mine = pl.col("site").cast(pl.String).is_in([*self._sites(configuration.plant), REF])
        return found._replace(readings=found.readings.filter(mine))


class _Remeter(Remeter):
    """Remembers the windows (meter, start, end) in which amounts were looked at, whether they changed or not."""

    def __init__(self, log: NotingLog, measure: Any, needs: Needs | None) -> None:
        super().__init__(log, measure, needs)
        self.windows: list[pl.DataFrame] = []

    def _write(self, store: Working, spans: pl.DataFrame, amounts: pl.DataFrame, events: pl.DataFrame) -> pl.DataFrame:
        self.windows.append(spans.select("meter", "start", "end"))
        return super()._write(store, spans, amounts, events)


class NotingUpkeep(Upkeep):
    """Notes the windows that are computed again, and figures whose series change because their source is tagged otherwise."""

    log: NotingLog

    def __init__(self, log: NotingLog, steps: Any, needs: Needs | None = None) -> None:
        super().__init__(log, steps, needs)
        self._remeter = self._metered = _Remeter(log, steps.measure, needs)

    def update(
        self, spans: pl.DataFrame, levels: pl.DataFrame, before: pl.DataFrame, also: pl.DataFrame | None = None
    ) -> dict[str, int]:
        """As Upkeep does; noted is also where nothing changed here: a holder before may have told what has since been undone."""
        self._metered.windows.clear()
        found = super().update(spans, levels, before, also)
        if self._metered.windows:
            self.log.touch(self.state.dependents.aligned(pl.concat(self._metered.windows)))
        return found

    def begin(self) -> None:
        """A file without figures has all of them under the configuration in force; inside a transaction."""
        self.log.set("sources", sources_fingerprints(self.state.configuration.plan))
        self.tag(noting=False)

    def configure(self, plant: Plant) -> None:
        """Compile for this plant and the meters seen; inside a transaction."""
        super().configure(plant)
        self.tag(self.log.noting)

    def tag(self, noting: bool) -> None:
        """Remember how sources are tagged; noting: all figures of those that are tagged otherwise than before are noted."""
        now = _tags(self.state.configuration.plan)
        before = self.store.fact("tags")
        if now != before:
            self.log.set("tags", now)
            if noting and before is not None:
                self.log.retagged(_retagged(before, now))

    def _price(self, wanted: pl.DataFrame, compare: bool) -> dict[str, int]:
        self.log.touch(wanted)
        return super()._price(wanted, compare)


def alike(messages: pl.DataFrame, most: int) -> Iterator[pl.DataFrame]:
    """As few parts of at most so many rows as it takes, of like size: a small part costs much of what a large one does."""
    parts = max(1, -(-messages.height // most))
    return messages.iter_slices(max(1, -(-messages.height // parts)))


def differs(store: Store, state: State, plant: Plant) -> bool:
    """Whether under another plant messages would say, or sources compute or be tagged, something else than what is stored."""
    was = state.configuration
    new = pipeline.configure(plant, was.catalogue, units_seen(state.meters), was)
    if feeds_read(plant) != store.fact("feeds", {}) or sources_fingerprints(new.plan) != store.fact("sources", {}):
        return True
    return bool(_retagged(store.fact("tags", {}), _tags(new.plan)))


def _tags(plan: Plan) -> dict[str, dict[str, str]]:
    """Source -> its tags."""
    rows = plan.tagged.iter_rows(named=True)
    return {row.pop("source"): {name: value for name, value in row.items() if value} for row in rows}


def _retagged(before: dict[str, dict[str, str]], now: dict[str, dict[str, str]]) -> list[str]:
    """Sources that were there and are tagged otherwise: all their figures, however old, belong to other series."""
    return [source for source, tags in before.items() if tags != now.get(source, tags)]


class Broken(Exception):
    """What messages say cannot be computed; the cause says why."""
