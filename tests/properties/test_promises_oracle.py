"""An accountant with a pencil: the rules of readings and activity in plain fractions, compared with what `compute` writes.

`expected` walks the messages one by one and keeps every quantity as a fraction until the rule says to round. It is slow, knows no
frame and shares no line with the processors, so a difference is a mistake on one of the two sides.
"""

import json
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from fractions import Fraction as F
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

N = 10**9
HOUR = F(3600)
ZERO = datetime(2026, 3, 2, tzinfo=UTC)
BASE = 900
LATENESS = 600
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
            spike = fast(v - a, t - t0) and fast(c - v, t2 - t) and not fast(c - a, t2 - t0)
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


def stamp(at: F) -> str:
    return (ZERO + timedelta(microseconds=int(at * 1_000_000))).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


STEPS = st.sampled_from([1, 7, 59, 60, 300, 450, 899, 900, 901, 1800, 2700, 3601])
DECIMALS = st.sampled_from(["0", "0.1", "0.333", "0.0000000005", "0.0000000015", "1e-9", "12.75", "3", "99.999999999", "1000"])


@st.composite
def counters(draw):
    channel = {"kind": "counter", "unit": draw(st.sampled_from(["kWh", "Wh", "MJ"]))}
    channel |= draw(
        st.fixed_dictionaries(
            {},
            optional={
                "rollover_at": st.sampled_from([100, 1000]),
                "max_rate": st.sampled_from(["30 kW", "2 kW"]),
                "max_gap": st.sampled_from(["10m", "1h"]),
                "scale": st.sampled_from([10, 0.5]),
            },
        )
    )
    shape = draw(st.sampled_from(["plain", "jitter", "net"]))
    channel |= {"plain": {}, "jitter": {"jitter": 0.5}, "net": {"decrease": "net"}}[shape]
    at, value, found = F(draw(st.integers(0, 900))), F(draw(st.integers(0, 99))), []
    for _ in range(draw(st.integers(1, 10))):
        found.append((at, value))
        at += draw(STEPS)
        move = draw(st.sampled_from(["0", "0.1", "0.25", "1", "3.125", "20", "-0.1", "-0.4", "-0.6", "-5", "-90", "900", "-900"]))
        value = max(F(0), value + F(move))
        if "rollover_at" in channel:
            value %= channel["rollover_at"]
    if draw(st.integers(0, 3)) == 0 and found:
        place = draw(st.integers(0, len(found) - 1))
        at, first = found[place]
        ago, before = draw(st.sampled_from([0, 1, 200, 900])), found[place - 1] if place else (at - 3600, F(0))
        at = max(at - ago, before[0] + 1)
        last = draw(st.sampled_from([None, F(0), F(1), F(7, 2)]))
        first = draw(st.sampled_from([None, first, max(F(0), first - 1)]))
        channel["swap"] = (at, None if last is None else decimal(before[1] + last), None if first is None else decimal(first))
    return channel, found


@st.composite
def rates(draw):
    channel = {"kind": "rate", "unit": draw(st.sampled_from(["kW", "W"]))}
    optional = {
        "between": st.sampled_from(["linear", "previous"]),
        "direction": st.sampled_from(["net", "import", "export"]),
        "max_gap": st.sampled_from(["60s", "30m", "2h"]),
    }
    channel |= draw(st.fixed_dictionaries({}, optional=optional))
    at, found = F(draw(st.integers(0, 900))) + F(draw(st.sampled_from([0, 1, 999999])), 10**6), []
    for _ in range(draw(st.integers(1, 8))):
        found.append((at, F(draw(DECIMALS)) * draw(st.sampled_from([1, -1]))))
        at += draw(STEPS)
    return channel, found


@st.composite
def deliveries(draw):
    channel = {
        "kind": "amount",
        "unit": "kWh",
        **draw(st.sampled_from([{}, {"period": "15m"}, {"period": "10m"}, {"period": "100m"}])),
    }
    at, found = F(draw(st.integers(0, 9000))), []
    for _ in range(draw(st.integers(1, 8))):
        found.append((at, F(draw(DECIMALS))))
        at += draw(STEPS)
    return channel, found


def decimal(value: F) -> str:
    """The number as a device writes it: plain decimal digits, exactly."""
    whole, rest = divmod(abs(value) * 10**12, 10**12)
    text = f"{int(whole)}.{int(rest):012d}".rstrip("0").rstrip(".")
    return ("-" if value < 0 else "") + text


@st.composite
def cases(draw):
    """Some meters, each with its channel and its messages: some late, some twice, some corrected, some tied."""
    found = []
    for number, (channel, readings) in enumerate(
        draw(st.lists(st.one_of(counters(), rates(), deliveries()), min_size=1, max_size=6))
    ):
        sent = []
        for at, value in readings:
            late = draw(st.sampled_from([1, 1, 1, 1, 700, 5000]))
            sent.append(said(number, channel, at, value, at + late))
            again = draw(st.sampled_from(["", "", "", "", "", "same", "corrected", "tied", "back"]))
            if again == "same":
                sent.append(said(number, channel, at, value, at + late + 30))
            elif again == "corrected":
                sent.append(said(number, channel, at, value + 1, at + late + 30))
            elif again == "tied":
                sent.append(said(number, channel, at, value + 1, at + late))
            elif again == "back":
                sent += [said(number, channel, at, value + 1, at + late + 30), said(number, channel, at, value, at + late + 60)]
        found.append((channel, draw(st.permutations(sent))))
    return found


def said(number: int, channel: dict, at: F, value: F, received: F) -> dict:
    payload = json.dumps({"t": stamp(at), "v": "?"}).replace('"?"', decimal(value))
    device = "b" if "swap" in channel and at >= channel["swap"][0] else "a"
    return {"t": at, "v": decimal(value), "received": received, "topic": f"w/m{number}/{device}", "payload": payload}


def folder(channels: list[dict]) -> dict:
    feeds, sources, table = [], [], ["feed,device,channel,meter,site,valid_from,valid_to,first_reading,last_reading"]
    for n, channel in enumerate(channels):
        rules = {key: value for key, value in channel.items() if key != "swap"}
        feed = {"feed": f"f{n}", "topic": f"w/m{n}/{{device}}", "decoder": "json", "meter": f"w/m{n}"}
        feed |= {
            "observed_at": {"path": "$.t", "format": "iso8601"},
            "channels": [{"channel": name(channel), "value": "$.v", **rules}],
        }
        if "swap" in channel:
            at, last, first = channel["swap"]
            del feed["meter"]
            feed["meters"] = "table"
            table.append(f"f{n},a,e,w/m{n},w,,{stamp(at)},,{last or ''}")
            table.append(f"f{n},b,e,w/m{n},w,{stamp(at)},,{first or ''},")
        feeds.append(feed)
        sources.append(silent(f"s{n}", f"w/m{n}:{name(channel)}"))
    if len(channels) > 1:
        first, second = (f"[w/m{n}:{name(channels[n])}]" for n in (0, 1))
        sources.append(silent("difference", f"{first} - 0.5 * {second}"))
    if any(name(channel) == "e" for channel in channels):
        sources.append(silent("sum", "sum([w/*:e])"))
    return {
        "plant.yaml": {
            "organisation": "Pencil",
            "sites": [{"site": "w", "timezone": "UTC"}],
            "reporting": {"base_interval": "15m", "lateness": "10m"},
        },
        "feeds/f.yaml": {"feeds": feeds},
        "sources/s.yaml": {"sources": sources},
        **({"meters/m.csv": "\n".join(table) + "\n"} if len(table) > 1 else {}),
    }


def name(channel: dict) -> str:
    """Totals and amounts are `e`, rates `p`."""
    return "p" if channel["kind"] == "rate" else "e"


def silent(name: str, measured_by: str) -> dict:
    return {"source": name, "site": "w", "scope": "none", "category": "energy_only", "measured_by": measured_by}


def close(cell: str, value: F | None) -> bool:
    """The nearest double of the exact value; shares may differ in the last digit, since they are one rounded division."""
    return cell == "" if value is None else cell != "" and abs(F(float(cell)) - value) <= F(1, 10**15)


@settings(max_examples=60)
@given(cases())
def test_amounts_by_the_text(compute, case):
    channels = [channel for channel, _ in case]
    messages = [
        {"topic": m["topic"], "payload": m["payload"], "received_at": stamp(m["received"])} for _, sent in case for m in sent
    ]
    rows = compute(folder(channels), messages).rows
    got = defaultdict(dict)
    for row in rows:
        start = datetime.fromisoformat(row["interval_start"])
        got[row["source"]][int((start - ZERO).total_seconds()) // BASE] = row
    clock = max(r for channel, sent in case for _, _, r in collapsed(sent, channel))
    known = [expected(sent, channel) for channel, sent in case]
    for number, ((channel, sent), want) in enumerate(zip(case, known, strict=True)):
        have = got[f"s{number}"]
        assert list(have) == list(want), (channel, sent)
        for k, (n, coverage, share, lag) in want.items():
            row = have[k]
            told = (channel, sent, k, row)
            assert float(row["activity"]) == float(F(n, N)), told
            assert close(row["coverage"], coverage), told
            if channel.get("decrease") != "net":
                assert close(row["estimated_share"], share), told
            late = "restated" if lag > LATENESS else "final"
            assert row["status"] == ("provisional" if clock <= (k + 1) * BASE + LATENESS else late), told
    if len(case) > 1:
        both = {k: half_even(known[0][k][0] - F(known[1][k][0], 2)) for k in sorted(known[0].keys() & known[1].keys())}
        assert {k: float(row["activity"]) for k, row in got["difference"].items()} == {k: float(F(n, N)) for k, n in both.items()}
    totals = [n for n, channel in enumerate(channels) if name(channel) == "e"]
    sums = summed([known[n] for n in totals], [min(m["t"] for m in case[n][1]) for n in totals])
    assert list(got["sum"]) == list(sums)
    for k, (n, coverage) in sums.items():
        told = (case, k, got["sum"][k])
        assert float(got["sum"][k]["activity"]) == float(F(n, N)), told
        if coverage is not None:
            assert abs(float(got["sum"][k]["coverage"]) - coverage) < 1e-8, told


def summed(known: list[dict[int, tuple]], first: list[F]) -> dict[int, tuple]:
    """sum([...]): what there is, and its share of the time of all meters that have begun; None where an event is among them."""
    found = {}
    for k in sorted({k for one in known for k in one}):
        parts = [one[k] for one in known if k in one]
        begun = sum(at < (k + 1) * BASE or k in one for one, at in zip(known, first, strict=True))
        timed = all(part[1] is not None for one in known for part in one.values())
        found[k] = (sum(part[0] for part in parts), sum(part[1] for part in parts) / begun if timed else None)
    return found


@pytest.mark.parametrize(("value", "n"), [("0.0000000005", 0), ("0.0000000015", 2), ("0.0000000025", 2)])
def test_the_pencil_rounds_half_to_even(value, n):
    assert quantity(value, {"unit": "kWh"}) == n
