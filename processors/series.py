"""Readings in the order of their series: sorted by meter and time, with the edges between meters marked.

Everything here asks for a column `meter` of text, Enum or Categorical, and does one pass over integers.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any

import polars as pl

from schemas.frames import shaped

_I64 = 2**63 - 1


def codes(meter: pl.Series) -> pl.Series:
    """A meter's place in the order of names (Enum: of its categories), as Int64; the same names give the same order.

    >>> codes(pl.Series(["b", "a", "b"])).to_list()
    [1, 0, 1]
    """
    if not isinstance(meter.dtype, pl.Enum):
        names = meter.unique().cast(pl.String).drop_nulls().sort()
        meter = meter.cast(pl.Enum(names))
    return meter.to_physical().cast(pl.Int64)


def key(meter: pl.Series, instant: pl.Series) -> pl.Series | None:
    """One integer that orders by meter, then time; None where it would not fit into 63 bits."""
    place, time = codes(meter), instant.cast(pl.Int64)
    low, high, last = time.min(), time.max(), place.max()
    if low is None or high is None or last is None:
        return pl.Series(dtype=pl.Int64)
    span = int(high) - int(low) + 1  # type: ignore[arg-type]  # integers, typed as any literal
    if (int(last) + 1) * span > _I64:  # type: ignore[arg-type]  # as above
        return None
    return place * span + (time - low)


def ordered(frame: pl.DataFrame, time: str = "observed_at", *, then: tuple[str, ...] = (), by: str = "meter") -> pl.DataFrame:
    """The frame by meter, then time (then further columns); unchanged, and cheap, where it already is.

    >>> ordered(pl.DataFrame({"meter": ["b", "a", "a"], "observed_at": [1, 3, 2]})).rows()
    [('a', 2), ('a', 3), ('b', 1)]
    """
    if frame.height < 2:
        return frame
    packed = key(frame[by], frame[time])
    if packed is None or then:
        named = frame.with_columns_seq(_place=codes(frame[by]))
        return named.sort("_place", time, *then, nulls_last=False).drop("_place")
    if packed.is_sorted():
        return frame
    return frame[packed.arg_sort()]


def edges(frame: pl.DataFrame, *columns: str) -> pl.Series:
    """True where a row differs from the one before in one of the columns: where a run starts.

    >>> edges(pl.DataFrame({"meter": ["a", "a", "b"]}), "meter").to_list()
    [True, False, True]
    """
    if frame.is_empty():
        return pl.Series(dtype=pl.Boolean)
    return frame.select_seq(_edge(columns)).to_series()


@cache
def _edge(columns: tuple[str, ...]) -> pl.Expr:
    differs = [pl.col(name).ne_missing(pl.col(name).shift(1)) for name in columns]
    return pl.any_horizontal(pl.int_range(pl.len()) == 0, *differs)


def alike(values: pl.Series) -> bool:
    """Whether all values are the same one (or null); true of an empty column.

    >>> alike(pl.Series([None, None])), alike(pl.Series([1, None]))
    (True, False)
    """
    return values.is_empty() or values.null_count() == values.len() or bool(values.eq_missing(values[0]).all())


def run_sums(values: pl.DataFrame, start: pl.Series) -> pl.DataFrame:
    """Sums of each column over runs of rows (`start` marks their first rows), exact for integers: differences of running sums.

    >>> run_sums(pl.DataFrame({"x": [1, 2, 3]}), pl.Series([True, False, True]))["x"].to_list()
    [3, 3]
    """
    last = start.shift(-1, fill_value=True)
    return values.select_seq(pl.all().cum_sum()).filter(last).select_seq(pl.all() - pl.all().shift(1, fill_value=0))


def run_max(values: pl.Series, start: pl.Series) -> pl.Series:
    """The largest value of each run: a running maximum in which each run outranks the one before.

    >>> run_max(pl.Series([5, 2, -1, -3]), pl.Series([True, False, True, False])).to_list()
    [5, -1]
    """
    if values.is_empty():
        return values
    low, high = int(values.min()), int(values.max())  # type: ignore[arg-type]  # integers without nulls
    span = high - low + 1
    wide = pl.Int64 if (values.len() + 1) * span <= _I64 else pl.Int128
    run = start.cast(pl.UInt32).cum_sum().cast(wide)
    base = run * span - low
    top = (base + values.cast(wide)).cum_max() - base
    return top.filter(start.shift(-1, fill_value=True)).cast(pl.Int64)


def distinct(frame: pl.DataFrame, columns: list[str]) -> pl.DataFrame:
    """The distinct combinations of the columns, in order of first appearance; runs of equal rows cost next to nothing.

    >>> distinct(pl.DataFrame({"meter": ["a", "a", "b", "a"], "unit": "kWh"}), ["meter", "unit"]).rows()
    [('a', 'kWh'), ('b', 'kWh')]
    """
    narrow = frame.select_seq(columns)
    heads = narrow.filter(edges(narrow, *columns))
    if heads[columns[0]].n_unique() == heads.height:
        return heads
    return heads.unique(maintain_order=True)


def ruled(frame: pl.DataFrame, rules: pl.DataFrame, columns: list[str], identity: list[str]) -> pl.DataFrame:
    """The frame with columns of its meters' rules; one look-up for each run of rows that share the identity.

    Where each meter has one rule, the meter alone decides. A column with one value in all runs costs no memory.

    >>> rules = pl.DataFrame({"meter": ["a"], "unit": ["kWh"], "net": [True]})
    >>> ruled(pl.DataFrame({"meter": ["a", "a", "b"]}), rules, ["net"], ["meter", "unit"])["net"].to_list()
    [True, True, None]
    """
    keys = ["meter"] if rules["meter"].n_unique() == rules.height else identity
    start = edges(frame, *keys)
    heads = frame.filter(start).select_seq(pl.col(name).cast(pl.String) for name in keys)
    found = heads.join(rules.select_seq(*keys, *columns), on=keys, how="left", nulls_equal=True, maintain_order="left")
    run = start.cast(pl.UInt32).cum_sum() - 1
    added = []
    for name in columns:
        said = found[name]
        if said.len() and alike(said):
            added.append(pl.lit(said[0], dtype=said.dtype).alias(name))
        else:
            added.append(pl.lit(said.gather(run)).alias(name))
    return frame.with_columns_seq(added)


def narrowed(frame: pl.DataFrame, schema: Mapping[str, Any]) -> pl.DataFrame:
    """The frame in a schema's shape, where text that came as an enumeration stays one (large frames).

    >>> frame = pl.DataFrame({"meter": ["a"]}, schema={"meter": pl.Enum(["a"])})
    >>> narrowed(frame, {"meter": pl.String, "at": pl.Int64}).dtypes
    [Enum(categories=['a']), Int64]
    """
    kept = {name: dtype for name, dtype in frame.schema.items() if isinstance(dtype, (pl.Enum, pl.Categorical))}
    return shaped(frame, {name: kept.get(name, dtype) if dtype == pl.String else dtype for name, dtype in schema.items()})
