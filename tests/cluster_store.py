"""An InfluxDB in memory: points merge by field and go by tags, as in the server, and a write can be made to fail."""

import re
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest

from processors.output import finish_base
from schemas.frames import FIGURE_KEY, OUTPUT, shaped
from schemas.influx import FIELDS, FIGURE_TAGS, plant_tags
from sinks import line_protocol

HOUR_US = 3_600_000_000
Point = tuple[frozenset[tuple[str, str]], int]
"""Tags, and a time in microseconds."""


class Crash(Exception):
    """The worker dies here."""


class Store:
    """InfluxDB as far as the worker sees it: points merge by field, deletions match by the tags that are named."""

    problem: str | None = None

    def __init__(self) -> None:
        self.points: dict[str, dict[Point, dict[str, Any]]] = {}
        self.operations = 0
        self.fails: int | None = None  # the worker dies at this operation
        self.refuse: Callable[[str], str | None] = lambda line: None

    def _operated(self) -> None:
        self.operations += 1
        if self.fails is not None and self.operations >= self.fails:
            raise Crash

    def write(self, bucket: str, lines: pl.Series) -> Any:
        refused = []
        for line in lines:
            if reason := self.refuse(line):
                refused.append(SimpleNamespace(line=line, reason=reason))
                continue
            measurement, tags, fields, at = parsed(line)
            kept = self.points.setdefault(measurement, {})
            kept.setdefault((frozenset(tags.items()), at), {}).update(fields)
        self._operated()
        return tell_result(len(lines) - len(refused), refused)

    def delete(self, bucket: str, measurement: str, keys: pl.DataFrame, every: timedelta | None = None) -> int:
        named = [name for name in keys.columns if name != "time"]
        wanted = {
            (tuple(row[name] or "" for name in named), round(row["time"].timestamp() * 1e6)) for row in keys.iter_rows(named=True)
        }
        kept = self.points.get(measurement, {})
        for tags, at in list(kept):
            of = dict(tags)
            if (tuple(of.get(name, "") for name in named), at) in wanted:
                del kept[tags, at]
        self._operated()
        return 1

    def forget(self, bucket: str, measurement: str, series: pl.DataFrame) -> int:
        wanted = {tuple(value or "" for value in row) for row in series.iter_rows()}
        kept = self.points.get(measurement, {})
        for tags, at in list(kept):
            if tuple(dict(tags).get(name, "") for name in series.columns) in wanted:
                del kept[tags, at]
        self._operated()
        return 1

    def of(self, measurement: str) -> dict[Point, dict[str, Any]]:
        return self.points.get(measurement, {})


def tell_result(accepted: int, refused: list[Any]) -> Any:
    return SimpleNamespace(accepted=accepted, refused=[(one.line, one.reason) for one in refused])


def parsed(line: str) -> tuple[str, dict[str, str], dict[str, Any], int]:
    """A line of line protocol: measurement, tags, fields, time in microseconds."""
    head, rest = re.match(r"((?:\\.|[^\\ ])+) (.*)$", line, re.S).groups()  # type: ignore[union-attr]  # always matches
    fields, at = rest.rsplit(" ", 1)
    name, *tags = re.split(r"(?<!\\),", head)
    plain = dict(re.split(r"(?<!\\)=", re.sub(r"\\([, ])", r"\1", tag), maxsplit=1) for tag in tags)
    found: dict[str, Any] = {}
    for key, text, number in re.findall(r'([^=,]+)=(?:"((?:\\.|[^"\\])*)"|([^,]+))(?:,|$)', fields):
        found[key] = float(number) if number else re.sub(r"\\(.)", r"\1", text)
    return name, plain, found, int(at)


def points(lines: pl.Series) -> dict[Point, dict[str, Any]]:
    found = {}
    for line in lines:
        _, tags, fields, at = parsed(line)
        assert (frozenset(tags.items()), at) not in found, line
        found[frozenset(tags.items()), at] = fields
    return found


def expected(rows: pl.DataFrame, configuration: Any) -> dict[Point, dict[str, Any]]:
    """What the store must hold of these FIGURES."""
    output = finish_base(rows, configuration.plan, {})
    lags = rows.select(*FIGURE_KEY, "lag_us")
    output = output.join(lags, on=FIGURE_KEY, how="left", nulls_equal=True, maintain_order="left")
    return points(line_protocol.figures(output, plant_tags(configuration.plant.settings.tags)))


def assert_summed(store: Store) -> None:
    """What the store says of each hour is the sum of its figures."""
    hours: dict[Point, list[dict[str, Any]]] = defaultdict(list)
    for (tags, at), fields in store.of("figures").items():
        hours[tags, at - at % HOUR_US].append(fields)
    summed = {key: fields for key, fields in store.of("figures_1h").items() if fields["known"]}
    known = {key: fields["known"] for key, fields in summed.items()}
    wanted = {key: len(inside) for key, inside in hours.items()}
    assert known == wanted, f"figures in a sum: {known.items() - wanted.items()} instead of {wanted.items() - known.items()}"
    for key, inside in hours.items():
        kg, there = sum(fields.get("co2e_kg", 0.0) for fields in inside), summed[key].get("co2e_kg", 0.0)
        assert there == pytest.approx(kg, rel=1e-9, abs=1e-9), f"{key}: {there} kg instead of {kg} kg"


class Reader:
    """sinks.influx.Reader over the Store."""

    def __init__(self, store: Store, bucket: str, tags: tuple[str, ...] = ()) -> None:
        self._store, self._tags = store, tags

    def read_figures(self, start: datetime, end: datetime, sources: Any = None) -> pl.DataFrame:
        schema = {**OUTPUT, **dict.fromkeys(self._tags, pl.String)}
        rows = []
        for (tags, at), fields in self._store.of("figures").items():
            time = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at)
            row: dict[str, Any] = dict(tags)
            if start <= time < end and (sources is None or row["source"] in sources):
                row |= {"scope": int(row["scope"]) if "scope" in row else None, "basis": row.get("basis", "")}
                length = timedelta(seconds=fields["interval_s"])
                rows.append(row | {"interval_start": time, "interval_end": time + length} | fields)
        names = [*FIELDS["figures"], *FIGURE_TAGS, "interval_start", "interval_end", *self._tags]
        found = pl.DataFrame(rows, schema_overrides=schema, infer_schema_length=None) if rows else pl.DataFrame(schema=schema)
        missing = [pl.lit(None).alias(name) for name in {*names, *schema} - {*found.columns}]
        return shaped(found.with_columns(missing), schema).sort(*FIGURE_KEY, nulls_last=True)

    def read_sources(self, sites: Any) -> pl.DataFrame:
        named = [dict(tags) for tags, _ in self._store.of("figures")]
        rows = sorted({(tags["site"], tags["source"]) for tags in named if tags["site"] in set(sites)})
        return pl.DataFrame(rows, schema={"site": pl.String, "source": pl.String}, orient="row")
