"""Frames as line protocol, the text that InfluxDB takes: by column expressions, no Python call a row.

Names of measurements, tags and fields are those of schemas.influx. Time stamps are UTC microseconds (write with `precision=us`).
Empty and null tags are left out, null fields too, and a row without any field or without a time gives no line. Numbers are always
floats, in the shortest text that reads back as the same double; NaN and infinities are left out like null.

What line protocol cannot carry in a tag is percent-encoded: control characters, a backslash at the end, and a `%` that would
read as such a code. `decoded` is the way back, exactly.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime

import polars as pl

from schemas.frames import TIME
from schemas.influx import CLOCK, EVENTS, FEEDS, FIELDS, FIGURE_FIELDS, FIGURE_TAGS, FIGURES, LAG, READINGS, ROLLUPS, TAGS
from schemas.numeric import N
from schemas.units import UnitProblem, unit

_CODES = "(?:25)*(?:[01][0-9A-F]|7F|5C)"
_LITERAL_CODE = re.compile(f"%(?={_CODES})")
_CODE = re.compile(f"%({_CODES})")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]|\\\Z")
_ODD = rf"[\x00-\x1f\x7f]|\\$|%{_CODES}"
_WHOLE = 2**53
_FEW = 256
"""Rows below which looking for words that repeat is not worth it."""


def lines(frame: pl.DataFrame, measurement: str, tags: Sequence[str], fields: Sequence[str], time: str) -> pl.Series:
    """The rows of a frame as line protocol, in the frame's order; `time` is a Datetime column in UTC.

    >>> rows = pl.DataFrame({"at": [datetime(2026, 1, 1)], "site": ["a b"], "basis": [""], "kg": [3.0], "status": ['"ok"']})
    >>> print(lines(rows, "figures", ["site", "basis"], ["kg", "status"], "at").item())
    figures,site=a\\ b kg=3.0,status="\\"ok\\"" 1767225600000000
    """
    tagged = {f"t{i}": _tag(name, frame[name]) for i, name in enumerate(sorted(tags))}
    valued = {f"f{i}": _field(name, frame[name]) for i, name in enumerate(fields)}
    stamps = frame[time].dt.timestamp("us").cast(pl.String)
    parts = pl.DataFrame({**tagged, **valued, "at": stamps})
    head = pl.concat_str([pl.lit(_name(measurement)), *tagged], ignore_nulls=True)
    kept = parts.with_columns(values=pl.concat_str([*valued], ignore_nulls=True)).filter(
        (pl.col("values") != "") & pl.col("at").is_not_null()
    )
    return kept.select(line=pl.concat_str(head, pl.lit(" "), pl.col("values").str.slice(1), pl.lit(" "), "at"))["line"]


def figures(output: pl.DataFrame, tags: Sequence[str] = ()) -> pl.Series:
    """Figures of base intervals: OUTPUT of processors.output.finish_base with an empty clock; `tags`: its `tag_<name>` columns.

    With an empty clock no status is provisional: what is stored is the status that holds once the site's clock has passed, and
    `sinks.influx.provisional` derives the rest on reading. A column `lag_us` or `lag_s`, where there is one, becomes `lag_s`.
    """
    lag = pl.col("lag_s") if "lag_s" in output.columns else pl.lit(None, dtype=pl.Float64)
    lag = _seconds(pl.col("lag_us")) if "lag_us" in output.columns else lag
    length = (pl.col("interval_end") - pl.col("interval_start")).dt.total_microseconds()
    rows = output.with_columns(interval_s=_seconds(length), lag_s=lag)
    return lines(rows, FIGURES, [*FIGURE_TAGS, *tags], list(FIGURE_FIELDS), "interval_start")


def rollup_lines(sums: pl.DataFrame, interval: str, tags: Sequence[str] = ()) -> pl.Series:
    """Sums of 15m, 1h or 1d: columns interval_start, schemas.influx.FIGURE_TAGS, `tags`, and any of ROLLUP_FIELDS."""
    measurement = ROLLUPS[interval]
    fields = [name for name in FIELDS[measurement] if name in sums.columns]
    return lines(sums, measurement, [*FIGURE_TAGS, *tags], fields, "interval_start")


def readings(accepted: pl.DataFrame) -> pl.Series:
    """Readings in base units: schemas.frames.READINGS after the collapse. Two events of a meter at one instant share a point."""
    names = accepted["unit"].cast(pl.String).unique().drop_nulls().to_list()
    units = pl.col("unit").cast(pl.String).replace_strict({u: _base(u) for u in names}, default=None, return_dtype=pl.String)
    rows = accepted.with_columns(value=_number(accepted["value_n"]), unit=units)
    return lines(rows, READINGS, TAGS[READINGS], ["value", "quality"], "observed_at")


def clock(newest: Mapping[str, datetime], at: datetime) -> pl.Series:
    """Site -> newest received_at of its readings. at: now, cut to the minute; a point of long ago would be outside the retention.

    Who asks takes the greatest `newest` of a site, so that a point written again, or by a worker that lags, changes nothing.
    """
    rows = pl.DataFrame({"site": list(newest), "newest": pl.Series(list(newest.values()), dtype=TIME)}).with_columns(
        at=pl.lit(at, dtype=TIME).dt.truncate("1m"), newest=_seconds(pl.col("newest").dt.timestamp("us"))
    )
    return lines(rows, CLOCK, TAGS[CLOCK], ["newest"], "at")


def feeds(counts: pl.DataFrame) -> pl.Series:
    """Messages of a minute: columns at (start of the minute), messages (its total so far), and the tags of schemas.influx."""
    return lines(counts, FEEDS, _there(counts, FEEDS), ["messages"], "at")


def events(found: pl.DataFrame) -> pl.Series:
    """Named events: schemas.frames.EVENTS; `site` is made from the meter where there is no such column."""
    made = pl.col("site") if "site" in found.columns else pl.col("meter").cast(pl.String).str.extract(r"^([^/]*)/")
    rows = found.with_columns(site=made, detail=pl.col("detail").fill_null(""))
    return lines(rows, EVENTS, TAGS[EVENTS], ["detail"], "at")


def lag(behind: pl.DataFrame) -> pl.Series:
    """How far workers are behind: columns at, partition, records, seconds."""
    return lines(behind, LAG, _there(behind, LAG), ["records", "seconds"], "at")


def encoded(tag: str) -> str:
    """A tag's value as it is stored: what line protocol cannot carry is percent-encoded.

    >>> encoded("two\\nlines"), encoded("end\\\\"), encoded("100 %"), encoded("%0A")
    ('two%0Alines', 'end%5C', '100 %', '%250A')
    """
    return _CONTROL.sub(lambda found: f"%{ord(found[0]):02X}", _LITERAL_CODE.sub("%25", tag))


def decoded(stored: str) -> str:
    """The way back from `encoded`.

    >>> [decoded(encoded(text)) for text in ("two\\nlines", "%250A", "%25")] == ["two\\nlines", "%250A", "%25"]
    True
    """
    return _CODE.sub(lambda found: f"%{found[1][2:]}" if found[1].startswith("25") else chr(int(found[1], 16)), stored)


def _name(text: str) -> str:
    """A measurement, tag or field name with its escapes."""
    return re.sub(r"([,= ])", r"\\\1", text)


def _tag(name: str, column: pl.Series) -> pl.Series:
    """`,name=value`, null where there is no value."""
    words = column.cast(pl.String)
    if len(words) > _FEW and len(known := words.unique()) <= len(words) // 4:
        return words.replace_strict(known, _tag(name, known), return_dtype=pl.String)
    odd = words.filter(words.str.contains(_ODD)).unique()
    if len(odd):
        words = words.replace(odd, pl.Series([encoded(word) for word in odd], dtype=pl.String))
    word = pl.col(words.name).str.replace_all(r"([,= ])", r"\$1")
    return words.to_frame().select(pl.when(word != "").then(pl.lit(f",{_name(name)}=") + word).alias(words.name)).to_series()


def _field(name: str, column: pl.Series) -> pl.Series:
    """`,name=value`, null where there is no value."""
    start, cell = f",{_name(name)}=", pl.col(column.name)
    value: pl.Expr
    if column.dtype == pl.Boolean:
        value = pl.when(cell).then(pl.lit("true")).when(~cell).then(pl.lit("false"))
    elif column.dtype.is_numeric():
        number = cell.cast(pl.Float64)
        value = pl.when(number.is_finite()).then(number).cast(pl.String)
    else:
        words = column.cast(pl.String)
        if len(words) > _FEW and len(known := words.unique()) <= len(words) // 4:
            return words.replace_strict(known, _field(name, known), return_dtype=pl.String)
        escaped = cell.cast(pl.String).str.replace_all("\\", "\\\\", literal=True).str.replace_all('"', '\\"', literal=True)
        start, value = f'{start}"', escaped + pl.lit('"')
    return column.to_frame().select((pl.lit(start) + value).alias(column.name)).to_series()


def _there(frame: pl.DataFrame, measurement: str) -> list[str]:
    return [tag for tag in TAGS[measurement] if tag in frame.columns]


def _seconds(microseconds: pl.Expr) -> pl.Expr:
    """Divided by a column: polars divides by a single number by multiplying with its reciprocal, which rounds twice."""
    return microseconds.cast(pl.Float64) / pl.repeat(1_000_000.0, pl.len())


def _base(name: str) -> str:
    """The base unit of a unit; its own name where it is not in the table."""
    try:
        return unit(name).base
    except UnitProblem:
        return name


def _number(exact: pl.Series) -> pl.Series:
    """Integers of 1e-9 as the nearest double: int / int is correctly rounded, and so is a division of doubles that are exact."""
    if exact.is_empty() or max(-int(exact.min() or 0), int(exact.max() or 0)) < _WHOLE:  # type: ignore[arg-type]  # integers
        return exact.cast(pl.Float64) / pl.repeat(float(N), len(exact), dtype=pl.Float64, eager=True)
    return pl.Series(exact.name, [None if n is None else n / N for n in exact.to_list()], dtype=pl.Float64)
