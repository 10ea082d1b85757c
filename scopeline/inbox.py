"""Where messages wait between receipt and commit: bounded, so that pressure reaches the publishers."""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

ENOUGH = 500
"""Messages that are worth a commit of their own. Senders have so many under way, and wait for acknowledgements: of more than this
one half is committed while the other comes; of less, all at once."""
_LATELY = 8
"""Batches from which is known how many messages senders have under way at once."""
_LOOK = 0.003
"""Seconds between two looks at how many have come."""


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
    _peak: int = 0
    _peaks: deque[int] = field(default_factory=lambda: deque(maxlen=_LATELY))

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
            self._peak = max(self._peak, self._messages)
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

    def take(self, most: int, linger: float, patience: float, quiet: float = 0.01) -> list[Delivery]:
        """The next deliveries in receipt order: waits `patience` seconds for the first, then for companions, at most `linger`,
        until a share of what lately waited at once is here (see ENOUGH), or none came for a while: at most `quiet` seconds, the
        less the more are here. More than such a share is left for the next batch."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._woken, patience)
            self._woken = False
            if not self._queue:
                return []
            self._peaks.append(self._peak)
            self._peak = self._messages  # what is left then waits already
        came = begun = time.monotonic()
        seen, peak = len(self._queue), max(self._peaks)
        share = min(most, max(min(peak, ENOUGH), peak // 2))
        while seen < share and (now := time.monotonic()) < min(begun + linger, came + quiet * (1 - seen / share)):
            time.sleep(_LOOK)
            if seen < len(self._queue):
                seen, came = len(self._queue), now
        with self._changed:
            return [self._queue.popleft() for _ in range(min(share, len(self._queue)))]

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
