"""The market basis: contracts in order, hour by hour, never beyond what was bought; against an allocation done here."""

import random
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction as F
from zoneinfo import ZoneInfo

import pytest
from typer.testing import CliRunner

from scopeline.cli import app

ORDER = {"certificate": 0, "ppa": 1, "supplier": 2}
FACTOR = {"wind": F(0), "solar": F(1, 50), "tariff": F(3, 10), "mix": F(7, 10), "grid": F(1, 2)}
OWN = [{"factor_id": name, "value": float(kg), "valid_from": "2020-01-01"} for name, kg in FACTOR.items()]
EVIDENCE = {"registry": "HKNR", "cancellation": "1"}


def deal(contract, kind, covers, factor="wind", site="works", begin="2026-01-01", end="2026-12-31", **more):
    return {"contract": contract, "site": site, "kind": kind, "covers": covers, "factor": {"id": f"own/{factor}"},
            "valid_from": begin, "valid_to": end, "evidence": EVIDENCE} | more  # fmt: skip


def plant(*sites, base="15m", mix=None, **reporting):
    region = {"region": "XX", "factor": {"id": "own/grid"}} | ({"residual_mix": f"own/{mix}"} if mix else {})
    places = [{"site": site, "timezone": zone, "grid_region": "XX"} for site, zone in sites]
    return {"sites": places, "grid_regions": [region], "reporting": {"base_interval": base} | reporting}


def source(desk, site, name, category="purchased_electricity", **facts):
    return {"source": name, "site": site, "scope": 2, "category": category, "measured_by": desk.meter(f"{site}/{name}", **facts)}


def stamp(instant):
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def market(rows):
    return [row for row in rows if row["basis"] == "market"]


def covered(rows):
    found = defaultdict(F)
    for row in market(rows):
        found[row["component"]] += F(row["activity"])
    return {name: float(amount) for name, amount in found.items()}


CASES = {
    "order of kinds": (
        [deal("a", "supplier", {"share": "100%"}, "tariff"), deal("b", "ppa", {"share": "30%"}),
         deal("c", "certificate", {"share": "50%"}, "solar")], None,
        {"c": 50, "b": 30, "a": 20}),
    "within a kind by id": ([deal("b", "ppa", {"share": "80%"}), deal("a", "ppa", {"share": "70%"})], None, {"a": 70, "b": 30}),
    "residual mix before grid average": ([deal("b", "ppa", {"share": "30%"})], "mix", {"b": 30, "residual_mix": 70}),
    "grid average as fallback": ([deal("b", "ppa", {"share": "30%"})], None, {"b": 30, "grid_average": 70}),
    "no contract, residual mix": ([], "mix", {"residual_mix": 100}),
    "no contract": ([], None, {"grid_average": 100}),
    "ended the day before": ([deal("b", "ppa", {"share": "30%"}, end="2026-03-01")], None, {"grid_average": 100}),
    "last day": ([deal("b", "ppa", {"share": "30%"}, end="2026-03-02")], None, {"b": 30, "grid_average": 70}),
    "first day": ([deal("b", "ppa", {"share": "30%"}, begin="2026-03-02")], None, {"b": 30, "grid_average": 70}),
    "tomorrow": ([deal("b", "ppa", {"share": "30%"}, begin="2026-03-03")], None, {"grid_average": 100}),
    "of another energy": ([deal("b", "ppa", {"share": "30%"}, energy="heat")], None, {"grid_average": 100}),
    "24 kWh an hour": ([deal("b", "ppa", {"volume": "210.240 MWh"})], None, {"b": 24, "grid_average": 76}),
    "more than bought": ([deal("b", "ppa", {"volume": "2 GWh"})], None, {"b": 100}),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_cases(desk, audit, case):
    contracts, mix, want = CASES[case]
    bought = source(desk, "works", "main")
    desk.says("works/main", "2026-03-02T10:00:00Z", "100")
    rows = desk.compute(plant(("works", "Europe/Berlin"), mix=mix), [bought], own=OWN, contracts=contracts)
    assert covered(rows) == want
    kinds = {c["contract"]: (c["kind"], FACTOR[c["factor"]["id"].removeprefix("own/")]) for c in contracts}
    kinds |= {"residual_mix": ("residual_mix", FACTOR["mix"]), "grid_average": ("grid_average", FACTOR["grid"])}
    for row in market(rows):
        instrument, factor = kinds[row["component"]]
        expected = {"instrument": instrument, "estimated_share": "1" if instrument == "grid_average" else "0"}
        assert not audit.agree(row, audit.parts({"unsplit": F(row["activity"]) * factor}, 27) | expected)
    location = [row for row in rows if row["basis"] == "location"]
    assert [(row["component"], row["co2e_kg"], row["instrument"], row["estimated_share"]) for row in location] == [
        ("main", "50", "", "0")]  # fmt: skip


@pytest.mark.parametrize(("zone", "first"), [("America/New_York", "2026-03-01T05:00"), ("Asia/Kathmandu", "2026-02-28T18:15")])
def test_days_of_a_contract_are_the_sites_own_and_inclusive(desk, zone, first):
    """One local day, 1 March: from its midnight to the next, also where midnight lies within a UTC hour."""
    begin = datetime.fromisoformat(first).replace(tzinfo=UTC)
    bought = source(desk, "works", "main", period="15m")
    for quarter in range(-8, 108):
        desk.says("works/main", stamp(begin + timedelta(minutes=15 * (quarter + 1))), "1")
    deals = [deal("day", "ppa", {"share": "100%"}, begin="2026-03-01", end="2026-03-01")]
    rows = market(desk.compute(plant(("works", zone)), [bought], own=OWN, contracts=deals))
    inside = sorted(row["interval_start"] for row in rows if row["component"] == "day")
    assert len(rows) == 116 and len(inside) == 96
    assert inside[0] == stamp(begin) and inside[-1] == stamp(begin + timedelta(hours=23, minutes=45))


def test_without_evidence_it_is_priced_and_unproven(desk, audit):
    bought = source(desk, "works", "main")
    desk.says("works/main", "2026-03-02T10:00:00Z", "100")
    deals = [deal("a", "ppa", {"share": "40%"}, "solar"), deal("b", "ppa", {"share": "40%"}, "solar")]
    del deals[0]["evidence"]
    rows = audit.by(market(desk.compute(plant(("works", "UTC")), [bought], own=OWN, contracts=deals)), "component")
    for name in "ab":
        assert not audit.agree(rows[name], audit.parts({"unsplit": F(4, 5)}, 27))
    assert "unproven" in rows["a"]["factor_version"].split(";") and "unproven" not in rows["b"]["factor_version"]


def test_a_contract_outside_its_factors_days_is_unpriced(desk):
    own = [*OWN, {"factor_id": "old", "value": 0, "valid_from": "2020-01-01", "valid_to": "2025-12-31"}]
    bought = source(desk, "works", "main")
    desk.says("works/main", "2026-03-02T10:00:00Z", "100")
    rows = desk.compute(plant(("works", "UTC")), [bought], own=own, contracts=[deal("a", "ppa", {"share": "40%"}, "old")])
    found = {row["component"]: (row["status"], row["co2e_kg"], row["unpriced_share"]) for row in market(rows)}
    assert found == {"a": ("unpriced", "", "1"), "grid_average": ("provisional", "30", "0")}


def test_a_sources_own_factor_takes_the_place_of_the_grid_average(desk, audit):
    heat = source(desk, "works", "heat", "purchased_heat") | {"factor": {"id": "own/tariff"}}
    power = source(desk, "works", "power") | {"factor": {"id": "own/tariff"}}
    for name in ("heat", "power"):
        desk.says(f"works/{name}", "2026-03-02T10:00:00Z", "100")
    deals = [deal("a", "ppa", {"share": "40%"}), deal("h", "supplier", {"share": "10%"}, "solar", energy="heat")]
    rows = desk.compute(plant(("works", "UTC"), mix="mix"), [heat, power], own=OWN, contracts=deals)
    found = {(row["source"], row["component"], row["basis"]): float(row["co2e_kg"]) for row in rows}
    assert found == {
        ("heat", "main", "location"): 30, ("heat", "h", "market"): 0.2, ("heat", "grid_average", "market"): 27,
        ("power", "main", "location"): 30, ("power", "a", "market"): 0, ("power", "residual_mix", "market"): 42,
    }  # fmt: skip


@pytest.mark.parametrize(("site", "region"), [("UK", "GB"), ("GB", "UK"), ("GBR", "UK"), ("GB", "GBR")])
def test_a_region_is_one_region_in_any_code(desk, site, region):
    bought = source(desk, "works", "main")
    desk.says("works/main", "2026-03-02T10:00:00Z", "100")
    settings = plant(("works", "UTC")) | {"grid_regions": [{"region": region, "residual_mix": "own/mix"}]}
    settings |= {"factor_sets": {"desnz": "2026"}}
    settings["sites"][0]["grid_region"] = site
    assert [row["co2e_kg"] for row in market(desk.compute(settings, [bought], own=OWN))] == ["70"]


def test_category_3_from_the_market_basis(desk, audit):
    """Own factors derive nothing: what a PPA by an own factor covers has no upstream part; the rest has DESNZ's."""
    bought = source(desk, "works", "main")
    desk.says("works/main", "2026-03-02T10:00:00Z", "100")
    settings = plant(("works", "UTC"), cat_3_basis="market") | {"factor_sets": {"desnz": "2026"}, "grid_regions": []}
    settings["sites"][0]["grid_region"] = "GB"
    rows = desk.compute(settings, [bought], own=OWN, contracts=[deal("a", "ppa", {"share": "40%"})])
    found = {row["component"]: row for row in rows if row["category"] == "cat_3"}
    assert set(found) == {"wtt", "t_and_d", "wtt_t_and_d"}
    # desnz_2026: WTT- UK electricity (generation) 0.03682, (T&D) 0.00359 kg CO2e/kWh
    assert not audit.agree(found["wtt"], audit.parts({"unsplit": F("0.03682") * 60}, 27) | {"activity": "60"})
    assert not audit.agree(found["wtt_t_and_d"], audit.parts({"unsplit": F("0.00359") * 60}, 27))


def days(site_zone, contract):
    zone = ZoneInfo(site_zone)
    begin, end = (date.fromisoformat(contract[key]) for key in ("valid_from", "valid_to"))
    midnight = [datetime(d.year, d.month, d.day, tzinfo=zone).astimezone(UTC) for d in (begin, end + timedelta(days=1))]
    return midnight


def allocation(amounts, shown, contracts, zone):
    """{(component, source, instant): kWh} of one site; amounts: {(source, quarter's start): kWh}, shown: of contract meters."""
    taken, left = defaultdict(F), {key: max(value, F(0)) for key, value in amounts.items()}
    hours = {instant.replace(minute=0) for _, instant in amounts}
    for contract in sorted(contracts, key=lambda c: (ORDER[c["kind"]], c["contract"])):
        begin, end = days(zone, contract)
        for hour in sorted(hours):
            mine = [k for k in amounts if k[1].replace(minute=0) == hour and begin <= k[1] < end]
            bought = sum(max(amounts[k], F(0)) for k in mine)
            covers = contract["covers"]
            if "share" in covers:
                claim = bought * F(covers["share"].rstrip("%")) / 100
            elif "volume" in covers:
                part = max(min(hour + timedelta(hours=1), end) - max(hour, begin), timedelta(0)) / timedelta(seconds=1)
                claim = F(covers["volume"].removesuffix(" kWh")) * F(part) / F((end - begin) / timedelta(seconds=1))
            else:
                claim = sum(v for t, v in shown.items() if t.replace(minute=0) == hour and begin <= t < end)
            rest = sum(left[k] for k in mine)
            for k in mine:
                if rest:
                    part = min(max(claim, F(0)), rest) * left[k] / rest
                    taken[contract["contract"], *k] += part
            for k in mine:
                left[k] -= taken[contract["contract"], *k]
    rest = {("grid_average", *k): left[k] if value > 0 else value for k, value in amounts.items()}
    return taken, rest


@pytest.mark.parametrize("seed", range(4))
def test_many_contracts_sources_and_negative_intervals(desk, seed):
    """Two sites, three sources each (one two-way), 15 minutes, all kinds of cover; also days that begin within the range."""
    dice = random.Random(seed)
    zones = {"works": "Asia/Kathmandu", "hall": "Europe/Berlin"}
    start = datetime(2026, 3, 28, 16, tzinfo=UTC)
    sources, amounts, shown, deals = [], {site: {} for site in zones}, {}, []
    for site in zones:
        for name in ("a", "b", "net"):
            sources.append(source(desk, site, f"{site}-{name}", period="15m"))
            for quarter in range(32):
                value = F(dice.randint(0 if name != "net" else -4000, 9000), 1000)
                amounts[site][f"{site}-{name}", start + timedelta(minutes=15 * quarter)] = value
                desk.says(f"{site}/{site}-{name}", stamp(start + timedelta(minutes=15 * (quarter + 1))), float(value))
        meter = desk.meter(f"{site}/ppa", period="15m")
        shown[site] = {}
        for quarter in range(2, 28):
            shown[site][start + timedelta(minutes=15 * quarter)] = value = F(dice.randint(0, 4000), 1000)
            desk.says(f"{site}/ppa", stamp(start + timedelta(minutes=15 * (quarter + 1))), float(value))
        terms = [("2026-03-28", "2026-03-28"), ("2026-03-29", "2026-03-29"), ("2026-01-01", "2026-12-31")]
        covers = [{"share": "10%"}, {"share": "25%"}, {"volume": "70 kWh"}, {"volume": "20000 kWh"}, {"meter": meter}]
        for number, cover in enumerate(covers):
            begin, end = dice.choice(terms)
            deals.append(
                deal(f"{dice.choice('xyz')}{number}-{site}", dice.choice(list(ORDER)), cover, site=site, begin=begin, end=end)
            )
    rows = market(desk.compute(plant(*zones.items()), sources, own=OWN, contracts=deals))
    got = {(row["component"], row["source"], row["interval_start"]): float(row["activity"]) for row in rows}
    assert len(got) == len(rows)
    want = {}
    for site, zone in zones.items():
        for parts in allocation(amounts[site], shown[site], [d for d in deals if d["site"] == site], zone):
            want |= {(name, of, stamp(when)): float(amount) for (name, of, when), amount in parts.items()}
    wrong = {k: (got.get(k), want.get(k)) for k in got.keys() | want.keys() if abs(got.get(k, 0) - want.get(k, 0)) > 1e-7}
    assert not wrong, (len(wrong), list(wrong.items())[:5], deals)
    assert len({component for component, *_ in got}) > 6
    for site in zones:  # the parts of an interval are the interval, to the last digit
        for (name, when), value in amounts[site].items():
            parts = [F(row["activity"]) for row in rows if (row["source"], row["interval_start"]) == (name, stamp(when))]
            assert abs(sum(parts) - value) < F(1, 10**12)


def test_a_two_way_counter_is_warned_of_and_its_export_is_no_purchase(desk):
    """10, then 5 back, then 3: contracts cover 40 % of what was bought; the negative interval stays and `check` says so."""
    bought = source(desk, "works", "main", kind="counter", decrease="net")
    for hour, total in enumerate((0, 10, 5, 8)):
        desk.says("works/main", f"2026-03-02T1{hour}:00:00Z", total)
    rows = desk.compute(plant(("works", "UTC"), base="1h"), [bought], own=OWN, contracts=[deal("a", "ppa", {"share": "40%"})])
    parts = sorted((row["interval_start"][11:13], row["component"], row["activity"]) for row in market(rows))
    assert parts == [("10", "a", "4"), ("10", "grid_average", "6"), ("11", "grid_average", "-5"),
                     ("12", "a", "1.2"), ("12", "grid_average", "1.8")]  # fmt: skip
    said = CliRunner().invoke(app, ["check", "--plant", str(desk.folder / "plant")])
    assert "counts both ways" in said.output and "gross import" in said.output
