"""Counters: the vectorised way gives what a plain walk over the readings gives, and a window gives what the whole gives."""

from datetime import UTC, datetime, timedelta
from fractions import Fraction
from itertools import pairwise

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors import context
from processors.clean import clean
from processors.meters import attributes
from processors.split import split
from processors.steps import steps

ZERO = datetime(2026, 3, 1, tzinfo=UTC)
BASE_US = 60_000_000
N = 10**9
HOUR = 3_600_000_000

RULES = st.fixed_dictionaries(
    {},
    optional={
        "rollover_at": st.sampled_from(["100", "1000"]),
        "jitter": st.sampled_from(["0.5", "2"]),
        "max_rate": st.sampled_from(["600 kW", "60000 kW"]),
        "max_gap": st.sampled_from(["90s", "10m"]),
        "decrease": st.sampled_from(["net", "reset"]),
    },
)


@st.composite
def walks(draw):
    """Instants (s) and values of a counter that mostly rises, sometimes falls a little, much, or jumps."""
    time, value, found = draw(st.integers(0, 59)), draw(st.integers(0, 90)), []
    for _ in range(draw(st.integers(1, 25))):
        found.append((time, value))
        time += draw(st.sampled_from([1, 7, 30, 60, 61, 200, 700]))
        value = max(0, value + draw(st.sampled_from([0, 1, 1, 2, 5, 10, 60, -1, -2, -50, -95, 900, -900])))
    return found


def walked(rows, rule):
    """Plain Python: kept readings, then (start us, end us, amount, estimated) of each known step, in whole units x N."""
    net = rule.get("decrease") == "net"
    roll = int(rule["rollover_at"]) * N if "rollover_at" in rule else None
    jitter = int(Fraction(rule.get("jitter", "0")) * N)
    rate = int(rule["max_rate"].split()[0]) * N if "max_rate" in rule else None
    gap = {"90s": 90, "10m": 600}.get(rule.get("max_gap"))
    raw = [(t * 1_000_000, v * N) for t, v in rows]

    def fast(amount, us):
        return rate is not None and abs(amount) * HOUR > rate * us

    out = set()
    for i in range(1, len(raw) - 1):
        (t0, a), (t1, b), (t2, c) = raw[i - 1 : i + 2]
        agree = not fast(c - a, t2 - t0) and (net or c - a >= -jitter)
        if (fast(b - a, t1 - t0) and fast(c - b, t2 - t1) and agree) or (not net and b < a <= c):
            out.add(i)
    kept = [reading for i, reading in enumerate(raw) if i not in out]
    found, top = [], kept[0][1]
    for (t0, a), (t1, b) in pairwise(kept):
        amount, us = b - a, t1 - t0
        if amount < 0 and roll and 2 * (amount % roll) < roll and not fast(amount % roll, us):
            amount, top = max(0, amount % roll - (top - a)), b
        elif net:
            top = b
        elif amount < 0 and -amount > jitter:
            amount = top = b
        else:
            amount, top = max(top, b) - top, max(top, b)
        if not fast(amount, us):
            found.append((t0, t1, amount, gap is not None and us > gap * 1_000_000))
    return kept, found


def divided(known):
    """Plain Python: interval -> [amount, covered us, estimated]."""
    found = {}
    for t0, t1, amount, estimated in known:
        for interval in range(t0 // BASE_US, -(-t1 // BASE_US)):
            low, high = (max(t0, interval * BASE_US), min(t1, (interval + 1) * BASE_US))
            part = amount * (high - t0) // (t1 - t0) - amount * (low - t0) // (t1 - t0)
            sums = found.setdefault(interval, [0, 0, 0])
            sums[0] += part
            sums[1] += high - low
            sums[2] += abs(part) if estimated else 0
    return found


def amounts_of(frame, works, rule, window=None, peaks=None):
    plant = works({"channel": "e", "unit": "kWh", "kind": "counter"} | rule)
    meters = attributes(frame, plant)
    kept = clean(frame, meters).readings
    return kept, split(steps(kept, meters, peaks).steps, BASE_US, window)


def table(amounts):
    at = ((pl.col("interval_start") - pl.lit(ZERO)).dt.total_microseconds() // BASE_US).alias("at")
    rows = amounts.select(at, "amount_n", "covered_us", "estimated_n").rows()
    return {at: list(rest) for at, *rest in rows}


@settings(max_examples=150)
@given(rows=walks(), rule=RULES)
def test_counter_equals_a_plain_walk(rows, rule, works, spoken):
    kept, amounts = amounts_of(spoken(rows), works, rule)
    expected_kept, known = walked(rows, rule)
    assert kept["value_n"].to_list() == [value for _, value in expected_kept]
    assert table(amounts) == divided(known)


@settings(max_examples=60)
@given(rows=walks(), rule=RULES, seed=st.randoms(use_true_random=False))
def test_order_changes_nothing(rows, rule, seed, works, spoken):
    frame = spoken(rows)
    mixed = list(range(frame.height))
    seed.shuffle(mixed)
    assert amounts_of(frame[mixed], works, rule)[1].equals(amounts_of(frame, works, rule)[1])


@settings(max_examples=100)
@given(rows=walks(), rule=RULES, start=st.integers(0, 30), length=st.integers(1, 10))
def test_window_with_its_context_equals_the_whole(rows, rule, start, length, works, spoken):
    rule = {name: value for name, value in rule.items() if name != "jitter"}
    frame = spoken(rows)
    window = (ZERO + timedelta(minutes=start), ZERO + timedelta(minutes=start + length))
    time = pl.col("observed_at")
    whole = frame.group_by("meter").agg(first=time.min(), last=time.max())
    before, after = frame.filter(time < window[0]), frame.filter(time >= window[1])
    inside = frame.filter((time >= window[0]) & (time < window[1]))
    for neighbours in range(context.NEIGHBOURS, frame.height + 2):
        part = pl.concat([before.tail(neighbours), inside, after.head(neighbours)])
        kept, amounts = amounts_of(part, works, rule, window)
        if context.lacking(part, kept, window, whole).is_empty():
            break
    assert amounts.equals(amounts_of(frame, works, rule, window)[1])
    full = amounts_of(frame, works, rule)[1]
    assert amounts.equals(full.filter(pl.col("interval_start").is_between(*window, closed="left")))


@settings(max_examples=80)
@given(rows=walks(), cut=st.integers(1, 24))
def test_peaks_seed_a_series_that_starts_in_the_middle(rows, cut, works, spoken):
    if cut >= len(rows):
        return
    rule = {"jitter": "2", "rollover_at": "1000"}
    frame = spoken(rows)
    plant = works({"channel": "e", "unit": "kWh", "kind": "counter"} | rule)
    meters = attributes(frame, plant)
    kept = clean(frame, meters).readings
    cut = min(cut, kept.height)
    early, late = kept[:cut], kept[cut - 1 :]
    found = [steps(early, meters).steps, steps(late, meters, context.peaks(early, meters)).steps]
    assert pl.concat(found)["amount_n"].to_list() == steps(kept, meters).steps["amount_n"].to_list()


def test_two_neighbours_are_needed_and_do(works, spoken):
    """A glitch just before the window is only recognised with a further raw reading before it."""
    frame = spoken([(0, 10), (60, 20), (118, 3), (150, 21), (240, 22)])
    window = (ZERO + timedelta(minutes=2), ZERO + timedelta(minutes=3))
    whole = frame.group_by("meter").agg(first=pl.col("observed_at").min(), last=pl.col("observed_at").max())
    kept, _ = amounts_of(frame[2:], works, {}, window)
    assert context.lacking(frame[2:], kept, window, whole).rows() == [("works/m:e", True, False)]
    kept, amounts = amounts_of(frame, works, {}, window)
    assert context.lacking(frame, kept, window, whole).is_empty()
    assert amounts["amount_n"].to_list() == [int(Fraction(30, 90) * N) + 1 + 333_333_333]


@pytest.mark.parametrize("unit,factor", [("Wh", 1000), ("MWh", Fraction(1, 1000))])
def test_rules_are_in_the_units_of_the_device(unit, factor, works, spoken):
    """rollover_at is what the device shows: 1000 of its unit."""
    frame = spoken([(0, float(990 / factor)), (60, float(10 / factor))], unit=unit)
    _, amounts = amounts_of(frame, works, {"unit": unit, "rollover_at": "1000"})
    assert amounts["amount_n"].sum() == int(20 * N / factor)
