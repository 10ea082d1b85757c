"""Time stamps of payloads as instants: formats, zones, repeated and skipped hours.

Formats: `iso8601`, `epoch_s`, `epoch_ms`, `epoch_us`, `epoch_ns`, or a strptime pattern of the directives in DIRECTIVES; two
more serve decoders: `senml` (seconds; below 2**28 they count from the arrival, RFC 8428 section 4.5.3) and `iso8601_or_ms`.
Instants are floored to microseconds, and lie within the years 1 to 9999.
"""

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

import polars as pl

MICROSECOND = timedelta(microseconds=1)
FIRST_US, LAST_US = -62_135_596_800_000_000, 253_402_300_799_999_999
EPOCHS = {"epoch_s": 1_000_000_000, "epoch_ms": 1_000_000, "epoch_us": 1000, "epoch_ns": 1, "senml": 1_000_000_000}
"""Nanoseconds of one unit of a numeric stamp."""
SENML_RELATIVE = 2**28

_MONTH_NAMES = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTHS = {m: f"{n:02d}" for n, m in enumerate(_MONTH_NAMES, 1)}
DIRECTIVES = {
    "Y": "(?P<Y>[0-9]{4})",
    "y": "(?P<y>[0-9]{2})",
    "m": "(?P<m>[0-9]{1,2})",
    "d": "(?P<d>[0-9]{1,2})",
    "H": "(?P<H>[0-9]{1,2})",
    "I": "(?P<I>[0-9]{1,2})",
    "M": "(?P<M>[0-9]{1,2})",
    "S": "(?P<S>[0-9]{1,2})",
    "f": "(?P<f>[0-9]{1,12})",
    "p": "(?P<p>[AaPp][Mm])",
    "b": "(?P<b>[A-Za-z]{3})",
    "z": "(?P<z>[Zz]|[+-][0-9]{2}:?[0-9]{2})",
    "%": "%",
}
_SHORT = {"T": "%H:%M:%S", "R": "%H:%M", "F": "%Y-%m-%d"}
_ISO = (
    r"\A(?P<Y>[0-9]{4})-?(?P<m>[0-9]{2})-?(?P<d>[0-9]{2})"
    r"(?:[Tt ](?P<H>[0-9]{2}):?(?P<M>[0-9]{2})(?::?(?P<S>[0-9]{2})(?:[.,](?P<f>[0-9]{1,12}))?)?"
    r" ?(?P<z>[Zz]|UTC|[+-][0-9]{2}(?::?[0-9]{2})?)?)?\z"
)
_CANONICAL = r"\A[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,12})?Z?\z"


@lru_cache(maxsize=256)
def _regex(pattern: str) -> str:
    """A strptime pattern as an expression with a group for each part; a ValueError names the remedy."""
    for short, long in _SHORT.items():
        pattern = pattern.replace(f"%{short}", long)
    parts, groups, at = [r"\A"], set(), 0
    while at < len(pattern):
        if pattern[at] == "%":
            name = pattern[at + 1 : at + 2]
            if name not in DIRECTIVES:
                raise ValueError(f"'%{name}' is not known in a stamp's format: use %{' %'.join([*DIRECTIVES, *_SHORT])}")
            if name in groups and name != "%":
                raise ValueError(f"'%{name}' stands twice in the stamp's format: take one out")
            groups.add(name)
            parts.append(DIRECTIVES[name])
            at += 2
        elif pattern[at].isspace():
            parts.append(r"\s+")
            at += 1
        else:
            parts.append(re.escape(pattern[at]))
            at += 1
    if not ({"Y", "y"} & groups and {"m", "b"} & groups and "d" in groups):
        raise ValueError(f"{pattern!r} has no full date: it needs %Y (or %y), %m (or %b) and %d, or be iso8601 or epoch_s")
    if ("I" in groups) != ("p" in groups):
        raise ValueError(f"{pattern!r}: %I (12 hours) and %p (AM, PM) go together: use %H for 24 hours")
    return "".join(parts) + r"\z"


def check(format: str, zone: str | None) -> None:
    """Refuse a format or zone that cannot be used, with the remedy.

    >>> check("%d.%m.%Y %H:%M", "Europe/Berlin")
    >>> check("%H:%M", None)
    Traceback (most recent call last):
    ValueError: '%H:%M' has no full date: it needs %Y (or %y), %m (or %b) and %d, or be iso8601 or epoch_s
    """
    if format not in EPOCHS and format not in ("iso8601", "iso8601_or_ms"):
        _regex(format)
    if zone is not None:
        try:
            ZoneInfo(zone)
        except (KeyError, ValueError, OSError):
            raise ValueError(f"{zone!r} is no time zone: write one like Europe/Berlin or UTC") from None


class Parsed(NamedTuple):
    """Instants in microseconds of UTC, and, where a stamp has no zone, local microseconds; both null: unreadable."""

    utc: pl.Series
    local: pl.Series


def parse(stamps: pl.Series, format: str) -> Parsed:
    """Read stamps (text without quotes); null stays null.

    >>> parse(pl.Series(["2026-01-01T00:00:00.1234567+01:00", "2026-01-01 12:00", "x"]), "iso8601")[0].to_list()
    [1767222000123456, None, None]
    >>> parse(pl.Series(["1.5", "-1", "2026"]), "epoch_ms").utc.to_list()
    [1500, -1000, 2026000]
    """
    if format in EPOCHS:
        utc = _epoch(stamps, EPOCHS[format])
        return Parsed(utc, _blank(len(stamps)))
    if format == "iso8601_or_ms":
        return _either(stamps)
    if format != "iso8601":
        return _parts(stamps, _regex(format))
    canonical = stamps.str.contains(_CANONICAL).fill_null(False)
    plain = stamps if canonical.all() else stamps.filter(canonical)
    micros, rest = _micros(plain.str.slice(0, 19)), plain.str.slice(19)
    zoned = rest.str.ends_with("Z")
    if (rest.str.len_bytes() > 1).any():
        micros += rest.str.strip_chars(".Z").str.slice(0, 6).str.pad_end(6, "0").cast(pl.Int64)
    some = _blank(1)
    utc, local = (micros, _blank(len(micros))) if zoned.all() else (micros.zip_with(zoned, some), micros.zip_with(~zoned, some))
    if canonical.all():
        return Parsed(utc, local)
    odd = ~canonical & stamps.is_not_null()
    other = _parts(stamps.filter(odd), _ISO)
    empty = _blank(len(stamps))
    return Parsed(*(_put(_put(empty, canonical, a), odd, b) for a, b in ((utc, other.utc), (local, other.local))))


def _blank(length: int) -> pl.Series:
    return pl.Series([None], dtype=pl.Int64).new_from_index(0, length)


def _put(into: pl.Series, where: pl.Series, values: pl.Series) -> pl.Series:
    return into.clone().scatter(where.arg_true(), values) if len(values) else into  # scatter writes in place


def _either(stamps: pl.Series) -> Parsed:
    number = stamps.str.contains(r"\A-?[0-9]+(?:\.[0-9]+)?\z").fill_null(False)
    iso = parse(stamps.filter(~number), "iso8601")
    blank = _blank(len(stamps))
    utc = _put(_put(blank, ~number, iso.utc), number, parse(stamps.filter(number), "epoch_ms").utc)
    return Parsed(utc, _put(blank, ~number, iso.local))


def _micros(text: pl.Series) -> pl.Series:
    """`YYYY-MM-DDTHH:MM:SS` as microseconds; null where there is no such instant."""
    return _within(text.str.to_datetime("%Y-%m-%dT%H:%M:%S", time_unit="us", strict=False).to_physical())


def _within(micros: pl.Series) -> pl.Series:
    """The same, null outside the years 1 to 9999."""
    inside = micros.is_between(FIRST_US, LAST_US)
    return micros if inside.all() else micros.zip_with(inside.fill_null(False), pl.Series([None], dtype=pl.Int64))


def _parts(stamps: pl.Series, regex: str) -> Parsed:
    found = stamps.rename("s").to_frame().select_seq(pl.col("s").str.extract_groups(regex).alias("g")).unnest("g")
    have = set(found.columns)

    def part(name: str, otherwise: str = "00") -> pl.Expr:
        return pl.col(name).fill_null(otherwise).str.zfill(2) if name in have else pl.lit(otherwise)

    year = pl.col("Y") if "Y" in have else pl.when(pl.col("y") < "69").then("20" + pl.col("y")).otherwise("19" + pl.col("y"))
    month = part("m") if "m" in have else pl.col("b").str.to_lowercase().replace_strict(_MONTHS, default=None)
    hour = part("H")
    if "I" in have:
        twelve = pl.col("I").cast(pl.Int32)
        added = pl.when(pl.col("p").str.to_lowercase() == "pm").then(12).otherwise(0)
        hour = pl.when(twelve.is_between(1, 12)).then((twelve % 12 + added).cast(pl.String).str.zfill(2))
    text = pl.concat_str(
        [year, pl.lit("-"), month, pl.lit("-"), part("d"), pl.lit("T"), hour, pl.lit(":"), part("M"), pl.lit(":"), part("S")]
    )
    micro = pl.col("f").str.slice(0, 6).str.pad_end(6, "0").cast(pl.Int64).fill_null(0) if "f" in have else pl.lit(0)
    zone = pl.col("z").str.replace_all(":", "") if "z" in have else pl.lit(None, dtype=pl.String)
    minutes = (
        pl.when(zone.str.contains(r"\A[+-]"))
        .then(
            pl.when(zone.str.starts_with("-")).then(-1).otherwise(1)
            * (zone.str.slice(1, 2).cast(pl.Int64) * 60 + zone.str.slice(3, 2).replace("", "0").cast(pl.Int64))
        )
        .when(zone.is_not_null())
        .then(0)
    )
    frame = found.select_seq(
        text.alias("text"), micro.alias("micro"), minutes.alias("minutes"), zone.is_not_null().alias("zoned")
    )
    base = _micros(frame["text"]) + frame["micro"]
    frame = frame.select_seq(
        pl.when(pl.col("zoned") & (pl.col("minutes").abs() < 1440)).then(base - pl.col("minutes") * 60_000_000).alias("utc"),
        pl.when(~pl.col("zoned")).then(base).alias("local"),
    )
    return Parsed(_within(frame["utc"]), _within(frame["local"]))


def _epoch(stamps: pl.Series, nanoseconds: int) -> pl.Series:
    whole = stamps.str.contains(r"\A-?[0-9]{1,19}\z").fill_null(False)
    count = stamps.zip_with(whole, pl.Series([None], dtype=pl.String)).cast(pl.Int64, strict=False)
    if nanoseconds >= 1000:
        factor = nanoseconds // 1000
        inside = count.is_between(FIRST_US // factor, LAST_US // factor).fill_null(False)
        utc = count.zip_with(inside, pl.Series([None], dtype=pl.Int64)) * factor
    else:
        utc = count // 1000
    odd = ~whole & stamps.is_not_null()
    if nanoseconds >= 1000 and odd.any():
        decimal = (odd & stamps.str.contains(r"\A[0-9]{1,11}\.[0-9]{1,18}\z")).fill_null(False)
        utc = _put(utc, decimal, _decimal_us(stamps.filter(decimal), nanoseconds // 1000))
        odd &= ~decimal
    if odd.any():
        texts = stamps.filter(odd)
        known = {text: _exact_us(text, nanoseconds) for text in texts.unique()}
        utc = _put(utc, odd, pl.Series([known[text] for text in texts], dtype=pl.Int64))
    return utc


def _decimal_us(stamps: pl.Series, factor: int) -> pl.Series:
    """Stamps like 1700000000.123 as microseconds, floored; `factor` microseconds are one unit (a power of ten)."""
    places = len(str(factor)) - 1
    parts = stamps.rename("stamp").to_frame().select_seq(pl.col("stamp").str.split_exact(".", 1)).unnest("stamp")
    fraction = parts["field_1"].str.slice(0, places).str.pad_end(places, "0") if places else pl.Series(["0"])
    return _within(parts["field_0"].cast(pl.Int64) * factor + fraction.cast(pl.Int64))


def _exact_us(text: str, nanoseconds: int) -> int | None:
    text = text.strip()
    if not re.fullmatch(r"[+-]?(?:[0-9]{1,40}\.?[0-9]{0,40}|\.[0-9]{1,40})(?:[eE][+-]?[0-9]{1,2})?", text):
        return None
    found = int((Decimal(text) * nanoseconds / 1000).to_integral_value("ROUND_FLOOR"))
    return found if FIRST_US <= found <= LAST_US else None


def instant(text: str, zone: str) -> int | None:
    """One stamp of a plant file (a date or iso8601) in microseconds of UTC; without zone it is local time of the zone.

    >>> instant("2026-03-01T09:00:00+01:00", "UTC") == instant("2026-03-01T09:00", "Europe/Berlin")
    True
    """
    utc, local = (series.item() for series in parse(pl.Series([text], dtype=pl.String), "iso8601"))
    if utc is None and local is not None:
        return _localised(local, ZoneInfo(zone), 0)
    return utc


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _localised(local_us: int, zone: ZoneInfo, fold: int) -> int:
    local = (_EPOCH + timedelta(microseconds=local_us)).replace(tzinfo=zone, fold=fold)
    return (local.astimezone(UTC) - _EPOCH) // MICROSECOND


def fold_choices(local_us: int, zone: str) -> tuple[int, int]:
    """The earlier and the later instant of a local time; equal where it is no repeated one.

    A skipped time takes the offset before the change (PEP 495: fold 0), and is one instant.

    >>> later = fold_choices(instant("2023-10-29T02:30Z", "UTC"), "Europe/Berlin")
    >>> (later[1] - later[0]) // 60_000_000
    60
    """
    info = ZoneInfo(zone)
    before, after = _localised(local_us, info, 0), _localised(local_us, info, 1)
    return (before, after) if before < after else (before, before)
