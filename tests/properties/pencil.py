"""An accountant with a pencil: the rules of readings and activity in plain fractions, compared with what `compute` writes.

`expected` walks the messages one by one and keeps every quantity as a fraction until the rule says to round. It is slow, knows no
frame and shares no line with the processors, so a difference is a mistake on one of the two sides.
"""

from collections import defaultdict
from fractions import Fraction as F
from itertools import pairwise

N = 10**9
HOUR = F(3600)
BASE = 900
"""Seconds of a base interval."""
UNITS = {"kWh": F(1), "MWh": F(1000), "Wh": F(1, 1000), "kW": F(1), "W": F(1, 1000), "MJ": F(5, 18)}


def seconds(text: str) -> F:
    return F(text[:-1]) * {"s": 1, "m": 60, "h": 3600}[text[-1]]


def rate(text: str) -> F:
    value, unit = text.split()
    return F(value) * UNITS[unit]


def half_even(x: F) -> int:
    return round(x)


def quantity(value: str, channel: dict) -> int:
    """Integers of 1e-9 of a base unit, rounded half to even, once."""
    return half_even(F(value) * F(str(channel.get("scale", 1))) * UNITS[channel["unit"]] * N)


def collapsed(sent: list[dict], channel: dict) -> list[tuple[F, int, F]]:
    """One reading an instant (observed_at, value, received_at), by the rules of equal values, corrections and ties."""
    instants = defaultdict(dict)
    for message in sent:
        key = message.get("event") or message["t"]
        value = quantity(message["v"], channel)
        rank = (message["received"], message["topic"].encode(), message["payload"].encode())
        held = instants[key].get(value)
        if held is None or rank[0] < held[0][0] or (rank[0] == held[0][0] and rank > held[0]):
            instants[key][value] = (rank, message)
    found = []
    for values in instants.values():
        value, (rank, message) = max(values.items(), key=lambda item: item[1][0])
        found.append((F(message["t"]), value, F(rank[0])))
    return sorted(found)


def counter(readings: list[tuple[F, int, F]], channel: dict) -> list[tuple]:
    """Steps of a counter: split where the device was replaced, closed by what was stated then (a reading without received_at)."""
    if "swap" not in channel:
        return uninterrupted(readings, channel)
    at, last, first = channel["swap"]
    old, new = [r for r in readings if r[0] < at], [r for r in readings if r[0] >= at]
    if old and new:
        old += [] if last is None else [(at, quantity(last, channel), None)]
        new = [*([] if first is None else [(at, quantity(first, channel), None)]), *new]
    return uninterrupted(old, channel) + uninterrupted(new, channel)


def uninterrupted(readings: list[tuple[F, int, F | None]], channel: dict) -> list[tuple]:
    """Steps (start, end, amount function, estimated, readings used) of a counter without replacements."""
    most = rate(channel["max_rate"]) * N / HOUR if "max_rate" in channel else None
    net = channel.get("decrease") == "net"
    jitter = F(channel.get("jitter", 0)) * UNITS[channel["unit"]] * F(str(channel.get("scale", 1))) * N

    def fast(amount, time):
        return most is not None and abs(amount) > most * time

    kept = []
    for i, (t, v, r) in enumerate(readings):
        if 0 < i < len(readings) - 1:
            (t0, a, _), (t2, c, _) = readings[i - 1], readings[i + 1]
            stated = r is None
            agree = not fast(c - a, t2 - t0) and (net or c - a >= -jitter)
            spike = fast(v - a, t - t0) and fast(c - v, t2 - t) and agree
            glitch = not net and v < a <= c
            if not stated and (spike or glitch):
                continue
        kept.append((t, v, r))
    top, steps = kept[0][1] if kept else 0, []
    for (t0, a, r0), (t, v, r) in pairwise(kept):
        time, amount = t - t0, None
        over = channel.get("rollover_at")
        around = v - a + half_even(F(over) * F(str(channel.get("scale", 1))) * UNITS[channel["unit"]] * N) if over else 0
        whole = around - (v - a)
        if v < a and over and 0 <= around * 2 < whole and not fast(around, time):
            amount, top = max(0, around - (top - a)), v
        elif net:
            amount, top = v - a, v
        elif v < a and a - v <= jitter:
            amount = 0
        elif v < a and (r is None or r0 is None):  # what was stated at a replacement contradicts a reading
            top = v
            continue
        elif v < a:
            amount, top = v, v
        else:
            amount, top = max(top, v) - top, max(top, v)
        if fast(amount, time):
            continue
        long = "max_gap" in channel and time > seconds(channel["max_gap"])
        used = [(at, received) for at, received in ((t0, r0), (t, r)) if received is not None]
        steps.append((t0, t, linear(amount, t0, t) if t > t0 else (lambda _, n=amount: n), long, used))
    return steps


def linear(amount, t0, t1):
    return lambda t: amount * (t - t0) / (t1 - t0)


def powered(readings: list[tuple[F, int, F]], channel: dict) -> list[tuple]:
    """Steps of a rate: the integral between neighbours, unknown where the hole is longer than max_gap."""
    way = channel.get("direction", "net")
    sign = {"net": lambda x: x, "import": lambda x: max(x, 0), "export": lambda x: max(-x, 0)}[way]
    most = seconds(channel.get("max_gap", "15m"))
    steps = []
    for (t0, a, r0), (t1, b, r1) in pairwise(readings):
        if t1 - t0 > most:
            continue
        a, b = sign(a), sign(b)
        if channel.get("between") == "previous":
            b = a

        def area(t, a=a, b=b, t0=t0, t1=t1):
            return (a * (t - t0) + (b - a) * (t - t0) ** 2 / (2 * (t1 - t0))) / HOUR

        steps.append((t0, t1, area, False, [(t0, r0), (t1, r1)]))
    return steps


def delivered(readings: list[tuple[F, int, F]], channel: dict) -> list[tuple]:
    """Steps of amounts: at the instant, or spread over the period that ends there."""
    if "period" not in channel:
        return [(t, t, (lambda _, v=v: v), False, [(t, r)]) for t, v, r in readings]
    long = seconds(channel["period"])
    return [(t - long, t, linear(v, t - long, t), False, [(t, r)]) for t, v, r in readings]


KINDS = {"counter": counter, "rate": powered, "amount": delivered}


def expected(sent: list[dict], channel: dict) -> dict[int, tuple]:
    """Interval number -> (amount in 1e-9, coverage or None, estimated share, lag): only where something is known."""
    amounts, spans, estimated, lags = defaultdict(int), defaultdict(list), defaultdict(int), defaultdict(lambda: F(-(10**9)))
    for start, end, area, guessed, used in KINDS[channel["kind"]](collapsed(sent, channel), channel):
        first, last = start // BASE, end // BASE if start == end else -(-end // BASE) - 1
        for k in range(int(first), int(last) + 1):
            lower, upper = max(start, F(k * BASE)), min(end, F((k + 1) * BASE))
            part = area(end) if start == end else area(upper).__floor__() - area(lower).__floor__()
            amounts[k] += part
            spans[k].append((lower, upper))
            estimated[k] += abs(part) if guessed else 0
            lags[k] = max([lags[k], *(received - max(F((k + 1) * BASE), at) for at, received in used)])
    events = channel["kind"] == "amount" and "period" not in channel
    return {
        k: (n, None if events else union(spans[k]) / BASE, F(estimated[k], abs(n)) if n else F(0), lags[k])
        for k, n in sorted(amounts.items())
    }


def union(spans: list[tuple[F, F]]) -> F:
    """How much time some spans touch, each instant once."""
    total, reached = F(0), F(-(10**9))
    for start, end in sorted(spans):
        total += max(F(0), end - max(start, reached))
        reached = max(reached, end)
    return total


def summed(known: list[dict[int, tuple]], first: list[F]) -> dict[int, tuple]:
    """sum([...]): what there is, and its share of the time of all meters that have begun; None where an event is among them."""
    found = {}
    for k in sorted({k for one in known for k in one}):
        parts = [one[k] for one in known if k in one]
        begun = sum(at < (k + 1) * BASE or k in one for one, at in zip(known, first, strict=True))
        timed = all(part[1] is not None for one in known for part in one.values())
        found[k] = (sum(part[0] for part in parts), sum(part[1] for part in parts) / begun if timed else None)
    return found
