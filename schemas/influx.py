"""Names in InfluxDB: measurements, tags and fields, in one place for those who write them and those who query them.

Made from the columns of a figure (schemas.frames.OUTPUT): a column that is renamed there is renamed here, and a panel that asks
for the old name fails its test. Every number is a float; empty tags are left out.
"""

from collections.abc import Iterable

import polars as pl

from schemas.frames import OUTPUT, Columns

FIGURES = "figures"
ROLLUPS = {"15m": "figures_15m", "1h": "figures_1h", "1d": "figures_1d"}
"""Interval -> measurement; the points of a day stand at its start in the zone of their site."""
READINGS, CLOCK, FEEDS, LAG, EVENTS = "readings", "clock", "feeds", "lag", "events"
RESTATED, FACTOR_CHANGED = "restated", "factor"
"""Values of the tag `event` beside those of schemas.frames.EVENTS."""

FIGURE_TAGS = ("site", "source", "component", "scope", "category", "basis")
DERIVED = ("wtt", "t_and_d", "wtt_t_and_d")
"""Components that repeat the activity of what they derive from: their kg add up, their activity does not."""

KG = tuple(name for name in OUTPUT if name.endswith("_kg"))
"""Fields of kg, which add up over intervals, sources and components, but never over bases."""

FIGURE_FIELDS: Columns = {
    **{name: kind for name, kind in OUTPUT.items() if name not in (*FIGURE_TAGS, "interval_start", "interval_end")},
    "interval_s": pl.Float64,  # length of the base interval
    "lag_s": pl.Float64,  # how late the latest used reading came, after interval end
}
ROLLUP_FIELDS: Columns = {
    **{name: OUTPUT[name] for name in (*KG, "activity", "activity_unit")},  # sums; empty where no part has a number
    "estimated_kg": pl.Float64,  # part of co2e_kg that was spread over a gap, filled, or priced by a fallback
    "covered_s": pl.Float64,  # seconds that readings span; 0 for events
    "expected_s": pl.Float64,  # seconds in which something is expected; 0 for events
    "known": pl.Float64,  # base intervals in which something is known
    "unpriced": pl.Float64,  # of them, without a factor
}
"""Sums of a series' base intervals. Covered and expected seconds are those of the source, the same in each of its series."""

TAGS: dict[str, tuple[str, ...]] = {
    FIGURES: FIGURE_TAGS,
    **dict.fromkeys(ROLLUPS.values(), FIGURE_TAGS),
    READINGS: ("site", "meter", "unit", "kind"),
    CLOCK: ("site",),
    FEEDS: ("feed", "outcome", "partition"),
    LAG: ("partition",),
    EVENTS: ("site", "meter", "event"),
}
"""Measurement -> its tags; the figures' have the plant's own tags as well (`plant_tags`)."""

FIELDS: dict[str, Columns] = {
    FIGURES: FIGURE_FIELDS,
    **dict.fromkeys(ROLLUPS.values(), ROLLUP_FIELDS),
    READINGS: {"value": pl.Float64, "quality": pl.String},
    CLOCK: {"newest": pl.Float64},  # unix seconds
    FEEDS: {"messages": pl.Float64},  # of a minute
    LAG: {"records": pl.Float64, "seconds": pl.Float64},
    EVENTS: {"detail": pl.String},
}
"""Measurement -> its fields and their types."""


def plant_tags(declared: Iterable[str]) -> tuple[str, ...]:
    """The InfluxDB tags of the plant's own tags.

    >>> plant_tags(["line", "cost_centre"])
    ('tag_line', 'tag_cost_centre')
    """
    return tuple(f"tag_{name}" for name in declared)


def buckets(bucket: str) -> dict[str, str]:
    """What is kept -> the bucket: figures with their roll-ups, readings, health.

    >>> buckets("works")["readings"]
    'works_readings'
    """
    return {"figures": bucket, "readings": f"{bucket}_readings", "health": f"{bucket}_health"}


def bucket_of(measurement: str) -> str:
    """Which of `buckets` holds a measurement.

    >>> bucket_of("figures_1d"), bucket_of("lag")
    ('figures', 'health')
    """
    return "figures" if measurement in (FIGURES, *ROLLUPS.values()) else "readings" if measurement == READINGS else "health"
