"""Prices by the text: factors, live intensity and contracts, worked out again from the activity that `compute` writes."""

import json
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, localcontext
from decimal import Decimal as D
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

ZERO = datetime(2026, 3, 2, tzinfo=UTC)
TINY = D("1e-9")
MAX_AGE = timedelta(minutes=40)
GWP_CH4 = D("27.0")
FACTORS = """\
factor_id,activity,region,gas,value,unit,per_unit,boundary,valid_from,valid_to,citation
gas,Gas,,CO2,1.98765,kg,m3,,,,a test
gas,Gas,,CH4,0.0021,kg,m3,,,,a test
gas,Gas,,CO2_biogenic,0.3,kg,m3,,,,a test
grid,Grid,DE,CO2e,0.381,kg,kWh,generation,,,a test
hall,Hall,,CO2e,0.5,kg,kWh,generation,,,a test
wind,Wind,,CO2e,0.011,kg,kWh,generation,,,a test
sun,Sun,,CO2e,0.04,kg,kWh,generation,,,a test
"""
PRICE = {"cert": D("0.011"), "ppa-a": D("0.04"), "ppa-b": D("0.011"), "deal": D("0.04")}
ORDER = list(PRICE)
"""Contracts in the order in which they count: certificates, PPA, supplier; within a kind by id."""


def source(name: str, scope: Any, category: str, **more: Any) -> dict[str, Any]:
    return {"source": name, "site": "w", "scope": scope, "category": category, "measured_by": f"w/{name}:e", **more}


def contract(name: str, kind: str, covers: dict[str, str], factor: str, last: str = "2026-12-31") -> dict[str, Any]:
    facts = {"valid_from": "2026-01-01", "valid_to": last, "evidence": {"registry": "none"}}
    return {"contract": name, "site": "w", "kind": kind, "covers": covers, "factor": {"id": f"own/{factor}"}, **facts}


def plant(contracts: list[dict[str, Any]]) -> dict[str, Any]:
    channel = {"channel": "e", "value": "$.v", "kind": "amount", "period": "15m"}
    common = {"decoder": "json", "site": "w", "observed_at": {"path": "$.t"}}
    level = {"channel": "intensity", "value": "$.v", "unit": "g/kWh", "kind": "level"}
    region = {"region": "DE", "factor": {"id": "own/grid"}, "intensity": "ref/grid:intensity", "gas": "CO2e", "max_age": "40m"}
    return {
        "plant.yaml": {
            "organisation": "Prices",
            "sites": [{"site": "w", "timezone": "UTC", "grid_region": "DE"}],
            "reporting": {"base_interval": "15m", "derive": []},
            "grid_regions": [region],
        },
        "feeds/f.yaml": {
            "feeds": [
                {"feed": "kwh", "topic": "kwh/{device}", "channels": [{**channel, "unit": "kWh"}], **common},
                {"feed": "m3", "topic": "m3/{device}", "channels": [{**channel, "channel": "v", "unit": "m3"}], **common},
                {"feed": "grid", "topic": "grid", "meter": "ref/grid", "channels": [level], **common, "site": "ref"},
            ]
        },
        "sources/s.yaml": {
            "sources": [
                source("main", 2, "purchased_electricity"),
                source("hall", 2, "purchased_electricity", factor={"id": "own/hall"}),
                source("boiler", 1, "stationary_combustion", factor={"id": "own/gas"}, measured_by="w/boiler:v"),
            ]
        },
        "factors/own.csv": FACTORS,
        "contracts.yaml": {"contracts": contracts},
    }


def message(topic: str, minutes: int, value: str) -> dict[str, Any]:
    at = (ZERO + timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"topic": topic, "payload": json.dumps({"t": at, "v": value}), "received_at": at}


AMOUNTS = st.sampled_from(["0", "1", "0.000000001", "0.000000003", "7.123456789", "1000", "33.3", "250000", "-4"])
CONTRACTS = {
    "cert": st.sampled_from([{"volume": "500 MWh"}, {"volume": "0.001 kWh"}, {"share": "25%"}]),
    "ppa-a": st.sampled_from([{"share": "40%"}, {"meter": "w/wind:e"}]),
    "ppa-b": st.sampled_from([{"share": "33.333%"}]),
    "deal": st.sampled_from([{"share": "100%"}, {"volume": "12 GWh"}]),
}
KIND = {"cert": ("certificate", "wind"), "ppa-a": ("ppa", "sun"), "ppa-b": ("ppa", "wind"), "deal": ("supplier", "sun")}


@st.composite
def cases(draw):
    chosen = [name for name in ORDER if draw(st.booleans())]
    contracts = [contract(name, KIND[name][0], draw(CONTRACTS[name]), KIND[name][1]) for name in chosen]
    messages = []
    for device, topic in (("main", "kwh"), ("hall", "kwh"), ("boiler", "m3"), ("wind", "kwh")):
        for quarter in draw(st.lists(st.integers(1, 12), max_size=8, unique=True)):
            messages.append(message(f"{topic}/{device}", 15 * quarter, draw(AMOUNTS)))
    for minute in draw(st.lists(st.integers(0, 170), max_size=4, unique=True)):
        messages.append(message("grid", minute, draw(st.sampled_from(["250", "311.5", "0", "400.000000001"]))))
    return contracts, draw(st.permutations(messages))


def rounded(value: D) -> D:
    return value.quantize(TINY, ROUND_HALF_EVEN)


def live(messages: list[dict[str, Any]], start: datetime) -> D | None:
    """kg a kWh at an instant, by the newest value that is not older than max_age."""
    said = [json.loads(m["payload"]) for m in messages if m["topic"] == "grid"]
    known = {datetime.fromisoformat(one["t"]): rounded(D(one["v"]) / 1000) for one in said}  # a quantity like any other
    held = [at for at in known if at <= start < at + MAX_AGE]
    return known[max(held)] if held else None


@settings(max_examples=40)
@given(cases())
def test_prices_by_the_text(compute, case):
    contracts, messages = case
    with localcontext() as exact:
        exact.prec = 60
        check(contracts, messages, compute(plant(contracts), messages).rows)


def check(contracts: list[dict[str, Any]], messages: list[dict[str, Any]], rows: list[dict[str, str]]) -> None:
    location = {(r["source"], r["interval_start"]): D(r["activity"]) for r in rows if r["basis"] == "location"}
    market: dict[tuple[str, str], dict[str, D]] = defaultdict(dict)
    for row in rows:
        start, activity = datetime.fromisoformat(row["interval_start"]), D(row["activity"])
        if row["source"] == "boiler":
            co2, ch4 = activity * D("1.98765"), activity * D("0.0021")
            assert [D(row[gas]) for gas in ("co2_kg", "ch4_kg")] == [rounded(co2), rounded(ch4)], row
            assert D(row["co2e_kg"]) == rounded(co2 + ch4 * GWP_CH4), row
            assert D(row["biogenic_co2_kg"]) == rounded(activity * D("0.3")), row
            assert (row["basis"], row["n2o_kg"], row["unsplit_co2e_kg"]) == ("", "", ""), row
            continue
        now = live(messages, start)
        grid = D("0.5") if row["source"] == "hall" else D("0.381") if now is None else now
        price = PRICE.get(row["component"], grid)
        assert D(row["co2e_kg"]) == rounded(activity * price), (row, price)
        assert row["co2_kg"] == "", row
        guessed = row["component"] not in PRICE and row["source"] == "main" and now is None
        if row["basis"] == "location":
            assert row["estimated_share"] == ("1" if guessed and activity else "0"), row
        else:
            market[row["source"], row["interval_start"]][row["component"]] = activity
    assert {key: sum(parts.values()) for key, parts in market.items()} == location
    hours: dict[str, dict[tuple[str, str], D]] = defaultdict(dict)
    for (name, start), activity in location.items():
        hours[start[:13]][name, start] = activity
    for hour, bought in hours.items():
        allocated(contracts, messages, hour, bought, market)


def allocated(
    contracts, messages, hour: str, bought: dict[tuple[str, str], D], market: dict[tuple[str, str], dict[str, D]]
) -> None:
    """One UTC hour: each contract takes its claim of what is left, and from each purchase its part."""
    total = sum(max(D(0), one) for one in bought.values())
    left = {key: max(D(0), one) for key, one in bought.items()}
    slack = TINY * (len(bought) + 1)
    for one in sorted(contracts, key=lambda c: ORDER.index(c["contract"])):
        covers, name = one["covers"], one["contract"]
        if "share" in covers:
            claim = total * D(covers["share"].rstrip("%")) / 100
        elif "volume" in covers:
            number, unit = covers["volume"].split()
            claim = D(number) * {"kWh": 1, "MWh": 1000, "GWh": 10**6}[unit] / (365 * 24)
        else:
            said = [(m["payload"], json.loads(m["payload"])) for m in messages if m["topic"] == "kwh/wind"]
            ends = {t["t"]: D(t["v"]) for _, t in said}
            claim = sum((v for t, v in ends.items() if inside(t, hour)), D(0))
        there = sum(left.values())
        claim = min(max(claim, D(0)), there)
        taken = {key: market[key].get(name, D(0)) for key in bought}
        assert abs(sum(taken.values()) - claim) <= slack, (hour, name, claim, taken)
        for key, part in taken.items():
            assert 0 <= part <= left[key]
            assert abs(part - (claim * left[key] / there if there else 0)) <= 2 * slack, (hour, name, key)
            left[key] -= part


def inside(end: str, hour: str) -> bool:
    """Whether the quarter-hour that ends then lies in the hour."""
    return (datetime.fromisoformat(end) - timedelta(minutes=15)).strftime("%Y-%m-%dT%H") == hour
