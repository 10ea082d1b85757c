"""What comes in on the connections of one client: messages read in bursts, and acknowledged in the order in which they came."""

import logging
from collections import Counter, deque
from collections.abc import Callable, Iterable
from typing import Any

from paho.mqtt import client as paho

from ingest.bridge import Receipt, Receipts, Received, Stamps
from ingest.packets import PUBACK, PUBCOMP, acknowledgements
from ingest.wire import Wire

log = logging.getLogger(__name__)

BURST = 500
"""Messages read before anything else gets its turn."""


class Intake:
    """For the connection's thread, but for `settled`. `take(messages)` is called with each burst.

    `count`: received, acknowledged, unreadable.
    """

    def __init__(self, address: str, take: Callable[[list[Received]], None], count: Counter[str]) -> None:
        self._address, self._take, self.count = address, take, count
        self._receipts, self._burst = Receipts(), list[Received]()
        self._stamps = Stamps()
        self.settled: deque[Iterable[Receipt]] = deque()
        """Receipts of what is committed; any thread may append."""

    def __len__(self) -> int:
        """Messages received on this connection and not acknowledged."""
        return len(self._receipts)

    def read(self, client: paho.Client) -> bool:
        """A burst; False where nobody took it: unacknowledged, it comes again after the next reconnect."""
        sock = client.socket()
        if isinstance(sock, Wire):
            self._read_many(client, sock)
        else:
            self._read_each(client)
        burst, self._burst = self._burst, []
        if burst:
            self.count["received"] += len(burst)
            try:
                self._take(burst)
            except Exception:
                log.exception("messages of %s not taken", self._address)
                return False
        return True

    def _read_many(self, client: paho.Client, wire: Wire) -> None:
        """Messages by the wire, every other packet by paho."""
        wire.receive()
        while (most := BURST - len(self._burst)) > 0:
            found = wire.messages(most, self._receipts.next, self._stamps.now())
            self._stamps.used(len(found.messages))
            self._receipts.receive(*found.replies)
            self._burst += found.messages
            if len(found.messages) == most or not wire.grant() or client.loop_read():
                break

    def _read_each(self, client: paho.Client) -> None:
        """Everything by paho, packet by packet."""
        burst, read = self._burst, client.loop_read
        for _ in range(BURST):
            seen = len(burst)
            if read() or len(burst) == seen:
                break

    def received(self, client: Any, userdata: Any, message: paho.MQTTMessage) -> None:
        """paho's on_message: a message that paho has read."""
        receipt = self._receipts.receive((PUBACK if message.qos == 1 else PUBCOMP) | message.mid) if message.qos else None
        try:
            topic = message.topic
        except UnicodeDecodeError:  # MQTT forbids it, so that no broker should send it; nothing can be logged under no name
            self.count["unreadable"] += 1
            log.error("broker %s sent a topic that is no UTF-8: the message is passed over", self._address)
            if receipt:
                self.settled.append([receipt])
            return
        self._burst.append(Received(topic, bytes(message.payload), self._stamps.now(), message.retain, receipt))
        self._stamps.used(1)

    def settle(self, client: paho.Client) -> None:
        """Acknowledge what is committed."""
        while self.settled:
            replies = self._receipts.settle(self.settled.popleft())
            sock = client.socket()
            if isinstance(sock, Wire):
                sock.send(acknowledgements(replies))
            else:
                for reply in replies:
                    client.ack(reply & 0xFFFF, 1 if reply < PUBCOMP else 2)
            self.count["acknowledged"] += len(replies)

    def reconnected(self) -> None:
        """Another connection: what came on the last one will not be acknowledged."""
        self._receipts.reconnected()
        self._burst = []
