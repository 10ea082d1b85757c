"""Problems of a running process as lines of its log: once when they come, again at growing intervals, and when all is well."""

import logging
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from schemas.problem import Problem

log = logging.getLogger("scopeline")

_EVERY, _SETTLED = 0.5, 6.0
"""Seconds between two looks, and until a problem that is gone counts as solved: servers that come up stumble."""
_FIRST, _LONGEST = 60.0, 3600.0


class News:
    """`look` from time to time."""

    def __init__(self, problems: Callable[[], Sequence[Problem]], now: Callable[[], float] = time.monotonic) -> None:
        self._problems, self._now = problems, now
        self._known: dict[str, tuple[float, float, float, float]] = {}  # text -> since, due again, interval, last seen

    def look(self) -> None:
        """Say what is new, what lasts, and what is over."""
        now, any_before = self._now(), bool(self._known)
        for problem in self._problems():
            if problem.severity == "note":
                continue
            key = re.sub(r"\d+", "#", str(problem))
            since, due, interval, _ = self._known.get(key, (now, now, 0.0, now))
            if now >= due:
                level = logging.ERROR if problem.severity == "error" else logging.WARNING
                lasting = f" (for {(now - since) / 60:.0f} min)" if interval else ""
                where = f"{problem.key}: " if problem.key else ""
                log.log(level, "%s%s -> %s%s", where, problem.message, problem.remedy, lasting)
                interval = min(interval * 2, _LONGEST) or _FIRST
                due = now + interval
            self._known[key] = (since, due, interval, now)
        self._known = {key: state for key, state in self._known.items() if now - state[3] < _SETTLED}
        if any_before and not self._known:
            log.info("all is well again")


def _not_again(record: logging.LogRecord) -> bool:
    return not record.getMessage().endswith(("trying again", "sent again"))


@contextmanager
def told(problems: Callable[[], Sequence[Problem]]) -> Iterator[None]:
    """Look while the block runs."""
    news, stop = News(problems), threading.Event()
    for name in ("ingest.mqtt", "ingest.kafka"):  # they say it for the profile that has no news
        logging.getLogger(name).addFilter(_not_again)

    def watch() -> None:
        while not stop.wait(_EVERY):
            news.look()

    thread = threading.Thread(target=watch, name="news", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(1)
