"""Devices of a test cluster: they publish with QoS 1, and know which of their messages the broker has acknowledged."""

import json
import threading
import time
from collections import deque
from functools import partial
from typing import Any

import waiting
from paho.mqtt import client as paho
from waiting import PATIENCE

STOPS_WITHIN = 30.0
"""Seconds for a stop: 10 are promised (docs/operate.md), and a machine with three times as much to do as it can needs 30 for the
same. Who waits for a client library to give up by itself takes longer."""

until = partial(waiting.until, every=0.1)
"""Servers are asked ten times a second."""


class Gauge:
    """One MQTT client. `publish` never waits: what the broker has not acknowledged is sent again after a reconnect."""

    def __init__(self, port: int, name: str) -> None:
        self.published = 0
        self._acknowledged: dict[str, float] = {}
        self._open: dict[int, str] = {}  # packet id -> name; ids come again after 65,535 messages
        self._confirmed: deque[int] = deque()
        self._guard = threading.Lock()
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id=name, clean_session=False)
        self._client.max_inflight_messages_set(200)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_publish = lambda client, data, mid, reason, properties: self._confirmed.append(mid)
        self._client.connect_async("127.0.0.1", port)
        self._client.loop_start()

    def publish(self, topic: str, payload: dict[str, Any] | str, name: str, retain: bool = False) -> None:
        """Hand a message over to the client; `name` is what `acknowledged` calls it."""
        text = payload if isinstance(payload, str) else json.dumps(payload)
        with self._guard:
            self._open[self._client.publish(topic, text, qos=1, retain=retain).mid] = name
            self.published += 1

    @property
    def acknowledged(self) -> dict[str, float]:
        """Name -> when it was first seen that the broker has acknowledged it (monotonic seconds)."""
        with self._guard:
            while self._confirmed:
                self._acknowledged[self._open.pop(self._confirmed.popleft())] = time.monotonic()
            return dict(self._acknowledged)

    @property
    def waiting(self) -> int:
        """Messages that the broker has not acknowledged."""
        return self.published - len(self.acknowledged)

    def drained(self, timeout: float = PATIENCE) -> bool:
        """Whether the broker has acknowledged everything."""
        return until(lambda: self.waiting == 0, timeout)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()
