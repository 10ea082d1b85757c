"""The facade: what console and API read, against the figures it stands on."""

import json
import threading
from datetime import timedelta

import polars as pl
import pytest

from scopeline.query import QueryError
from scopeline.service import Live, Service
from scopeline.service.live import snapshot


def test_live_now_today_and_series(service, host):
    live = service.live()
    assert isinstance(live, Live) and live.position == 198 and live.at == host.now()
    now = {row["source"]: (row["activity_per_h"], row["activity_unit"], row["co2e_kg_per_h"]) for row in live.now.to_dicts()}
    assert now == {"boiler": (20, "kWh_gross", pytest.approx(3.6054)), "works-power": (10, "kWh", pytest.approx(4))}
    assert live.rate_kg_per_h == pytest.approx(7.6054)
    today = {row["source"]: row["co2e_kg"] for row in live.today.to_dicts()}
    assert today == {"boiler": pytest.approx(43.2648), "works-power": pytest.approx(48), "trucks": None}
    assert live.series["co2e_kg"].sum() == pytest.approx(91.2648)
    assert set(live.series["key"]) == {"1", "2"} and live.series["interval_start"].is_sorted()
    (flow,) = live.flows.to_dicts()
    assert (flow["meter"], flow["value"], flow["unit"], flow["age_s"]) == ("duisburg/main:power", 10, "kW", 1800)


def test_live_agrees_with_the_figures(service):
    query = service.query("2026-03-29", "2026-03-30", interval="1d", group_by="source", basis="market")
    figures = {row["source"]: row["co2e_kg"] for row in service.figures_frame(query).to_dicts()}
    live = service.live("source", "market")
    assert {row["source"]: row["co2e_kg"] for row in live.today.to_dicts()} == pytest.approx(figures)
    assert sum(row["co2e_kg"] or 0 for row in live.status.to_dicts()) == pytest.approx(sum(kg or 0 for kg in figures.values()))


def test_status_is_that_of_the_figures(service):
    base = service.figures_frame(service.query("2026-03-29", "2026-03-30", interval="base", basis="location"))
    want = dict(base.group_by("status").len().iter_rows())
    got = {row["status"]: row["intervals"] for row in service.live().status.to_dicts() if row["intervals"]}
    assert got == want


def test_the_strip_shows_missing_hours_and_no_coverage_for_events(service, host):
    strip = service.live().strip
    boiler = {row["interval_start"]: row for row in strip.filter(source="boiler").to_dicts()}
    assert len(boiler) == 24
    before = boiler[host.now().replace(minute=0) - timedelta(hours=23)]
    assert before["coverage"] == 0 and before["status"] == "missing"
    full = boiler[host.now().replace(minute=0) - timedelta(hours=3)]
    assert full["coverage"] == 1 and full["status"] == "final"
    trucks = strip.filter(source="trucks")
    assert trucks["coverage"].null_count() == 24 and set(trucks["status"]) == {"event", "unpriced"}


def test_live_is_cached_for_a_moment_and_then_follows(service, host, monkeypatch):
    made = []
    monkeypatch.setattr("scopeline.service.live.snapshot", lambda *a: made.append(1) or snapshot(*a))
    first = service.live()
    assert service.live() is first and len(made) == 1
    clock = iter(range(10**9, 2 * 10**9, 10**6))
    monkeypatch.setattr("scopeline.service.live.monotonic", lambda: next(clock))
    assert service.live() is not first and len(made) == 2
    for wrong in ({"by": "x"}, {"basis": "both"}):
        with pytest.raises(QueryError):
            service.live(**wrong)


def test_live_of_an_empty_plant(plant_dir, host):
    for table in ("figures", "readings", "meters", "clocks", "traffic", "rejects", "messages"):
        host.log.clear(table)
    live = Service(host).live()
    assert live.rate_kg_per_h is None and live.series.is_empty() and set(live.strip["status"]) == {"missing"}
    assert Service(host).feeds()[0]["silent"]


def test_readers_beside_the_writer(service, host):
    """Questions from other threads while messages are committed: no error, and each answer is one state."""
    wrong, stop = [], threading.Event()

    def ask():
        query = service.query("2026-03-29", "2026-03-30", interval="all", group_by="none", basis="location")
        while not stop.is_set():
            try:
                answer = service.figures(query)
                (kg,) = answer.frame()["co2e_kg"]
                batches = (answer.facts()["log_position"] - 198) / 2
                if kg != pytest.approx(91.2648 + batches * (0.90135 + 1)):
                    wrong.append((kg, batches))
                service.feeds(), service.live()
            except Exception as error:
                wrong.append(error)

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for n in range(1, 9):
        at = host.now().replace(minute=0) + timedelta(minutes=15 * n)
        rows = [("acme/gas", {"kwh": 740 + 5 * n}), ("acme/main", {"kwh": 1120 + 2.5 * n, "w": 10_000})]
        host.take(
            [
                {
                    "topic": topic,
                    "payload": json.dumps({"t": at.isoformat(), **values}).encode(),
                    "received_at": at,
                    "retained": False,
                }
                for topic, values in rows
            ]
        )
    stop.set()
    for thread in threads:
        thread.join(20)
    assert not wrong


def test_meters_and_about(service):
    meters = {row["meter"]: row for row in service.meters().to_dicts()}
    assert meters["duisburg/tank:fill"]["last_value"] == 0.1 and meters["duisburg/tank:fill"]["unit"] == "m3"
    assert service.about()["sites"] == [{"site": "duisburg", "name": "Duisburg works", "timezone": "Europe/Berlin"}]
    with pytest.raises(LookupError):
        service.meter("duisburg/none:x")


def test_an_event_is_listed_once_though_it_was_corrected(service, host):
    at = host.now()
    for litres, minutes in ((50, 1), (60, 2)):
        payload = json.dumps({"t": at.isoformat(), "l": litres, "id": "x"}).encode()
        host.take(
            [{"topic": "acme/diesel", "payload": payload, "received_at": at + timedelta(minutes=minutes), "retained": False}]
        )
    rows = pl.concat(list(service.readings("duisburg/tank:fill", at - timedelta(days=1), at + timedelta(days=1))))
    assert rows.filter(event="x")["value"].to_list() == [0.06] and rows.height == 3


def test_factors_are_found_and_shown(service):
    assert service.factor("own/diesel")["kg_per_unit"] == {"CO2": 2.6}
    found = service.factors("natural gas", set="desnz", limit=3)
    assert found and all(one["citation"] for one in found)
    with pytest.raises(LookupError):
        service.factor("desnz/none")


@pytest.mark.parametrize(("minutes_ago", "silent"), [(20, False), (50, True)])
def test_a_history_that_came_within_a_minute_makes_no_feed_silent(service, host, minutes_ago, silent):
    """49 quarter-hours came at once: the device is expected every quarter-hour, not every second."""
    at = (host.now() - timedelta(minutes=minutes_ago)).replace(tzinfo=None)
    write = host.log.write.execute
    write("DELETE FROM traffic WHERE feed = 'gas' AND minute < (SELECT max(minute) FROM traffic WHERE feed = 'gas')")
    write(
        "UPDATE traffic SET messages = 49, minute = date_trunc('minute', $at), last_received_at = $at WHERE feed = 'gas'",
        {"at": at},
    )
    assert next(row for row in service.feeds() if row["feed"] == "gas")["silent"] is silent
