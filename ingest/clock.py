"""Stamps of many readings as instants: each with its format and zone, and the rule for repeated and skipped hours."""

import polars as pl

from ingest import timestamps
from ingest.values import texts
from schemas.frames import TIME


def instants(frame: pl.DataFrame, tokens: pl.Series) -> pl.Series:
    """The instants of stamp tokens; null where there is none or it cannot be read.

    `frame` gives for each token: row (its message), series (its meter's place in the payload), received_at, format, zone.
    """
    stated = texts(tokens)
    formats = frame["format"].unique().drop_nulls().to_list()
    if not formats or stated.null_count() == len(stated):
        return pl.Series([None], dtype=TIME).new_from_index(0, len(stated))
    if len(formats) == 1 and not frame["format"].null_count():
        utc, local = timestamps.parse(stated, formats[0])
    else:
        utc = pl.Series([None], dtype=pl.Int64).new_from_index(0, len(stated))
        local = utc.clone()
        for one in sorted(formats):
            places = (frame["format"] == one).fill_null(False).arg_true()
            found = timestamps.parse(stated.gather(places), one)
            utc, local = utc.scatter(places, found.utc), local.scatter(places, found.local)
    if "senml" in formats:
        utc = _relative(frame, utc)
    at = utc.cast(TIME)
    if local.null_count() < len(local):
        at = _localised(
            frame.select_seq("row", "series", "received_at", "zone").with_columns_seq(at.alias("at"), local.alias("local"))
        )
    return at


def _relative(frame: pl.DataFrame, utc: pl.Series) -> pl.Series:
    """SenML times below 2**28 s count from the arrival."""
    near = ((frame["format"] == "senml") & (utc < timestamps.SENML_RELATIVE * 1_000_000)).fill_null(False)
    return utc if not near.any() else (utc + frame["received_at"].to_physical()).zip_with(near, utc)


def _localised(frame: pl.DataFrame) -> pl.Series:
    """`at`, filled from `local` in `zone`.

    Where a zone knows one instant for a local time, polars finds it; the rest (repeated and skipped hours) are few and are
    decided by _fold with the whole series of their payload in sight.
    """
    at = frame["at"]
    for zone in sorted(frame["zone"].unique().drop_nulls().to_list()):
        here = ((frame["zone"] == zone) & frame["at"].is_null()).fill_null(False)
        local = frame["local"].cast(pl.Datetime("us")).filter(here)
        found = local.dt.replace_time_zone(zone, ambiguous="null", non_existent="null").dt.convert_time_zone("UTC")
        at = at.scatter(here.arg_true(), found)
    odd = frame["local"].is_not_null() & at.is_null()
    if not odd.any():
        return at
    payloads = frame["row"].filter(odd).unique()
    places = frame["row"].is_in(payloads.implode()).arg_true()
    around = frame.with_columns_seq(odd.alias("odd")).select_seq("row", "series", "local", "zone", "odd", "received_at")[places]
    chosen: dict[int, int] = {}
    groups: dict[tuple[int, int], list[tuple[int, int, str, bool, int]]] = {}
    received = around["received_at"].to_physical().to_list()
    for place, (row, series, local_us, zone, is_odd, _), arrived in zip(places, around.rows(), received, strict=True):
        if local_us is not None:
            groups.setdefault((row, series), []).append((place, local_us, zone, is_odd, arrived))
    for group in groups.values():
        chosen |= _fold(group)
    us = pl.Series(list(chosen.values()), dtype=pl.Int64).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    return at.scatter(pl.Series(list(chosen), dtype=pl.UInt32), us)


def _fold(series: list[tuple[int, int, str, bool, int]]) -> dict[int, int]:
    """Decide the repeated and skipped times of one meter in one payload: place -> instant.

    `series`: (place, local time, zone, odd, arrival) in payload order. Where the payload goes through the hour twice (in time
    order a stamp is not after its predecessor), the first pass is the earlier, the second the later instant. Else each is the
    later instant that is not after the arrival; the earlier if both are.

    >>> two = timestamps.instant("2023-10-29T02:30Z", "UTC")
    >>> at = _fold([(0, two, "Europe/Berlin", True, 2 * two), (1, two, "Europe/Berlin", True, 2 * two)])
    >>> (at[1] - at[0]) // 60_000_000
    60
    """
    ordered = series[::-1] if series[0][1] > series[-1][1] else series
    odd = [
        (place, local, *timestamps.fold_choices(local, zone), arrived)
        for place, local, zone, is_odd, arrived in ordered
        if is_odd
    ]
    chosen: dict[int, int] = {}
    for day in _runs([one for one in odd if one[2] != one[3]]):
        turn = next((n for n in range(1, len(day)) if day[n][1] <= day[n - 1][1]), None)
        for n, (place, _, earlier, later, arrived) in enumerate(day):
            second = later <= arrived if turn is None else n >= turn
            chosen[place] = later if second else earlier
    for place, _, before, after, _ in odd:
        if before == after:
            chosen[place] = before
    return chosen


def _runs(odd: list[tuple[int, int, int, int, int]]) -> list[list[tuple[int, int, int, int, int]]]:
    """Repeated times of one change of clocks together: those less than a day apart."""
    runs: list[list[tuple[int, int, int, int, int]]] = []
    for one in odd:
        if runs and abs(one[1] - runs[-1][-1][1]) < 86_400_000_000:
            runs[-1].append(one)
        else:
            runs.append([one])
    return runs
