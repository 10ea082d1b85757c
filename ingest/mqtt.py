"""An external MQTT broker: subscribes with a persistent session, acknowledges QoS 1 when told to.

paho with manual acknowledgement. Subscriptions ask for QoS 1 at most: paho confirms QoS 2 before anybody has seen the message.
"""

import hashlib
import logging
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from paho.mqtt import client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from ingest.bridge import Receipt, Receipts
from schemas.connections import Broker

log = logging.getLogger(__name__)
_WEEK = 7 * 24 * 3600


class Received(NamedTuple):
    topic: str
    payload: bytes
    received_us: int
    retained: bool
    receipt: Receipt | None  # None: QoS 0, nobody waits


def client_id(*parts: str) -> str:
    """A stable name for the session: the same plant always comes back as the same client."""
    return "scopeline-" + hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]


class Subscriber:
    """One connection to a broker. `take` is called on paho's thread for each message; it may block (then the broker waits)."""

    def __init__(
        self,
        broker: Broker,
        filters: Iterable[str],
        take: Callable[[Received], None],
        *,
        name: str,
        password: str | None = None,
        folder: Path = Path(),
    ) -> None:
        self._broker, self._take = broker, take
        self._filters = sorted(set(filters))
        self._subscribed: set[str] = set()
        self._receipts, self._guard = Receipts(), threading.Lock()
        self.problem: str | None = "not connected yet"
        five = broker.version == "5"
        self._client = paho.Client(
            paho.CallbackAPIVersion.VERSION2,
            client_id=broker.client_id or name,
            clean_session=None if five else False,
            protocol=paho.MQTTv5 if five else paho.MQTTv311,
            transport=broker.transport,
            manual_ack=True,
        )
        if broker.username:
            self._client.username_pw_set(broker.username, password)
        if broker.tls:
            ca, cert, key = (
                str(folder / f) if f else None for f in (broker.tls.ca_file, broker.tls.cert_file, broker.tls.key_file)
            )
            self._client.tls_set(ca, cert, key)
        self._client.reconnect_delay_set(1, 30)
        self._client.on_connect = self._connected
        self._client.on_disconnect = self._disconnected
        self._client.on_message = self._received

    @property
    def address(self) -> str:
        return f"{self._broker.host}:{self._broker.port}"

    def start(self) -> None:
        """Connect in the background, and again whenever the connection is lost."""
        session: dict[str, Any] = {}
        if self._broker.version == "5":
            properties = Properties(PacketTypes.CONNECT)
            properties.SessionExpiryInterval = _WEEK
            properties.ReceiveMaximum = 65535
            session = {"clean_start": False, "properties": properties}
        self._client.connect_async(self._broker.host, self._broker.port, keepalive=60, **session)
        self._client.loop_start()

    def stop(self) -> None:
        """Disconnect; the broker keeps the session and what is not acknowledged."""
        self._client.disconnect()
        self._client.loop_stop()

    def subscribe(self, filters: Iterable[str]) -> None:
        """Change what is listened to."""
        self._filters = sorted(set(filters))
        if self._client.is_connected():
            self._ask()

    def acknowledge(self, receipts: Iterable[Receipt]) -> None:
        """These messages are committed. Safe from any thread; receipts of a lost connection are dropped."""
        with self._guard:
            for packet_id in self._receipts.settle(receipts):
                self._client.ack(packet_id, 1)

    def _ask(self) -> None:
        wanted = set(self._filters)
        if gone := sorted(self._subscribed - wanted):
            self._client.unsubscribe(gone)
        if new := sorted(wanted - self._subscribed):
            self._client.subscribe([(topic, 1) for topic in new])
        self._subscribed = wanted

    def _connected(self, client: Any, userdata: Any, flags: Any, reason: Any, properties: Any) -> None:
        if reason.is_failure:
            self.problem = f"broker {self.address} refuses: {reason}"
            log.error("%s", self.problem)
            return
        self.problem = None
        with self._guard:
            self._receipts.reconnected()
        if not flags.session_present:
            self._subscribed = set()
        self._ask()

    def _disconnected(self, client: Any, userdata: Any, flags: Any, reason: Any, properties: Any) -> None:
        with self._guard:
            self._receipts.reconnected()
        self.problem = f"broker {self.address} is not connected: {reason}"
        if reason.is_failure:
            log.warning("%s; trying again", self.problem)

    def _received(self, client: Any, userdata: Any, message: paho.MQTTMessage) -> None:
        try:
            receipt = None
            if message.qos:
                with self._guard:
                    receipt = self._receipts.receive(message.mid)
            now = time.time_ns() // 1000
            self._take(Received(message.topic, bytes(message.payload), now, bool(message.retain), receipt))
        except Exception:  # an exception here would end paho's thread; unacknowledged, the message comes again
            log.exception("message of %s not taken", self.address)
