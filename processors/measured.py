"""What the plant says of the meters that measure a source: patterns, feeds, rows of the meters table, events or not, tags."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from processors.expressions import parse
from processors.formula import ExpressionProblem
from processors.sources import Declared, Source
from schemas.feed import Feed
from schemas.plant import Plant
from schemas.source import MeterRow


@dataclass(frozen=True)
class Measured:
    """A source's meters, its patterns of meters, and whether all of them give amounts at instants only."""

    meters: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()
    event: bool = False


class Meters:
    """Looks meters up in a plant; a pattern stands for whatever can match it."""

    def __init__(self, plant: Plant):
        self.plant = plant
        self._declared = Declared(plant)

    @cached_property
    def _rows(self) -> dict[str, list[MeterRow]]:
        rows: dict[str, list[MeterRow]] = {}
        for row in self.plant.meters:
            rows.setdefault(row.meter, []).append(row)
        return rows

    def rows(self, meter: str) -> list[MeterRow]:
        """Its rows of the meters table."""
        path, _, channel = meter.rpartition(":")
        rows = self.plant.meters if "*" in meter else self._rows.get(path, [])
        return [row for row in rows if row.channel in (None, channel)]

    def feeds(self, meter: str) -> list[Feed]:
        """The feeds that can give it."""
        return list(self.plant.feeds) if "*" in meter else [feed for feed, _ in self._declared.channels(meter)]

    def measured(self, source: Source) -> Measured:
        """What measures a source; nothing where its expression cannot be read (`check` says why)."""
        try:
            expression = parse(source.measured_by)
            meters, patterns = tuple(expression.meters()), tuple(expression.patterns())
        except ExpressionProblem:
            return Measured()
        return Measured(meters, patterns, all(self._event(meter) for meter in (*meters, *patterns)))

    def _event(self, meter: str) -> bool:
        name = meter.rpartition(":")[2]
        channels = [c for feed in self.feeds(meter) for c in feed.channels if c.channel == name]
        return bool(channels) and all(c.kind == "amount" and c.period is None for c in channels)

    def tags(self, source: Source, found: Measured, names: Sequence[str]) -> dict[str, str | None]:
        """A source's tags; where it says none, those of its one meter."""
        own: dict[str, str] = {}
        for row in self.rows(found.meters[0]) if len(found.meters) == 1 and not found.patterns else []:
            own |= {name: value for name, value in row.tags.items() if value}
        return {name: source.tags.get(name) or own.get(name) for name in names}
