"""Roll-ups against sums of the base intervals done here: groups, bases, coverage, silence, status, zones, consolidation."""

import random
from datetime import UTC, datetime, timedelta
from fractions import Fraction as F
from itertools import combinations
from zoneinfo import ZoneInfo

import pytest

OWN = [{"factor_id": f, "value": v, "valid_from": s, "valid_to": e, "per_unit": u} for f, v, s, e, u in (
    ("grid", 0.5, "2026-01-01", "", "kWh"), ("wind", 0, "2026-01-01", "", "kWh"), ("waste", 2, "2026-01-01", "2026-03-29", "kg"),
    ("gas", 3, "2026-01-01", "", "m3"))]  # fmt: skip
KG = ("co2", "ch4", "n2o", "unsplit_co2e", "co2e", "biogenic_co2")
DERIVED = ("wtt", "t_and_d", "wtt_t_and_d")
START = datetime(2026, 3, 28, 20, tzinfo=UTC)
ZONES = {"berlin": "Europe/Berlin", "york": "America/New_York", "delhi": "Asia/Kolkata"}


def stamp(instant):
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def number(text):
    return F(text) if text else None


def settings(*sites, base="15m", lateness="10m", shares=None, **more):
    places = [{"site": s, "timezone": ZONES[s], "share": (shares or {}).get(s, "100%")} for s in sites]
    return {"sites": places, "reporting": {"base_interval": base, "lateness": lateness}, "tags": ["line"],
            "factor_sets": {"desnz": "2026"}, **more}  # fmt: skip


def source(name, meter, scope, category, factor, line=None, **more):
    facts = {"factor": {"id": f"own/{factor}"} if isinstance(factor, str) else factor} if factor else {}
    facts |= {"tags": {"line": line}} if line else {}
    return (
        {"source": name, "site": meter.partition("/")[0], "scope": scope, "category": category, "measured_by": meter}
        | facts
        | more
    )


def world(desk):
    """Three sites in three zones over a change of the clock: power with gaps, gas, waste that runs out of its factor."""
    dice, sources, deals = random.Random(7), [], []
    for site in ZONES:
        power = desk.meter(f"{site}/power", kind="counter", max_gap="1h")
        total = 0
        for quarter in range(200):
            if quarter % 40 not in range(5, 13) or site == "york":
                total += dice.randint(0, 900)
                at = START + timedelta(minutes=15 * quarter + dice.randint(-3, 3))
                desk.says(f"{site}/power", stamp(at), total / 100)
        gas = desk.meter(f"{site}/gas", "kWh_gross", "amount", period="30m")
        for half in range(0, 80, 3):
            desk.says(f"{site}/gas", stamp(START + timedelta(minutes=30 * half)), dice.randint(1, 99))
        waste = desk.meter(f"{site}/waste", "kg")
        for hour in (3, 20, 44):
            desk.says(f"{site}/waste", stamp(START + timedelta(hours=hour)), dice.randint(1, 99))
        fuel = {"set": "desnz", "table": "Fuels", "item": "Natural gas", "per_unit": "kWh", "basis": "gross"}
        sources += [
            source(f"{site}-power", power, 2, "purchased_electricity", "grid", "L1"),
            source(f"{site}-gas", gas, 1, "stationary_combustion", fuel, "L1" if site == "york" else "L2"),
            source(f"{site}-waste", waste, 3, "cat_5", "waste", valid_from="2026-03-28"),
            source(f"{site}-idle", desk.meter(f"{site}/idle"), "none", "energy_only",
                   None, valid_from="2026-03-28"),
        ]  # fmt: skip
        deals.append({"contract": f"{site}-ppa", "site": site, "kind": "ppa", "covers": {"share": "35%"},
                      "factor": {"id": "own/wind"}, "valid_from": "2026-03-29", "valid_to": "2026-12-31"})  # fmt: skip
    return sources, deals


def local(row, interval):
    """The period of a base interval, by its site's own clock."""
    at = datetime.fromisoformat(row["interval_start"]).astimezone(ZoneInfo(ZONES[row["site"]]))
    return {"1d": f"{at:%Y-%m-%d}", "1mo": f"{at:%Y-%m}", "1y": f"{at:%Y}", "all": "all"}[interval]


def rolled(rows, interval, group):
    """{(period, group, basis): sums}, each basis with the basis-less figures of its group."""
    bases = {}
    for row in rows:
        bases.setdefault(tuple(row[g] for g in group), set()).update({row["basis"]} - {""})
    scoped = {tuple(row[g] for g in group) for row in rows if row["scope"]}
    found = {}
    for row in rows:
        key = tuple(row[g] for g in group)
        for basis in {row["basis"]} if row["basis"] else (bases[key] or {""}):
            total = found.setdefault((local(row, interval), key, basis), {"rows": [], "units": set(), "activity": F(0)})
            total["rows"].append(row)
            adds = row["scope"] or key not in scoped
            for gas in KG:
                if row[f"{gas}_kg"] and (adds or gas == "biogenic_co2"):
                    total[gas] = total.get(gas, 0) + F(row[f"{gas}_kg"])
            if adds and row["component"] not in DERIVED:
                total["units"].add(row["activity_unit"])
                total["activity"] += F(row["activity"])
    return found


GROUPS = [list(g) for n in range(4) for g in combinations(("site", "scope", "category", "source", "tag_line", "component"), n)][
    ::3
]


@pytest.mark.parametrize("interval", ["1d", "1mo", "all"])
def test_every_group_is_the_sum_of_its_base_intervals(desk, interval):
    sources, deals = world(desk)
    plant = settings(*ZONES)
    base = desk.compute(plant, sources, own=OWN, contracts=deals)
    assert len(base) > 1500 and {row["status"] for row in base} >= {"unpriced", "final"}
    for group in GROUPS if interval == "1d" else GROUPS[:6]:
        words = ["--interval", interval, "--group-by", ",".join(group) or "none"]
        rows = desk.compute(plant, sources, *words, own=OWN, contracts=deals)
        assert [c for c in rows[0] if c in group] == group
        got = {(row["period"], tuple(row[g] for g in group), row["basis"]): row for row in rows}
        want = rolled(base, interval, group)
        assert len(got) == len(rows) and set(want) <= set(got), group
        for key, row in got.items():
            if key not in want:
                assert (row["status"], row["coverage"], row["co2e_kg"], row["activity"]) == ("missing", "0", "", ""), (group, key)
                continue
            parts = want[key]
            for gas in KG:
                value = number(row[f"{gas}_kg"])
                assert (value is None) == (gas not in parts) and abs((value or 0) - parts.get(gas, 0)) < F(1, 10**6), (
                    group,
                    key,
                    gas,
                )
            shown = number(row["activity"])
            assert (shown is not None) == (len(parts["units"]) == 1), (group, key)
            assert shown is None or abs(shown - parts["activity"]) < F(1, 10**6), (group, key)
            statuses = {r["status"] for r in parts["rows"]}
            assert row["status"] == next(s for s in ("unpriced", "provisional", "restated", "final") if s in statuses), (
                group,
                key,
            )
            assert ("unpriced" in statuses) == (F(row["unpriced_share"]) > 0), (group, key)
            for text in ("factor_id", "config", "factor_version", "instrument", "method", "gwp"):
                words = sorted({w for r in parts["rows"] for w in r[text].split(";") if w})
                assert row[text] == ";".join(words), (group, key, text)
            ages = [int(r["factor_age_years"]) for r in parts["rows"] if r["factor_age_years"]]
            assert row["factor_age_years"] == (str(max(ages)) if ages else "") and row["uncertainty_pct"] == ""
            zones = {ZONES[r["site"]] for r in base if tuple(r[g] for g in group) == key[1]}
            assert (row["interval_start"] == "") == (len(zones) > 1), (group, key)


def test_coverage_is_of_the_time_in_which_sources_were_active(desk):
    """Hours 1 to 3 and 6 of a day are known; a source without valid_from begins at its first reading."""
    one, two = (desk.meter(f"delhi/{name}", period="1h") for name in ("one", "two"))
    desk.meter("delhi/never", period="1h")
    day = datetime(2026, 3, 1, 18, 30, tzinfo=UTC)  # 2 March, 0:00 in Kolkata
    for hour in (1, 2, 3, 6):
        desk.says("delhi/one", stamp(day + timedelta(hours=hour)), 10)
    desk.says("delhi/two", stamp(day + timedelta(hours=12)), 5)
    desk.says("delhi/one", stamp(day + timedelta(hours=36)), 10)
    sources = [source("one", one, "none", "energy_only", None, valid_from="2026-03-02"),
               source("two", two, "none", "energy_only", None),
               source("never", one.replace("one", "never"), "none", "energy_only", None, valid_from="2026-03-03")]  # fmt: skip
    rows = desk.compute(settings("delhi"), sources, "--interval", "1d", "--group-by", "source", own=OWN)
    found = {(row["period"], row["source"]): (row["coverage"], row["status"], row["activity"]) for row in rows}
    end = day + timedelta(hours=36)
    span = F(int((end - (day + timedelta(days=1))) / timedelta(hours=1)))
    assert set(found) == {(d, s) for d in ("2026-03-02", "2026-03-03") for s in ("one", "two", "never")} - {
        ("2026-03-02", "never")
    }
    assert abs(F(found["2026-03-02", "one"][0]) - F(4, 24)) < F(1, 10**9) and found["2026-03-02", "one"][2] == "40"
    assert abs(F(found["2026-03-02", "two"][0]) - F(1, 13)) < F(1, 10**9)
    assert abs(F(found["2026-03-03", "one"][0]) - 1 / span) < F(1, 10**9)
    assert found["2026-03-03", "never"] == ("0", "missing", "") == found["2026-03-03", "two"]
    whole = desk.compute(settings("delhi"), sources, "--interval", "1d", "--group-by", "site", own=OWN)
    assert abs(F(whole[0]["coverage"]) - F(5, 24 + 13)) < F(1, 10**9)


def test_events_without_time_have_no_coverage_unless_expected(desk):
    plain, often = desk.meter("delhi/plain", "kg"), desk.meter("delhi/often", "kg")
    for name in ("plain", "often"):
        for day in ("2026-03-05", "2026-03-20"):
            desk.says(f"delhi/{name}", f"{day}T06:00:00Z", 3)
        desk.says(f"delhi/{name}", "2026-05-02T06:00:00Z", 3)
    sources = [source("plain", plain, 3, "cat_5", "gas", valid_from="2026-03-01"),
               source("often", often, 3, "cat_5", "gas", valid_from="2026-03-01", expect="1mo")]  # fmt: skip
    own = [row | {"per_unit": "kg"} for row in OWN]
    rows = desk.compute(settings("delhi"), sources, "--interval", "1mo", "--group-by", "source", own=own)
    found = {(row["period"], row["source"]): (row["coverage"], row["status"]) for row in rows}
    assert found["2026-03", "plain"][0] == "" and found["2026-03", "often"][0] == "1"
    assert found["2026-04", "plain"] == ("0", "missing") == found["2026-04", "often"]


STATUS = [
    ("10:20", "10:25", "provisional"),
    ("10:20", "10:26", "final"),
    ("10:25", "10:40", "final"),
    ("10:26", "10:40", "restated"),
]


@pytest.mark.parametrize(("came", "clock", "status"), STATUS)
def test_status_by_the_sites_clock_and_lateness(desk, came, clock, status):
    """The interval 10:00 to 10:15, lateness 10 minutes: until 10:25 provisional; readings after 10:25 restate."""
    meter = desk.meter("delhi/m", "kg")
    desk.says("delhi/m", "2026-03-05T10:05:00Z", 1, received=f"2026-03-05T{came}:00Z")
    desk.says("delhi/m", f"2026-03-05T{clock}:00Z", 1)
    rows = desk.compute(settings("delhi"), [source("m", meter, 3, "cat_5", "gas")], own=[r | {"per_unit": "kg"} for r in OWN])
    assert rows[0]["interval_start"] == "2026-03-05T10:00:00Z" and rows[0]["status"] == status


def test_shares_apply_in_consolidated_exports_by_the_sites_day(desk):
    """50 % until 28 March, nothing stated on the 29th, 80 % from 30 March on; New York's days."""
    meter = desk.meter("york/m", "kg")
    days = {
        "2026-03-29T03:45:00Z": F(1, 2),
        "2026-03-29T04:00:00Z": 0,
        "2026-03-30T03:45:00Z": 0,
        "2026-03-30T04:00:00Z": F(4, 5),
    }
    for at in days:
        desk.says("york/m", at, 100)
    share = [{"share": "50%", "valid_to": "2026-03-28"}, {"share": "80%", "valid_from": "2026-03-30"}]
    plant, own = settings("york", shares={"york": share}), [r | {"per_unit": "kg", "valid_to": ""} for r in OWN]
    args = (plant, [source("m", meter, 3, "cat_5", "gas")], "--interval", "15m")
    full = {row["interval_start"]: row for row in desk.compute(*args, own=own)}
    part = {row["interval_start"]: row for row in desk.compute(*args, "--consolidated", own=own)}
    for at, want in days.items():
        assert F(full[at]["co2e_kg"]) == 300 and F(part[at]["co2e_kg"]) == 300 * want and F(part[at]["activity"]) == 100 * want


def test_estimated_share_is_weighted_by_kg(desk):
    """10 kWh measured and 30 kWh over a gap at 0.5 kg, 5 m3 measured at 3 kg: 15 of 35 kg are estimated."""
    power, gas = desk.meter("delhi/p", kind="counter", max_gap="20m"), desk.meter("delhi/g", "m3", "counter")
    for minute, total in ((0, 0), (15, 10), (75, 40)):
        desk.says("delhi/p", stamp(START + timedelta(minutes=minute)), total)
    for minute, total in ((0, 0), (75, 5)):
        desk.says("delhi/g", stamp(START + timedelta(minutes=minute)), total)
    sources = [source("p", power, 3, "cat_1", "grid"), source("g", gas, 3, "cat_1", "gas")]
    rows = desk.compute(settings("delhi"), sources, "--interval", "all", "--group-by", "category", own=OWN)
    assert (F(rows[0]["co2e_kg"]), rows[0]["activity"], rows[0]["coverage"]) == (35, "", "1")
    assert abs(F(rows[0]["estimated_share"]) - F(15, 35)) < F(1, 10**9)
    apart = {
        row["source"]: row["estimated_share"] for row in desk.compute(settings("delhi"), sources, "--interval", "all", own=OWN)
    }
    assert apart == {"p": "0.75", "g": "0"}
