"""How the feeds are: last message, rate, silence, outcomes, quarantine; one in full; and what a payload would give."""

from datetime import datetime, timedelta
from typing import Any

import polars as pl

import ingest
from processors import accept
from schemas.frames import MESSAGES, REJECTS, shaped
from scopeline.query import NotThere, candidates
from scopeline.service.host import Host, ask
from scopeline.service.messages import payload_text

SILENT_AFTER = 300.0
"""Seconds; a feed whose messages usually come further apart is silent after three times its usual distance."""


def feeds(host: Host) -> list[dict[str, Any]]:
    now = host.now()
    with host.store.snapshot() as store:
        stats = {row["feed"]: row for row in store.feed_stats(now).to_dicts()}
        counts = store.quarantine_counts()
        last = [row["last_message"] for row in stats.values() if row["last_message"] is not None]
        topics = dict(store.messages_at(last).select("message", "topic").iter_rows()) if last else {}
    usual = _usual(host, now)
    reasons: dict[str | None, dict[str, int]] = {}
    for row in counts.iter_rows(named=True):
        reasons.setdefault(row["feed"], {})[row["reason"]] = row["n"]
    configured = list(host.configuration.plant.feeds)
    rows = [_row(feed.feed, stats.get(feed.feed), topics, reasons.get(feed.feed, {}), usual) for feed in configured]
    for row, feed in zip(rows, configured, strict=True):
        decoder = feed.decoder if isinstance(feed.decoder, str) else " > ".join(feed.decoder)
        row.update(topic=feed.topic, decoder=decoder, broker=feed.broker)
    if unmatched := stats.get(""):
        rows.append(_row(None, unmatched, topics, {}, usual))
    return rows


def _usual(host: Host, now: datetime) -> dict[str, float]:
    """Feed -> usual seconds between messages, from those of the last week.

    Until a feed has been heard for most of a week, what its messages tell of counts too: a history that came within a minute
    (a back-fill, a replay) says nothing of how often the device speaks, its readings' times do.
    """
    sql = """
    WITH heard AS (SELECT feed, sum(messages) AS n, epoch(max(last_received_at) - min(minute)) AS seconds
                   FROM traffic WHERE minute >= $start GROUP BY feed),
         told AS (SELECT feed, epoch(max(last_observed_at) - min(first_observed_at)) AS seconds FROM meters GROUP BY feed)
    SELECT feed, CASE WHEN heard.seconds > $long THEN heard.seconds ELSE greatest(heard.seconds, coalesce(told.seconds, 0)) END
        / greatest(1, n - 1) FROM heard LEFT JOIN told USING (feed)"""
    return dict(ask(host, sql, {"start": now - timedelta(days=7), "long": 6 * 86_400}).iter_rows())


def _row(
    feed: str | None, stats: dict[str, Any] | None, topics: dict[int, str], reasons: dict[str, int], usual: dict[str, float]
) -> dict[str, Any]:
    found = stats or {}
    silent_s = found.get("silent_s")
    limit = max(SILENT_AFTER, 3 * usual.get(feed or "", 0.0))
    return {
        "feed": feed,
        "topic": None,
        "decoder": None,
        "broker": None,
        "last_received_at": found.get("last_received_at"),
        "last_message": found.get("last_message"),
        "last_topic": topics.get(found.get("last_message") or -1),
        "messages": found.get("messages", 0),
        "last_hour": found.get("last_hour", 0),
        "rate_per_minute": found.get("last_5_minutes", 0) / 5,
        "silent_s": silent_s,
        "silent": feed is not None and (silent_s is None or silent_s > limit),
        "decoded": found.get("decoded", 0),
        "skipped": found.get("skipped", 0),
        "quarantined": found.get("quarantined", 0),
        "unmatched": found.get("unmatched", 0),
        "quarantine_reasons": reasons,
    }


def feed(host: Host, name: str) -> dict[str, Any]:
    row = next((row for row in feeds(host) if row["feed"] == name), None)
    if row is None:
        raise NotThere(f"There is no feed {name!r}", candidates(name, [f.feed for f in host.configuration.plant.feeds], "Feeds"))
    row["readings"] = row["rejects"] = []
    if row["last_message"] is not None:
        message = host.store.messages_at([row["last_message"]]).row(0, named=True)
        row["last_payload"] = payload_text(message["payload"])
        tried = try_(host, message["topic"], message["payload"], name, message["received_at"])
        row["readings"], row["rejects"] = tried["readings"], tried["rejects"]
    return row


READING = ("meter", "channel", "observed_at", "value", "unit", "kind", "quality", "native")


def try_(host: Host, topic: str, payload: bytes, feed: str | None, received_at: datetime | None) -> dict[str, Any]:
    """Decode one message and check its readings; without `received_at` the accept window is not looked at."""
    known = {f.feed for f in host.configuration.plant.feeds}
    if feed is not None and feed not in known:
        raise NotThere(f"There is no feed {feed!r}", candidates(feed, known, "Feeds"))
    row = {"message": 1, "topic": topic, "payload": payload, "received_at": received_at or host.now(), "retained": False}
    configuration = host.configuration
    decoded = ingest.decode(shaped(pl.DataFrame([row]), MESSAGES), configuration.feeds, only_feed=feed)
    refused = accept.accept(decoded.decoded, configuration.channels, window=received_at is not None).rejects
    rejects = pl.concat([shaped(decoded.rejects, REJECTS), shaped(refused, REJECTS)])
    found = decoded.decoded.join(rejects, on=["message", "index", "feed"], how="anti")
    return {
        "readings": found.select("feed", *READING).to_dicts(),
        "rejects": rejects.drop("message").to_dicts(),
        "outcomes": decoded.outcomes.drop("message").to_dicts(),
    }
