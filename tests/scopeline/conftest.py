"""A small plant with a day of messages in a real data file, and the Service on it."""

import json
import shutil
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
import uvicorn

from schemas.frames import MESSAGES, shaped
from scopeline import pipeline
from scopeline.api import create
from scopeline.catalogue import catalogue
from scopeline.log import Log, Store
from scopeline.plant import load
from scopeline.remote import announce, withdraw
from scopeline.service import Service
from scopeline.tokens import Tokens
from scopeline.upkeep import Upkeep, units_seen

DAY = datetime(2026, 3, 29, tzinfo=UTC)
NOW = DAY + timedelta(hours=12, minutes=30)

FILES = {
    "plant.yaml": """
organisation: Acme Steel
tags: [line]
sites:
  - {site: duisburg, name: Duisburg works, timezone: Europe/Berlin, grid_region: DE}
reporting: {base_interval: 15m}
grid_regions:
  - {region: DE, factor: {id: own/grid}, residual_mix: own/residual}
brokers: {local: {host: 127.0.0.1, port: 1, password_file: secrets/mqtt}}
""",
    "feeds/feeds.yaml": """
feeds:
  - feed: main
    topic: acme/main
    decoder: json
    meter: duisburg/main
    observed_at: {path: "$.t", format: iso8601}
    channels:
      - {channel: energy, value: "$.kwh", unit: kWh, kind: counter}
      - {channel: power, value: "$.w", unit: W, kind: rate}
  - feed: gas
    topic: acme/gas
    decoder: json
    meter: duisburg/boiler
    observed_at: {path: "$.t", format: iso8601}
    channels: [{channel: gas, value: "$.kwh", unit: kWh_gross, kind: counter}]
  - feed: diesel
    topic: acme/diesel
    decoder: json
    meter: duisburg/tank
    observed_at: {path: "$.t", format: iso8601}
    channels: [{channel: fill, value: "$.l", unit: L, kind: amount, event: "$.id"}]
  - feed: silent
    topic: acme/silent
    decoder: plain
    meter: duisburg/silent
    channels: [{channel: value, unit: kWh, kind: counter}]
""",
    "sources/sources.yaml": """
sources:
  - source: works-power
    site: duisburg
    scope: 2
    category: purchased_electricity
    measured_by: "duisburg/main:energy"
    tags: {line: L1}
  - source: boiler
    site: duisburg
    scope: 1
    category: stationary_combustion
    measured_by: "duisburg/boiler:gas"
    factor: {id: own/gas}
  - source: trucks
    site: duisburg
    scope: 1
    category: mobile_combustion
    measured_by: "duisburg/tank:fill"
    factor: {id: own/diesel}
""",
    "contracts.yaml": """
contracts:
  - contract: wind
    site: duisburg
    kind: ppa
    covers: {share: 40%}
    factor: {id: own/wind}
    valid_from: 2026-01-01
    valid_to: 2026-12-31
""",
    "factors/own.csv": (
        "factor_id,activity,region,scope,gas,value,unit,per_unit,basis,boundary,valid_from,valid_to,published,gwp_set,"
        "uncertainty_pct,citation\n"
        "grid,Grid,DE,2,CO2e,0.4,kg,kWh,,generation,2020-01-01,,2020-01-01,,,a national inventory\n"
        "residual,Residual mix,DE,2,CO2e,0.7,kg,kWh,,generation,2020-01-01,,2020-01-01,,,a registry\n"
        "wind,Wind,DE,2,CO2e,0,kg,kWh,,generation,2020-01-01,,2020-01-01,,,a supplier\n"
        "gas,Natural gas,DE,1,CO2,0.18,kg,kWh,gross,,2020-01-01,,2020-01-01,,,a supplier bill\n"
        "diesel,Diesel,DE,1,CO2,2.6,kg,L,,,2020-01-01,2025-12-31,2020-01-01,,,a supplier bill\n"
        "gas,Natural gas,DE,1,CH4,0.00001,kg,kWh,gross,,2020-01-01,,2020-01-01,,,a supplier bill\n"
    ),
}
"""The factor of trucks has ended: unpriced. Brokers: nothing listens there."""


def message(topic: str, at: datetime, **payload: object) -> dict[str, object]:
    text = json.dumps({"t": at.isoformat(), **payload})
    return {"topic": topic, "payload": text.encode(), "received_at": at + timedelta(seconds=2), "retained": False}


def messages() -> list[dict[str, object]]:
    """12 hours: the main meter every 5 minutes (10 kWh an hour), gas every 15 (20 kWh), two fillings, what cannot be read."""
    found = []
    for n in range(145):
        at = DAY + timedelta(minutes=5 * n)
        found.append(message("acme/main", at, kwh=1000 + n * 10 / 12, w=10_000))
        if n % 3 == 0:
            found.append(message("acme/gas", at, kwh=500 + n * 20 / 12))
    found += [message("acme/diesel", DAY + timedelta(hours=h), l=100, id=f"=ticket-{h}") for h in (3, 9)]
    found.append({"topic": "acme/main", "payload": b"\xff{broken", "received_at": DAY + timedelta(hours=5), "retained": False})
    found.append({"topic": "acme/other", "payload": b"1", "received_at": DAY + timedelta(hours=6), "retained": False})
    found.sort(key=lambda row: (row["received_at"], row["topic"]))  # type: ignore[arg-type,return-value]  # a time and a text
    return found


class FilledHost:
    """A Host on a data file that holds the messages; its clock stands still."""

    running = True

    def __init__(self, plant_dir: Path) -> None:
        self.plant_dir = plant_dir
        plant, problems = load(plant_dir)
        assert plant is not None, problems
        self.problems = problems
        (plant_dir / ".scopeline").mkdir(exist_ok=True)
        self.log = Log(plant_dir / ".scopeline" / "scopeline.duckdb")
        self.store = Store(self.log)
        self.upkeep = Upkeep(self.log, pipeline)  # type: ignore[arg-type]  # the module has what Steps asks for
        self.upkeep.load(pipeline.configure(plant, catalogue(), units_seen(self.store.meters())))
        self.position = self.store.position()
        self.published: list[tuple[str, bytes]] = []

    @property
    def configuration(self) -> pipeline.Configuration:
        found: pipeline.Configuration = self.upkeep.state.configuration
        return found

    def now(self) -> datetime:
        return NOW

    def take(self, rows: list[dict[str, object]]) -> None:
        """Commit messages as a batch."""
        numbered = [{"message": self.position + n, **row} for n, row in enumerate(rows, 1)]
        frame = shaped(pl.DataFrame(numbered), MESSAGES)
        with self.log.transaction():
            self.upkeep.add(frame, pipeline.read(frame, self.configuration))
            self.position += len(rows)
            self.log.set("position", self.position)

    def publish(self, topic: str, payload: bytes, received_at: datetime | None = None) -> int:
        self.published.append((topic, payload))
        self.take([{"topic": topic, "payload": payload, "received_at": received_at or NOW, "retained": False}])
        return self.position

    def redrive(self, message: int | None = None, feed: str | None = None) -> dict[str, int]:
        wanted = [message] if message is not None else self.store.quarantine(feed)["message"].unique().to_list()
        return {"tried": len(wanted), "read": 0, "still": len(wanted)}


def written(folder: Path) -> Path:
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.fixture(scope="session")
def filled_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The plant with its messages, made once; tests work on copies."""
    folder = written(tmp_path_factory.mktemp("filled") / "plant")
    made = FilledHost(folder)
    made.take(messages())
    made.log.close()
    return folder


@pytest.fixture
def plant_dir(filled_dir: Path, tmp_path: Path) -> Path:
    """A plant folder with a data file that no instance has open."""
    return Path(shutil.copytree(filled_dir, tmp_path / "plant"))


@pytest.fixture
def host(plant_dir: Path) -> Iterator[FilledHost]:
    made = FilledHost(plant_dir)
    yield made
    made.log.close()


@pytest.fixture
def service(host: FilledHost) -> Service:
    return Service(host)


@pytest.fixture
def running(service: Service, plant_dir: Path) -> Iterator[str]:
    """The API of an instance at a real address, announced to commands."""
    app = create(service, Tokens(plant_dir), instance_token="of-the-instance")
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    address = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    announce(plant_dir, address, "of-the-instance")
    yield address
    withdraw(plant_dir)
    server.should_exit = True
    thread.join(5)
