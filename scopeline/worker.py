"""The one writer: takes messages from the inbox, commits them with all they change, and only then has them acknowledged."""

import logging
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

import duckdb
import polars as pl

from schemas.frames import MESSAGES, OUTCOMES, READINGS, REJECTS, empty, shaped
from scopeline.inbox import Delivery, Inbox
from scopeline.log import Log, StateError
from scopeline.pipeline import Read
from scopeline.upkeep import Upkeep

log = logging.getLogger(__name__)

MOST = 5_000
"""Messages in one transaction."""
LINGER = 0.3
"""Seconds to wait at most for a message's companions: one commit then serves them all. Never longer than one and a half times
what the last commit took, and not while none come for as long as that."""
_PAUSES = (0.5, 1, 2, 5, 10)

Answer = TypeVar("Answer")


class Stopped(Exception):
    """The worker has stopped; what was asked is not done."""


class Worker:
    """A thread of its own. `problem` says why nothing is committed at present (full disk, for example), else it is None."""

    def __init__(self, file: Log, inbox: Inbox, upkeep: Upkeep) -> None:
        self.log, self.inbox, self.upkeep = file, inbox, upkeep
        self.position: int = upkeep.store.position()
        self.problem: str | None = None
        self.committed = 0
        self.restated: Counter[str] = Counter()  # figures that changed part by part, by source
        self._stuck: Any = None  # the configuration under which a part of what is pending cannot be computed
        self._jobs: list[tuple[Callable[[], Any], Future[Any]]] = []
        self._guard, self._stopping = threading.Lock(), threading.Event()
        self._deadline = 0.0
        self._thread = threading.Thread(target=self._run, name="worker", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, patience: float = 5) -> None:
        """Commit what waits, for at most `patience` seconds; the rest is not acknowledged, so its senders send it again."""
        self._deadline = time.monotonic() + patience
        self._stopping.set()
        self.inbox.wake()
        self._thread.join(patience + 4)

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def ask(self, job: Callable[[], Answer]) -> "Future[Answer]":
        """Run something on the worker's thread, between two batches; it opens its own transaction (`within`)."""
        future: Future[Answer] = Future()
        with self._guard:
            if self._stopping.is_set():
                future.set_exception(Stopped("Scopeline is stopping"))
                return future
            self._jobs.append((job, future))
        self.inbox.wake()
        return future

    @property
    def behind(self) -> bool:
        """Whether an edit or a correction has left something to compute."""
        state = self.upkeep.state
        return state.pending.height > 0 and state.configuration is not self._stuck

    def within(self, action: Callable[[], Answer]) -> Answer:
        """Run an action in one transaction; on an error everything is as before."""
        state = self.upkeep.state
        try:
            with self.log.transaction():
                return action()
        except BaseException:
            self.upkeep.rolled_back(state)
            raise

    def _run(self) -> None:
        took = 0.1
        while True:
            self._do_jobs()
            stopping = self._stopping.is_set()
            behind = self.behind
            batch = self.inbox.take(MOST, 0 if stopping else min(LINGER, 1.5 * took), 0 if stopping or behind else 1, quiet=took)
            if batch:
                begun = time.monotonic()
                self._persist(batch)
                took = time.monotonic() - begun
            if behind and not stopping:
                self._catch_up()
            if stopping and (not batch or time.monotonic() > self._deadline):
                break
        with self._guard:
            for _, future in self._jobs:
                future.set_exception(Stopped("Scopeline is stopping"))

    def _catch_up(self) -> None:
        """A part of what an edit or a correction left to compute, between two batches."""
        try:
            self.restated.update(self.within(self.upkeep.catch_up))
        except duckdb.Error as error:
            self.problem = f"nothing can be stored: {str(error).splitlines()[0]}"
            log.error("%s", self.problem)
            self._recover(error)
            self._stopping.wait(_PAUSES[0])
        except Exception:
            log.exception("a part of the figures cannot be computed again; the next edit of the plant folder tries it again")
            self._stuck = self.upkeep.state.configuration
        else:
            self.problem = None

    def _do_jobs(self) -> None:
        with self._guard:
            jobs, self._jobs = self._jobs, []
        for job, future in jobs:
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(job())
            except BaseException as error:
                future.set_exception(error)
                self._recover(error)

    def _persist(self, batch: Sequence[Delivery]) -> None:
        """Commit a batch, however long that takes: while it does not succeed, nothing is acknowledged and the inbox fills up.

        A message that breaks the computation is found by halving and goes into quarantine alone.
        """
        parts, tries = [batch], 0
        while parts:
            part = parts[-1]
            messages = _messages(part, self.position)
            last = messages["message"][-1]
            try:
                self._commit(messages, alone=len(part) == 1)
            except duckdb.Error as error:
                self.problem = f"nothing can be stored: {str(error).splitlines()[0]}"
                log.error("%s; %d messages wait unacknowledged", self.problem, self.inbox.waiting)
                if self._stopping.wait(_PAUSES[min(tries, len(_PAUSES) - 1)]) and time.monotonic() > self._deadline:
                    return
                tries += 1
                self._recover(error)
                if self.position != last:
                    continue
            except Exception:
                log.exception("a batch of %d messages cannot be computed; trying its halves", len(part))
                parts[-1:] = [part[len(part) // 2 :], part[: len(part) // 2]]
                continue
            parts.pop()
            self.problem, self.position, tries = None, last, 0
            self.committed += len(part)
            self._settle(part, messages["message"].to_list())
            self.inbox.release(part)

    def _recover(self, error: BaseException) -> None:
        """DuckDB gives up the whole database after some errors; open it again, and see what has been committed."""
        if isinstance(error, (duckdb.FatalException, duckdb.InternalException, duckdb.IOException)) or "invalidated" in str(
            error
        ):
            try:
                self.log.reopen()
                self.upkeep.reopened()
                self.position = self.upkeep.store.position()
            except (duckdb.Error, StateError) as again:
                log.error("the data file cannot be opened again: %s", again)

    def _settle(self, batch: Sequence[Delivery], places: Sequence[int]) -> None:
        grouped: dict[int, tuple[Any, list[Any], list[int]]] = defaultdict(lambda: (None, [], []))
        for delivery, place in zip(batch, places, strict=True):
            if delivery.origin is not None and delivery.token is not None:
                _, tokens, at = grouped[id(delivery.origin)]
                grouped[id(delivery.origin)] = (delivery.origin, tokens, at)
                tokens.append(delivery.token)
                at.append(place)
        for origin, tokens, at in grouped.values():
            origin.settle(tokens, at)

    def _commit(self, messages: pl.DataFrame, alone: bool) -> None:
        """One transaction: messages, readings, amounts, figures, position."""
        try:
            self.within(lambda: self._store(messages, self._read(messages)))
        except duckdb.Error:
            raise
        except Exception as failure:
            if not alone:
                raise
            log.exception("a message of %s cannot be computed and goes into quarantine", messages["topic"][0])
            reason = repr(failure)
            self.within(lambda: self._store(messages, unreadable(messages, reason)))

    def _store(self, messages: pl.DataFrame, read: Any) -> None:
        self.upkeep.add(messages, read)
        self.log.set("position", messages["message"][-1])

    def _read(self, messages: pl.DataFrame) -> Any:
        return self.upkeep.steps.read(messages, self.upkeep.state.configuration)


def unreadable(messages: pl.DataFrame, reason: str) -> Read:
    """What a message gives that a step fails on: quarantine, whole."""
    place = messages["message"][0]
    reject = {"message": place, "reason": "malformed", "detail": f"cannot be computed: {reason}. Please report it"}
    outcome = {"message": place, "outcome": "quarantined", "reason": "malformed"}
    return Read(empty(READINGS), shaped(pl.DataFrame([reject]), REJECTS), shaped(pl.DataFrame([outcome]), OUTCOMES))


def _messages(batch: Sequence[Delivery], position: int) -> pl.DataFrame:
    """MESSAGES with their places after `position`."""
    count = len(batch)
    return pl.DataFrame(
        {
            "message": pl.int_range(position + 1, position + 1 + count, eager=True),
            "topic": [d.topic for d in batch],
            "payload": [d.payload for d in batch],
            "received_at": pl.Series([d.received_us for d in batch], dtype=pl.Int64).cast(pl.Datetime("us", "UTC")),
            "retained": [d.retained for d in batch],
            "broker": [d.broker for d in batch],
        },
        schema=MESSAGES,
    )
