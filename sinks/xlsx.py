"""Frames as an Excel workbook: real numbers, local times, never a formula; in constant memory."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import xlsxwriter

SHEET = "figures"
MOST_ROWS = 1_048_576
"""Rows of a sheet in Excel; what is beyond goes to the next sheet."""

_CREATED = datetime(2000, 1, 1)
"""A fixed stamp: the same rows give the same bytes."""


def write_xlsx(frames: Iterable[pl.DataFrame], path: Path, zones: Mapping[str, str] | None = None, most: int = MOST_ROWS) -> int:
    """Write frames of one shape; returns the number of rows.

    zones: site -> time zone. Times of a row are in its site's zone; without a column `site`, in the one zone of all, else UTC.
    """
    book = xlsxwriter.Workbook(str(path), {"constant_memory": True, "nan_inf_to_errors": False})
    book.set_properties({"created": _CREATED})
    forms = {"head": book.add_format({"bold": True}), "time": book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"})}
    rows, place, sheets, sheet = 0, most, 0, None
    for frame in frames:
        local = localised(frame, zones or {})
        if not sheets and not frame.height:
            place, sheets, sheet = 1, 1, _sheet(book, 1, frame.columns, forms)
        values = local.iter_rows()
        while chunk := list(islice(values, 10_000)):
            for row in chunk:
                if place >= most:
                    sheets += 1
                    place, sheet = 1, _sheet(book, sheets, frame.columns, forms)
                _row(sheet, place, row, forms)
                place += 1
        rows += frame.height
    book.close()
    return rows


def localised(frame: pl.DataFrame, zones: Mapping[str, str]) -> pl.DataFrame:
    """Times as wall times (without zone, since Excel knows none)."""
    times = [name for name, dtype in frame.schema.items() if isinstance(dtype, pl.Datetime)]
    if not times:
        return frame
    shared = next(iter(set(zones.values()))) if len(set(zones.values())) == 1 else "UTC"
    if "site" not in frame.columns or len(set(zones.values())) < 2:
        return frame.with_columns(pl.col(t).dt.convert_time_zone(shared).dt.replace_time_zone(None) for t in times)
    wall = {t: pl.col(t).dt.replace_time_zone(None) for t in times}
    for zone in sorted(set(zones.values())):
        ZoneInfo(zone)
        here = pl.col("site").is_in([site for site, z in zones.items() if z == zone])
        wall = {
            t: pl.when(here).then(pl.col(t).dt.convert_time_zone(zone).dt.replace_time_zone(None)).otherwise(wall[t])
            for t in times
        }
    return frame.with_columns(**wall)


def _sheet(book: xlsxwriter.Workbook, number: int, columns: list[str], forms: dict[str, Any]) -> Any:
    sheet = book.add_worksheet(SHEET if number == 1 else f"{SHEET} {number}")
    sheet.freeze_panes(1, 0)
    for place, name in enumerate(columns):
        sheet.set_column(place, place, 20 if "interval" in name or name == "period" else 14)
        sheet.write_string(0, place, name, forms["head"])
    return sheet


def _row(sheet: Any, at: int, row: tuple[Any, ...], forms: dict[str, Any]) -> None:
    for place, value in enumerate(row):
        if value is None or value == "" or value != value:
            continue
        if isinstance(value, bool):
            sheet.write_boolean(at, place, value)
        elif isinstance(value, (int, float)):
            sheet.write_number(at, place, value)
        elif isinstance(value, datetime):
            sheet.write_datetime(at, place, value, forms["time"])
        else:
            sheet.write_string(at, place, str(value))
