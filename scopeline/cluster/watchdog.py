"""Ends a process that no longer gets anywhere, so that its supervisor starts it again: exit code 3.

Client libraries can block without a timeout, or stop fetching a partition without a word; a process that looks alive and does
nothing is worse than one that starts again.
"""

import logging
import math
import os
import threading
import time
from collections.abc import Callable, Mapping

log = logging.getLogger(__name__)

EXIT = 3
HANGS = 120.0
"""Seconds that one call may take."""
STALLS = 90.0
"""Seconds that a position may stand still while the log grows."""


def end(reason: str) -> None:
    """End this process now."""
    log.critical("watchdog: %s; ending the process so that it is started again", reason)
    logging.shutdown()
    os._exit(EXIT)


class Watchdog:
    """`beat` at every turn of the loop and amid long work; `positions` whenever the log's ends are known."""

    def __init__(self, hangs: float = HANGS, stalls: float = STALLS, end: Callable[[str], None] = end) -> None:
        self._hangs, self._stalls, self._end = hangs, stalls, end
        self._last = time.monotonic()
        self._stood: dict[int, tuple[int, float]] = {}
        self._asked = -math.inf
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()

    def beat(self) -> None:
        self._last = time.monotonic()

    def positions(self, at: Mapping[int, int], ends: Mapping[int, int], now: float | None = None) -> None:
        """Partition -> offset read next, and the end of the log: a position that stands while messages wait is a stall.

        What stood while the worker was busy elsewhere for long (the store was away) does not count: it did not look.
        """
        now = time.monotonic() if now is None else now
        if now - self._asked > self._stalls / 2:
            self._stood.clear()
        self._asked = now
        self._stood = {number: known for number, known in self._stood.items() if number in at}
        for number, position in at.items():
            before = self._stood.get(number)
            if before is None or before[0] != position or ends.get(number, 0) <= position:
                self._stood[number] = (position, now)
            elif now - before[1] > self._stalls:
                waiting = ends[number] - position
                self._end(f"partition {number} stands at {position} for {now - before[1]:.0f} s while {waiting} records wait")

    def _watch(self) -> None:
        while not self._stop.wait(min(1.0, self._hangs / 4)):
            silent = time.monotonic() - self._last
            if silent > self._hangs:
                self._end(f"nothing has moved for {silent:.0f} s")
                return
