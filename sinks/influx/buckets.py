"""Makes what the store needs: buckets with their retention, and the mappings by which InfluxQL finds them. Repeatable."""

from datetime import timedelta
from typing import Any

from schemas.influx import buckets
from sinks.influx.connection import Connection, InfluxProblem

POLICY = "autogen"
"""Name of the retention policy under which InfluxQL finds a bucket."""
SHARD = 28 * 86400
"""Seconds of one shard of figures that are kept for long: a delete walks all shards of a bucket, by default one a week."""


def setup(connection: Connection) -> list[str]:
    """Make or correct buckets and mappings; says what it did, a sentence each, nothing where all is well.

    The token must be allowed to read the organisation and to write buckets and DBRP mappings, else InfluxProblem.
    """
    settings = connection.settings
    retentions = {
        "figures": settings.retention,
        "readings": settings.readings_retention,
        "health": settings.health_retention,
    }
    org = _one(connection, "/api/v2/orgs", "orgs", {"org": settings.org})
    if org is None:
        raise InfluxProblem(f"InfluxDB at {settings.url} has no organisation {settings.org!r} -> check influxdb.org")
    told: list[str] = []
    for kept, name in buckets(settings.bucket).items():
        bucket = _bucket(connection, org["id"], name, retentions[kept], kept == "figures", told)
        _mapping(connection, org["id"], bucket, name, told)
    return told


def _bucket(connection: Connection, org: str, name: str, retention: timedelta | None, long: bool, told: list[str]) -> str:
    """The id of the bucket, made or given its retention where it lacks that. long: its shards, too."""
    seconds = 0 if retention is None else int(retention.total_seconds())
    rule: dict[str, Any] = {"type": "expire", "everySeconds": seconds}
    found = _one(connection, "/api/v2/buckets", "buckets", {"orgID": org, "name": name})
    if found is None:
        shards = {"shardGroupDurationSeconds": SHARD} if long and not 0 < seconds < 10 * SHARD else {}
        made = connection.ask("POST", "/api/v2/buckets", json={"orgID": org, "name": name, "retentionRules": [rule | shards]})
        told.append(f"bucket {name} made, kept {_kept(seconds)}")
        return str(made.json()["id"])
    before = next((rule["everySeconds"] for rule in found["retentionRules"] if rule["type"] == "expire"), 0)
    if before != seconds:
        connection.ask("PATCH", f"/api/v2/buckets/{found['id']}", json={"retentionRules": [rule]})
        told.append(f"bucket {name} now kept {_kept(seconds)}, before {_kept(before)}")
    return str(found["id"])


def _mapping(connection: Connection, org: str, bucket: str, name: str, told: list[str]) -> None:
    """A mapping of database `name`, policy autogen, by default, to the bucket."""
    found = connection.ask("GET", "/api/v2/dbrps", params={"orgID": org, "db": name}).json().get("content") or []
    real = [m for m in found if not m.get("virtual") and m["retention_policy"] == POLICY]
    if not real:
        wanted = {"orgID": org, "bucketID": bucket, "database": name, "retention_policy": POLICY, "default": True}
        connection.ask("POST", "/api/v2/dbrps", json=wanted)
        told.append(f"InfluxQL database {name} made")
        return
    if real[0]["bucketID"] != bucket:
        connection.ask("DELETE", f"/api/v2/dbrps/{real[0]['id']}", params={"orgID": org})
        _mapping(connection, org, bucket, name, told)
    elif not real[0]["default"]:
        connection.ask("PATCH", f"/api/v2/dbrps/{real[0]['id']}", params={"orgID": org}, json={"default": True})
        told.append(f"InfluxQL database {name} is now found by default")


def _one(connection: Connection, path: str, kind: str, params: dict[str, str]) -> Any:
    """The first of a list, None where there is none or the server calls that 'not found'."""
    found = connection.ask("GET", path, missing=True, params=params)
    return next(iter(found.json().get(kind) or []), None) if found.status_code < 300 else None


def _kept(seconds: int) -> str:
    """How long, for people.

    >>> _kept(0), _kept(86400 * 90), _kept(5400)
    ('for ever', '90 d', '1.5 h')
    """
    if not seconds:
        return "for ever"
    return f"{seconds / 86400:g} d" if seconds % 86400 == 0 else f"{seconds / 3600:g} h"
