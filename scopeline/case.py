"""A figure's case: a folder with plant/, messages.ndjson and expected.csv from which `compute` gives the figure again.

The messages are those behind the figure and no others. Which are needed besides the readings of its own steps depends on rules
that look at neighbours, so the smallest set is taken from which the same figure follows, tried by computing it.
"""

import shutil
import tempfile
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import polars as pl

from processors import rollup
from schemas.frames import OUTPUT
from schemas.plant import Plant
from schemas.source import Source
from scopeline import offline
from scopeline.catalogue import catalogue
from scopeline.log import Store
from scopeline.pipeline import Configuration
from scopeline.plant import load
from scopeline.service.host import Host
from scopeline.service.messages import message_lines
from scopeline.trace import ASIDE, Trace, around, measured_by
from sinks.files import csv_text

_WIDER = (ASIDE, 50, 2_000)
_COPIED = ("*.yaml", "*.yml", "*.csv", "feeds", "meters", "sources", "factors")


class CaseError(Exception):
    """Why the case cannot be written, and the remedy."""


def messages_behind(host: Host, trace: Trace) -> list[bytes]:
    """Lines of the message file from which the traced figures follow; CaseError where no set gives them."""
    configuration = host.configuration
    source = next(s for s in configuration.plan.sources if s.source == trace.source["source"])
    with host.store.snapshot() as store, tempfile.TemporaryDirectory(prefix="scopeline-case-") as folder:
        file = Path(folder) / "messages.ndjson"
        for places in _sets(store, configuration, source, trace):
            lines = list(message_lines(iter([store.messages_at(places)])))
            file.write_bytes(b"".join(lines))
            computed = compute(file, configuration.plant)
            if same(computed, trace.figures, source.source, trace.interval_start):
                return [line + b"\n" for line in b"".join(lines).splitlines()]
    raise CaseError(
        f"No set of messages of {source.source} gives this figure again: the log has lost messages or the plant folder changed. "
        "Run `scopeline doctor`; `scopeline replay` computes the range again."
    )


def _sets(store: Store, configuration: Configuration, source: Source, trace: Trace) -> Iterator[list[int]]:
    """Sets of messages, small ones first."""
    own = {row["message"] for row in trace.messages}
    meters = set(measured_by(source, configuration, store))
    contracts = configuration.plant.contracts
    if source.scope == 2 and any(contract.site == source.site for contract in contracts):
        for other in configuration.plan.sources:  # they share the contracts' energy
            if other.site == source.site and other.scope == 2:
                meters |= set(measured_by(other, configuration, store))
        meters |= {c.covers.meter for c in contracts if c.site == source.site and c.covers.meter}
        hour = trace.interval_start.replace(minute=0, second=0, microsecond=0)
        start, end = hour, max(trace.interval_end, hour + timedelta(hours=1))
    else:
        start, end = trace.interval_start, trace.interval_end
    clock = _clock(store, source.site, sorted(meters), trace)
    yield sorted(own)
    yield sorted(own | clock)
    first = _first(store, sorted(meters))
    for aside in _WIDER:
        wider = {m for meter in sorted(meters) for m in around(store, meter, start, end, aside)["message"].to_list()}
        yield sorted(own | clock | wider)
        yield sorted(own | clock | wider | first)


def _clock(store: Store, site: str, meters: list[str], trace: Trace) -> set[int]:
    """The message of the site's clock, which says that the interval is over; of the figure's own meters where one has it."""
    newest = dict(store.clocks().iter_rows()).get(site)
    if newest is None or not trace.figures or trace.figures[0]["status"] == "provisional":
        return set()
    cursor = store.cursor()
    try:
        sql = """SELECT message FROM readings WHERE site = ? AND received_at = ? ORDER BY meter NOT IN (SELECT unnest(?)),
        message LIMIT 1"""
        found = cursor.execute(sql, [site, newest.replace(tzinfo=None), meters]).fetchone()
        return {found[0]} if found else set()
    finally:
        cursor.close()


def _first(store: Store, meters: list[str]) -> set[int]:
    """The first reading of each meter: from then on it is expected."""
    firsts = store.first_readings().filter(pl.col("meter").is_in(meters))
    found: set[int] = set()
    for meter, at in firsts.iter_rows():
        found |= set(store.readings([meter], at, at + timedelta(microseconds=1))["message"].to_list())
    return found


def compute(file: Path, plant: Plant) -> pl.DataFrame:
    """The base figures that a message file gives, as `scopeline compute` writes them."""
    found = offline.load(file, plant, catalogue())
    rows = [rollup.finish_base(frame, found.configuration.plan, found.clocks) for frame in found.figures()]
    return pl.concat(rows) if rows else pl.DataFrame(schema=OUTPUT)


def same(computed: pl.DataFrame, figures: list[dict[str, Any]], source: str, start: datetime) -> bool:
    """Whether the computed rows of the source's interval are the traced ones, in every figure column."""
    rows = computed.filter((pl.col("source") == source) & (pl.col("interval_start") == start))
    bases = {figure["basis"] for figure in figures}
    got = [{name: row[name] for name in OUTPUT} for row in rows.to_dicts() if row["basis"] in bases]
    return bool(got) and _plain(got) == _plain([{name: figure[name] for name in OUTPUT} for figure in figures])


def _plain(rows: list[dict[str, Any]]) -> list[bytes]:
    return sorted(orjson.dumps(row, option=orjson.OPT_SORT_KEYS | orjson.OPT_UTC_Z) for row in rows)


def write_case(lines: list[bytes], figures: list[dict[str, Any]], plant_dir: Path, folder: Path) -> None:
    """Write the case into a new or empty folder: plant/ (without secrets and state), messages.ndjson, expected.csv."""
    folder.mkdir(parents=True, exist_ok=True)
    for pattern in _COPIED:
        for path in sorted(plant_dir.glob(pattern)):
            _copy(path, folder / "plant" / path.name)
    file = folder / "messages.ndjson"
    file.write_bytes(b"".join(lines))
    plant, problems = load(folder / "plant")
    if plant is None:
        raise CaseError(f"The plant folder has errors now: {problems[0]}")
    computed = compute(file, plant)
    (folder / "expected.csv").write_bytes(csv_text(computed))
    start = datetime.fromisoformat(figures[0]["interval_start"])
    named = [{**f, **{k: datetime.fromisoformat(f[k]) for k in ("interval_start", "interval_end")}} for f in figures]
    if not same(computed, named, figures[0]["source"], start):
        raise CaseError(
            f"The plant folder on disk gives another figure than the configuration in force; {folder} holds what it gives. "
            "Run `scopeline check`, wait until the instance has taken the edit, then trace again."
        )


def _copy(path: Path, target: Path) -> None:
    """Copy plant files; links are not followed out of the folder, state and secrets stay behind."""
    if path.is_symlink():
        return
    if path.is_dir():
        for inside in sorted(path.rglob("*")):
            if inside.is_file() and not inside.is_symlink() and inside.suffix in (".yaml", ".yml", ".csv"):
                _copy(inside, target / inside.relative_to(path))
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, target)
