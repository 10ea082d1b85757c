"""What is dated holds on days of its site: sources, factors, contracts and shares begin and end at local midnights."""

import json
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

ZONES = [
    "Europe/Berlin",
    "America/New_York",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Pacific/Auckland",
    "America/St_Johns",
    "UTC",
]
FIRST, LAST = date(2026, 3, 29), date(2026, 4, 5)
"""Berlin's clock changes on the first of these days, Lord Howe's and Auckland's on the last."""
FACTORS = """\
factor_id,activity,gas,value,unit,per_unit,valid_from,valid_to,citation
f,x,CO2,1,kg,kWh,2026-03-29,2026-04-01,a test
f,x,CO2,2,kg,kWh,2026-04-03,2026-04-05,a test
"""


def edges(zone: str, first: date, last: date) -> tuple[datetime, datetime]:
    """From the first instant of a day to the end of another, in UTC."""
    place = ZoneInfo(zone)
    begin, end = (datetime(d.year, d.month, d.day, tzinfo=place) for d in (first, last + timedelta(days=1)))
    return begin.astimezone(UTC), end.astimezone(UTC)


def plant(zone: str) -> dict:
    feed = {"feed": "f", "topic": "w/{device}", "decoder": "json", "site": "w", "observed_at": {"path": "$.t"}}
    channel = {"channel": "e", "value": "$.v", "unit": "kWh", "kind": "counter"}
    common = {"site": "w", "scope": 1, "category": "process", "measured_by": "w/m:e", "factor": {"id": "own/f"}}
    return {
        "plant.yaml": {
            "organisation": "Days",
            "sites": [{"site": "w", "timezone": zone}],
            "reporting": {"base_interval": "15m"},
        },
        "feeds/f.yaml": {"feeds": [{**feed, "channels": [channel]}]},
        "factors/own.csv": FACTORS,
        "sources/s.yaml": {
            "sources": [
                {"source": "dated", "valid_from": str(FIRST), "valid_to": str(LAST), **common},
                {"source": "begun", "valid_from": str(FIRST), **common},
                {"source": "plain", **common},
            ]
        },
    }


def messages() -> list[dict]:
    """A counter that rises by 1 kWh an hour, for two weeks."""
    zero = datetime(2026, 3, 26, tzinfo=UTC)
    times = [zero + timedelta(hours=n) for n in range(14 * 24)]
    stamps = [at.strftime("%Y-%m-%dT%H:%M:%SZ") for at in times]
    return [{"topic": "w/m", "payload": json.dumps({"t": at, "v": n}), "received_at": at} for n, at in enumerate(stamps)]


@pytest.mark.parametrize("zone", ZONES)
def test_sources_and_factors_begin_and_end_at_local_midnight(compute, zone):
    rows = compute(plant(zone), messages()).rows
    starts = {name: sorted(r["interval_start"] for r in rows if r["source"] == name) for name in ("dated", "begun", "plain")}
    begin, end = edges(zone, FIRST, LAST)
    inside = [datetime.fromisoformat(at) for at in starts["dated"]]
    assert (inside[0], inside[-1] + timedelta(minutes=15)) == (begin, end)
    assert len(inside) == (end - begin) / timedelta(minutes=15)
    assert datetime.fromisoformat(starts["begun"][0]) == begin
    assert starts["plain"][0] == "2026-03-26T00:00:00Z" and starts["plain"][-1] == starts["begun"][-1]
    for row in rows:
        day = datetime.fromisoformat(row["interval_start"]).astimezone(ZoneInfo(zone)).date()
        price = 1 if date(2026, 3, 29) <= day <= date(2026, 4, 1) else 2 if date(2026, 4, 3) <= day <= date(2026, 4, 5) else None
        assert row["co2_kg"] == ("" if price is None else "0.25" if price == 1 else "0.5"), row
        assert (row["status"] == "unpriced") == (price is None), row


@pytest.mark.parametrize("zone", ZONES)
def test_days_of_a_dated_source_are_covered_whole_and_no_other_day_is_there(compute, zone):
    rows = compute(plant(zone), messages(), "--interval", "1d", "--where", "source=dated").rows
    days = [FIRST + timedelta(days=n) for n in range((LAST - FIRST).days + 1)]
    assert [row["period"] for row in rows] == [str(day) for day in days]
    for row, day in zip(rows, days, strict=True):
        begin, end = edges(zone, day, day)
        assert float(row["activity"]) == (end - begin) / timedelta(hours=1), row
        assert row["coverage"] == "1", row


@pytest.mark.parametrize("interval", ["1d", "1mo", "1y"])
def test_a_silent_source_is_missing_on_each_of_its_days(compute, interval):
    files = plant("America/St_Johns")
    common = {"site": "w", "scope": "none", "category": "energy_only", "measured_by": "w/silent:e"}
    files["sources/s.yaml"]["sources"].append(
        {"source": "silent", "valid_from": "2026-03-28", "valid_to": "2026-03-30", **common}
    )
    rows = [row for row in compute(files, messages(), "--interval", interval).rows if row["source"] == "silent"]
    wanted = {"1d": ["2026-03-28", "2026-03-29", "2026-03-30"], "1mo": ["2026-03"], "1y": ["2026"]}
    assert [row["period"] for row in rows] == wanted[interval]
    assert {(row["status"], row["coverage"], row["activity"], row["co2e_kg"]) for row in rows} == {("missing", "0", "", "")}


def test_an_event_source_says_how_often_something_must_come(compute):
    """Deliveries on two of the days; each day of a month with `expect: 1d` counts."""
    files = plant("Europe/Berlin")
    feed = files["feeds/f.yaml"]["feeds"][0]
    event = {"channel": "litres", "value": "$.v", "unit": "l", "kind": "amount", "event": "$.id"}
    files["feeds/f.yaml"]["feeds"].append({**feed, "feed": "oil", "topic": "oil/{device}", "channels": [event]})
    common = {"site": "w", "scope": "none", "category": "energy_only", "measured_by": "w/tank:litres"}
    dates = {"valid_from": "2026-03-27", "valid_to": "2026-03-30"}
    files["sources/s.yaml"]["sources"] += [
        {"source": "daily", "expect": "1d", **common, **dates},
        {"source": "monthly", "expect": "1mo", **common, **dates},
        {"source": "never", **common, **dates},
    ]
    oil = []
    for day in (27, 30):
        at = f"2026-03-{day}T10:00:00Z"
        oil.append({"topic": "oil/tank", "payload": json.dumps({"t": at, "v": 50, "id": day}), "received_at": at})
    rows = compute(files, messages() + oil, "--interval", "1d").rows
    told = {(r["source"], r["period"]): (r["activity"], r["coverage"], r["status"]) for r in rows}
    days = ["2026-03-27", "2026-03-28", "2026-03-29", "2026-03-30"]
    assert [told["daily", day] for day in days] == [("0.05", "1", "final"), *[("", "0", "missing")] * 2, ("0.05", "1", "final")]
    assert [told["never", day][:2] for day in days] == [("0.05", ""), *[("", "0")] * 2, ("0.05", "")]
    rows = compute(files, messages() + oil, "--interval", "1mo").rows
    told = {(r["source"], r["period"]): (r["activity"], r["coverage"]) for r in rows}
    assert told["monthly", "2026-03"] == ("0.1", "1")
    assert told["daily", "2026-03"][0] == "0.1"
    assert float(told["daily", "2026-03"][1]) == pytest.approx(48 / 95)  # the 29th has 23 hours
