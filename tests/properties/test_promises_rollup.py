"""Roll-ups against the sum of their parts: every row of every grouping, worked out again from the text of the base intervals."""

import json
import random
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal as D
from typing import Any
from zoneinfo import ZoneInfo

import pytest

BASE = timedelta(minutes=15)
LATENESS = timedelta(minutes=10)
GASES = ("co2_kg", "ch4_kg", "n2o_kg", "unsplit_co2e_kg", "co2e_kg")
DERIVED = ("wtt", "t_and_d", "wtt_t_and_d")
ORDER = ("missing", "unpriced", "provisional", "restated", "final")

DAYS = [
    ("Europe/Berlin", date(2026, 3, 28), {23, 24}),
    ("Europe/Berlin", date(2026, 10, 24), {24, 25}),
    ("America/New_York", date(2026, 10, 31), {24, 25}),
    ("Australia/Lord_Howe", date(2026, 4, 4), {24, 24.5}),
    ("Australia/Lord_Howe", date(2026, 10, 3), {23.5, 24}),
    ("Asia/Kathmandu", date(2026, 3, 31), {24}),
]
"""A zone, the day before a change of its clock or the last of a month, and how long days are then, in hours."""

SHARES = [{"share": "50%", "valid_to": "2026-10-25"}, {"share": "80%", "valid_from": "2026-10-26"}]
FACTORS = """\
factor_id,activity,region,gas,value,unit,per_unit,boundary,valid_from,citation
gas,Natural gas,,CO2,1.98,kg,m3,,,a test
gas,Natural gas,,CH4,0.0021,kg,m3,,,a test
late,A factor that begins late,,CO2e,0.5,kg,kWh,,2026-11-01,a test
grid,Grid,DE,CO2e,0.381,kg,kWh,generation,,a test
wind,Wind,,CO2e,0.011,kg,kWh,generation,,a test
"""


def source(name: str, site: str, scope: Any, category: str, measured_by: str, line: str = "", **more: Any) -> dict[str, Any]:
    found = {"source": name, "site": site, "scope": scope, "category": category, "measured_by": measured_by, **more}
    return found | ({"tags": {"line": line}} if line else {})


def sources(site: str) -> list[dict[str, Any]]:
    grid = {"id": "own/grid"}
    return [
        source(f"{site}-boiler", site, 1, "stationary_combustion", f"{site}/boiler:gas", "hot", factor={"id": "own/gas"}),
        source(f"{site}-main", site, 2, "purchased_electricity", f"{site}/main:energy", "hot", factor=grid),
        source(f"{site}-hall", site, 2, "purchased_electricity", f"{site}/hall:energy", factor=grid),
        source(f"{site}-late", site, 3, "cat_1", f"{site}/late:energy", "cold", factor={"id": "own/late"}),
        source(f"{site}-silent", site, "none", "energy_only", f"{site}/silent:energy", valid_from="2026-01-01"),
        source(f"{site}-trucks", site, 1, "mobile_combustion", f"{site}/trucks:diesel", factor={"id": "own/gas"}),
    ]


def feed(name: str, kind: str, unit: str, **rules: Any) -> dict[str, Any]:
    channel = {"channel": name, "value": "$.v", "unit": unit, "kind": kind, **rules}
    return {
        "feed": name,
        "topic": f"{{site}}/{{device}}/{name}",
        "decoder": "json",
        "observed_at": {"path": "$.t", "format": "iso8601"},
        "channels": [channel],
    }


def plant(zones: dict[str, str]) -> dict[str, Any]:
    contracts = [
        {"contract": f"ppa-{site}", "site": site, "kind": "ppa", "covers": {"share": "40%"}, "factor": {"id": "own/wind"}}
        | {"valid_from": "2026-01-01", "valid_to": "2026-12-31", "evidence": {"registry": "none"}}
        for site in zones
    ]
    return {
        "plant.yaml": {
            "organisation": "Sums",
            "tags": ["line"],
            "sites": [
                {"site": s, "timezone": z, "share": SHARES} for s, z in zones.items()
            ],
            "reporting": {"base_interval": "15m", "lateness": "10m"},
        },
        "feeds/f.yaml": {
            "feeds": [
                feed("energy", "counter", "kWh", max_gap="2h"),
                feed("gas", "counter", "m3"),
                feed("diesel", "amount", "l"),
            ]
        },
        "sources/s.yaml": {"sources": [one for site in zones for one in sources(site)]},
        "factors/own.csv": FACTORS,
        "contracts.yaml": {"contracts": contracts},
    }  # fmt: skip


def stamp(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


DEVICES = (("main", "energy"), ("hall", "energy"), ("late", "energy"), ("boiler", "gas"), ("trucks", "diesel"))


def log(zones: dict[str, str], day: date, seed: int) -> list[dict[str, Any]]:
    """Two days of readings from a day on, with holes of hours, and some that come late."""
    chance, found = random.Random(seed), []
    for site, zone in zones.items():
        begin = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone)).astimezone(UTC)
        for device, name in DEVICES:
            at, value = begin + timedelta(minutes=chance.randint(-90, 90)), D(0)
            while at < begin + timedelta(hours=50):
                step = chance.choice([7, 15, 20, 45, 200]) if name != "diesel" else chance.choice([300, 1000])
                late = timedelta(seconds=1) if chance.random() < 0.97 else timedelta(hours=3)
                payload = json.dumps({"t": stamp(at), "v": float(value)})
                found.append({"topic": f"{site}/{device}/{name}", "payload": payload, "received_at": stamp(at + late)})
                value = value * (name != "diesel") + D(chance.randint(0, 5000)) / 1000
                at += timedelta(minutes=step)
    return found


def name_of(start: datetime, interval: str, zone: str) -> str:
    local = start.astimezone(ZoneInfo(zone))
    if interval == "1h":
        offset = local.strftime("%z")
        return f"{local:%Y-%m-%dT%H}{offset[:3]}:{offset[3:]}"
    return {"1d": f"{local:%Y-%m-%d}", "1mo": f"{local:%Y-%m}", "1y": f"{local:%Y}", "all": "all"}[interval]


def number(cell: str) -> D:
    return D(cell or 0)


def told(row: dict[str, str], interval: str) -> str:
    """The period of a row as `name_of` writes it: an hour that a change of the clock cuts begins later than its name."""
    return row["period"][:13] + row["period"][19:] if interval == "1h" else row["period"]


def added(
    rows: list[dict[str, str]], interval: str, group: list[str], zones: dict[str, str], two: set[tuple]
) -> dict[tuple, Any]:
    """(period, group, basis) -> sums in Decimal of the base rows; two: groups with scope 2."""
    sums: dict[tuple, Any] = {}
    for row in rows:
        of = tuple(row[name] for name in group)
        period = name_of(datetime.fromisoformat(row["interval_start"]), interval, zones[row["site"]])
        for basis in ("location", "market") if of in two else ("",):
            if row["basis"] not in ("", basis):
                continue
            found = sums.setdefault((period, *of, basis), defaultdict(D) | {"stated": set(), "statuses": set(), "units": set()})
            for gas in GASES:
                found[gas] += number(row[gas])
                found["stated"] |= {gas} if row[gas] else set()
            if row["component"] not in DERIVED:
                found["units"].add(row["activity_unit"])
                found["activity"] += number(row["activity"])
            found["statuses"].add(row["status"])
            found["kg"] += abs(number(row["co2e_kg"]))
            found["kg_estimated"] += abs(number(row["co2e_kg"])) * number(row["estimated_share"])
    return sums


ASKED = [
    ("1h", "source,site,scope,category"),
    ("1d", "source,site,scope,category"),
    ("1d", "site"),
    ("1d", "category,tag_line"),
    ("1mo", "scope"),
    ("1mo", "tag_line"),
    ("1y", "source"),
    ("all", "none"),
]


@pytest.mark.parametrize(("zone", "day", "hours"), DAYS)
def test_roll_ups_are_the_sums_of_their_parts(compute, zone, day, hours):
    zones = {"a": zone, "b": zone}
    files, messages = plant(zones), log(zones, day, 7)
    base = compute(files, messages, "--interval", "base").rows
    assert len(base) > 400
    lines = {one["source"]: one.get("tags", {}).get("line", "") for site in zones for one in sources(site)}
    assert all(row["tag_line"] == lines[row["source"]] for row in base)
    scope2 = [one for site in zones for one in sources(site) if one["scope"] == 2]
    for interval, asked in ASKED:
        group = asked.split(",") if asked != "none" else []
        two = {tuple({**one, "scope": "2", "tag_line": lines[one["source"]]}[name] for name in group) for one in scope2}
        rows = compute(files, messages, "--interval", interval, "--group-by", asked).rows
        known = {(told(row, interval), *(row[name] for name in group), row["basis"]): row for row in rows}
        assert len(known) == len(rows), "a row a period, group and basis"
        want = added(base, interval, group, zones, two)
        assert want.keys() <= known.keys(), (group, sorted(want.keys() - known.keys())[:5])
        for key, row in known.items():
            sums = want.get(key)
            if sums is None:
                assert row["status"] == "missing", key
                assert (row["co2e_kg"], row["activity"], row["coverage"]) == ("", "", "0"), key
                continue
            for gas in GASES:
                assert (number(row[gas]) if row[gas] else None) == (sums[gas] if gas in sums["stated"] else None), (key, gas)
            units = sums["units"] - {""}
            assert row["activity_unit"] == (units.pop() if len(units) == 1 else ""), key
            if row["activity_unit"]:
                assert number(row["activity"]) == sums["activity"], key
            assert row["status"] == min(sums["statuses"], key=ORDER.index), key
            if sums["kg"]:
                assert abs(number(row["estimated_share"]) - sums["kg_estimated"] / sums["kg"]) < D("1e-6"), key
        if interval == "1d":
            for row in rows:
                local = date.fromisoformat(row["period"])
                edges = [datetime(d.year, d.month, d.day, tzinfo=ZoneInfo(zone)) for d in (local, local + timedelta(days=1))]
                assert [row["interval_start"], row["interval_end"]] == [stamp(edge) for edge in edges]
            assert {length(row) for row in rows} == hours


def length(row: dict[str, str]) -> float:
    """Hours of a row."""
    return (datetime.fromisoformat(row["interval_end"]) - datetime.fromisoformat(row["interval_start"])) / timedelta(hours=1)


def first_readings(messages: list[dict[str, Any]]) -> dict[str, datetime]:
    """Source -> its first reading."""
    found: dict[str, datetime] = {}
    for message in messages:
        site, device, _ = message["topic"].split("/")
        at = datetime.fromisoformat(json.loads(message["payload"])["t"])
        found[f"{site}-{device}"] = min(at, found.get(f"{site}-{device}", at))
    return found


def test_coverage_is_the_covered_share_of_the_time_in_which_sources_are_active(compute):
    zone, day = "Europe/Berlin", date(2026, 3, 28)
    files, messages = plant({"a": zone}), log({"a": zone}, day, 11)
    base = compute(files, messages).rows
    covered: dict[tuple[str, str], int] = {}
    for row in base:
        if row["coverage"]:
            covered[row["source"], row["interval_start"]] = round(float(row["coverage"]) * 900 * 10**6)
    starts = [datetime.fromisoformat(row["interval_start"]) for row in base]
    low, high = min(starts), max(starts) + BASE
    begins = first_readings(messages) | {"a-silent": low}
    timed = {f"a-{name}": begins[f"a-{name}"] for name in ("main", "hall", "late", "boiler", "silent")}
    for interval, asked in [("1h", "source"), ("1d", "source"), ("1d", "site"), ("all", "none")]:
        rows = compute(files, messages, "--interval", interval, "--group-by", asked).rows
        for row in rows:
            names = [row["source"]] if asked == "source" else list(timed)
            if "a-trucks" in names:
                assert row["coverage"] in ("", "0"), row
                continue
            begin, end = (datetime.fromisoformat(row[side]) for side in ("interval_start", "interval_end"))
            spans = {name: (max(begin, low, timed[name]), min(end, high)) for name in names}
            expected = sum(((b - a) // timedelta(microseconds=1) for a, b in spans.values() if b > a), 0)
            inside = [us for (name, at), us in covered.items() if name in names and begin <= datetime.fromisoformat(at) < end]
            assert abs(float(row["coverage"]) - sum(inside) / expected) < 1e-9, row


def test_places_of_different_zones_share_a_period_but_no_instants(compute):
    zones = {"a": "Europe/Berlin", "b": "America/New_York", "c": "Europe/Berlin"}
    files, messages = plant(zones), log(zones, date(2026, 10, 24), 5)
    base = compute(files, messages).rows
    rows = compute(files, messages, "--interval", "1d", "--group-by", "scope").rows
    assert {(row["interval_start"], row["interval_end"]) for row in rows} == {("", "")}
    want = added(base, "1d", ["scope"], zones, {("2",)})
    assert {(row["period"], row["scope"], row["basis"]) for row in rows} >= want.keys()
    for row in rows:
        sums = want.get((row["period"], row["scope"], row["basis"]))
        assert number(row["co2e_kg"]) == (sums["co2e_kg"] if sums else 0)
    one = compute(files, messages, "--interval", "1d", "--group-by", "scope", "--where", "site=a,site=c").rows
    assert all(row["interval_start"] and row["interval_end"] for row in one)


def test_shares_apply_only_where_asked_by_their_days(compute):
    zone, day = "Europe/Berlin", date(2026, 10, 24)
    files, messages = plant({"a": zone}), log({"a": zone}, day, 5)
    base = compute(files, messages).rows
    asked = ("--interval", "1d", "--group-by", "source")
    whole, shared = compute(files, messages, *asked).rows, compute(files, messages, *asked, "--consolidated").rows
    assert [row["coverage"] for row in whole] == [row["coverage"] for row in shared]
    assert {row["period"] for row in whole} >= {"2026-10-25", "2026-10-26"}
    parts = len(base)
    for full, part in zip(whole, shared, strict=True):
        share = D("0.5") if full["period"] <= "2026-10-25" else D("0.8")
        for column in ("co2e_kg", "co2_kg", "activity"):
            assert (part[column] == "") == (full[column] == "")
            assert abs(number(part[column]) - share * number(full[column])) <= parts * D("1e-9"), (column, full)


def test_what_has_no_factor_is_at_least_and_never_nothing(compute):
    zone, day = "Europe/Berlin", date(2026, 10, 31)
    files, messages = plant({"a": zone}), log({"a": zone}, day, 5)
    base = [row for row in compute(files, messages).rows if row["source"] == "a-late"]
    unpriced = [row for row in base if row["interval_start"] < "2026-10-31T23:00:00Z"]
    assert unpriced and len(unpriced) < len(base)
    assert {(row["status"], row["co2e_kg"], row["unpriced_share"]) for row in unpriced} == {("unpriced", "", "1")}
    (row,) = compute(files, messages, "--interval", "all", "--group-by", "source", "--where", "source=a-late").rows
    share = sum(number(r["activity"]) for r in unpriced) / sum(number(r["activity"]) for r in base)
    assert row["status"] == "unpriced"
    assert abs(number(row["unpriced_share"]) - share) < D("1e-12")
    assert number(row["co2e_kg"]) == sum(number(r["co2e_kg"]) for r in base) > 0
