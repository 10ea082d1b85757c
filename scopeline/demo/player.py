"""Sends the demo's messages over real MQTT: the last day at once, a few minutes in fast motion, then as they happen."""

import threading
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from scopeline.demo.messages import Publish, grid, messages

HISTORY = timedelta(hours=26)
"""Sent at once at the start, so that a chart of 24 hours is full."""

FAST_MOTION = timedelta(minutes=3)
"""How long the fast motion takes before it has caught up with the present."""

BACKFILLED = timedelta(minutes=1)
LIVE = timedelta(seconds=5)
"""How often the main meter speaks: in history and fast motion, and then."""

IN_FLIGHT = 200


class Progress(NamedTuple):
    """What the player has done: messages acknowledged, and the instant up to which everything was sent."""

    acknowledged: int
    sent_to: datetime
    phase: str  # history, fast motion, live


def behind(speed: float) -> timedelta:
    """How far before the present the fast motion starts, so that it catches up after FAST_MOTION.

    >>> behind(1), behind(61)
    (datetime.timedelta(0), datetime.timedelta(seconds=10800))
    """
    return min((speed - 1) * FAST_MOTION, timedelta(hours=24))


def demo_time(now: datetime, begun: datetime, speed: float) -> datetime:
    """The instant that the demo has reached: it runs at `speed` until it meets the clock, and never overtakes it.

    >>> begun = datetime(2026, 1, 1, 12, tzinfo=UTC)
    >>> [demo_time(begun + timedelta(minutes=m), begun, 61).strftime("%H:%M") for m in (0, 1, 3, 9)]
    ['09:00', '10:01', '12:03', '12:09']
    """
    return min(now, begun - behind(speed) + (now - begun) * speed)


class Player:
    """Publishes with QoS 1 and keeps at most IN_FLIGHT messages unacknowledged."""

    def __init__(self, host: str, port: int, speed: float = 1.0) -> None:
        self.speed = speed
        self.acknowledged = 0
        self._host, self._port = host, port
        self._slots = threading.Semaphore(IN_FLIGHT)
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="scopeline-demo-player")
        self._client.max_inflight_messages_set(IN_FLIGHT)
        self._client.on_publish = self._on_publish

    def _on_publish(self, *_: object) -> None:
        self.acknowledged += 1
        self._slots.release()

    def run(self, stop: threading.Event, report: Callable[[Progress], None]) -> None:
        """Play until `stop` is set; `report` hears of each round. Raises OSError when the broker cannot be reached."""
        self._client.connect(self._host, self._port)
        self._client.loop_start()
        try:
            self._play(stop, report)
        finally:
            self._client.disconnect()
            self._client.loop_stop()

    def _play(self, stop: threading.Event, report: Callable[[Progress], None]) -> None:
        begun = datetime.now(UTC)
        sent_to = begun - HISTORY
        self._send(grid(sent_to - timedelta(hours=2), sent_to, BACKFILLED), "history", stop, report)
        phase = "history"
        while not stop.is_set():
            now = datetime.now(UTC)
            until = demo_time(now, begun, self.speed)
            self._send(messages(sent_to, until, LIVE if phase == "live" else BACKFILLED), phase, stop, report)
            sent_to = until
            report(Progress(self.acknowledged, sent_to, phase))
            phase = "live" if until == now else "fast motion"
            stop.wait(1.0)

    def _send(self, batch: Iterable[Publish], phase: str, stop: threading.Event, report: Callable[[Progress], None]) -> None:
        """Hand messages over as fast as they are acknowledged, and say how far they are."""
        for number, publish in enumerate(batch, 1):
            while not self._slots.acquire(timeout=1.0):
                report(Progress(self.acknowledged, publish.at, phase))
                if stop.is_set():
                    return
            if stop.is_set():
                return
            self._client.publish(publish.topic, publish.payload, qos=1)
            if number % IN_FLIGHT == 0:
                report(Progress(self.acknowledged, publish.at, phase))
