"""Kafka as `doctor` sees it: servers, topics, who reads how far, versions of the plant folder, what retention leaves time for."""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition

from schemas.connections import Kafka
from scopeline.cluster.kafka import connection, consumer
from scopeline.cluster.plant_topic import newest
from scopeline.cluster.reach import reaching
from scopeline.cluster.setup import kafka_topics
from scopeline.cluster.topics import topics
from scopeline.doctor import Finding
from scopeline.plant import fingerprint

TESTED = "4.1"
PATIENCE_MS = 5_000
LATE = timedelta(minutes=2)
"""A record that waits longer than this for its figures is a finding."""
SKEW = timedelta(seconds=5)
_ASK = 5.0
"""Seconds for reading single records."""


class Group(NamedTuple):
    """A consumer group: who holds a partition, how far it is, and what was committed with that."""

    name: str
    holders: dict[TopicPartition, str]
    offsets: dict[TopicPartition, int]
    notes: dict[TopicPartition, str]


def look(kafka: Kafka, plant_dir: Path) -> Iterator[Finding]:
    """Findings, good ones too. Raises KafkaProblem where the servers do not answer."""
    missing = False
    for step in kafka_topics(kafka, plant_dir, dry_run=True):
        if step.state == "made":
            missing = True
            yield Finding("error", "kafka", f"there is no topic {step.name}", "Make it with `scopeline setup`.")
        elif step.state == "changed":
            yield Finding("warning", "kafka", f"topic {step.name} should have {step.detail}", "`scopeline setup` sets it.")
        elif step.state == "different":
            yield Finding("error", "kafka", f"topic {step.name} {step.detail}", f"{step.remedy}.")
        else:
            yield Finding("ok", "kafka", f"topic {step.name}: {step.detail}, settings as they should be", "")
    named = topics(kafka)
    given = connection(kafka, plant_dir) | {"bootstrap_timeout_ms": PATIENCE_MS, "request_timeout_ms": PATIENCE_MS}
    with reaching(kafka, named.raw):
        admin = KafkaAdminClient(**given)
        try:
            yield from _servers(admin, kafka)
            if missing:
                return
            reader = KafkaConsumer(**consumer(kafka, plant_dir) | {"bootstrap_timeout_ms": PATIENCE_MS})
            try:
                yield from _groups(admin, reader, kafka, plant_dir)
            finally:
                reader.close(timeout_ms=1000)
        finally:
            admin.close()


def _servers(admin: Any, kafka: Kafka) -> Iterator[Finding]:
    servers = admin.describe_cluster()["brokers"]
    version = ".".join(map(str, admin.get_broker_version_data(servers[0]["broker_id"]).broker_version))
    where = ", ".join(f"{one['host']}:{one['port']}" for one in servers)
    what = f"{len(servers)} server{'s' if len(servers) > 1 else ''} of version {version} ({where})"
    if len(servers) < kafka.replication:
        yield Finding("error", "kafka", f"{what}, fewer than kafka.replication: {kafka.replication}", "Start the others.")
    elif version.split(".")[0] != TESTED.split(".")[0]:
        yield Finding("warning", "kafka", f"{what}; tested is {TESTED}", f"Run Kafka {TESTED}, or try it on a copy first.")
    else:
        yield Finding("ok", "kafka", what, "")


def _groups(admin: Any, reader: Any, kafka: Kafka, plant_dir: Path) -> Iterator[Finding]:
    named, now = topics(kafka), datetime.now(UTC)
    raw = [TopicPartition(named.raw, number) for number in sorted(reader.partitions_for_topic(named.raw) or ())]
    places = [*raw, TopicPartition(named.ref, 0)]
    reader.assign(places)
    begins, ends = reader.beginning_offsets(places), reader.end_offsets(places)
    work, archive = group(admin, named.group), group(admin, f"{kafka.prefix}.archive")
    for one, about, which in ((work, "process", raw), (archive, "archive", places)):
        waiting = {place: max(one.offsets.get(place, 0), begins[place]) for place in which}
        waiting = {place: at for place, at in waiting.items() if at < ends[place]}
        since = times(reader, waiting)
        yield from _lag(one, about, which, begins, ends, since, now)
        if about == "archive":
            yield from _retention(since, kafka, now)
    last = times(reader, {place: ends[place] - 1 for place in places if ends[place] > begins[place]})
    if last or not any(ends[place] > begins[place] for place in places):
        yield from _clock(max(last.values(), default=None), datetime.now(UTC))
    else:
        yield Finding("warning", "clock", f"Kafka gave no record within {_ASK:.0f} s", "It is slow, or fetching is not allowed.")
    yield from _versions(work, raw, ends, kafka, plant_dir)


def group(admin: Any, name: str) -> Group:
    """A group as it is now; without members and offsets where it has never been."""
    found = admin.describe_groups([name])[name]
    holders: dict[TopicPartition, str] = {}
    for member in found.get("members") or ():
        who = f"{member['group_instance_id'] or member['client_id']} at {member['client_host'].lstrip('/')}"
        assignment = member["member_assignment"]
        for one in assignment.get("assigned_partitions", ()) if isinstance(assignment, dict) else ():
            holders |= {TopicPartition(one["topic"], number): who for number in one["partitions"]}
    committed = admin.list_group_offsets({name: None}).get(name, {})
    known = {place: at for place, at in committed.items() if at.offset >= 0}
    offsets = {place: at.offset for place, at in known.items()}
    return Group(name, holders, offsets, {place: at.metadata or "" for place, at in known.items()})


def times(reader: Any, offsets: Mapping[TopicPartition, int]) -> dict[TopicPartition, datetime]:
    """When the record at an offset (or the next one) was made, as far as the servers say so in time."""
    found: dict[TopicPartition, datetime] = {}
    if not offsets:
        return found
    reader.assign(list(offsets))
    reader.resume(*offsets)  # the library remembers what was paused before
    for place, at in offsets.items():
        reader.seek(place, at)
    end = datetime.now(UTC) + timedelta(seconds=_ASK)
    while len(found) < len(offsets) and datetime.now(UTC) < end:
        for place, records in reader.poll(timeout_ms=300, max_records=500).items():
            found.setdefault(place, datetime.fromtimestamp(records[0].timestamp / 1000, UTC))
            reader.pause(place)
    return found


def _lag(
    one: Group,
    about: str,
    places: list[TopicPartition],
    begins: Mapping[TopicPartition, int],
    ends: Mapping[TopicPartition, int],
    since: Mapping[TopicPartition, datetime],
    now: datetime,
) -> Iterator[Finding]:
    """One line a partition: who holds it, how many records wait and since when."""
    role = "`scopeline run --role process`" if about == "process" else "`scopeline archive --follow`"
    if not one.holders:
        what = f"nobody reads the log: group {one.name} has no member"
        yield Finding("error" if about == "process" else "warning", about, what, f"Start {role}.")
    for place in places:
        at, where = one.offsets.get(place, 0), f"{place.topic} partition {place.partition}"
        if at < begins[place]:
            what = f"{where}: offsets {at:,} to {begins[place]:,} were deleted by Kafka before group {one.name} had read them"
            remedy = "They are gone from the log; the archive may have them. Raise kafka.retention, run `scopeline setup`."
            if about == "archive":
                remedy = "They are in no archive. Raise kafka.retention, run `scopeline setup`, keep the archiver running."
            if at or about == "archive":
                yield Finding("error", about, what, remedy)
        lag = max(0, ends[place] - max(at, begins[place]))
        waits = now - since[place] if place in since else None
        what = f"{where}: {lag:,} record{'s' if lag != 1 else ''} behind"
        what += f", the oldest from {_span(waits)} ago" if waits and lag else ""
        what += f"; held by {one.holders[place]}" if place in one.holders else "; held by nobody"
        if one.holders and place not in one.holders:
            yield Finding("error", about, what, f"A rebalance may be under way: look again. If it stays, start another {role}.")
        elif about == "process" and waits is not None and waits > LATE:
            yield Finding("warning", about, what, "Add a worker, or see what it waits for: its /readyz and log.")
        else:
            well = bool(one.holders) or not lag
            yield Finding("ok" if well else "warning", about, what, "" if well else f"Start {role}.")


def _retention(since: Mapping[TopicPartition, datetime], kafka: Kafka, now: datetime) -> Iterator[Finding]:
    """What Kafka keeps against what must still be read from it."""
    if kafka.retention <= kafka.horizon:
        what = f"kafka.retention ({_span(kafka.retention)}) is not longer than kafka.horizon ({_span(kafka.horizon)})"
        yield Finding("error", "kafka", what, "Raise it, then `scopeline setup`: a worker without state reads from the horizon.")
    oldest = now - min(since.values(), default=now)
    kept = f"retention {_span(kafka.retention)}, horizon {_span(kafka.horizon)}"
    what = f"{kept}, the oldest record not archived is {_span(oldest)} old" if since else f"{kept}, all is archived"
    if oldest > kafka.retention / 2:
        yield Finding("error", "archive", what, "Archive before Kafka deletes it: `scopeline archive --follow`.")
    else:
        yield Finding("ok", "archive", what, "")


def _clock(last: datetime | None, now: datetime) -> Iterator[Finding]:
    if last is None:
        yield Finding("note", "clock", "no record in Kafka yet, so its clocks cannot be compared", "")
    elif last - now > SKEW:
        what = f"the newest record in Kafka is from {_span(last - now)} ahead of this machine's clock"
        yield Finding("warning", "clock", what, "Set the clocks of this machine and of ingest by NTP.")
    else:
        yield Finding("ok", "clock", f"the newest record in Kafka is {_span(now - last)} old by this machine's clock", "")


def _versions(
    work: Group, places: list[TopicPartition], ends: Mapping[TopicPartition, int], kafka: Kafka, plant_dir: Path
) -> Iterator[Finding]:
    """Published against what is in force at the workers, and against this folder."""
    published = newest(kafka, plant_dir)
    if published is None:
        yield Finding("error", "plant", "no plant folder has been published", "Publish it with `scopeline apply`.")
        return
    if published.fingerprint != fingerprint(plant_dir):
        what = f"this folder is not version {published.version} that {published.by} published"
        yield Finding("warning", "plant", what, "`scopeline apply --dry-run` says what is different.")
    behind = {place.partition: _version(work.notes.get(place)) for place in places if ends[place] or place in work.offsets}
    old = {number: version for number, version in behind.items() if version != published.version}
    if old:
        said = ", ".join(f"{number} ({version or 'none'})" for number, version in old.items())
        what = f"version {published.version} is published, and not in force for partition {said}"
        yield Finding("warning", "plant", what, "Wait while it is recomputed; if it stays, see the worker's log.")
    else:
        yield Finding("ok", "plant", f"version {published.version} is in force at all workers", "")


def _version(note: str | None) -> str | None:
    try:
        found = json.loads(note or "{}")
    except ValueError:
        return None
    return str(found["plant"]) if isinstance(found, dict) and found.get("plant") else None


def _span(length: timedelta) -> str:
    """A length of time for people.

    >>> _span(timedelta(seconds=90)), _span(timedelta(days=7)), _span(timedelta(seconds=-1))
    ('90 s', '7 d', '0 s')
    """
    seconds = max(0.0, length.total_seconds())
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
