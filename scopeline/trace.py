"""One figure back to its messages: what it is, how it was computed, and from which readings.

Nothing is stored for this: the steps around the interval are computed again from the log by the same functions that made the
figure, so the trace shows what holds now.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import polars as pl

from processors import clean, collapse, expressions, rollup, split, steps
from schemas.frames import TIME
from schemas.source import Source
from scopeline.log import Store
from scopeline.pipeline import Configuration
from scopeline.query import NotThere, QueryError, candidates, local
from scopeline.service.figures import configuration_hash
from scopeline.service.host import Host
from scopeline.service.messages import in_units, message_line
from scopeline.trace_price import priced
from scopeline.trace_text import text

ASIDE = 4
"""Readings beside the interval, on each side, that the rules of counters look at."""


@dataclass(frozen=True)
class Trace:
    """A figure explained. Times UTC; `figures` are all rows of the source in the interval (components, bases)."""

    source: dict[str, Any]
    zone: str
    interval_start: datetime
    interval_end: datetime
    figures: list[dict[str, Any]]
    """Figure columns of each row, with `formula` (lines), `factor` (with citation) and `gwp_values` beside them."""
    terms: list[dict[str, Any]]
    """Each meter of the expression: meter, amount, unit, coverage, steps (start, end, amount), readings (place: before, inside,
    after)."""
    intensity: list[dict[str, Any]]
    """Readings of the reference meter that prices the interval, newest first; empty where an annual factor does."""
    events: list[dict[str, Any]]
    """Named events of these meters beside the interval: swap, reset, rollover, spike ..."""
    messages: list[dict[str, Any]]
    """message (its place in the log), and the line of a message file: topic, payload or payload_base64, received_at."""
    log_position: int
    configuration: str

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def text(self) -> str:
        """The same for people, as `scopeline trace` prints it."""
        return text(self.as_dict())


def trace(host: Host, source: str, at: datetime, basis: str | None) -> Trace:
    """Explain the figure of a source in the base interval that holds `at`; NotThere where there is none."""
    if basis not in (None, "location", "market"):
        raise QueryError(f"basis={basis!r} is not known", "Use one of: location, market.")
    configuration = host.configuration
    found = next((s for s in configuration.plan.sources if s.source == source), None)
    if found is None:
        raise NotThere(
            f"There is no source {source!r}", candidates(source, [s.source for s in configuration.plan.sources], "Sources")
        )
    start, end = interval(at, configuration.base_us)
    with host.store.snapshot() as store:
        figures = _figures(store, found, start, end, basis, configuration)
        explained = [terms(store, configuration, meter, start, end) for meter in measured_by(found, configuration, store)]
        rows = [priced(row, configuration, found) for row in figures.to_dicts()]
        levels = _intensity(store, configuration, found, start)
        ids = {reading["message"] for term in explained for reading in term["readings"]} | {r["message"] for r in levels}
        messages = store.messages_at(sorted(ids)).to_dicts()
        wanted = [term["meter"] for term in explained]
        first = min([r["observed_at"] for t in explained for r in t["readings"]], default=start)
        last = max([r["observed_at"] for t in explained for r in t["readings"]], default=end)
        events = store.events(wanted, first, last + timedelta(microseconds=1)) if wanted else None
        position = store.position()
    return Trace(
        found.model_dump(mode="json", exclude_none=True),
        configuration.plant.site(found.site).timezone,
        start,
        end,
        rows,
        explained,
        levels,
        events.to_dicts() if events is not None else [],
        [{"message": row["message"], **orjson.loads(message_line(row))} for row in messages],
        position,
        configuration_hash(configuration.plant),
    )


def interval(at: datetime, base_us: int) -> tuple[datetime, datetime]:
    """The base interval that holds an instant.

    >>> [t.isoformat()[11:19] for t in interval(datetime(2026, 1, 1, 10, 7, 30, tzinfo=UTC), 900_000_000)]
    ['10:00:00', '10:15:00']
    """
    base = timedelta(microseconds=base_us)
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    start = epoch + (at.astimezone(UTC) - epoch) // base * base
    return start, start + base


def _figures(
    store: Store, source: Source, start: datetime, end: datetime, basis: str | None, configuration: Configuration
) -> pl.DataFrame:
    found = list(store.figures(start, end, sources=[source.source]))
    if not found:
        zone = configuration.plant.site(source.site).timezone
        raise NotThere(
            f"{source.source} has no figure from {local(start, zone)} to {local(end, zone)}", _nearest(store, source, start, zone)
        )
    rows = rollup.finish_base(found[0], configuration.plan, dict(store.clocks().iter_rows()))
    if basis is not None:
        rows = rows.filter(pl.col("basis").is_in(["", basis]))
        if rows.is_empty():
            raise NotThere(f"{source.source} has no figure in basis {basis!r}", "Leave basis out to see which there are.")
    return rows


def _nearest(store: Store, source: Source, start: datetime, zone: str) -> str:
    """Where the source has figures: the last before an instant and the first after it."""
    before, after = store.figures_beside(source.source, start)
    beside = [f"the {word} begins at {local(at, zone)}" for word, at in (("last before", before), ("next", after)) if at]
    return f"Nothing is known of its activity there; {' and '.join(beside)}." if beside else "It has no figures yet."


def measured_by(source: Source, configuration: Configuration, store: Store) -> list[str]:
    """The meters of a source's expression that have readings (virtual meters are written out in the plan)."""
    known = store.meters()["meter"].to_list()
    return sorted(set(expressions.parse(source.measured_by).meters(known)) & set(known))


def around(store: Store, meter: str, start: datetime, end: datetime, aside: int = ASIDE) -> pl.DataFrame:
    """READINGS of a meter inside an interval, and the nearest `aside` beside it on each side; periods that touch it too."""
    near: list[datetime] = []
    for sign, edge, order in (("<=", start, "DESC"), (">=", end, "ASC")):
        sql = f"""SELECT DISTINCT observed_at FROM readings WHERE meter = $meter AND observed_at {sign} $edge
        ORDER BY observed_at {order} LIMIT $aside"""
        near += store_times(store, sql, {"meter": meter, "edge": edge, "aside": aside})
    sql = """SELECT DISTINCT observed_at FROM readings WHERE meter = $meter AND period_end > $start AND period_start < $end"""
    near += store_times(store, sql, {"meter": meter, "start": start, "end": end})
    first, last = min([*near, start]), max([*near, end])
    return store.readings([meter], first, last + timedelta(microseconds=1))


def store_times(store: Store, sql: str, parameters: dict[str, Any]) -> list[datetime]:
    """One column of times."""
    cursor = store.cursor()
    try:
        given = {k: v.astimezone(UTC).replace(tzinfo=None) if isinstance(v, datetime) else v for k, v in parameters.items()}
        return [row[0].replace(tzinfo=UTC) for row in cursor.execute(sql, given).fetchall()]
    finally:
        cursor.close()


def terms(store: Store, configuration: Configuration, meter: str, start: datetime, end: datetime) -> dict[str, Any]:
    """What one meter says about the interval: its amount, the steps that make it, and the readings of these steps."""
    readings = collapse.collapse(around(store, meter, start, end), store.payloads)
    rules = configuration.rules.attributes(readings)
    kept = clean.clean(readings, rules).readings
    found = steps.steps(kept, rules).steps
    touching = found.filter(
        ((pl.col("start") < end) & (pl.col("end") > start)) | ((pl.col("start") == pl.col("end")) & (pl.col("start") == start))
    )
    amount = split.split(touching, configuration.base_us, (start, end))
    unit = readings["unit"][0] if readings.height else None
    used = _used(kept, touching)
    shown = in_units(touching.with_columns(unit=pl.lit(unit, pl.String)), "amount_n", "amount")
    total = amount.select(pl.col("amount_n").sum(), pl.col("covered_us").sum(), pl.col("covered_us").count().alias("n")).row(0)
    whole = in_units(
        pl.DataFrame(
            {"amount_n": [total[0] if amount.height else None], "unit": [unit]}, schema_overrides={"amount_n": pl.Int128}
        ),
        "amount_n",
        "amount",
    ).row(0, named=True)
    return {
        "meter": meter,
        "amount": whole["amount"],
        "unit": whole["unit"],
        "coverage": total[1] / configuration.base_us if total[2] else None,
        "steps": shown.select("start", "end", "shape", "amount", "estimated", "suspect").to_dicts(),
        "readings": in_units(used, "value_n", "value")
        .with_columns(
            place=pl.when(pl.col("observed_at") <= start)
            .then(pl.lit("before"))
            .when(pl.col("observed_at") >= end)
            .then(pl.lit("after"))
            .otherwise(pl.lit("inside"))
        )
        .select("place", "observed_at", "value", "unit", "kind", "quality", "received_at", "message", "index")
        .to_dicts(),
    }


def _used(readings: pl.DataFrame, touching: pl.DataFrame) -> pl.DataFrame:
    """The readings that stand at the ends of steps."""
    ends: Iterable[datetime] = {t for name in ("observed0", "observed1", "start", "end") for t in touching[name].drop_nulls()}
    at = pl.Series("at", sorted(ends), dtype=TIME)
    own = pl.col("observed_at").is_in(at.implode()) | pl.col("period_end").is_in(at.implode())
    return readings.filter(own).sort("observed_at", "index")


def _intensity(store: Store, configuration: Configuration, source: Source, start: datetime) -> list[dict[str, Any]]:
    """The reference reading that holds at the interval's start."""
    code = configuration.catalogue.region
    region = code(configuration.plant.site(source.site).grid_region)
    rule = next((r for r in configuration.plant.settings.grid_regions if code(r.region) == region), None)
    if rule is None or rule.intensity is None or source.scope != 2:
        return []
    found = store.readings([rule.intensity], start - rule.max_age, start + timedelta(microseconds=1))
    kept = collapse.collapse(found, store.payloads).sort("observed_at").tail(1)
    columns = ("meter", "observed_at", "value", "unit", "quality", "received_at", "message")
    return in_units(kept, "value_n", "value").select(columns).to_dicts()
