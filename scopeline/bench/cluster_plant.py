"""A plant on real servers for one measurement: topics and buckets of its own, messages in Kafka, gone afterwards."""

import os
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
from kafka import KafkaAdminClient, KafkaProducer

from ingest.records import COLUMNS, encode
from schemas.frames import TIME
from schemas.influx import buckets
from schemas.plant import Plant
from scopeline.bench.cluster_servers import Servers
from scopeline.bench.measure import Failed
from scopeline.cluster.kafka import producer
from scopeline.cluster.plant_topic import publish
from scopeline.cluster.setup import influxdb, kafka_topics
from scopeline.cluster.topics import specs, topics
from scopeline.plant import load
from sinks.influx import Influx

STAMP = "%Y-%m-%dT%H:%M:%SZ"
BATCH = 500
"""Messages of a micro-batch."""
PEER = "peer"
"""Topics that a peer reads and writes: <prefix>.peer.in, keyed by meter, and <prefix>.peer.out."""

FILES = {
    "plant.yaml": """\
organisation: Bench
sites: [{{site: works, timezone: UTC, grid_region: GB}}]
reporting: {{base_interval: 1m, lateness: 1m}}
factor_sets: {{desnz: "2026"}}
profile: cluster
brokers: {{hall: {{host: {host}, port: {port}, client_id: {prefix}}}}}
kafka: {{bootstrap_servers: {kafka}, prefix: {prefix}, partitions: 1}}
influxdb: {{url: "{url}", org: "{org}", bucket: {prefix}, token_file: token, max_series: 100000}}
archive: {{path: archive}}
""",
    "feeds/meters.yaml": """\
feed: meters
topic: "{prefix}/works/{{device}}"
decoder: json
site: works
observed_at: {{path: "$.at", format: iso8601}}
skip: ["{prefix}/works/gate"]
channels:
  - {{channel: energy, value: "$.kwh", unit: kWh, kind: counter, max_rate: 100 MW}}
""",
    "feeds/gate.yaml": """\
feed: gate
topic: "{prefix}/works/gate"
decoder: json
site: works
device: gate
observed_at: {{path: "$.at", format: iso8601}}
channels:
  - {{channel: fuel, value: "$.litres", unit: L, kind: amount, event: "$.ticket"}}
""",
    "sources/all.yaml": """\
sources:
  - source: "electricity-{{n}}"
    site: works
    scope: 2
    category: purchased_electricity
    for_each: "works/*:energy"
    measured_by: "{{meter}}"
    factor: {{id: own/bench-grid}}
  - source: trucks
    site: works
    scope: 1
    category: mobile_combustion
    measured_by: "works/gate:fuel"
    factor: {{id: own/bench-diesel}}
""",
    "factors/own.csv": """\
factor_id,activity,region,scope,gas,value,unit,per_unit,basis,boundary,valid_from,valid_to,published,gwp_set,uncertainty_pct,citation
bench-grid,Grid electricity,GB,2,CO2e,0.25,kg,kWh,,generation,2020-01-01,,2020-01-01,,,made up for the benchmark
bench-diesel,Diesel,GB,1,CO2e,2.5,kg,L,,,2020-01-01,,2020-01-01,,,made up for the benchmark
""",
}


class Stand(NamedTuple):
    """The plant of one measurement, set up and published."""

    folder: Path
    plant: Plant
    prefix: str

    @property
    def kafka(self) -> Any:
        return self.plant.settings.kafka

    @property
    def raw(self) -> str:
        return topics(self.kafka).raw


def write_plant(folder: Path, servers: Servers, prefix: str) -> Path:
    """Write the plant folder; the token's file is its owner's only."""
    host, port = servers.mqtt
    said = {"host": host, "port": port, "kafka": list(servers.kafka), "url": servers.influx_url, "org": servers.influx_org}
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text.format(prefix=prefix, **said))
    with os.fdopen(os.open(folder / "token", os.O_CREAT | os.O_WRONLY, 0o600), "w") as file:
        file.write(servers.influx_token.get_secret_value())
    return folder


@contextmanager
def stand(servers: Servers) -> Iterator[Stand]:
    """Write the plant folder, make topics and buckets, publish; afterwards all of it is deleted."""
    prefix = f"bench-{uuid.uuid4().hex[:8]}"
    with tempfile.TemporaryDirectory(prefix="scopeline-bench-", ignore_cleanup_errors=True) as place:
        folder = write_plant(Path(place) / "plant", servers, prefix)
        plant, problems = load(folder)
        if plant is None or plant.settings.kafka is None or plant.settings.influxdb is None:
            raise Failed("; ".join(map(str, problems)))
        made = Stand(folder, plant, prefix)
        try:
            list(kafka_topics(plant.settings.kafka, folder))
            list(influxdb(plant.settings.influxdb, servers.influx_token))
            publish(plant.settings.kafka, folder)
            yield made
        finally:
            _remove(made, servers)


def _remove(made: Stand, servers: Servers) -> None:
    settings = made.plant.settings
    assert settings.kafka and settings.influxdb
    admin = KafkaAdminClient(bootstrap_servers=list(servers.kafka))
    try:
        there = set(admin.list_topics())
        named = {spec.name for spec in specs(settings.kafka)} | {one for one in there if one.startswith(f"{made.prefix}.{PEER}.")}
        admin.delete_topics(sorted(named & there))
    finally:
        admin.close()
    influx = Influx(settings.influxdb, servers.influx_token)
    try:
        drop_buckets(influx)
    finally:
        influx.close()


def drop_buckets(influx: Influx) -> None:
    """Delete the buckets of a plant, those that are there."""
    for name in buckets(influx.settings.bucket).values():
        answer = influx.ask("GET", "/api/v2/buckets", missing=True, params={"name": name})
        for bucket in answer.json().get("buckets", []) if answer.status_code == 200 else ():
            influx.ask("DELETE", f"/api/v2/buckets/{bucket['id']}")


def messages(count: int, meters: int, every_s: float, prefix: str, end: datetime | None = None) -> pl.DataFrame:
    """MESSAGES without places, in the order of time: each meter speaks once in `every_s` seconds, the last just before `end`.

    >>> messages(2, 2, 1, "p", datetime(2026, 1, 1, tzinfo=UTC))["payload"][1]
    b'{"at":"2025-12-31T23:59:59.500000Z","site":"works","meter":"m1","kw":31.0,"kwh":1.0}'
    """
    now = end or datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=5)
    step = round(every_s / meters * 1_000_000)
    n = pl.int_range(count, dtype=pl.Int64)
    begin = pl.lit(now - timedelta(microseconds=step * count), dtype=TIME)
    rows = pl.select(n=n, meter=n % meters, round=n // meters, at=begin + pl.duration(microseconds=n * step))
    stamp = rows["at"].dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ")
    kw = (30 + rows["meter"] % 50).cast(pl.Float64).cast(pl.String)
    kwh = ((1000 * rows["meter"] + (7 + rows["meter"]) * rows["round"]) / 1000).cast(pl.String)
    made = rows.select(
        topic=pl.format(prefix + "/works/m{}", "meter"),
        payload=pl.concat_str(
            pl.lit('{"at":"'), stamp, pl.lit('","site":"works","meter":"m'), "meter",
            pl.lit('","kw":'), kw, pl.lit(',"kwh":'), kwh, pl.lit("}"),
        ).cast(pl.Binary),
        received_at=pl.col("at") + pl.duration(milliseconds=200),
        retained=pl.lit(False),
        broker=pl.lit("hall"),
    )  # fmt: skip
    return made.select(pl.col(name).cast(kind) for name, kind in COLUMNS.items())


def load_single(made: Stand, frame: pl.DataFrame, topic: str | None = None, keyed: bool = False) -> None:
    """Put messages into Kafka, each a record: as ingest writes few; `keyed`: with the meter as key, for a peer's state."""
    sender = KafkaProducer(**producer(made.kafka, made.folder), linger_ms=50, batch_size=256 * 1024)
    try:
        name = topic or made.raw
        stamps = frame["received_at"].dt.timestamp("us").to_list()
        waiting = None
        for where, payload, at in zip(frame["topic"], frame["payload"], stamps, strict=True):
            key = where.rsplit("/", 1)[1].encode() if keyed else b"works"
            headers = [] if keyed else [("topic", where.encode()), ("received_us", b"%d" % at)]
            waiting = sender.send(name, payload, key=key, headers=headers, partition=0)
        sender.flush(120)
        if waiting is not None:
            waiting.get(60)
    finally:
        sender.close()


def load_packed(made: Stand, frame: pl.DataFrame, size: int = BATCH) -> None:
    """Put messages into Kafka, `size` of them a record."""
    sender = KafkaProducer(**producer(made.kafka, made.folder), linger_ms=50, max_request_size=8 * 1024 * 1024)
    try:
        sent = [sender.send(made.raw, encode(part), key=b"works", partition=0) for part in frame.iter_slices(size)]
        sender.flush(120)
        for one in sent:
            one.get(60)
    finally:
        sender.close()
