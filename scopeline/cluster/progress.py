"""How far the workers have changed over to a version of the plant folder: what their group's committed offsets say."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from kafka import KafkaAdminClient, TopicPartition, errors

from schemas.connections import Kafka
from scopeline.cluster.kafka import connection
from scopeline.cluster.reach import PATIENCE_MS, reaching
from scopeline.cluster.topics import topics

_TRIES = 20


class Progress(NamedTuple):
    """Partitions of the raw topic by how far their worker is."""

    members: int
    """Workers in the group."""
    done: list[int]
    waiting: dict[int, str | None]
    """The version that still holds there; None: nothing was ever committed."""

    @property
    def complete(self) -> bool:
        return not self.waiting


def progress(kafka: Kafka, plant_dir: Path, version: str) -> Progress:
    """Look once. A partition that never had a message needs no worker and counts as done."""
    named = topics(kafka)
    with reaching(kafka, named.raw):
        admin = KafkaAdminClient(**connection(kafka, plant_dir), bootstrap_timeout_ms=PATIENCE_MS)
        try:
            there = admin.describe_topics([named.raw])[0]["partitions"]
            places = [TopicPartition(named.raw, number) for number in sorted(one["partition_index"] for one in there)]
            committed = _patient(lambda: admin.list_group_offsets({named.group: places}))[named.group]
            ends = {place: found.offset for place, found in admin.list_partition_offsets(dict.fromkeys(places, -1)).items()}
            group = _patient(lambda: admin.describe_groups([named.group]))
            members = len(group[named.group].get("members") or ())
        finally:
            admin.close()
    done, waiting = [], {}
    for place in places:
        found = committed.get(place)
        known = found is not None and found.offset >= 0
        holds = _version(found.metadata) if known and found else None
        if holds == version or (not known and ends[place] == 0):
            done.append(place.partition)
        else:
            waiting[place.partition] = holds
    return Progress(members, done, waiting)


def _patient(ask: Callable[[], Any]) -> Any:
    """An answer of the group's coordinator, which a new Kafka needs some seconds to appoint."""
    for _ in range(_TRIES):
        try:
            return ask()
        except (errors.CoordinatorNotAvailableError, errors.CoordinatorLoadInProgressError, errors.NotCoordinatorError):
            time.sleep(1)
    return ask()


def _version(metadata: str | None) -> str | None:
    try:
        found = json.loads(metadata or "{}")
        return str(found["plant"]) if isinstance(found, dict) and found.get("plant") else None
    except ValueError:
        return None
