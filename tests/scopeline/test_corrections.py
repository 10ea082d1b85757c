"""Edits, redrives and replays: afterwards everything is as if it had always been so; what did not change stays untouched."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from schemas.frames import AMOUNTS, FIGURE_KEY, MESSAGES
from schemas.plant import Plant
from scopeline import pipeline
from scopeline.catalogue import catalogue
from scopeline.corrections import edited, redriven, replayed
from scopeline.log import Log
from scopeline.log.archive import move
from scopeline.upkeep import Upkeep, units_seen

START = datetime(2026, 3, 1, 10, tzinfo=UTC)
BASE: dict[str, Any] = {
    "settings": {
        "organisation": "Works",
        "sites": [{"site": "works", "timezone": "Europe/Berlin", "grid_region": "GB"}],
        "factor_sets": {"desnz": "2026"},
    },
    "feeds": [
        {
            "feed": "meters",
            "topic": "t/{device}",
            "site": "works",
            "decoder": "json",
            "observed_at": {"path": "$.at", "format": "iso8601"},
            "channels": [
                {"channel": "e", "value": "$.e", "unit": "kWh", "kind": "counter"},
                {"channel": "p", "value": "$.p", "unit": "kW", "kind": "rate"},
            ],
        }
    ],
    "sources": [
        {
            "source": "m-{n}",
            "for_each": "works/*:e",
            "measured_by": "{meter}",
            "site": "works",
            "scope": 2,
            "category": "purchased_electricity",
        },
        {"source": "power", "measured_by": "sum([works/*:p])", "site": "works", "scope": 2, "category": "purchased_electricity"},
    ],
}


def plant(change: Callable[[dict[str, Any]], None] | None = None) -> Plant:
    parts = json.loads(json.dumps(BASE))
    if change:
        change(parts)
    return Plant.model_validate(parts)


def said(count: int = 40) -> pl.DataFrame:
    rows = []
    for n in range(count):
        at = START + timedelta(minutes=n)
        body: dict[str, Any] = {"at": at.isoformat(), "e": n if n % 13 else "broken", "p": 5 + n % 3}
        if n % 10 == 3:
            body = {"at": at.isoformat(), "energy": n}
        topic = f"t/{'ab'[n % 2]}" if n % 7 else "other/c"
        rows.append(
            {
                "message": n + 1,
                "topic": topic,
                "payload": json.dumps(body).encode(),
                "received_at": at,
                "retained": False,
                "broker": None,
            }
        )
    return pl.DataFrame(rows, schema=MESSAGES)


class Kept:
    def __init__(self, folder: Path, of: Plant) -> None:
        self.log = Log(folder / "scopeline.duckdb")
        self.upkeep = Upkeep(self.log, pipeline)
        self.upkeep.load(pipeline.configure(of, catalogue(), units_seen(self.upkeep.store.meters())))
        self.edit(of, "first")

    def edit(self, of: Plant, mark: str = "edit") -> Any:
        with self.log.transaction():
            done = edited(self.upkeep, of, mark)
        return done._replace(sources=done.sources | self.catch_up())

    def catch_up(self) -> dict[str, int]:
        found: Counter[str] = Counter()
        while self.upkeep.state.pending.height:
            with self.log.transaction():
                found.update(self.upkeep.catch_up())
        return dict(found)

    def add(self, messages: pl.DataFrame) -> None:
        with self.log.transaction():
            self.upkeep.add(messages, pipeline.read(messages, self.upkeep.state.configuration))
            self.log.set("position", messages["message"][-1])

    def everything(self) -> dict[str, pl.DataFrame]:
        store = self.upkeep.store
        figures = list(store.figures())
        return {
            "readings": store.readings().sort("message", "index", "meter"),
            "rejects": store.rejects_by(None).sort("message", "index", nulls_last=True),
            "outcomes": store.outcomes_of(list(range(1, 1000))).sort("message", "feed"),
            "amounts": store._rows(AMOUNTS, "FROM amounts ORDER BY meter, interval_start"),
            "figures": pl.concat(figures).sort(FIGURE_KEY) if figures else pl.DataFrame(),
            "traffic": store.traffic(),
            "meters": store.meters(),
            "clocks": store.clocks(),
        }


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Callable[[str, Plant], Kept]]:
    made: list[Kept] = []

    def make(name: str, of: Plant) -> Kept:
        (tmp_path / name).mkdir()
        made.append(Kept(tmp_path / name, of))
        return made[-1]

    yield make
    for one in made:
        one.log.close()


def rename(parts: dict[str, Any]) -> None:
    parts["feeds"][0]["channels"][0]["value"] = "$.energy"


def rescale(parts: dict[str, Any]) -> None:
    parts["feeds"][0]["channels"][0] |= {"scale": "10", "max_gap": "90s"}


def jitter(parts: dict[str, Any]) -> None:
    parts["feeds"][0]["channels"][1]["between"] = "previous"  # no reading changes, only what lies between them


def further_feed(parts: dict[str, Any]) -> None:
    parts["feeds"].append({**parts["feeds"][0], "feed": "others", "topic": "other/{device}"})


def no_feed(parts: dict[str, Any]) -> None:
    parts["feeds"] = []


def dearer(parts: dict[str, Any]) -> None:
    parts["own_factors"] = [
        {"factor_id": "own", "activity": "a", "gas": "CO2e", "value": "0.5", "unit": "kg", "per_unit": "kWh", "citation": "c"}
    ]
    parts["sources"][0]["factor"] = {"id": "own/own"}


def fewer_sources(parts: dict[str, Any]) -> None:
    parts["sources"] = parts["sources"][1:]


def coarser(parts: dict[str, Any]) -> None:
    parts["settings"]["reporting"] = {"base_interval": "15m"}


EDITS = [rename, rescale, jitter, further_feed, no_feed, dearer, fewer_sources, coarser]


@pytest.mark.parametrize("change", EDITS)
def test_an_edit_gives_what_a_fresh_start_gives(
    kept: Callable[[str, Plant], Kept], change: Callable[[dict[str, Any]], None]
) -> None:
    messages = said()
    live, fresh = kept("live", plant()), kept("fresh", plant(change))
    live.add(messages)
    fresh.add(messages)
    before = live.everything()
    done = live.edit(plant(change))
    for name, frame in fresh.everything().items():
        assert live.everything()[name].equals(frame), name
    assert done.figures > 0 or change in (coarser, fewer_sources)
    live.edit(plant(), "back")
    for name, frame in before.items():
        assert live.everything()[name].equals(frame), f"{name} after undoing the edit"


@pytest.mark.parametrize("change", [rescale, dearer, coarser])
def test_much_is_computed_part_by_part_also_across_a_restart(
    kept: Callable[[str, Plant], Kept], change: Callable[[dict[str, Any]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scopeline.upkeep.AT_ONCE", 10)
    monkeypatch.setattr("scopeline.reprice._ROWS", 1)
    live, fresh = kept("live", plant()), kept("fresh", plant(change))
    messages = said(200)
    live.add(messages[:150])
    live.catch_up()
    with live.log.transaction():
        edited(live.upkeep, plant(change), "edit")
    assert live.upkeep.state.pending.height > 0
    with live.log.transaction():
        live.upkeep.catch_up()
    live.upkeep.load(live.upkeep.state.configuration)  # as after a restart
    live.add(messages[150:])  # messages come meanwhile
    live.catch_up()
    fresh.add(messages)
    fresh.catch_up()
    for name, frame in fresh.everything().items():
        assert live.everything()[name].equals(frame), name


def test_an_edit_that_changes_nothing_touches_nothing(kept: Callable[[str, Plant], Kept]) -> None:
    live = kept("live", plant())
    live.add(said())
    done = live.edit(plant(lambda parts: parts["settings"].update(organisation="Renamed")))
    assert (done.messages, done.readings, done.figures) == (0, 0, 0)


def test_an_edit_reads_archived_days_again(kept: Callable[[str, Plant], Kept]) -> None:
    live, fresh = kept("live", plant()), kept("fresh", plant(rename))
    live.add(said())
    fresh.add(said())
    move(live.log, START.date())
    assert live.edit(plant(rename)).messages > 0
    assert live.everything()["figures"].equals(fresh.everything()["figures"])


def test_redrive_reads_again_what_a_correction_made_readable(kept: Callable[[str, Plant], Kept]) -> None:
    live = kept("live", plant())
    live.add(said())
    with live.log.transaction():
        answer = redriven(live.upkeep, None, None)
    assert answer["tried"] > 0 and answer["read"] == 0 and answer["still"] == answer["tried"]
    one = int(live.upkeep.store.quarantine()["message"][0])
    with live.log.transaction():
        assert redriven(live.upkeep, one, None) == {"tried": 1, "read": 0, "still": 1}


def test_replay_changes_nothing_unless_something_was_wrong(kept: Callable[[str, Plant], Kept]) -> None:
    live = kept("live", plant())
    live.add(said())
    before = live.everything()
    with live.log.transaction():
        done = replayed(live.upkeep, START, START + timedelta(hours=2))
    assert done.messages == 40 and done.readings == 0 and done.figures == 0
    with live.log.transaction():
        live.log.write.execute("UPDATE figures SET co2e_n = co2e_n + 1 WHERE source = 'power'")
        live.log.write.execute("DELETE FROM readings_rows WHERE message = 5")
    with live.log.transaction():
        done = replayed(live.upkeep, START, START + timedelta(hours=2))
    assert done.readings > 0 and done.figures > 0
    for name, frame in before.items():
        assert live.everything()[name].equals(frame), name


def test_a_restart_takes_up_where_it_stood(kept: Callable[[str, Plant], Kept], tmp_path: Path) -> None:
    live, whole = kept("live", plant()), kept("whole", plant())
    messages = said()
    whole.add(messages)
    live.add(messages[:17])
    live.log.close()
    (tmp_path / "again").mkdir()
    (tmp_path / "live/scopeline.duckdb").rename(tmp_path / "again/scopeline.duckdb")
    again = Kept(tmp_path / "again", plant())
    try:
        again.add(messages[17:])
        for name, frame in whole.everything().items():
            assert again.everything()[name].equals(frame), name
    finally:
        again.log.close()
