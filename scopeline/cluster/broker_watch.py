"""What a broker tells of itself ($SYS) while ingest runs: messages that it dropped, and that it was restarted.

A connection of its own, with a session that ends with it: nothing of $SYS can get into the log, and ingest's own connection is
not touched. Topics are Mosquitto's; of a broker that has others, or allows no reading of them, nothing is told.
"""

import logging
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from paho.mqtt import client as paho

from ingest import connecting
from schemas.connections import Broker

log = logging.getLogger(__name__)

DROPPED, UPTIME = "$SYS/broker/publish/messages/dropped", "$SYS/broker/uptime"
_PAUSE = 5.0
"""Seconds before another try to connect."""
_SLACK = 3.0
"""Seconds by which the moment of a start may seem to move: the uptime comes in whole seconds, over a network."""


class Told:
    """What was heard so far. dropped: as the broker counts since its start; restarts: seen by this process; None: not told."""

    def __init__(self, where: str) -> None:
        self._where = where
        self.dropped: int | None = None
        self.restarts: int | None = None
        self._uptime = 0.0
        self._started = 0.0
        self._unsure = False

    def connected(self) -> None:
        """On a new connection there may be a broker that was started again."""
        self._unsure = True

    def hear(self, topic: str, payload: bytes, retained: bool, now: float) -> None:
        """A message of $SYS; now: monotonic seconds. What is no number is passed over."""
        found = re.match(rb"\s*(\d{1,15})\b", payload)
        if found is None:
            return
        if topic == DROPPED:
            self._drops(int(found[1]))
        elif topic == UPTIME:
            self._up(float(found[1]), retained, now)

    def _drops(self, count: int) -> None:
        before = self.dropped or 0
        if count > before:
            log.error(
                "broker %s has dropped %d messages, %d since it started: they are lost. Raise max_queued_messages and "
                "max_queued_bytes, and see which client was away",
                self._where,
                count - before,
                count,
            )
        self.dropped = count

    def _up(self, uptime: float, retained: bool, now: float) -> None:
        """An uptime that went back is another start. A retained one is as old as the broker left it, so that a start which seems
        to have moved is believed of a live one only."""
        if self.restarts is None:
            self.restarts = 0
        elif uptime < self._uptime or (self._unsure and not retained and now - uptime > self._started + _SLACK):
            self.restarts += 1
            log.warning("broker %s was started again", self._where)
        elif retained:
            return
        self._unsure = self._unsure and retained
        self._uptime, self._started = uptime, now - uptime


class BrokerWatch:
    """Follows one broker in a thread of its own; `told` is what it has heard. `name`: the client id."""

    def __init__(self, broker: Broker, name: str, password: Callable[[], str | None], folder: Path) -> None:
        self._broker, self._name, self._password, self._folder = broker, name, password, folder
        self.told = Told(f"{broker.host}:{broker.port}")
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Connect in the background, and again whenever the connection is lost."""
        self._thread = threading.Thread(target=self._run, name=f"$SYS {self._broker.host}:{self._broker.port}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread:
            self._thread.join(2)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._follow()
            except Exception as error:  # ingest's own connection tells people what is wrong with the broker
                log.debug("$SYS of %s:%d: %s", self._broker.host, self._broker.port, connecting.said(error))
            self._stopping.wait(_PAUSE)

    def _follow(self) -> None:
        """One connection, until it is lost."""
        made = connecting.client(self._broker, self._name, self._password(), self._folder, clean=True)
        made.on_connect, made.on_message = self._connected, self._heard
        try:
            connecting.connect(made, self._broker, clean=True)
            while made.loop(0.5) == paho.MQTT_ERR_SUCCESS:
                if self._stopping.is_set():
                    made.disconnect()
        finally:
            if sock := made.socket():
                sock.close()

    def _connected(self, client: Any, userdata: Any, flags: Any, reason: Any, properties: Any) -> None:
        if not reason.is_failure:
            self.told.connected()
            client.subscribe([(DROPPED, 0), (UPTIME, 0)])

    def _heard(self, client: Any, userdata: Any, message: paho.MQTTMessage) -> None:
        self.told.hear(message.topic, bytes(message.payload), message.retain, time.monotonic())
