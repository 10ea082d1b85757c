"""A source that leaves the plant folder, or is tagged otherwise, leaves nothing in its old series of a real InfluxDB."""

from datetime import timedelta
from typing import Any

import polars as pl
import pytest
from pydantic import SecretStr

from sinks.influx import Influx, Reader

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]
MINE = """  - source: "south-{n}"
    site: south
"""
REST = """    scope: 2
    category: purchased_electricity
    for_each: "south/*:energy"
    measured_by: "{meter}"
"""


def stored(plant: Any) -> dict[str, pl.DataFrame]:
    """Measurement -> all its points: source, tag_line, known, ..."""
    settings = plant.plant.settings.influxdb
    reader = Reader(Influx(settings, SecretStr(plant.influx.token)), plant.prefix, ["tag_line"])
    start, end = plant.begin - timedelta(days=2), plant.begin + timedelta(days=2)
    found = {"figures": reader.read_figures(start, end)}
    return found | {f"figures_{name}": reader.read_rollups(name, start, end) for name in ("15m", "1h", "1d")}


def lines(plant: Any, source: str) -> dict[str, set[str | None]]:
    """Measurement -> the tag of all points of a source; empty where it has none."""
    return {name: set(frame.filter(source=source)["tag_line"]) for name, frame in stored(plant).items()}


def everywhere(*tags: str) -> dict[str, set[str]]:
    return {name: set(tags) for name in ("figures", "figures_15m", "figures_1h", "figures_1d")}


def silent(plant: Any, source: str) -> int:
    return stored(plant)["figures_1h"].filter(pl.col("source") == source, pl.col("known") == 0).height


def edit(plant: Any, old: str, new: str) -> None:
    path = plant.plant_dir / "sources" / "all.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize("held", [True, False], ids=["under a worker", "while nobody holds the partitions"])
@pytest.mark.parametrize("change", ["gone", "retagged"])
def test_what_was_told_of_a_source_goes_with_it(cluster: Any, until: Any, held: bool, change: str) -> None:
    plant = cluster(window=300, setup=False)  # silent since then: hours to which no figure leads
    with (plant.plant_dir / "plant.yaml").open("a") as file:
        file.write("tags: [line]\n")
    edit(plant, MINE, f"{MINE}    tags: {{line: a}}\n")
    plant.setup()
    plant.start("ingest").ready()
    worker = plant.start("process")
    gauge = plant.gauge()
    plant.send(gauge, 0, 200)
    assert gauge.drained() and plant.settled()
    assert silent(plant, "south-m1") > 2 and silent(plant, "power-m2") > 2
    assert lines(plant, "south-m1") == everywhere("a")
    if not held:
        worker.stop()
        for file in plant.state(worker):
            file.unlink()
    edit(plant, *((f"{MINE}    tags: {{line: a}}\n{REST}", "") if change == "gone" else ("line: a", "line: b")))
    plant.command("apply", "--no-wait")
    if not held:
        worker.start()
    wanted = [] if change == "gone" else ["b"]
    assert until(lambda: lines(plant, "south-m1") == everywhere(*wanted), 60, every=0.5), (
        lines(plant, "south-m1"),
        plant.said(),
    )
    assert plant.settled()
    assert lines(plant, "south-m1") == everywhere(*wanted)
    assert lines(plant, "south-m5") == everywhere(*wanted)
    assert all(frame.filter(source="power-m2").height for frame in stored(plant).values()), "its neighbours stay"
    assert silent(plant, "power-m2") > 2 and (silent(plant, "south-m1") > 2) == (change == "retagged")
