"""What could not be read: listed, and one message whole."""

from typing import Any

import polars as pl

from schemas.frames import REASONS
from scopeline.query import NotThere, QueryError, candidates
from scopeline.service.host import Host
from scopeline.service.messages import payload_text


def quarantine(host: Host, feed: str | None, reason: str | None, limit: int, offset: int) -> pl.DataFrame:
    """REJECTS, newest first, with topic and received_at of their messages."""
    known_feed(host, feed)
    if reason is not None and reason not in REASONS:
        raise QueryError(f"reason={reason!r} is not known", f"Use one of: {', '.join(REASONS)}.")
    with host.store.snapshot() as store:
        rejects = store.quarantine(feed, reason, None, limit, offset)
        about = store.messages_at(rejects["message"].drop_nulls().unique().to_list()).select("message", "topic", "received_at")
    return rejects.join(about, on="message", how="left", maintain_order="left")


def known_feed(host: Host, feed: str | None) -> None:
    """QueryError for a feed that neither the plant folder nor the quarantine knows (which may hold those of a former feed)."""
    configured = [one.feed for one in host.configuration.plant.feeds]
    if feed is not None and feed not in configured and feed not in host.store.quarantine_counts()["feed"].to_list():
        raise QueryError(f"There is no feed {feed!r}", candidates(feed, configured, "Feeds"))


def quarantined(host: Host, message: int) -> dict[str, Any]:
    """The message whole, with every reject of it; NotThere when nothing of it is quarantined."""
    with host.store.snapshot() as store:
        rejects = store.quarantine(messages=[message])
        found = store.messages_at([message])
    if rejects.is_empty() or found.is_empty():
        raise NotThere(
            f"Message {message} is not in quarantine", "`scopeline quarantine list` and /api/v1/quarantine say what is."
        )
    row = found.row(0, named=True)
    payload = payload_text(row.pop("payload"))
    return {**row, **payload, "rejects": rejects.drop("message").to_dicts()}
