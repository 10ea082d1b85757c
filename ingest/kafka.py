"""Messages into Kafka: collected for at most 100 ms, sent as few records, reported back when Kafka has them all.

Nothing is given up: a record that Kafka has not confirmed is sent again, after an error by a new producer, since the library
fails what was in flight when its own producer id ends. So a record may be in the log twice; figures do not depend on that.
"""

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from ingest.batches import Batches, Origin, Outgoing
from ingest.bridge import Received
from ingest.routing import Routes

log = logging.getLogger(__name__)

LINGER_S = 0.1
QUIET_S = 0.01
"""Nothing new for so long: what is there is sent, since a broker with a small window waits for us."""
FULL_MESSAGES = 200_000
FULL_BYTES = 64 * 1024 * 1024
"""Received and not confirmed: beyond, brokers wait. More messages than any broker sends without an acknowledgement."""
LATE_S = 5.0
STUCK_S = 60.0
SLOWEST_S = 10.0
OVERHEAD = 64 * 1024
"""Bytes of a record beside the payload: topic (at most 65,535), headers."""

SETTINGS: dict[str, Any] = {
    "acks": "all",
    "enable_idempotence": True,
    "max_in_flight_requests_per_connection": 5,
    "allow_auto_create_topics": False,
    "linger_ms": 0,
    "batch_size": 256 * 1024,
    "max_block_ms": 5_000,
    "request_timeout_ms": 10_000,
    "delivery_timeout_ms": 30_000,
    "bootstrap_timeout_ms": 10_000,
    "reconnect_backoff_max_ms": 1_000,
    "metrics_enabled": False,
}
"""Of KafkaProducer: what the library's defaults would lose or let hang."""


class Producer(Protocol):
    """What is asked of kafka-python's KafkaProducer."""

    def send(self, topic: str, *, value: bytes, key: bytes, headers: Any) -> Any: ...
    def close(self, timeout: float | None = None) -> None: ...


class Publisher:
    """Sends to the topics `raw` and `ref`. `connect` makes a producer with SETTINGS and may raise; it is asked again and again.

    `largest`: bytes of a record that the topics take; a larger payload is logged as an empty one, which decoders reject.
    `passing(name)` is called at `before_send` and `after_confirm`, for tests of faults. `count`: messages, confirmed, records,
    bytes (of payloads confirmed), errors, oversize.
    """

    def __init__(
        self,
        connect: Callable[[], Producer],
        routes: Routes,
        raw: str,
        ref: str,
        *,
        largest: int,
        passing: Callable[[str], None] = lambda name: None,
    ) -> None:
        self._connect, self._raw, self._ref, self._passing = connect, raw, ref, passing
        self._batches = Batches(routes, largest - OVERHEAD)
        self._routes: Routes | None = None
        self._waiting: deque[tuple[Origin, list[Received]]] = deque()
        self._changed = threading.Condition()
        self._asleep = False
        self._flying: dict[int, Outgoing] = {}
        self._sums = threading.Lock()
        self._messages = self._bytes = 0
        self._producer: Producer | None = None
        self._error: str | None = None
        self._delay = self._failed_at = 0.0
        self._generation = 0
        self._stopping: float | None = None
        self._thread: threading.Thread | None = None
        self._beat = time.monotonic()
        self._trouble: str | None = None
        self.count: Counter[str] = Counter()

    @property
    def full(self) -> bool:
        """True while no more messages should be offered."""
        return self._messages >= FULL_MESSAGES or self._bytes >= FULL_BYTES

    @property
    def in_flight(self) -> int:
        """Messages offered and not confirmed (one that goes to several places counts for each)."""
        return self._messages

    @property
    def alive(self) -> bool:
        """False where the thread has ended or hangs, without being asked to stop."""
        running = self._thread is not None and self._thread.is_alive() and time.monotonic() - self._beat < STUCK_S
        return running or self._thread is None or self._stopping is not None

    @property
    def problem(self) -> str | None:
        """What is wrong now, for people."""
        return self._trouble if self.alive else "Kafka: the sending thread stands still"

    def start(self) -> None:
        self._stopping, self._beat = None, time.monotonic()
        self._thread = threading.Thread(target=self._run, name="kafka publisher", daemon=True)
        self._thread.start()

    def stop(self, within: float = 5.0) -> bool:
        """Send what is there and wait for Kafka; True where all is confirmed."""
        self._stopping = time.monotonic() + within
        with self._changed:
            self._changed.notify()
        if self._thread:
            self._thread.join(within + 2)
        return not self._messages

    def configure(self, routes: Routes) -> None:
        """From now on by these routes; what no feed reads any more goes where it went before."""
        self._routes = routes

    def offer(self, origin: Origin, messages: list[Received]) -> None:
        """Take messages over; never blocks, safe from any thread."""
        size = sum([len(message[1]) for message in messages])
        with self._sums:
            self._messages += len(messages)
            self._bytes += size
            self.count["messages"] += len(messages)
        self._waiting.append((origin, messages))
        if self._asleep:
            with self._changed:
                self._changed.notify()

    # the thread ----------------------------------------------------------------------------------------------------------
    def _run(self) -> None:
        while True:
            self._beat = time.monotonic()
            try:
                if self._error is not None:
                    self._renew()
                elif self._collect():
                    for record in self._batches.all():
                        self._send(record)
                self._look()
            except Exception as error:
                log.exception("not sent to Kafka")
                self._error = self._error or str(error)
            if self._stopping is not None and (not self._messages or time.monotonic() > self._stopping):
                break
        self._retire()

    def _collect(self) -> bool:
        """Wait for messages, then for their companions while they keep coming; True where it is time to send all."""
        with self._changed:
            self._asleep = True
            self._changed.wait_for(lambda: self._waiting or self._error is not None or self._stopping is not None, 1.0)
            self._asleep = False
        end = time.monotonic() + LINGER_S
        while self._waiting and self._error is None:
            if self._routes is not None:
                self._batches.configure(self._routes)
                self._routes = None
            while self._waiting:
                origin, messages = self._waiting.popleft()
                more, extra = self._batches.add(origin, messages)
                with self._sums:
                    self._messages += more
                    self._bytes += extra
            for record in self._batches.ready():
                self._send(record)
            if time.monotonic() >= end or self._stopping is not None:
                break
            time.sleep(QUIET_S)
        return bool(self._batches)

    def _send(self, record: Outgoing) -> None:
        """Hand a record over; it stays in `_flying` until it is confirmed, whatever happens."""
        record.sent = time.monotonic()
        record.begun = record.begun or record.sent
        self._flying[id(record)] = record
        if self._error is not None:
            return
        try:
            if self._producer is None:
                self._producer = self._connect()
            self._passing("before_send")
            topic = self._ref if record.ref else self._raw
            sent = self._producer.send(topic, value=record.value, key=record.key, headers=list(record.headers))
            sent.add_callback(partial(self._confirmed, record))
            sent.add_errback(partial(self._failed, self._generation))
        except Exception as error:
            self._failed(self._generation, error)

    def _confirmed(self, record: Outgoing, place: Any) -> None:
        if self._flying.pop(id(record), None) is None:
            return  # sent twice and confirmed twice
        self._passing("after_confirm")
        with self._sums:
            receipts = record.confirmed()
        if receipts:
            record.origin.acknowledge(receipts)
        with self._sums:  # only now: who waits for the last one may disconnect then
            self._messages -= record.messages
            self._bytes -= record.size
            self.count["records"] += 1
            self.count["confirmed"] += record.messages
            self.count["bytes"] += record.size

    def _failed(self, generation: int, error: BaseException) -> None:
        if generation != self._generation:
            return  # of a producer that was given up: its records are sent again already
        self._failed_at = time.monotonic()
        self._error = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        with self._sums:
            self.count["errors"] += 1
        with self._changed:
            self._changed.notify()

    def _look(self) -> None:
        """What people should know; a record that nobody answers for counts as an error."""
        self.count["oversize"] = self._batches.oversize
        now = time.monotonic()
        oldest = next(iter(list(self._flying.values())), None)
        if oldest is None or oldest.begun > max(self._failed_at, now - LATE_S):
            self._trouble, self._delay = None, 0.0
        elif now - oldest.sent > STUCK_S and self._error is None:
            self._failed(self._generation, TimeoutError(f"no answer for {STUCK_S:.0f} s"))
        elif self._trouble is None:
            self._trouble = f"Kafka has not confirmed a record for {LATE_S:.0f} s; messages wait unacknowledged"

    def _renew(self) -> None:
        """A new producer, and everything that is not confirmed once more, in order."""
        said, self._error = self._error, None
        self._trouble = f"Kafka does not take messages: {said}. They wait unacknowledged and are sent again"
        log.warning("%s", self._trouble)
        self._retire()
        self._delay = min(max(self._delay * 2, 0.2), SLOWEST_S)
        end = time.monotonic() + self._delay
        while (left := end - time.monotonic()) > 0:
            time.sleep(min(left, 0.2))
            self._beat = time.monotonic()
            if self._stopping is not None:
                break
        for record in list(self._flying.values()):
            self._beat = time.monotonic()
            self._send(record)

    def _retire(self) -> None:
        """Close the producer without waiting for it: it ends when its last record has, one way or the other."""
        self._generation += 1
        if (old := self._producer) is not None:
            self._producer = None
            threading.Thread(target=_close, args=(old,), name="kafka producer closing", daemon=True).start()


def _close(producer: Producer) -> None:
    try:
        producer.close(SETTINGS["delivery_timeout_ms"] / 1000 + 5)
    except Exception as error:
        log.debug("closing a Kafka producer: %s", error)
