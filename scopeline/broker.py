"""The MQTT broker inside the process: amqtt, whose QoS 1 acknowledgement waits for the log's commit.

amqtt acknowledges a PUBLISH once it is in a memory queue. Here messages are taken out of the stream before that (see gate) for
the inbox, and PUBACK (PUBREC for QoS 2) is sent when the worker has committed. It stands on private names of amqtt 0.12.1, which
pyproject pins and tests/scopeline/test_broker.py checks: `_initialize_client_session`, `_authenticate`, `_topic_filtering`,
`_broadcast_message`, `_broadcast_queue`, `_tasks_queue`, `_subscriptions`, `_sessions`, `_servers`.
"""

import asyncio
import hmac
import logging
import socket
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from amqtt.adapters import ReaderAdapter, StreamWriterAdapter, WriterAdapter
from amqtt.broker import Broker
from amqtt.mqtt.protocol.broker_handler import BrokerProtocolHandler
from amqtt.mqtt.publish import PublishPacket
from amqtt.mqtt.pubrel import PubrelPacket
from amqtt.session import Session

from ingest import topics
from ingest.bridge import Received, Stamps
from ingest.packets import PUBCOMP, PUBREC, Read, acknowledgements
from scopeline.gate import Gate
from scopeline.inbox import Delivery, Inbox

_BURST = 500  # messages that are taken at once
_BACKLOG = 10_000  # deliveries to subscribers in flight; beyond, subscribers miss messages (the log does not)
_SEEN = "scopeline.received"  # packet ids of QoS 2 messages that are in the log and not yet released


class BrokerStart(Exception):
    """The broker cannot listen: why, and what to do."""


class _Handler(BrokerProtocolHandler):
    """One client's connection: takes what it publishes."""

    def __init__(self, broker: "_Broker", keepalive: int) -> None:
        super().__init__(broker.plugins_manager)
        self.broker, self.keepalive = broker, keepalive
        self.gate: Gate | None = None

    def attach(self, session: Session, reader: ReaderAdapter, writer: WriterAdapter) -> None:
        if isinstance(reader, Gate):
            self.gate, reader.take = reader, self._take
        super().attach(session, reader, writer)

    async def _take(self, found: Read) -> None:
        """Messages of QoS 0 and 1."""
        replies = iter(found.replies)
        self.broker.take([(one, (self, next(replies)) if one.receipt else None) for one in found.messages])
        for one in found.messages:
            if one.retained:
                await self.broker.retain_message(self.session, one.topic, one.payload, 1 if one.receipt else 0)
            await self.broker.forward(self.session, one.topic, one.payload)

    async def handle_publish(self, publish_packet: PublishPacket) -> None:
        """A message of QoS 2."""
        topic, data, number = publish_packet.topic_name, publish_packet.data, publish_packet.packet_id
        session = self.session
        if session is None or topic is None or data is None or number is None:
            return
        if topic.startswith("$") or topics.fault(topic):
            await self.handle_disconnect(None)  # not allowed to publishers (MQTT 3.1.1, 4.7)
            return
        seen = session.attributes.setdefault(_SEEN, {})
        if number in seen:  # sent again before our PUBREC arrived: in the log, or on its way
            if seen[number]:
                self.acknowledge([PUBREC | number])
            return
        seen[number] = False
        self.broker.take_one(topic, data, (self, PUBREC | number))
        if publish_packet.retain_flag:
            await self.broker.retain_message(session, topic, data, 2)
        await self.broker.forward(session, topic, data)

    async def handle_pubrel(self, pubrel: PubrelPacket) -> None:
        if self.session is not None and self.writer is not None:
            self.session.attributes.get(_SEEN, {}).pop(pubrel.packet_id, None)
            self.writer.write(acknowledgements([PUBCOMP | pubrel.packet_id]))

    def acknowledge(self, replies: list[int]) -> None:
        """Say that messages are in the log; in receipt order, in one write."""
        if self.session is None or self.writer is None:
            return
        for reply in replies:
            if reply >= PUBREC:
                self.session.attributes.setdefault(_SEEN, {})[reply & 0xFFFF] = True
        self.writer.write(acknowledgements(replies))


Token = tuple[_Handler, int]
"""Who waits for a message's commit, and the bytes that it is told by; see ingest.packets."""
Take = Callable[[list[tuple[Received, Token | None]]], None]


class _Broker(Broker):
    """amqtt with our handler, our authentication, and no plugins."""

    def __init__(self, host: str, port: int, inbox: Inbox, take: Take, allowed: Callable[[Session], bool]) -> None:
        super().__init__({"listeners": {"default": {"type": "tcp", "bind": f"{host}:{port}"}}, "plugins": {}})
        self.inbox, self.take, self.allowed = inbox, take, allowed
        self.stamps = Stamps()
        self.space = asyncio.Event()
        self.space.set()

    def take_one(self, topic: str, data: bytes, token: Token | None = None) -> None:
        self.take([(Received(topic, data, self.stamps.now(), False, None), token)])
        self.stamps.used(1)

    async def room(self) -> int:
        """Waits until the inbox has space; how many messages may come at once."""
        await self.space.wait()
        return max(1, min(_BURST, self.inbox.room))

    async def stream_connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, listener_name: str) -> None:
        await self.external_connected(Gate(reader, self.stamps, self.room), StreamWriterAdapter(writer), listener_name)

    async def _initialize_client_session(self, reader: Any, writer: Any, address: str, port: int) -> tuple[_Handler, Session]:
        _, session = await super()._initialize_client_session(reader, writer, address, port)
        keepalive, session.keep_alive = (
            session.keep_alive,
            0,
        )  # amqtt's timeout can tear a packet and disconnects nobody: see `watch`
        return _Handler(self, keepalive), session

    async def _authenticate(self, session: Session, _: Any) -> bool:
        session.is_anonymous = not session.username
        return self.allowed(session)

    async def _topic_filtering(self, session: Session, topic: str, action: Any) -> bool:
        return True

    async def _broadcast_message(self, session: Any, topic: Any, data: Any, force_qos: int | None = None) -> None:
        if force_qos is not None and topic and data is not None:  # a last will: as much a message as any other
            self.take_one(topic, bytes(data))
        await self.forward(session, topic, data, force_qos)

    async def forward(self, session: Session | None, topic: str, data: bytes, qos: int | None = None) -> None:
        """To the subscribers, as far as they keep up."""
        if not self._subscriptions or self._broadcast_queue.qsize() >= _BACKLOG:
            return
        if len(self._tasks_queue) >= _BACKLOG:
            alive = [task for task in self._tasks_queue if not task.done()]
            self._tasks_queue.clear()
            self._tasks_queue.extend(alive)
            if len(alive) >= _BACKLOG:
                return
        await super()._broadcast_message(session, topic, data, qos)

    def listening_port(self) -> int:
        server = self._servers["default"].instance
        assert isinstance(server, asyncio.Server)
        return int(server.sockets[0].getsockname()[1])

    async def watch(self) -> None:
        """Disconnect clients that have been silent for one and a half times their keep-alive."""
        while True:
            await asyncio.sleep(1)
            now = time.monotonic()
            for _, handler in list(self._sessions.values()):
                if not (isinstance(handler, _Handler) and handler.gate and handler.keepalive and handler.session):
                    continue
                if self.space.is_set() and now - handler.gate.heard > 1.5 * handler.keepalive:
                    await handler.handle_connection_closed()
                    handler.gate.heard = now


class EmbeddedBroker:
    """The broker on a thread of its own.

    Without username only clients of this machine may connect: `host` must then be a loopback address.
    """

    def __init__(
        self, inbox: Inbox, host: str = "127.0.0.1", port: int = 1883, username: str | None = None, password: str | None = None
    ) -> None:
        self.inbox, self.host, self.port = inbox, host, port
        self._username, self._password = username, password
        self._ready = threading.Event()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="mqtt-broker", daemon=True)
        for noisy in ("amqtt", "transitions"):
            logging.getLogger(noisy).setLevel(logging.CRITICAL)

    def start(self) -> None:
        """Listen; raises BrokerStart when that is impossible."""
        if self._username is None and not _loopback(self.host):
            raise BrokerStart(
                f"The embedded broker would listen on {self.host} for anybody. "
                "Give brokers.embedded a username and a password_file in plant.yaml, or the host 127.0.0.1."
            )
        _check_free(self.host, self.port)
        self._thread.start()
        self._ready.wait()
        if self._error:
            raise BrokerStart(f"The embedded broker cannot start: {self._error}")

    def stop(self, timeout: float = 5) -> None:
        if self._thread.is_alive() and self._ready.wait(timeout) and not self._error:  # it may still be starting
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join(timeout)

    async def _run(self) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        try:
            self._broker = _Broker(self.host, self.port, self.inbox, self._take, self._allowed)
            await self._broker.start()
            self.port = self._broker.listening_port()
        except Exception as error:
            self._error = error
            return
        finally:
            self._ready.set()
        self.inbox.listeners.append(self._relieved)
        watching = asyncio.create_task(self._broker.watch())
        await self._stopping.wait()
        self.inbox.listeners.remove(self._relieved)
        watching.cancel()
        self._broker.space.clear()
        try:
            await asyncio.wait_for(self._broker.shutdown(), 3)
        except (TimeoutError, asyncio.CancelledError):
            logging.getLogger(__name__).debug("broker did not close in time")

    def _allowed(self, session: Session) -> bool:
        if self._username is None:
            return True
        given = f"{session.username or ''}\0{session.password or ''}".encode()
        return hmac.compare_digest(given, f"{self._username}\0{self._password or ''}".encode())

    def _take(self, messages: list[tuple[Received, Token | None]]) -> None:
        self.inbox.offer(*(Delivery(one.topic, one.payload, one.received_us, self, token) for one, token in messages))
        if self.inbox.full:
            self._broker.space.clear()
            if not self.inbox.full:  # relieved between the two lines
                self._broker.space.set()

    def _relieved(self) -> None:
        self._loop.call_soon_threadsafe(self._broker.space.set)

    def settle(self, tokens: list[Any], places: list[int]) -> None:
        """Acknowledge; connections that are gone are left out, their clients send again."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._acknowledge, tokens)

    def _acknowledge(self, tokens: list[Token]) -> None:
        grouped: dict[_Handler, list[int]] = defaultdict(list)
        for handler, reply in tokens:
            grouped[handler].append(reply)
        for handler, replies in grouped.items():
            handler.acknowledge(replies)

    def forward(self, topic: str, payload: bytes) -> None:
        """Let subscribers see a message that came another way (HTTP, import)."""
        if self._ready.is_set() and not self._error and not self._loop.is_closed():
            asyncio.run_coroutine_threadsafe(self._broker.forward(None, topic, payload), self._loop)


def _loopback(host: str) -> bool:
    return host in ("localhost", "::1", "[::1]") or host.startswith("127.")


def _check_free(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host.strip("[]"), port))
        except OSError as error:
            raise BrokerStart(
                f"Port {port} on {host} cannot be used ({error.strerror}); another broker may run there. "
                "Stop it, choose another port with --mqtt-port, or name that broker under brokers: in plant.yaml."
            ) from None
