"""Messages to readings: route by topic, read payloads, name meters. The result does not depend on how messages are batched."""

from collections.abc import Hashable, Mapping
from typing import Any, NamedTuple

import polars as pl

from ingest import shapes, topics
from ingest.decoders.decoder import MAX_PAYLOAD, MAX_SAID, Leaf, Unreadable, matches
from ingest.readings import RAW, readings
from ingest.ready import Feeds, ReadyFeed, Spec
from ingest.slots import Slot, slots
from ingest.values import utf8
from schemas.frames import DECODED, REJECTS, empty, shaped

FEW = 64
"""Payloads below this count are not worth an expression of their own."""
MOST_SHAPES = 16
SMALL = 16 * 1024  # longer payloads are read one by one, and what their readings say together is limited


class Decoded(NamedTuple):
    """What messages say (DECODED), what could not be read and why (REJECTS), what became of each (OUTCOMES)."""

    decoded: pl.DataFrame
    rejects: pl.DataFrame
    outcomes: pl.DataFrame


class Route(NamedTuple):
    """A topic as one feed sees it."""

    feed: int  # place in Feeds.feeds
    captured: Mapping[str, str]
    place: Hashable
    skipped: bool


def decode(messages: pl.DataFrame, feeds: Feeds, *, only_feed: str | None = None) -> Decoded:
    """MESSAGES -> DECODED, REJECTS and OUTCOMES, each sorted by message, index and feed. A message may match several feeds.

    `only_feed` leaves all other feeds out. Nothing is raised for what a message holds: it is rejected with its reason.
    """
    if not messages["message"].is_sorted():
        messages = messages.sort("message", maintain_order=True)
    names = [one.feed.feed for one in feeds.feeds]
    routes, table, faults = _routes(messages, feeds, names, only_feed)
    messages = messages.with_row_index("row")
    keys = ["topic"] if "broker" not in table.columns else ["broker", "topic"]
    routed = messages.select_seq("row", "message", *keys, "retained").join(
        table, on=keys, how="left", nulls_equal=True, maintain_order="left_right"
    )
    if routed["retained"].any():
        routed = routed.with_columns_seq(_RETAINED)
    work = routed if routed["outcome"].null_count() == routed.height else routed.filter(pl.col("outcome").is_null())
    reader = _Reader(feeds, routes)
    reader.read(work.select_seq("row", "route", messages["payload"].gather(work["row"]).alias("payload")))
    raw = reader.raw()
    if raw.height:
        decoded, rejects = readings(raw, list(reader.specs), [route[:2] for route in routes], messages, feeds)
    else:
        decoded, rejects = empty(DECODED), empty(REJECTS)
    whole = reader.rejects(messages, names)
    if faults:
        unusable = routed.filter(pl.col("outcome") == "quarantined")
        whole = pl.concat([whole, shaped(unusable.with_columns_seq(pl.col("fault").alias("detail")), REJECTS)])
    if whole.height:
        rejects = pl.concat([whole, rejects]).sort("message", "index", "feed", maintain_order=True)
    return Decoded(decoded, rejects, _outcomes(routed, decoded, rejects))


_RETAINED = [
    pl.when(pl.col("retained") & pl.col("route").is_not_null()).then(pl.lit(word)).otherwise(name).alias(name)
    for name, word in (("outcome", "skipped"), ("reason", "retained"))
]
"""A retained message is no news, where a feed matches it."""


def _routes(messages: pl.DataFrame, feeds: Feeds, names: list[str], only: str | None) -> tuple[list[Route], pl.DataFrame, bool]:
    """Every route of these messages; a table (broker, topic) -> route, its feed, and what is certain of its messages by the topic
    alone; and whether a topic has a fault. Where no message names a broker, the table has none."""
    routes: list[Route] = []
    rows: list[tuple[Any, ...]] = []
    plain = messages["broker"].null_count() == messages.height
    keys = ["topic"] if plain else ["broker", "topic"]
    faults = False
    for *broker, topic in messages.select_seq(keys).unique(maintain_order=True).iter_rows():
        key = (broker[0] if broker else None, topic)
        fault = topics.fault(topic)
        taken = [one for one in (() if fault else _matching(feeds, *key)) if only is None or names[one.feed] == only]
        for route in taken:
            rows.append((*key, len(routes), names[route.feed], *(("skipped", "skip") if route.skipped else (None, None)), None))
            routes.append(route)
        if not taken:
            rows.append((*key, None, None, *(("quarantined", "malformed") if fault else ("unmatched", None)), fault))
        faults = faults or fault is not None
    table = pl.DataFrame(rows, schema=_TABLE, orient="row")
    return routes, table.drop("broker") if plain else table, faults


_TABLE = {
    "broker": pl.String,
    "topic": pl.String,
    "route": pl.UInt32,
    **dict.fromkeys(("feed", "outcome", "reason", "fault"), pl.String),
}


def _matching(feeds: Feeds, broker: str | None, topic: str) -> tuple[Route, ...]:
    """The routes of a topic, remembered: devices publish to the same topics again and again."""
    known = feeds.routes.get((broker, topic))
    if known is None:
        if len(feeds.routes) > 50_000:  # topics come from devices
            feeds.routes.clear()
        here = broker or feeds.first_broker
        known = tuple(
            Route(place, captured, feed.decoder.place(topic), any(one.match(topic) is not None for one in feed.skip))
            for place, feed in enumerate(feeds.feeds)
            if feeds.first_broker is None or feed.broker == here
            for captured in _first_match(feed, topic)
        )
        feeds.routes[(broker, topic)] = known
    return known


def _first_match(feed: ReadyFeed, topic: str) -> list[dict[str, str]]:
    return next(([found] for one in feed.filters if (found := one.match(topic)) is not None), [])


class _Reader:
    """Reads the payloads of a batch into RAW rows and whole-message rejects."""

    def __init__(self, feeds: Feeds, routes: list[Route]):
        self.feeds, self.routes = feeds, routes
        self.specs: dict[Spec, int] = {}
        self.frames: list[pl.DataFrame] = []
        self.columns: dict[str, list[Any]] = {name: [] for name in RAW}
        self.rejected: list[tuple[int, int, str, str]] = []

    def read(self, work: pl.DataFrame) -> None:
        """`work`: row, route, payload."""
        if not work.height:
            return
        large = work["payload"].bin.size() > MAX_PAYLOAD
        if large.any():
            for row, route in work.filter(large).select_seq("row", "route").rows():
                self.reject(row, route, "too_large", f"is larger than {MAX_PAYLOAD} bytes: publish it in parts")
            work = work.filter(~large)
        groups: dict[tuple[int, Hashable], list[int]] = {}
        for route in work["route"].unique().sort():
            one = self.routes[route]
            groups.setdefault((one.feed, one.place), []).append(route)
        for (number, place), group in groups.items():
            part = work if len(groups) == 1 else work.filter(pl.col("route").is_in(group))
            feed = self.feeds.feeds[number]
            if feed.openers:
                part = self.opened(feed, part)
            if feed.decoder.by_shape and part.height >= FEW:
                part = self.by_shape(feed, place, part)
            self.one_by_one(feed, place, part)

    def opened(self, feed: ReadyFeed, part: pl.DataFrame) -> pl.DataFrame:
        kept = []
        for row, route, payload in part.rows():
            try:
                for opener in feed.openers:
                    payload = opener.open(payload) if opener.open else payload
                kept.append((row, route, payload))
            except Unreadable as error:
                self.reject(row, route, error.reason, str(error))
        return pl.DataFrame(kept, schema=part.schema, orient="row")

    def by_shape(self, feed: ReadyFeed, place: Hashable, part: pl.DataFrame) -> pl.DataFrame:
        """Read what has one of the commonest shapes; the rest comes back."""
        part = part.with_columns_seq(utf8(part["payload"]).alias("text"))
        apart = part["text"].is_null() | (part["text"].str.len_bytes() > SMALL)
        left, rest = part, []
        if apart.any():
            left, rest = part.filter(~apart), [part.filter(apart).drop("text")]
        for _ in range(MOST_SHAPES):
            if left.height < FEW:
                break
            sample = left["payload"][0]
            read = self.shape(feed, place, sample, left)
            if read is None:
                rest.append(left.head(1).drop("text"))
                left = left.slice(1)
            else:
                left = left.clear() if read.all() else left.filter(~read)
        if not rest:
            return left.drop("text")
        return pl.concat([*rest, left.drop("text")]).sort("row")

    def shape(self, feed: ReadyFeed, place: Hashable, sample: bytes, left: pl.DataFrame) -> pl.Series | None:
        """Read all payloads of the sample's shape at once; says which those were."""
        try:
            assert feed.decoder.parse is not None
            shape, count = shapes.placeholders(feed.decoder.parse(sample, feed.feed))
            found = slots(feed, shape, place) if count <= shapes.MAX_LEAVES else []
        except Unreadable:
            return None
        wanted = sorted({int(token) for slot in found for token in _tokens(slot) if isinstance(token, Leaf)})
        leaves = shapes.read(left["text"], shape, wanted)
        if leaves is None:
            return None
        hit = leaves.to_series(0).is_not_null()
        base = pl.concat([left.select_seq("row", "route"), leaves], how="horizontal")
        base = base if hit.all() else base.filter(hit)
        for index, slot in enumerate(found):
            self.frames.append(self.batch(base, index, slot))
        return hit

    def batch(self, base: pl.DataFrame, index: int, slot: Slot) -> pl.DataFrame:
        for token, wanted in slot.where:
            column = base[f"t{token}"] if isinstance(token, Leaf) else pl.Series([token], dtype=pl.String)
            right = [one for one in column.unique() if matches(one, wanted)]
            base = base.filter(column.is_in(right)) if isinstance(token, Leaf) else base.head(base.height if right else 0)
        names = (*list(RAW)[:2], *list(RAW)[4:])
        tokens = dict(zip(names[2:], slot[1:9], strict=True))
        return base.select_seq(
            "row",
            "route",
            pl.lit(index, dtype=pl.Int32).alias("index"),
            pl.lit(self.number(slot.spec), dtype=pl.UInt32).alias("spec"),
            *(
                (pl.col(f"t{token}") if isinstance(token, Leaf) else pl.lit(token, dtype=pl.String)).alias(name)
                for name, token in tokens.items()
            ),
        )

    def one_by_one(self, feed: ReadyFeed, place: Hashable, part: pl.DataFrame) -> None:
        """The definition: parse a payload, take its slots, keep those whose `where` holds."""
        if part.is_empty():
            return
        lists = list(self.columns.values())
        parse = feed.decoder.parse
        assert parse is not None
        for row, route, payload in part.select_seq("row", "route", "payload").iter_rows():
            try:
                found = slots(feed, parse(payload, feed.feed), place)
                if len(payload) > SMALL and _said(found) > MAX_SAID:
                    raise Unreadable(f"gives readings of more than {MAX_SAID} characters: publish them in parts", "too_large")
            except Unreadable as error:
                self.reject(row, route, error.reason, str(error))
                continue
            except Exception as error:  # a decoder's fault harms its own message only
                self.reject(row, route, "malformed", f"the decoder failed: {type(error).__name__}: {error}")
                continue
            for index, slot in enumerate(found):
                if all(matches(token, wanted) for token, wanted in slot.where):
                    for column, value in zip(lists, (row, route, index, self.number(slot.spec), *slot[1:9]), strict=True):
                        column.append(value)

    def number(self, spec: Spec) -> int:
        return self.specs.setdefault(spec, len(self.specs))

    def reject(self, row: int, route: int, reason: str, detail: str) -> None:
        self.rejected.append((row, route, reason, detail[:300]))

    def raw(self) -> pl.DataFrame:
        """All readings as tokens, by message, index and feed."""
        frames = [*self.frames, pl.DataFrame(self.columns, schema=RAW)] if self.columns["row"] else self.frames
        if not frames:
            return pl.DataFrame(schema=RAW)
        found = pl.concat(frames)
        single = len(frames) == 1 and len(self.feeds.feeds) == 1
        return found if single and found["row"].is_sorted() else found.sort("row", "index", "route")

    def rejects(self, messages: pl.DataFrame, names: list[str]) -> pl.DataFrame:
        rows = [(messages["message"][row], names[self.routes[route].feed], why, how) for row, route, why, how in self.rejected]
        schema = {name: REJECTS[name] for name in ("message", "feed", "reason", "detail")}
        return shaped(pl.DataFrame(rows, schema=schema, orient="row"), REJECTS)


def _said(found: list[Slot]) -> int:
    """How many characters the readings of a payload hold together: a name that stands in each of them counts each time."""
    return sum(len(token) for slot in found for token in slot[1:9] if isinstance(token, str))


def _tokens(slot: Slot) -> tuple[Any, ...]:
    return (*slot[1:9], *(token for token, _ in slot.where))


def _outcomes(routed: pl.DataFrame, decoded: pl.DataFrame, rejects: pl.DataFrame) -> pl.DataFrame:
    """decoded where a reading came out or nothing was wrong; quarantined with the first reason where none came out."""
    found = routed
    if rejects.height:
        worst = rejects.group_by("message", "feed", maintain_order=True).agg(pl.col("reason").first().alias("why"))
        given = decoded.select_seq("message", "feed").unique()
        worst = worst.join(given, on=["message", "feed"], how="anti", nulls_equal=True)
        found = found.join(worst, on=["message", "feed"], how="left", nulls_equal=True, maintain_order="left")
        found = found.with_columns_seq(
            pl.when(pl.col("outcome").is_null() & pl.col("why").is_not_null())
            .then(pl.lit("quarantined"))
            .otherwise("outcome")
            .alias("outcome"),
            pl.coalesce("reason", "why").alias("reason"),
        )
    return found.select_seq("message", "feed", pl.col("outcome").fill_null("decoded"), "reason")
