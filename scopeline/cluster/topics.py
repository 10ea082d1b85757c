"""The Kafka topics of a plant: their names, and how `setup` makes them."""

from datetime import timedelta
from typing import NamedTuple

from schemas.connections import Kafka

LARGEST = 8 * 1024 * 1024
"""Bytes of the largest record: one message of the largest payload that decoders read (4 MiB), not compressible, fits well."""
_MILLISECOND = timedelta(milliseconds=1)


class Topics(NamedTuple):
    """Names of the topics, and of the consumer group that processes them."""

    raw: str
    ref: str
    carry: str
    plant: str
    group: str


class Spec(NamedTuple):
    """How a topic is made."""

    name: str
    partitions: int
    replication: int
    settings: dict[str, str]


def topics(kafka: Kafka) -> Topics:
    """The names.

    >>> topics(Kafka(bootstrap_servers=("localhost:9092",))).raw
    'scopeline.raw'
    """
    return Topics(*(f"{kafka.prefix}.{part}" for part in ("raw", "ref", "carry", "plant", "process")))


def specs(kafka: Kafka) -> tuple[Spec, ...]:
    """Partitions, copies and settings of every topic; with three copies two must have a record before it counts as logged."""
    named = topics(kafka)
    durable = {"min.insync.replicas": str(max(1, kafka.replication - 1)), "unclean.leader.election.enable": "false"}
    large = {**durable, "max.message.bytes": str(LARGEST)}
    kept = str(kafka.retention // _MILLISECOND)
    compacted = {**large, "cleanup.policy": "compact"}
    return (
        Spec(named.raw, kafka.partitions, kafka.replication, {**large, "cleanup.policy": "delete", "retention.ms": kept}),
        Spec(named.ref, 1, kafka.replication, {**large, "cleanup.policy": "delete", "retention.ms": "-1"}),
        Spec(named.carry, kafka.partitions, kafka.replication, compacted),
        Spec(named.plant, 1, kafka.replication, compacted),
    )
