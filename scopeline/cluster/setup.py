"""What the cluster profile needs before it runs: Kafka topics, InfluxDB buckets and mappings, the archive's folder.

Every function looks first, makes what is missing and leaves what is there; what is there and different is said with its remedy.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import TopicAuthorizationFailedError
from pydantic import SecretStr

from schemas.connections import Archive, InfluxDB, Kafka
from schemas.influx import buckets
from scopeline.cluster.kafka import connection
from scopeline.cluster.reach import PATIENCE_MS, reaching
from scopeline.cluster.topics import Spec, specs, topics
from scopeline.cluster.vault import vault
from sinks.influx import Influx
from sinks.influx import setup as influx_setup


class Step(NamedTuple):
    """One thing that is set up."""

    what: str
    """topic, bucket, mapping, archive"""
    name: str
    state: Literal["made", "there", "changed", "different"]
    detail: str
    remedy: str = ""


def kafka_topics(kafka: Kafka, plant_dir: Path, dry_run: bool = False) -> Iterator[Step]:
    """Make the topics of a plant; settings that differ are set, except what Kafka cannot change or what would lose messages."""
    with reaching(kafka, topics(kafka).raw):
        admin = KafkaAdminClient(**connection(kafka, plant_dir), bootstrap_timeout_ms=PATIENCE_MS)
    try:
        with reaching(kafka, topics(kafka).raw):
            there = {one["name"]: one for one in admin.describe_topics() if not one["error_code"]}
        for spec in specs(kafka):
            with reaching(kafka, spec.name):
                yield from _existing(admin, spec, there[spec.name], dry_run) if spec.name in there else _new(admin, spec, dry_run)
    finally:
        admin.close()


def _new(admin: KafkaAdminClient, spec: Spec, dry_run: bool) -> Iterator[Step]:
    if not dry_run:
        wanted = {"num_partitions": spec.partitions, "replication_factor": spec.replication, "configs": spec.settings}
        admin.create_topics({spec.name: wanted}, timeout_ms=30_000, wait_for_metadata=True)
    yield Step("topic", spec.name, "made", f"{spec.partitions} partitions, {spec.replication} copies, {_said(spec.settings)}")


def _existing(admin: KafkaAdminClient, spec: Spec, found: dict[str, Any], dry_run: bool) -> Iterator[Step]:
    partitions, copies = len(found["partitions"]), len(found["partitions"][0]["replica_nodes"])
    if partitions != spec.partitions:
        remedy = (
            f"partition counts are fixed: write kafka.partitions: {partitions}, or grow by a new kafka.prefix and a replay"
            if spec.partitions > 1
            else f"delete {spec.name} if it holds nothing, or choose another kafka.prefix"
        )
        yield Step("topic", spec.name, "different", f"has {partitions} partitions, not {spec.partitions}", remedy)
        return
    if copies != spec.replication:
        remedy = f"reassign its copies with Kafka's own tools, or write kafka.replication: {copies}"
        yield Step("topic", spec.name, "different", f"has {copies} copies, not {spec.replication}", remedy)
    resource = ConfigResource(ConfigResourceType.TOPIC, spec.name, dict.fromkeys(spec.settings))
    values = admin.describe_configs([resource], config_filter="all")["topic"][spec.name]
    if not values:  # of a topic that we may not ask about Kafka says nothing, and no error
        raise TopicAuthorizationFailedError(f"{spec.name}: Describe_Configs is not allowed")
    other = {key: value for key, value in spec.settings.items() if values.get(key, {}).get("value") != value}
    if not other:
        yield Step("topic", spec.name, "there", f"{partitions} partitions, {copies} copies")
        return
    was = ", ".join(f"{key} was {values.get(key, {}).get('value')}" for key in sorted(other))
    if not dry_run:
        admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, spec.name, other)])
    yield Step("topic", spec.name, "changed", f"{_said(other)} ({was})")


def _said(settings: dict[str, str]) -> str:
    return ", ".join(f"{key}={value}" for key, value in sorted(settings.items()))


def influxdb(settings: InfluxDB, token: SecretStr | None, dry_run: bool = False) -> Iterator[Step]:
    """Buckets with their retention, and the mappings by which InfluxQL finds them. Raises InfluxProblem."""
    connection = Influx(settings, token)
    try:
        told = influx_setup(connection, dry_run)
    finally:
        connection.close()
    for name in buckets(settings.bucket).values():
        mine = [text for text in told if name in text.split()]
        if mine:
            yield Step(
                "bucket",
                name,
                "made" if any(text.startswith(f"bucket {name} made") for text in mine) else "changed",
                "; ".join(mine),
            )
        else:
            yield Step("bucket", name, "there", "with its retention and InfluxQL mapping")


def archive_place(archive: Archive, plant_dir: Path, dry_run: bool = False) -> Iterator[Step]:
    """The folder or bucket of the archive, and whether files can be put there. Raises VaultProblem."""
    place = vault(archive, plant_dir)
    if dry_run:
        there = place.there()
    else:
        there = not place.prepare()
        place.put("index/.scopeline", b"The archive of a Scopeline log.\n")
        place.delete("index/.scopeline")
    yield Step("archive", place.where, "there" if there else "made", "files can be put here" if not dry_run else "")
