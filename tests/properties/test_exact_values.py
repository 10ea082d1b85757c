"""A stated value becomes the same exact integer whichever way it takes, and the reading that counts never depends on order."""

from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from processors import exact
from processors.accept import Channels, accept
from processors.collapse import collapse
from processors.split import _even, _ramp
from schemas.frames import DECODED, shaped
from schemas.units import unit

UNITS = ["Wh", "kWh", "MJ", "therm", "GJ", "degF", "degC", "scf", "kg", "%", "l/min"]
NUMBERS = st.one_of(
    st.decimals(allow_nan=False, allow_infinity=False, places=9, min_value=-(10**9), max_value=10**9).map(str),
    st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**17), max_value=10**17).map(str),
    st.from_regex(r"[+-]?[0-9]{1,22}(\.[0-9]{0,25})?([eE][+-]?[0-9]{1,2})?", fullmatch=True),
    st.sampled_from(
        ["0.0000000005", "0.0000000015", "-0.0000000025", "-0", "1e15", "1000000000000000.000000001", "1e400", ".5", "7."]
    ),
    st.sampled_from(["1e999999999", "-1e-999999999", "5e-10", "0e999999999"]),
)


def decoded(rows):
    common = {"feed": "f", "channel": "e", "meter": "s/a:e", "kind": "level"}
    return shaped(pl.DataFrame([common | row for row in rows], infer_schema_length=None), DECODED)


@settings(max_examples=300)
@given(
    st.lists(
        st.tuples(NUMBERS, st.sampled_from(UNITS), st.sampled_from([None, "1", "10", "0.001", "-3", "1e-7"])),
        min_size=1,
        max_size=8,
    )
)
def test_value_is_the_rounded_fraction(stated):
    rows = [{"value": value, "unit": name, "scale": scale, "index": i} for i, (value, name, scale) in enumerate(stated)]
    found = accept(decoded(rows), Channels({}, {}), window=False)
    kept = dict(found.readings.select("index", "value_n").rows())
    for index, (value, name, scale) in enumerate(stated):
        if abs(Decimal(value).adjusted()) > 400 and Decimal(value):
            number = Fraction(0) if Decimal(value).adjusted() < 0 else None
        else:
            number = Fraction(Decimal(value) if Decimal(value) else 0)
        of = unit(name)
        expected = None if number is None else round((number * Fraction(scale or 1) * of.factor + of.offset) * 10**9)
        if expected is None or abs(expected) > 10**24:
            assert index not in kept
        else:
            assert kept[index] == expected
    assert set(found.rejects["reason"]) <= {"out_of_range"}


@given(st.text(max_size=12))
def test_text_is_a_number_or_rejected(text):
    found = accept(decoded([{"value": text, "unit": "kWh"}]), Channels({}, {}), window=False)
    assert found.readings.height + found.rejects.height == 1
    if found.readings.height:
        assert found.readings["value_n"].item() == round(Fraction(Decimal(text.strip())) * 10**9)
    else:
        assert found.rejects["reason"].item() in ("no_value", "not_finite", "out_of_range")


SIZES = st.one_of(st.integers(-100, 100), st.integers(-(10**24), 10**24))


@settings(max_examples=200)
@given(SIZES, SIZES, st.integers(1, 10**14), st.lists(st.integers(0, 10**14), min_size=1, max_size=6))
def test_integrals_are_exact_and_telescope(rate0, rate1, span, cuts):
    edges = sorted({0, span, *(cut % (span + 1) for cut in cuts)})
    rows = {"start": [0] * (len(edges) - 1), "end": [span] * (len(edges) - 1), "low": edges[:-1], "high": edges[1:]}
    big = {
        name: pl.Series([value] * (len(edges) - 1), dtype=pl.Int128)
        for name, value in (("amount_n", rate0), ("rate0_n", rate0), ("rate1_n", rate1))
    }
    frame = pl.DataFrame(rows).with_columns(**big)
    parts = _even(frame).to_list()
    assert parts == [rate0 * high // span - rate0 * low // span for low, high in pairwise(edges)]
    assert sum(parts) == rate0
    integral = [Fraction(rate0 * t) + Fraction((rate1 - rate0) * t * t, 2 * span) for t in edges]
    whole = [int(value / exact.HOUR_US // 1) for value in integral]
    assert _ramp(frame).to_list() == [b - a for a, b in pairwise(whole)]


def chosen(rows):
    """Plain Python: the reading that counts of one key; rows: (value, received, topic, payload, index)."""
    earliest = {}
    for row in rows:
        earliest[row[0]] = min(earliest.get(row[0], row[1]), row[1])
    latest = max(earliest.values())
    return max((row for row in rows if row[1] == latest == earliest[row[0]]), key=lambda row: (*row[2:], row[0]))[:2]


VERSIONS = st.tuples(
    st.integers(0, 2),  # key
    st.integers(1, 3),  # value
    st.integers(1, 4),  # received
    st.sampled_from("ab"),  # topic
    st.sampled_from("xyz"),  # payload
    st.integers(0, 2),  # index
)


@settings(max_examples=200)
@given(rows=st.lists(VERSIONS, min_size=1, max_size=12), named=st.booleans(), seed=st.integers(0, 10**6))
def test_collapse_equals_the_rule_in_any_order(rows, named, seed, spoken):
    numbers = {
        place: i for i, place in enumerate(sorted({(received, topic, payload) for _, _, received, topic, payload, _ in rows}))
    }
    frame = []
    for key, value, received, topic, payload, index in rows:
        facts = {"received_at": 100 + received, "message": numbers[received, topic, payload], "index": index}
        frame.append((key, value, facts | ({"event": f"e{key}", "observed_at": key + value} if named else {})))

    def payloads(ids):
        found = [(i, topic, payload.encode()) for (_, topic, payload), i in numbers.items() if i in ids]
        return pl.DataFrame(found, schema={"message": pl.Int64, "topic": pl.String, "payload": pl.Binary}, orient="row")

    readings = spoken(frame, kind="amount")
    again = readings.sample(fraction=1, shuffle=True, seed=seed)
    found = collapse(pl.concat([again, readings]), payloads)
    first = spoken([(0, 0)])["received_at"].item()
    got = [(value, (at - first).seconds - 99) for value, at in found.select(pl.col("value_n") // 10**9, "received_at").rows()]
    expected = [chosen([row[1:] for row in rows if row[0] == key]) for key in sorted({row[0] for row in rows})]
    assert sorted(got) == sorted((value, received) for value, received in expected)
    assert found.equals(collapse(readings, payloads))
