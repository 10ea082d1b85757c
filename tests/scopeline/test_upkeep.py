"""The figures kept live are those of the whole set of messages, byte for byte, in whatever order and batches they came."""

import itertools
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.frames import AMOUNTS, FIGURE_KEY, FIGURES
from schemas.plant import Plant
from scopeline import pipeline
from scopeline.catalogue import catalogue
from scopeline.log import Log
from scopeline.upkeep import Upkeep, units_seen

START = datetime(2026, 3, 1, 10, tzinfo=UTC)
CHANNELS = [
    {"channel": "plain", "unit": "kWh", "kind": "counter", "max_gap": "20m"},
    {"channel": "shaky", "unit": "kWh", "kind": "counter", "jitter": 3, "max_rate": "600 kW"},
    {"channel": "round", "unit": "kWh", "kind": "counter", "rollover_at": 50, "jitter": 2},
    {"channel": "net", "unit": "kWh", "kind": "counter", "decrease": "net"},
    {"channel": "power", "unit": "kW", "kind": "rate", "max_gap": "10m"},
    {"channel": "held", "unit": "kW", "kind": "rate", "between": "previous", "direction": "import"},
    {"channel": "ticket", "unit": "kWh", "kind": "amount", "event": "$.id"},
    {"channel": "quarter", "unit": "kWh", "kind": "amount", "period": "15m"},
]


def plant(contracts: bool) -> Plant:
    feed = {
        "feed": "f",
        "topic": "t/{device}",
        "site": "works",
        "decoder": "json",
        "observed_at": {"path": "$.at", "format": "iso8601"},
        "channels": [{"value": f"$.{c['channel']}", **c} for c in CHANNELS],
    }
    grid = {
        "feed": "grid",
        "topic": "grid",
        "decoder": "json",
        "meter": "ref/grid",
        "observed_at": {"path": "$.at", "format": "iso8601"},
        "channels": [{"channel": "intensity", "value": "$.g", "unit": "g/kWh", "kind": "level"}],
    }
    bought = {"site": "works", "scope": 2, "category": "purchased_electricity"}
    sources = [{"source": f"{c['channel']}", "measured_by": f"works/a:{c['channel']}", **bought} for c in CHANNELS]
    sources.append({"source": "all", "measured_by": "sum([works/*:plain]) - [works/a:shaky]", **bought})
    sources.append({"source": "each-{n}", "for_each": "works/*:power", "measured_by": "{meter}", **bought})
    contract = {"contract": "wind", "site": "works", "kind": "ppa", "covers": {"share": "40%"}, "factor": {"id": "own/wind"}}
    wind = {
        "factor_id": "wind",
        "activity": "wind",
        "gas": "CO2e",
        "value": "0.01",
        "unit": "kg",
        "per_unit": "kWh",
        "citation": "c",
    }
    return Plant.model_validate(
        {
            "settings": {
                "organisation": "Works",
                "sites": [{"site": "works", "timezone": "Europe/Berlin", "grid_region": "GB"}],
                "grid_regions": [{"region": "GB", "intensity": "ref/grid:intensity", "gas": "CO2", "max_age": "30m"}],
                "factor_sets": {"desnz": "2026"},
            },
            "feeds": [feed, grid],
            "sources": sources,
            "own_factors": [wind],
            "contracts": [{**contract, "valid_from": "2026-01-01", "valid_to": "2026-12-31"}] if contracts else [],
        }
    )


PLANTS = [plant(False), plant(True)]


@st.composite
def sent(draw: st.DrawFn, world: ModuleType) -> list[dict[str, Any]]:
    """Messages of two devices and a reference: close and far apart, repeated, corrected, going up and down."""
    said = []
    minutes = st.one_of(st.integers(0, 40), st.integers(0, 200), st.sampled_from([0, 5, 1500, 4000]))
    for _ in range(draw(st.integers(4, 28))):
        at = START + timedelta(seconds=draw(minutes) * 60 + draw(st.sampled_from([0, 0, 17, 30])))
        received = at + timedelta(seconds=draw(st.sampled_from([1, 1, 1, 2, 700, 9000])))
        if draw(st.integers(0, 9)) == 0:
            topic, body = "grid", {"g": draw(st.integers(100, 300))}
        else:
            channel = draw(st.sampled_from(CHANNELS))["channel"]
            topic, body = f"t/{draw(st.sampled_from('aaab'))}", {channel: draw(st.integers(0, 60))}
            if channel == "ticket":
                body["id"] = draw(st.sampled_from(["x", "y", "z"]))
        said += [world.message(topic, at, received, **body)] * draw(st.sampled_from([1, 1, 1, 2]))
    return draw(st.permutations(said))


def whole(world: ModuleType, rows: list[dict[str, Any]], of: Plant) -> dict[str, pl.DataFrame]:
    """Everything computed at once."""
    metered, figures, _ = world.at_once(rows, of)
    return {
        "amounts": metered.amounts.sort("meter", "interval_start"),
        "figures": figures,
        "events": metered.events.select("meter", "at", "event").sort(pl.all()),
        "clocks": metered.clocks.filter(pl.col("newest").is_not_null()).sort("site"),
    }


class Kept:
    """A data file that is fed batch by batch."""

    def __init__(self, folder: Path, of: Plant) -> None:
        self.log = Log(folder / "scopeline.duckdb", memory_limit="256MB")
        self.upkeep = Upkeep(self.log, pipeline)
        self.upkeep.load(pipeline.configure(of, catalogue(), units_seen(self.upkeep.store.meters())))
        self.place = self.upkeep.store.position()

    def add(self, table: pl.DataFrame) -> None:
        """MESSAGES that follow those before."""
        with self.log.transaction():
            self.upkeep.add(table, pipeline.read(table, self.upkeep.state.configuration))
            self.log.set("position", self.place + table.height)
        self.place += table.height

    def everything(self) -> dict[str, pl.DataFrame]:
        store = self.upkeep.store
        found = list(store.figures())
        amounts = store._rows(AMOUNTS, "FROM amounts ORDER BY meter, interval_start")
        return {
            "amounts": amounts,
            "figures": pl.concat(found).sort(FIGURE_KEY) if found else pl.DataFrame(schema=FIGURES),
            "events": store.events().select("meter", "at", "event").sort(pl.all()),
            "clocks": store.clocks(),
        }


@pytest.mark.slow
@settings(max_examples=25)
@given(st.data(), st.booleans())
def test_live_equals_all_at_once(
    world: ModuleType, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, contracts: bool
) -> None:
    said = data.draw(sent(world))
    cuts = sorted(data.draw(st.sets(st.integers(1, len(said)), max_size=6)))
    kept = Kept(tmp_path_factory.mktemp("live"), PLANTS[contracts])
    try:
        for begin, end in itertools.pairwise([0, *cuts, len(said)]):
            if end > begin:
                kept.add(world.frame(said[begin:end], begin + 1))
        everything = kept.everything()
        for name, wanted in whole(world, said, PLANTS[contracts]).items():
            found = everything[name].select(wanted.columns)
            world.assert_same(found, wanted.cast(dict(found.schema)))
    finally:
        kept.log.close()
