"""Messages of one process, collected by where they go: what becomes one record of the log, and whom its confirmation concerns."""

from collections.abc import Iterable, Sequence
from typing import Protocol

from ingest import records
from ingest.bridge import Receipt, Received
from ingest.routing import REF, Routes

MOST_MESSAGES = 1000
MOST_BYTES = 512 * 1024
"""Of one record."""
MOST_TOPICS = 100_000


class Origin(Protocol):
    """Who received messages and acknowledges them."""

    @property
    def label(self) -> str | None:
        """The broker's name as in MESSAGES: null is the plant's first."""

    def acknowledge(self, receipts: Iterable[Receipt]) -> None: ...


class Several:
    """The receipt of a message that is in several records."""

    __slots__ = ("left", "receipt")

    def __init__(self, receipt: Receipt, left: int) -> None:
        self.receipt, self.left = receipt, left


class Outgoing:
    """One record. `tokens`: the receipts of its messages; None: nobody waits."""

    __slots__ = ("begun", "headers", "key", "messages", "origin", "ref", "sent", "size", "tokens", "value")

    def __init__(self, group: "_Group", value: bytes, headers: records.Headers, tokens: Sequence["Token"], size: int) -> None:
        self.origin, self.ref, self.key = group.origin, group.ref, group.key
        self.value, self.headers, self.size, self.tokens = value, headers, size, tokens
        self.messages, self.begun, self.sent = len(tokens), 0.0, 0.0

    def confirmed(self) -> list[Receipt]:
        """Call once, under one lock for all records: the receipts of messages that are now in the log everywhere."""
        found: list[Receipt] = []
        for token in self.tokens:
            if isinstance(token, Several):
                token.left -= 1
                if not token.left:
                    found.append(token.receipt)
            elif token is not None:
                found.append(token)
        return found


Token = Receipt | Several | None


class _Group:
    """Messages of one origin with one key: as MESSAGES has them, and their tokens."""

    __slots__ = ("key", "origin", "ref", "rows", "size")

    def __init__(self, origin: Origin, ref: bool, key: str) -> None:
        self.origin, self.ref, self.key = origin, ref, key.encode()
        self.rows: list[tuple[str, bytes, int, bool, Token]] = []
        self.size = 0

    def take(self) -> list[Outgoing]:
        topics, payloads, stamps, retained, tokens = zip(*self.rows, strict=True)
        packed = records.pack(topics, payloads, stamps, retained, self.origin.label)
        if len(packed) == 1:
            found = [Outgoing(self, *packed[0], tokens, self.size)]
        else:
            found = [Outgoing(self, *one, [token], len(one[0])) for one, token in zip(packed, tokens, strict=True)]
        self.rows, self.size = [], 0
        return found


class Batches:
    """Collects; for one thread. `largest`: bytes of a payload that the log can hold."""

    def __init__(self, routes: Routes, largest: int) -> None:
        self._routes = self._before = routes
        self._largest = largest
        self._groups: dict[tuple[int, bool, str], _Group] = {}
        self._known: dict[int, dict[str, tuple[_Group, ...]]] = {}
        self._open: dict[_Group, None] = {}
        self._ready: list[Outgoing] = []
        self.oversize = 0

    def __bool__(self) -> bool:
        return bool(self._open or self._ready)

    def configure(self, routes: Routes) -> None:
        """From now on by these routes; what no feed reads any more goes where it went before."""
        self._before, self._routes = self._routes, routes
        self._known.clear()

    def add(self, origin: Origin, messages: Iterable[Received]) -> tuple[int, int]:
        """Take messages; returns how many messages and bytes the log gets beyond theirs, since some go to several places."""
        more = extra = 0
        known, largest, opened = self._known.setdefault(id(origin), {}), self._largest, self._open
        row: tuple[str, bytes, int, bool, Token]
        for row in messages:
            topic, size = row[0], len(row[1])
            groups = known.get(topic) or self._of(origin, topic, known)
            if size > largest:
                row, extra, size = (topic, b"", *row[2:]), extra - size, 0
                self.oversize += 1
            if len(groups) > 1:
                row = (*row[:4], Several(row[4], len(groups)) if row[4] else None)
                more += len(groups) - 1
                extra += (len(groups) - 1) * size
            for group in groups:
                if group.size + size > MOST_BYTES and group.rows:
                    self._ready += group.take()
                group.rows.append(row)
                group.size += size
                opened[group] = None
                if len(group.rows) >= MOST_MESSAGES:
                    self._ready += group.take()
                    del opened[group]
        return more, extra

    def ready(self) -> list[Outgoing]:
        """Records that are full."""
        found, self._ready = self._ready, []
        return found

    def all(self) -> list[Outgoing]:
        """Records of everything that is there."""
        found = self.ready()
        for group in self._open:
            found += group.take()
        self._open.clear()
        return found

    def _of(self, origin: Origin, topic: str, known: dict[str, tuple[_Group, ...]]) -> tuple[_Group, ...]:
        routes = self._routes.find(topic, origin.label) or self._before.of(topic, origin.label)
        found = []
        for route in routes:
            place = (id(origin), route.site == REF, route.key)
            group = self._groups.get(place)
            if group is None:
                group = self._groups[place] = _Group(origin, *place[1:])
            found.append(group)
        if len(known) >= MOST_TOPICS:  # topics come from devices
            known.clear()
        known[topic] = tuple(found)
        return known[topic]
