"""What InfluxDB holds of a range against what the console computed of the log. Reads both, writes neither."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from schemas.connections import InfluxDB
from schemas.frames import FIGURE_KEY
from schemas.influx import plant_tags
from schemas.plant import Plant
from scopeline.plant import secret
from sinks.influx import Influx, Reader

TOKEN = "SCOPELINE_INFLUXDB_TOKEN"
FIRST = 10
"""Differences that are shown."""
REMEDY = (
    "A lag explains differences of the newest minutes. Workers compare an hour of the horizon every five minutes and write again "
    "what differs. What is older: set the group back to before the range (docs/operate.md, Back up and restore)."
)


def stored(settings: InfluxDB, plant: Plant, plant_dir: Path, start: datetime, end: datetime) -> pl.DataFrame:
    """The figures in InfluxDB. Raises InfluxProblem."""
    influx = Influx(settings, secret(plant_dir, settings.token_file, TOKEN))
    try:
        return Reader(influx, settings.bucket, plant_tags(plant.settings.tags)).read_figures(start, end)
    finally:
        influx.close()


def compare(here: pl.DataFrame, there: pl.DataFrame) -> dict[str, Any]:
    """Figures as people get them (OUTPUT, tags) against the stored ones: {figures, stored, missing, extra, other, first}.

    missing: only computed; extra: only stored; other: both, with another value. A figure that is provisional here is stored as
    what it becomes.
    """
    columns = [name for name in here.columns if name in there.columns and name != "interval_end"]
    here, there = here.select(columns), there.select(columns).cast(here.select(columns).schema)
    key = [name for name in FIGURE_KEY if name in columns]
    open_ = here.filter(pl.col("status") == "provisional").select(*key, open=pl.lit(True))
    becomes = pl.col("open").fill_null(False) & pl.col("status").is_in(["final", "restated"])
    there = (
        there.join(open_, on=key, how="left", nulls_equal=True)
        .with_columns(status=pl.when(becomes).then(pl.lit("provisional")).otherwise(pl.col("status")))
        .select(columns)
    )
    mine = here.join(there, on=columns, how="anti", nulls_equal=True).select(key)
    theirs = there.join(here, on=columns, how="anti", nulls_equal=True).select(key)
    other = mine.join(theirs, on=key, how="semi", nulls_equal=True)
    found = {
        "missing": mine.join(other, on=key, how="anti", nulls_equal=True),
        "extra": theirs.join(other, on=key, how="anti", nulls_equal=True),
        "other": other,
    }
    rows = pl.concat([frame.with_columns(what=pl.lit(what)) for what, frame in found.items()]).sort("interval_start", *key[1:])
    counts = {what: frame.height for what, frame in found.items()}
    first = rows.head(FIRST).select("what", "interval_start", "site", "source", "component", "basis").to_dicts()
    return {"figures": here.height, "stored": there.height, **counts, "first": first}


def difference(
    plant: Plant, plant_dir: Path, computed: Callable[[], pl.DataFrame], start: datetime, end: datetime
) -> dict[str, Any]:
    """`compare` of a range; computed: the console's figures."""
    assert plant.settings.influxdb
    return compare(computed(), stored(plant.settings.influxdb, plant, plant_dir, start, end))
