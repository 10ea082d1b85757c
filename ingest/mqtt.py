"""One connection to an MQTT broker: a persistent session, read in bursts, acknowledged when told to.

A thread of its own waits for the socket and runs paho's public loop calls; messages are read beside it (ingest.wire). Whatever
happens in it is caught; a message that nobody took stays unacknowledged and comes again. Subscriptions ask for QoS 1 at most:
paho confirms QoS 2 before anybody has seen the message. A new client is made for each connection, with secrets and certificates
as their files are then.
"""

import logging
import random
import selectors
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from paho.mqtt import client as paho

from ingest import connecting
from ingest.bridge import Receipt, Received
from ingest.connecting import client_id
from ingest.intake import Intake
from ingest.subscriptions import Subscriptions
from ingest.wire import Wire
from schemas.connections import Broker

__all__ = ["Received", "Subscriber", "client_id"]

log = logging.getLogger(__name__)

PAUSE_S = 0.05
TICK_S = 1.0
STUCK_S = 60.0
SLOWEST_S = 30.0
"""Longest pause before another try to connect, and the pause of a client whose id somebody else uses."""
SHORT_S = 10.0
"""A session that ends sooner was perhaps taken over; the third in a row was."""


class Subscriber:
    """One client of a broker.

    `take(messages)` is called on the connection's thread for each burst, and must not block; while `ready()` is false nothing is
    read, so that the broker waits. `group` and `memory`: see Subscriptions. `count`: received, acknowledged, connections,
    disconnects, sessions_lost, unreadable.
    """

    def __init__(
        self,
        broker: Broker,
        filters: Iterable[str],
        take: Callable[[list[Received]], None],
        *,
        name: str,
        password: Callable[[], str | None] | str | None = None,
        folder: Path = Path(),
        group: str | None = None,
        ready: Callable[[], bool] = lambda: True,
        memory: Path | None = None,
    ) -> None:
        self._broker, self._ready, self._folder = broker, ready, folder
        self._name, self._password = name, password
        self._subscriptions = Subscriptions(filters, group, memory)
        self.count: Counter[str] = Counter()
        self._intake = Intake(self.address, take, self.count)
        self._bell = connecting.Bell()
        self._again = self._paused = False
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._connected_at: float | None = None
        self._short = 0
        self._beat = time.monotonic()
        self._trouble: str | None = "not connected yet"

    @property
    def address(self) -> str:
        return f"{self._broker.host}:{self._broker.port}"

    @property
    def in_flight(self) -> int:
        """Messages received on this connection and not acknowledged."""
        return len(self._intake)

    @property
    def alive(self) -> bool:
        """False where the thread has ended or hangs, without being asked to stop."""
        running = self._thread is not None and self._thread.is_alive() and time.monotonic() - self._beat < STUCK_S
        return running or self._thread is None or self._stopping.is_set()

    @property
    def problem(self) -> str | None:
        """What is wrong now, for people."""
        if not self.alive:
            return f"broker {self.address}: the connection's thread stands still"
        if self._trouble is None and (said := self._subscriptions.problem(self._name)):
            return f"broker {self.address} {said}"
        return self._trouble

    def start(self) -> None:
        """Connect in the background, and again whenever the connection is lost."""
        self._stopping.clear()
        self._beat = time.monotonic()
        self._thread = threading.Thread(target=self._run, name=f"mqtt {self.address}", daemon=True)
        self._thread.start()

    def pause(self) -> None:
        """Read no more messages; acknowledgements still leave."""
        self._paused = True

    def stop(self) -> None:
        """Acknowledge what is settled and disconnect; the broker keeps the session and what is not acknowledged."""
        self._stopping.set()
        self._bell.ring()
        if self._thread:
            self._thread.join(10)
        self._thread = None

    def subscribe(self, filters: Iterable[str]) -> None:
        """Change what is listened to: new filters first, then old ones leave the session."""
        self._subscriptions.want(filters)
        self._bell.ring()

    def reconnect(self) -> None:
        """Leave and come back: the broker sends again what is not acknowledged."""
        self._again = True
        self._bell.ring()

    def acknowledge(self, receipts: Iterable[Receipt]) -> None:
        """These messages are committed. Safe from any thread; receipts of a lost connection are dropped."""
        self._intake.settled.append(receipts)
        self._bell.ring()

    # the thread ----------------------------------------------------------------------------------------------------------
    def _run(self) -> None:
        delay = 0.5
        while not self._stopping.is_set():
            try:
                lasted = self._session()
            except Exception as error:  # files that cannot be read, hosts that are not there
                lasted = 0.0
                self._trouble = f"broker {self.address} is not connected: {connecting.said(error)}"
                log.warning("%s; trying again", self._trouble)
            self._intake.reconnected()
            delay = 0.5 if lasted > SHORT_S else min(delay * 2, SLOWEST_S)
            if self._short >= 3:
                delay = SLOWEST_S
            self._again = False
            end = time.monotonic() + delay * random.uniform(0.5, 1.0)
            while (left := end - time.monotonic()) > 0 and not self._stopping.wait(min(left, TICK_S)):
                self._beat = time.monotonic()

    def _session(self) -> float:
        """One connection, until it is lost; the seconds that it held."""
        self._connected_at = None
        version = connecting.fingerprint(self._broker, self._folder)
        password = self._password() if callable(self._password) else self._password
        client = connecting.client(self._broker, self._name, password, self._folder, wired=True)
        client.on_connect, client.on_disconnect = self._connected, self._disconnected
        client.on_message, client.on_subscribe, client.on_unsubscribe = self._intake.received, self._granted, self._released
        client.on_socket_register_write = lambda *_: None  # packets leave together
        try:
            connecting.connect(client, self._broker)
            self._loop(client, version)
        finally:
            if sock := client.socket():
                sock.close()
        return time.monotonic() - self._connected_at if self._connected_at else 0.0

    def _loop(self, client: paho.Client, version: Any) -> None:
        """`version`: of the certificate files that the connection uses."""
        ticked = time.monotonic()
        with selectors.DefaultSelector() as selector:
            selector.register(self._bell, selectors.EVENT_READ)
            while (sock := client.socket()) is not None:
                reading = self._connected_at is None or (self._ready() and not self._paused)
                if self._wait(selector, client, sock, reading) and not self._intake.read(client):
                    self._again = True
                self._intake.settle(client)
                if self._subscriptions.changed and self._connected_at is not None:
                    self._subscriptions.ask(client)
                if client.want_write():
                    client.loop_write()
                if isinstance(sock, Wire) and not sock.flush():
                    client.loop_read()  # paho finds the connection lost
                self._beat = time.monotonic()
                if self._beat - ticked > TICK_S:
                    ticked = self._beat
                    self._tick(client, version)
                if self._stopping.is_set() or self._again:
                    client.disconnect()
                    client.loop_write()
                    break

    def _tick(self, client: paho.Client, version: Any) -> None:
        client.loop_misc()
        if self._short and self._connected_at and self._beat - self._connected_at > SHORT_S:
            self._short, self._trouble = 0, None
        if connecting.fingerprint(self._broker, self._folder) != version and connecting.readable(self._broker, self._folder):
            log.info("broker %s: certificates changed, connecting again", self.address)
            self._again = True

    def _wait(self, selector: selectors.BaseSelector, client: paho.Client, sock: Any, reading: bool) -> bool:
        """Until there is something to do; True where there is something to read."""
        writing = client.want_write() or (isinstance(sock, Wire) and sock.waiting)
        wanted = (selectors.EVENT_READ if reading else 0) | (selectors.EVENT_WRITE if writing else 0)
        registered = selector.get_map().get(sock.fileno())
        if registered is None and wanted:
            selector.register(sock, wanted)
        elif registered is not None and wanted and registered.events != wanted:
            selector.modify(sock, wanted)
        elif registered is not None and not wanted:
            selector.unregister(sock)
        if reading and connecting.pending(sock):
            return True
        ready = selector.select(TICK_S if reading else PAUSE_S)
        heard = {key.fileobj for key, mask in ready if mask & selectors.EVENT_READ}
        if self._bell in heard:
            self._bell.hush()
        return reading and sock in heard

    # paho's callbacks ----------------------------------------------------------------------------------------------------
    def _connected(self, client: Any, userdata: Any, flags: Any, reason: Any, properties: Any) -> None:
        if reason.is_failure:
            self._trouble = f"broker {self.address} refuses: {reason}"
            log.error("%s", self._trouble)
            return
        self._connected_at = time.monotonic()
        self.count["connections"] += 1
        self._intake.reconnected()
        if self._short < 3:
            self._trouble = None
        if self._subscriptions.connected(flags.session_present):
            self.count["sessions_lost"] += 1
            log.warning("broker %s has lost the session of %s: subscribing anew", self.address, self._name)

    def _disconnected(self, client: Any, userdata: Any, flags: Any, reason: Any, properties: Any) -> None:
        if self._stopping.is_set() or self._again:
            return
        if self._connected_at is not None:
            self.count["disconnects"] += 1
            lasted = time.monotonic() - self._connected_at
            self._short = self._short + 1 if lasted < SHORT_S else 0
        if self._short >= 3 or getattr(reason, "value", 0) == connecting.TAKEN_OVER:
            self._short = 3
            self._trouble = (
                f"broker {self.address} ends the connection again and again: another client seems to sign in as {self._name}. "
                "Stop it, or give one of them another client_id or --member"
            )
            log.error("%s", self._trouble)
        elif self._connected_at is not None or self._trouble is None:
            self._trouble = f"broker {self.address} is not connected: {reason}"
            log.warning("%s; trying again", self._trouble)

    def _granted(self, client: Any, userdata: Any, mid: int, reasons: Any, properties: Any) -> None:
        for one in self._subscriptions.granted(mid, reasons):
            log.error("broker %s refuses the subscription %s", self.address, one)

    def _released(self, client: Any, userdata: Any, mid: int, reasons: Any, properties: Any) -> None:
        self._subscriptions.released(mid)
