"""What could not be read: listed, and one message whole."""

from typing import Any

import polars as pl

from scopeline.service.host import Host
from scopeline.service.messages import payload_text


def quarantine(host: Host, feed: str | None, reason: str | None, limit: int, offset: int) -> pl.DataFrame:
    """REJECTS, newest first, with topic and received_at of their messages."""
    with host.store.snapshot() as store:
        rejects = store.quarantine(feed, reason, None, limit, offset)
        about = store.messages_at(rejects["message"].drop_nulls().unique().to_list()).select("message", "topic", "received_at")
    return rejects.join(about, on="message", how="left", maintain_order="left")


def quarantined(host: Host, message: int) -> dict[str, Any]:
    """The message whole, with every reject of it; LookupError when nothing of it is quarantined."""
    with host.store.snapshot() as store:
        rejects = store.quarantine(messages=[message])
        found = store.messages_at([message])
    if rejects.is_empty() or found.is_empty():
        raise LookupError(f"Message {message} is not in quarantine")
    row = found.row(0, named=True)
    payload = payload_text(row.pop("payload"))
    return {**row, **payload, "rejects": rejects.drop("message").to_dicts()}
