"""Clocks, stamps and counters that misbehave."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

ZERO = datetime(2026, 3, 2, tzinfo=UTC)
STAMPS = {
    "ten minutes ahead": (timedelta(minutes=10), None),
    "a microsecond more": (timedelta(minutes=10, microseconds=1), "in_future"),
    "a year ahead": (timedelta(days=365), "in_future"),
    "400 days behind": (-timedelta(days=400), None),
    "a microsecond later": (-timedelta(days=400, microseconds=1), "too_old"),
}


@pytest.mark.parametrize(("shift", "reason"), STAMPS.values(), ids=STAMPS)
def test_the_window_of_acceptance(lab, harmless, shift, reason):
    text = json.dumps({"t": lab.stamp(ZERO + timedelta(hours=1) + shift), "v": 5})
    found = harmless([lab.message("w/bad", text, 60)], lab.plant(lab.AMOUNT))
    assert lab.quarantined(found.said) == ({reason: 1} if reason else {})
    assert lab.activity(found.rows) == ([] if reason else [5])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1111-11-11T11:11:11Z", "too_old"), ("2106-02-07T06:28:15Z", "in_future"), ("9999-12-31T23:59:59.999999Z", "in_future"),
        ("0001-01-01T00:00:00Z", "too_old"), ("0000-00-00T00:00:00Z", "no_time"), ("2026-02-30T00:00:00Z", "no_time"),
        ("2026-03-02T24:00:00Z", "no_time"), ("yesterday", "no_time"), ("", "no_time"),
        ("2026-03-02T00:20:00+99:99", "no_time"), ("9999-12-31T23:59:59-23:59", "no_time"), ("20260302", "too_old"),
    ],
)  # fmt: skip
def test_impossible_and_distant_stamps_are_quarantined_and_arrival_is_no_substitute(lab, harmless, text, reason):
    found = harmless([lab.message("w/bad", json.dumps({"t": text, "v": 5}), 20)], lab.plant(lab.AMOUNT))
    if text == "20260302":  # a day is an instant: its beginning
        assert (lab.quarantined(found.said), lab.activity(found.rows)) == ({}, [5])
    else:
        assert (lab.quarantined(found.said), lab.activity(found.rows)) == ({reason: 1}, [])


@pytest.mark.parametrize("value", ["null", "true", "5", "[]", "{}"])
def test_a_stamp_that_is_no_text_is_no_time(lab, harmless, value):
    found = harmless(
        [lab.message("w/bad", f'{{"t": {value}, "v": 5}}', 20), lab.message("w/bad", '{"v": 5}', 20)], lab.plant(lab.AMOUNT)
    )
    assert lab.quarantined(found.said) == {"no_time": 2}


def test_a_repeated_hour_keeps_both_its_readings(lab, compute):
    """29 October 2023 in Berlin: 02:30 comes twice. Each reading arrives seconds after it was taken."""
    zero = datetime(2023, 10, 28, 22, tzinfo=UTC)
    local = {"path": "$.t", "format": "%Y-%m-%d %H:%M", "timezone": "Europe/Berlin"}
    walls = ["01:30", "02:00", "02:30", "02:00", "02:30", "03:00"]
    instants = [90, 120, 150, 180, 210, 240]
    messages = []
    for n, (wall, minute) in enumerate(zip(walls, instants, strict=True)):
        text = json.dumps({"t": f"2023-10-29 {wall}", "v": n})
        received = lab.stamp(zero + timedelta(minutes=minute, seconds=5))
        messages.append({"topic": "w/bad", "payload": text, "received_at": received})
    rows = compute(lab.plant(lab.COUNTER, zone="Europe/Berlin", observed_at=local), messages).rows
    assert [row["interval_start"] for row in rows] == [
        lab.stamp(zero + timedelta(minutes=15 * n))[:19] + "Z" for n in range(6, 16)
    ]
    assert lab.activity(rows) == [0.5] * 10
    days = compute(lab.plant(lab.COUNTER, zone="Europe/Berlin", observed_at=local), messages, "--interval", "1d").rows
    assert lab.activity(days) == [5]


def test_a_repeated_hour_in_one_payload_is_in_order_of_time(lab, compute):
    local = {"path": "@.t", "format": "%Y-%m-%d %H:%M", "timezone": "Europe/Berlin"}
    walls = ["01:45", "02:15", "02:45", "02:15", "02:45", "03:15"]
    payload = json.dumps([{"t": f"2023-10-29 {wall}", "v": 2**n} for n, wall in enumerate(walls)])
    files = lab.plant({**lab.AMOUNT, "value": "@.v"}, zone="Europe/Berlin", observed_at=local, each="$[*]")
    rows = compute(files, [{"topic": "w/bad", "payload": payload, "received_at": "2023-10-30T00:00:00Z"}]).rows
    assert [(row["interval_start"][11:16], row["activity"]) for row in rows] == [
        ("23:45", "1"), ("00:15", "2"), ("00:45", "4"), ("01:15", "8"), ("01:45", "16"), ("02:15", "32"),
    ]  # fmt: skip


def test_a_skipped_hour_takes_the_offset_before_the_change(lab, compute):
    local = {"path": "$.t", "format": "%Y-%m-%d %H:%M", "timezone": "Europe/Berlin"}
    text = json.dumps({"t": "2026-03-29 02:30", "v": 1})
    messages = [{"topic": "w/bad", "payload": text, "received_at": "2026-03-29T12:00:00Z"}]
    rows = compute(lab.plant(lab.AMOUNT, zone="Europe/Berlin", observed_at=local), messages).rows
    assert [row["interval_start"] for row in rows] == ["2026-03-29T01:30:00Z"]


def test_a_clock_set_back_gives_no_negative_time(lab, compute):
    """A device's clock jumps back by 20 minutes: its counter goes on, and what it stamps twice is counted once."""
    minutes = [0, 5, 10, 15, 20, 0, 5, 10, 15, 20, 25, 30]
    messages = [lab.said("bad", m, n, received=5 * n + 0.1) for n, m in enumerate(minutes)]
    rows = compute(lab.plant(lab.COUNTER), messages).rows
    assert sum(lab.activity(rows)) == 6  # the later statement of each instant stands: 5 .. 11
    assert all(value >= 0 for value in lab.activity(rows))


@pytest.mark.parametrize("at", [10**5, 10**6, 10**7, 10**8, 2**16, 2**32])
def test_rollovers_of_usual_registers(lab, compute, at):
    values = [at - 3, at - 1, 2, 5]
    rows = compute(lab.plant({**lab.COUNTER, "rollover_at": at}), [lab.said("bad", 15 * n, v) for n, v in enumerate(values)]).rows
    assert lab.activity(rows) == [2, 3, 3]
    rows = compute(lab.plant(lab.COUNTER), [lab.said("bad", 15 * n, v) for n, v in enumerate(values)]).rows
    assert lab.activity(rows) == [2, 2, 3]  # not told: a reset, the new value counts


def test_a_counter_that_runs_backwards(lab, compute):
    values = [100, 90, 80, 85]
    messages = [lab.said("bad", 15 * n, v) for n, v in enumerate(values)]
    assert lab.activity(compute(lab.plant({**lab.COUNTER, "decrease": "net"}), messages).rows) == [-10, -10, 5]
    assert lab.activity(compute(lab.plant(lab.COUNTER), messages).rows) == [90, 80, 5]


def test_a_flat_counter_over_a_hole_is_nothing_and_a_rate_over_a_hole_is_unknown(lab, compute):
    hours = [0, 15, 30, 240, 255]
    flat = compute(lab.plant({**lab.COUNTER, "max_gap": "1h"}), [lab.said("bad", m, 7) for m in hours]).rows
    assert lab.activity(flat) == [0] * 17
    assert {row["coverage"] for row in flat} == {"1"}
    power = compute(
        lab.plant({"channel": "p", "value": "$.v", "unit": "kW", "kind": "rate"}), [lab.said("bad", m, 8) for m in hours]
    )
    assert lab.activity(power.rows) == [2, 2, 2]


def test_ids_of_events_count_once_however_often_they_come(lab, compute):
    files = lab.plant({**lab.AMOUNT, "event": "$.id"})

    def ticket(number: Any, value: float, at: float, received: float) -> dict[str, Any]:
        return lab.message("w/bad", json.dumps({"t": lab.after(at), "v": value, "id": number}), received)

    rows = compute(files, [ticket("a", 5, 1, 2), ticket("a", 5, 1, 99), ticket("a", 5, 40, 100), ticket("b", 7, 1, 2)]).rows
    assert [(row["interval_start"][11:16], row["activity"]) for row in rows] == [("00:00", "12")]
    rows = compute(files, [ticket("a", 5, 1, 2), ticket("a", 6, 40, 100), ticket("a", 5, 1, 200)]).rows
    assert [(row["interval_start"][11:16], row["activity"]) for row in rows] == [("00:30", "6")]


PERIODS = {
    ("0001-01-01", "2026-01-01"): "too_old",
    ("1900-01-01", "2026-01-01"): "too_old",
    ("2023-12-01", "2025-12-01"): "too_old",
    ("2024-12-01", "2025-12-01"): None,
    ("2026-04-01", "2027-03-31"): None,
    ("2026-04-01", "2027-04-30"): "in_future",
    ("2026-01-01", "9999-12-31"): "in_future",
    ("2026-01-01", "2026-01-01"): "no_time",
    ("2026-01-02", "2026-01-01"): "no_time",
}


@pytest.mark.parametrize(("period", "reason"), PERIODS.items())
def test_a_bill_may_speak_of_last_year_but_not_of_centuries(lab, harmless, period, reason):
    """A period without limit would fill the store with intervals."""
    files = lab.plant(lab.COUNTER)
    channel = {**lab.AMOUNT, "period": {"from": "$.from", "to": "$.to"}}
    bills = {**files["feeds/f.yaml"]["feeds"][0], "feed": "bills", "topic": "b/{device}", "meter": "w/{device}"}
    files["feeds/f.yaml"]["feeds"].append({**bills, "channels": [channel]})
    files["plant.yaml"]["reporting"]["base_interval"] = "1h"
    bill = json.dumps({"t": lab.after(20), "v": 8, "from": period[0], "to": period[1]})
    found = harmless([lab.message("b/bad", bill, 30)], files)
    assert lab.quarantined(found.said) == ({reason: 1} if reason else {})
    assert (round(sum(lab.activity(found.rows)), 6) == 8) == (reason is None)
