"""Makes what the store needs: buckets with their retention, and the mappings by which InfluxQL finds them. Repeatable."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from influxdb_client import BucketRetentionRules, DBRPCreate, DBRPsService, DBRPUpdate, PostBucketRequest

from schemas.influx import buckets
from sinks.influx.connection import Connection, InfluxProblem

POLICY = "autogen"
"""Name of the retention policy under which InfluxQL finds a bucket."""
SHARD = 28 * 86400
"""Seconds of one shard of figures that are kept for long: a delete walks all shards of a bucket, by default one a week."""


def setup(connection: Connection, dry_run: bool = False) -> list[str]:
    """Make or correct buckets and mappings; says what it did, a sentence each, nothing where all is well.

    dry_run: only looks, and says what it would do.
    The token must be allowed to read the organisation and to write buckets and DBRP mappings, else InfluxProblem.
    """
    settings = connection.settings
    retentions = {
        "figures": settings.retention,
        "readings": settings.readings_retention,
        "health": settings.health_retention,
    }
    orgs = connection.call(connection.client.organizations_api().find_organizations, org=settings.org, missing=True)
    if not orgs:
        raise InfluxProblem(f"InfluxDB at {settings.url} has no organisation {settings.org!r} -> check influxdb.org")
    work = _Work(connection, orgs[0].id, dry_run)
    for kept, name in buckets(settings.bucket).items():
        work.mapping(work.bucket(name, retentions[kept], kept == "figures"), name)
    return work.told


class _Work:
    """Looks at one thing after the other and changes what is otherwise than wanted; `told` says what."""

    def __init__(self, connection: Connection, org: str, dry_run: bool) -> None:
        self._connection, self._org, self._dry_run = connection, org, dry_run
        self.told: list[str] = []

    def _change(self, told: str, call: Callable[..., Any], *given: Any, **named: Any) -> Any:
        self.told += [told] if told else []
        return None if self._dry_run else self._connection.call(call, *given, **named)

    def bucket(self, name: str, retention: timedelta | None, long: bool) -> str:
        """The id of the bucket, made or given its retention where it lacks that. long: its shards, too."""
        api = self._connection.client.buckets_api()
        seconds = 0 if retention is None else int(retention.total_seconds())
        rule = BucketRetentionRules(type="expire", every_seconds=seconds)
        found = self._connection.call(api.find_buckets, org_id=self._org, name=name, missing=True)
        if not (found and found.buckets):
            if long and not 0 < seconds < 10 * SHARD:
                rule.shard_group_duration_seconds = SHARD
            wanted = PostBucketRequest(org_id=self._org, name=name, retention_rules=[rule])
            made = self._change(f"bucket {name} made, kept {_kept(seconds)}", api.create_bucket, wanted)
            return made.id if made else "new"
        (bucket, *_) = found.buckets
        before = next((rule.every_seconds for rule in bucket.retention_rules if rule.type == "expire"), 0)
        if before != seconds:
            bucket.retention_rules = [rule]
            self._change(f"bucket {name} now kept {_kept(seconds)}, before {_kept(before)}", api.update_bucket, bucket)
        return str(bucket.id)

    def mapping(self, bucket: str, name: str) -> None:
        """A mapping of database `name`, policy autogen, by default, to the bucket."""
        service = DBRPsService(self._connection.client.api_client)
        found = self._connection.call(service.get_dbr_ps, org_id=self._org, db=name).content or []
        real = next((one for one in found if not one.virtual and one.retention_policy == POLICY), None)
        if real and real.bucket_id == bucket:
            if not real.default:
                told = f"InfluxQL database {name} is now found by default"
                self._change(told, service.patch_dbrpid, real.id, DBRPUpdate(default=True), org_id=self._org)
            return
        if real:
            self._change("", service.delete_dbrpid, real.id, org_id=self._org)
        wanted = DBRPCreate(org_id=self._org, bucket_id=bucket, database=name, retention_policy=POLICY, default=True)
        self._change(f"InfluxQL database {name} made", service.post_dbrp, wanted)


def _kept(seconds: int) -> str:
    """How long, for people.

    >>> _kept(0), _kept(86400 * 90), _kept(5400)
    ('for ever', '90 d', '1.5 h')
    """
    if not seconds:
        return "for ever"
    return f"{seconds / 86400:g} d" if seconds % 86400 == 0 else f"{seconds / 3600:g} h"
