"""Amounts by the text: counters, rates, amounts, sums and differences of `compute` against the pencil (pencil.py)."""

import json
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from fractions import Fraction as F

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

N = 10**9
ZERO = datetime(2026, 3, 2, tzinfo=UTC)
BASE = 900
LATENESS = 600


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
def test_amounts_by_the_text(compute, pencil, case):
    channels = [channel for channel, _ in case]
    messages = [
        {"topic": m["topic"], "payload": m["payload"], "received_at": stamp(m["received"])} for _, sent in case for m in sent
    ]
    rows = compute(folder(channels), messages).rows
    got = defaultdict(dict)
    for row in rows:
        start = datetime.fromisoformat(row["interval_start"])
        got[row["source"]][int((start - ZERO).total_seconds()) // BASE] = row
    clock = max(r for channel, sent in case for _, _, r in pencil.collapsed(sent, channel))
    known = [pencil.expected(sent, channel) for channel, sent in case]
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
        both = {k: pencil.half_even(known[0][k][0] - F(known[1][k][0], 2)) for k in sorted(known[0].keys() & known[1].keys())}
        assert {k: float(row["activity"]) for k, row in got["difference"].items()} == {k: float(F(n, N)) for k, n in both.items()}
    totals = [n for n, channel in enumerate(channels) if name(channel) == "e"]
    sums = pencil.summed([known[n] for n in totals], [min(m["t"] for m in case[n][1]) for n in totals])
    assert list(got["sum"]) == list(sums)
    for k, (n, coverage) in sums.items():
        told = (case, k, got["sum"][k])
        assert float(got["sum"][k]["activity"]) == float(F(n, N)), told
        if coverage is not None:
            assert abs(float(got["sum"][k]["coverage"]) - coverage) < 1e-8, told


@pytest.mark.parametrize(("value", "n"), [("0.0000000005", 0), ("0.0000000015", 2), ("0.0000000025", 2)])
def test_the_pencil_rounds_half_to_even(pencil, value, n):
    assert pencil.quantity(value, {"unit": "kWh"}) == n
