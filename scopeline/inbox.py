"""Where messages wait between receipt and commit: bounded, so that pressure reaches the publishers."""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

ENOUGH = 500
"""Messages that are worth a commit of their own. Those after them come while it runs: who sends waits for acknowledgements."""
_SILENCE = 30
"""Gaps between messages, after which no more are on their way."""


class Origin(Protocol):
    """Who handed messages in and waits for their commit."""

    def settle(self, tokens: list[Any], places: list[int]) -> None:
        """These deliveries are committed, at these places in the log: acknowledge them now. Called on the worker's thread."""


@dataclass(slots=True)
class Delivery:
    """A message on its way into the log. `token` is the origin's own mark of it (None: nobody waits, QoS 0)."""

    topic: str
    payload: bytes
    received_us: int
    origin: Origin | None = None
    token: Any = None
    retained: bool = False
    broker: str | None = None


@dataclass
class Inbox:
    """A queue of deliveries with a limit in messages and bytes; what is taken counts until `release`d.

    `offer` never blocks: origins that can wait look at `full` and go on when a `listeners` callback says that there is space.
    """

    max_messages: int = 20_000
    max_bytes: int = 64 * 1024 * 1024
    listeners: list[Callable[[], None]] = field(default_factory=list)
    _queue: deque[Delivery] = field(default_factory=deque)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _messages: int = 0
    _bytes: int = 0
    _was_full: bool = False
    _woken: bool = False

    @property
    def full(self) -> bool:
        return self._messages >= self.max_messages or self._bytes >= self.max_bytes

    @property
    def room(self) -> int:
        """Messages until it is full; it takes more."""
        return self.max_messages - self._messages

    @property
    def waiting(self) -> int:
        """Messages received and not yet committed."""
        return self._messages

    def offer(self, *deliveries: Delivery) -> None:
        with self._changed:
            if not self._queue:
                self._changed.notify()
            self._queue.extend(deliveries)
            self._messages += len(deliveries)
            self._bytes += sum(len(one.payload) for one in deliveries)
            if self.full:
                self._was_full = True

    def wait_for_space(self, timeout: float) -> bool:
        """For origins with a thread of their own: wait until a message can be offered."""
        with self._changed:
            return self._changed.wait_for(lambda: not self.full, timeout)

    def wake(self) -> None:
        """Let `take` return, even empty-handed: there is other work."""
        with self._changed:
            self._woken = True
            self._changed.notify_all()

    def take(self, most: int, linger: float, patience: float, quiet: float = 0.01, enough: int = ENOUGH) -> list[Delivery]:
        """The next deliveries in receipt order: waits `patience` seconds for the first, then for its companions as long as
        they keep coming, at most `linger`, and until there are `enough`: until none came for `quiet` seconds, or, where they come
        faster, for as long as _SILENCE of them took to come."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._woken, patience)
            self._woken = False
            if not self._queue:
                return []
        begun, first, seen, pause = time.monotonic(), len(self._queue), 0, quiet
        while seen < len(self._queue) < enough and (left := begun + linger - time.monotonic()) > 0:
            seen = len(self._queue)
            time.sleep(min(left, pause))
            pause = min(quiet, _SILENCE * (time.monotonic() - begun) / max(1, len(self._queue) - first))
        with self._changed:
            return [self._queue.popleft() for _ in range(min(most, len(self._queue)))]

    def release(self, deliveries: Sequence[Delivery]) -> None:
        """Committed (or given up): their space is free again."""
        with self._changed:
            self._messages -= len(deliveries)
            self._bytes -= sum(len(d.payload) for d in deliveries)
            relieved = self._was_full and self._messages <= self.max_messages // 2 and self._bytes <= self.max_bytes // 2
            if relieved:
                self._was_full = False
            self._changed.notify_all()
        if relieved:
            for listener in self.listeners:
                listener()
