"""AMOUNTS -> ACTIVITY: each source's quantity in each base interval, from its meter or its expression of meters.

A missing term makes an interval unknown. `sum([pattern])` keeps what it has: its coverage is the share of the meters
expected, which are those whose first reading lies before the interval's end. Coverage of several terms is the least of
them. Products with constants are exact and rounded half to even once; negative results are kept.
"""

from collections.abc import Iterable
from fractions import Fraction
from functools import lru_cache
from math import lcm

import polars as pl

from processors.exact import EXACT, FITS, big, half_even, rounded
from processors.expressions import Expression, Term, parse
from processors.formula import matches
from processors.series import narrowed, ordered
from schemas.frames import ACTIVITY
from schemas.source import Source

_KEY = ["source", "interval_start"]
_TERM = ["source", "term", "interval_start"]


def activity(amounts: pl.DataFrame, sources: Iterable[Source], first: pl.DataFrame, base_us: int) -> pl.DataFrame:
    """ACTIVITY of sources (expanded, see processors.sources) from AMOUNTS, by source and interval.

    first: meter, first_observed_at of every meter ever seen: patterns match these. Sources whose expression is not computed
    yet, or cannot be read, have no rows: `check` names them.

    >>> at = pl.datetime(2026, 1, 1, time_zone="UTC")
    >>> rows = pl.DataFrame({"meter": ["s/a:e", "s/b:e"], "amount_n": [100, 25], "covered_us": [60_000_000, 30_000_000]})
    >>> rows = rows.with_columns_seq(interval_start=at, estimated_n=0, suspect=False, lag_us=0)
    >>> seen = rows.select_seq("meter", first_observed_at=at)
    >>> source = Source(source="x", site="s", scope=2, category="purchased_heat", measured_by="[s/a:e] - 0.5 * [s/b:e]")
    >>> activity(rows, [source], seen, 60_000_000).select_seq("quantity_n", "covered_us").rows()
    [(88, 30000000)]
    """
    simple, other = [], []
    for source in sources:
        expression, meter = _computed(source.measured_by)
        if meter is not None:
            simple.append((source.source, meter))
        elif expression is not None:
            other.append((source.source, expression))
    found = [_direct(amounts, simple)]
    if other:
        found.append(_combined(amounts, other, first, first["meter"].cast(pl.String).to_list(), base_us))
    return ordered(pl.concat([part for part in found if part.height] or found[:1]), "interval_start", by="source")


@lru_cache(maxsize=20_000)
def _computed(text: str) -> tuple[Expression | None, str | None]:
    """An expression that can be computed, and its meter where it is nothing but that."""
    try:
        expression = parse(text)
        terms = expression.terms if expression.computed else ()
    except ValueError:  # of the expression or of a unit
        return None, None
    if not terms:
        return None, None
    simple = len(terms) == 1 and not terms[0].total and terms[0].factor == 1
    return expression, terms[0].meter if simple else None


def _joined(members: pl.DataFrame, amounts: pl.DataFrame) -> pl.DataFrame:
    """Rows of amounts with the members (text) that read their meter."""
    dtype = amounts.schema["meter"]
    return amounts.join(members.with_columns_seq(pl.col("meter").cast(dtype, strict=False)), on="meter", how="inner")


def _direct(amounts: pl.DataFrame, simple: list[tuple[str, str]]) -> pl.DataFrame:
    members = pl.DataFrame(simple, schema={"source": pl.String, "meter": pl.String}, orient="row")
    return narrowed(_joined(members, amounts.rename({"amount_n": "quantity_n"})), ACTIVITY)


def _combined(
    amounts: pl.DataFrame, read: list[tuple[str, Expression]], first: pl.DataFrame, known: list[str], base_us: int
) -> pl.DataFrame:
    members = _members(read, known)
    count = pl.DataFrame(
        [(name, len(_terms(e))) for name, e in read], schema={"source": pl.String, "count": pl.UInt32}, orient="row"
    )
    rows = _joined(members, amounts)
    terms = rows.group_by(_TERM).agg(
        covered=pl.col("covered_us").sum(),
        spanning=pl.col("covered_us").is_not_null().sum(),
        present=pl.len(),
        suspect=pl.col("suspect").any(),
        lag_us=pl.col("lag_us").max(),
        total=pl.col("total").first(),
    )
    terms = terms.join(_expected(terms, members, first, base_us), on=_TERM, how="left")
    silent = (pl.col("expected").fill_null(0).cast(pl.Int64) - pl.col("present").cast(pl.Int64)).clip(0)
    share = pl.col("covered") // pl.when("total").then(pl.col("spanning") + silent).otherwise(1)
    terms = terms.with_columns_seq(covered_us=pl.when(pl.col("spanning") > 0).then(share))
    results = terms.group_by(_KEY).agg(
        covered_us=pl.col("covered_us").min(),
        suspect=pl.col("suspect").any(),
        lag_us=pl.col("lag_us").max(),
        terms=pl.len(),
    )
    results = results.join(count, on="source").filter(pl.col("terms") == pl.col("count"))
    return narrowed(results.join(_products(rows), on=_KEY, how="left"), ACTIVITY)


def _products(rows: pl.DataFrame) -> pl.DataFrame:
    """quantity_n and estimated_n by source and interval: the exact sum of factor x amount, rounded half to even once.

    A source whose products could leave 128 bits takes Python integers: the same numbers.
    """
    size = pl.max_horizontal(pl.col("amount_n").cast(pl.Float64).abs(), 1.0) * pl.col("factor").cast(pl.Float64).abs()
    wide = (size.sum().over("source") >= FITS) | pl.col("factor").is_null().any().over("source") | (pl.col("den").is_null())
    rows = rows.with_columns_seq(_wide=wide.fill_null(True))
    sums = [
        (pl.col("amount_n") * pl.col("factor")).sum().alias("quantity_n"),
        (pl.col("estimated_n") * pl.max_horizontal("factor", big(0) - pl.col("factor"))).sum().alias("estimated_n"),
    ]
    fast = rows.filter(~pl.col("_wide")).group_by(*_KEY, "den").agg(sums)
    found = fast.select_seq(*_KEY, *(half_even(pl.col(name), pl.col("den")) for name in ("quantity_n", "estimated_n")))
    exact: dict[tuple[str, object], list[Fraction]] = {}
    odd = rows.filter("_wide").select_seq(*_KEY, "amount_n", "estimated_n", "fraction")
    for source, start, amount, estimated, fraction in odd.iter_rows():
        sums_of = exact.setdefault((source, start), [Fraction(0), Fraction(0)])
        sums_of[0] += Fraction(fraction) * amount
        sums_of[1] += abs(Fraction(fraction)) * estimated
    slow = [(source, start, rounded(a), rounded(b)) for (source, start), (a, b) in exact.items()]
    return pl.concat([found, pl.DataFrame(slow, schema=found.schema, orient="row")])


def _terms(expression: Expression) -> list[Term]:
    return [term for term in expression.terms if term.factor != 0]


def _members(read: list[tuple[str, Expression]], known: list[str]) -> pl.DataFrame:
    """Which meters each term of each source reads; its factor as text and, where it fits, an integer over the source's `den`."""
    members = []
    for name, expression in read:
        terms = _terms(expression)
        den = lcm(*(term.factor.denominator for term in terms), 1)
        for number, term in enumerate(terms):
            of = [meter for meter, _ in matches(term.meter, known)] if term.total else [term.meter]
            over = int(term.factor * den)
            fits = max(abs(over), den) < 10**37
            row = (name, number, over if fits else None, den if fits else None, str(term.factor), term.total)
            members += [(meter, *row) for meter in of]
    types = {"meter": pl.String, "source": pl.String, "term": pl.Int32, "factor": EXACT, "den": EXACT}
    return pl.DataFrame(members, schema=types | {"fraction": pl.String, "total": pl.Boolean}, orient="row")


def _expected(terms: pl.DataFrame, members: pl.DataFrame, first: pl.DataFrame, base_us: int) -> pl.DataFrame:
    """How many meters of each sum have spoken before the interval's end."""
    since = first.select_seq(pl.col("meter").cast(pl.String), "first_observed_at")
    starts = members.filter("total").join(since, on="meter").sort("first_observed_at")
    counted = starts.select_seq(
        "source", "term", "first_observed_at", expected=pl.int_range(1, pl.len() + 1).over("source", "term")
    )
    asked = terms.select_seq(_TERM).with_columns_seq(end=pl.col("interval_start") + pl.duration(microseconds=base_us)).sort("end")
    found = asked.join_asof(
        counted,
        left_on="end",
        right_on="first_observed_at",
        by=["source", "term"],
        allow_exact_matches=False,
        check_sortedness=False,
    )
    return found.select_seq(*_TERM, "expected")
