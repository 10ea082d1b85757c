"""Whether the instance is well, in numbers: readiness and metrics."""

import shutil
from datetime import timedelta

import polars as pl

from scopeline.service.feeds import feeds
from scopeline.service.host import Host, ask

Metrics = dict[str, list[tuple[dict[str, str], float]]]


def ready(host: Host) -> bool:
    try:
        host.store.position()
    except Exception:  # whatever the reason: not ready
        return False
    return host.running


def lag_s(host: Host) -> float:
    """Age of the oldest message in the log whose figures are not in yet; 0 when there is none."""
    oldest = ask(
        host, "SELECT min(received_at) AS at FROM messages WHERE message > $position", {"position": host.store.position()}
    )
    at = oldest["at"][0]
    return max(0.0, (host.now() - at).total_seconds()) if at else 0.0


def counts(host: Host) -> dict[str, int]:
    """Rows of the large tables."""
    sql = """SELECT (SELECT count(*) FROM readings) AS readings, (SELECT count(*) FROM figures) AS figures,
    (SELECT coalesce(max(message), 0) FROM messages) AS position, (SELECT count(DISTINCT message) FROM rejects) AS quarantined,
    (SELECT CAST(coalesce(sum(messages), 0) AS BIGINT) FROM traffic) AS messages"""
    return {name: int(value) for name, value in ask(host, sql, {}).row(0, named=True).items()}


def unpriced(host: Host) -> pl.DataFrame:
    """site, source of the last 24 hours' figures without a factor."""
    sql = "SELECT DISTINCT site, source FROM figures WHERE NOT priced AND interval_start >= $start ORDER BY ALL"
    return ask(host, sql, {"start": host.now() - timedelta(hours=24)})


def metrics(host: Host) -> Metrics:
    found = counts(host)
    rows = feeds(host)
    outcomes = [
        ({"feed": row["feed"] or "", "outcome": outcome}, float(row[outcome]))
        for row in rows
        for outcome in ("decoded", "skipped", "quarantined", "unmatched")
        if row[outcome] or outcome == "decoded"
    ]
    named = [(({"feed": row["feed"]}), row) for row in rows if row["feed"]]
    spoken = [(label, row["last_received_at"].timestamp()) for label, row in named if row["last_received_at"]]
    file = host.store.log.path
    return {
        "scopeline_messages_total": [({}, found["messages"])],
        "scopeline_feed_messages_total": outcomes,
        "scopeline_feed_last_message_timestamp_seconds": spoken,
        "scopeline_feed_silent": [(label, float(row["silent"])) for label, row in named],
        "scopeline_readings": [({}, found["readings"])],
        "scopeline_figures": [({}, found["figures"])],
        "scopeline_unpriced_sources": [({}, float(unpriced(host).height))],
        "scopeline_quarantined_messages": [({}, found["quarantined"])],
        "scopeline_log_position": [({}, found["position"])],
        "scopeline_lag_seconds": [({}, lag_s(host))],
        "scopeline_configuration_errors": [({}, float(sum(p.severity == "error" for p in host.problems)))],
        "scopeline_state_bytes": [({}, float(file.stat().st_size))],
        "scopeline_disk_free_bytes": [({}, float(shutil.disk_usage(file.parent).free))],
    }
