"""What `scopeline try` says: the readings that messages give as JSON lines, and why there are not more."""

import json
from collections.abc import Iterator
from typing import NamedTuple

import polars as pl

from ingest.decode import Decoded
from ingest.feeds import filters
from ingest.ready import Feeds

_PLACE = ("message", "index", "feed")


class Attempt(NamedTuple):
    """One JSON line a reading, the feeds that read each message, and a sentence for all that is no reading."""

    lines: list[str]
    matches: list[str]
    reasons: list[str]


def attempt(
    messages: pl.DataFrame,
    feeds: Feeds,
    decoded: Decoded,
    refused: pl.DataFrame,
    *,
    only_feed: str | None = None,
    lines: bool = False,
) -> Attempt:
    """An answer from MESSAGES, what they were decoded to, and REJECTS of the checks that follow (units, window, range).

    Values are written digit for digit as the payload states them, units unconverted. With `lines`, sentences name the line of a
    message file.
    """
    kept = decoded.decoded.join(refused.select(_PLACE), on=list(_PLACE), how="anti", maintain_order="left")
    topics = dict(messages.select("message", "topic").rows())

    def where(message: int) -> str:
        return f"line {message}: {topics[message]}" if lines else topics[message]

    read = decoded.outcomes.filter(pl.col("feed").is_not_null()).group_by("message", maintain_order=True).agg("feed")
    matches = [f"{where(message)}: read by feed {', '.join(names)}" for message, names in read.rows()]
    given = {(message, feed) for message, feed in decoded.decoded.select("message", "feed").unique().rows()}
    rejects = pl.concat([decoded.rejects, refused]).sort("message", "index", "feed", maintain_order=True)
    told = set(rejects.select("message", "feed").unique().rows())
    reasons = [_refusal(where(row["message"]), row) for row in rejects.iter_rows(named=True)]
    for message, feed, outcome, reason in decoded.outcomes.rows():
        if outcome == "unmatched":
            reasons.append(f"{where(message)}: {_unmatched(feeds, only_feed)}")
        elif outcome == "skipped":
            what = "it is retained, so it is no new reading" if reason == "retained" else "a skip: pattern of the feed matches it"
            reasons.append(f"{where(message)}: feed {feed} skips it: {what}")
        elif (message, feed) not in given and (message, feed) not in told:
            reasons.append(
                f"{where(message)}: feed {feed} reads it and finds no reading: no value is a number, or where: does not hold"
            )
    return Attempt(list(_lines(kept)), matches, reasons)


def _refusal(place: str, row: dict[str, object]) -> str:
    meter = f" {row['meter']}:" if row["meter"] else ""
    feed = f" feed {row['feed']}:" if row["feed"] else ""
    return f"{place}:{feed}{meter} {row['reason']}: {row['detail']}"


def _unmatched(feeds: Feeds, only_feed: str | None) -> str:
    asked = [one.feed for one in feeds.feeds if only_feed in (None, one.feed.feed)]
    known = ", ".join(f"{feed.feed} ({', '.join(filters(feed))})" for feed in asked)
    return f"no feed matches the topic; feeds and their topics are: {known or 'none'}"


def _lines(kept: pl.DataFrame) -> Iterator[str]:
    at = kept["observed_at"].dt.strftime("%Y-%m-%dT%H:%M:%S%.6f").str.replace(r"\.?0*$", "")
    columns = ("meter", "channel", "observed_at", "value", "unit", "kind", "quality", "native")
    for row in kept.with_columns((at + "Z").alias("observed_at")).select(columns).iter_rows(named=True):
        cells = (
            f"{json.dumps(name)}: {cell if name == 'value' else json.dumps(cell, ensure_ascii=False)}"
            for name, cell in row.items()
        )
        yield "{" + ", ".join(cells) + "}"
