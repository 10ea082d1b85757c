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


def waiting(host: Host) -> int:
    """Messages that are received and not yet committed with their figures; 0 where nothing comes in."""
    inbox = getattr(host, "inbox", None)  # only a running instance has one
    return int(inbox.waiting) if inbox else 0


def trouble(host: Host) -> str | None:
    """Why nothing can be committed at present (a full disk, for example), or None."""
    found: str | None = getattr(getattr(host, "worker", None), "problem", None)
    return found


def counts(host: Host) -> dict[str, int]:
    """Rows of the large tables, and messages ever taken in."""
    sql = """SELECT (SELECT count(*) FROM readings) AS readings, (SELECT count(*) FROM figures) AS figures,
    (SELECT count(DISTINCT message) FROM rejects) AS quarantined"""
    rows = {name: int(value) for name, value in ask(host, sql, {}).row(0, named=True).items()}
    return {"messages": host.store.position(), **rows}


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
        "scopeline_log_position": [({}, found["messages"])],
        "scopeline_waiting_messages": [({}, float(waiting(host)))],
        "scopeline_configuration_errors": [({}, float(sum(p.severity == "error" for p in host.problems)))],
        "scopeline_state_bytes": [({}, float(sum(part.stat().st_size for part in file.parent.glob(f"{file.name}*"))))],
        "scopeline_disk_free_bytes": [({}, float(shutil.disk_usage(file.parent).free))],
    }
