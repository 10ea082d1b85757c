"""How paho connects: TLS, session, WebSockets; and what is remembered of a session between two runs."""

import contextlib
import hashlib
import os
import socket
import ssl
from pathlib import Path
from typing import Any, cast

from paho.mqtt import client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from ingest.wire import Wiring
from schemas.connections import Broker

KEEPALIVE_S = 60
TAKEN_OVER = 0x8E
"""MQTT 5: another client has signed in with this id."""
WINDOW = 65_535
"""Messages that the broker may send before one is acknowledged (MQTT 5; in 3.1.1 the broker's own setting counts)."""
_WEEK = 7 * 24 * 3600


def client_id(*parts: str) -> str:
    """A stable name for the session: the same plant always comes back as the same client."""
    return "scopeline-" + hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]


def client(
    broker: Broker, name: str, password: str | None, folder: Path, clean: bool = False, wired: bool = False
) -> paho.Client:
    """A client that acknowledges by hand. clean: its session ends with the connection; say so to `connect`, too.

    wired: through an ingest.wire.Wire, for who reads messages from that (but for WebSockets, which stay paho's).
    Raises OSError (ssl.SSLError) where certificates cannot be read.
    """
    five = broker.version == "5"
    made = paho.Client(
        paho.CallbackAPIVersion.VERSION2,
        client_id=name,
        clean_session=None if five else clean,
        protocol=paho.MQTTv5 if five else paho.MQTTv311,
        transport=broker.transport,
        manual_ack=True,
        reconnect_on_failure=False,
    )
    made.suppress_exceptions = True  # none may end the thread; every callback guards itself besides
    if broker.username:
        made.username_pw_set(broker.username, password)
    tls = context(broker, folder) if broker.tls else None
    if wired and broker.transport == "tcp":
        made.tls_set_context(cast(ssl.SSLContext, Wiring(tls, five)))  # it has what paho asks of a context
    elif tls:
        made.tls_set_context(tls)
    return made


def context(broker: Broker, folder: Path) -> ssl.SSLContext:
    """TLS 1.2 or newer, host name checked, with the plant's certificates."""
    assert broker.tls
    ca, cert, key = files(broker, folder)
    made = ssl.create_default_context(cafile=ca)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    if cert:
        made.load_cert_chain(cert, key)
    return made


def files(broker: Broker, folder: Path) -> list[str | None]:
    """Paths of certificate authorities, client certificate and its key."""
    tls = broker.tls
    return [str(folder / name) if name else None for name in ((tls.ca_file, tls.cert_file, tls.key_file) if tls else ())]


def fingerprint(broker: Broker, folder: Path) -> tuple[Any, ...]:
    """Changes when a certificate file does."""
    found = []
    for file in files(broker, folder):
        try:
            state = os.stat(file) if file else None
            found.append(state and (state.st_mtime_ns, state.st_size, state.st_ino))
        except OSError:
            found.append(None)
    return tuple(found)


def readable(broker: Broker, folder: Path) -> bool:
    """True where the certificates as they are now can be used: half-written ones do not break a connection that holds."""
    try:
        return bool(context(broker, folder))
    except (OSError, ValueError):
        return False


def connect(client: paho.Client, broker: Broker, clean: bool = False, expires: int = _WEEK) -> None:
    """Open the connection; the broker's answer comes through on_connect. expires: seconds that a session is kept (MQTT 5)."""
    if broker.version == "5":
        properties = Properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = 0 if clean else expires
        properties.ReceiveMaximum = WINDOW
        client.connect(broker.host, broker.port, KEEPALIVE_S, clean_start=clean, properties=properties)
    else:
        client.connect(broker.host, broker.port, KEEPALIVE_S)


def pending(sock: Any) -> int:
    """Not 0 where bytes were received that select does not see."""
    return sock.pending() if hasattr(sock, "pending") else 0


def said(error: Exception) -> str:
    """An error in a few words; never what a file holds."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


class Bell:
    """Wakes a thread that waits in select."""

    def __init__(self) -> None:
        self._out, self._in = socket.socketpair()
        self._out.setblocking(False)
        self._in.setblocking(False)
        self._rung = False

    def fileno(self) -> int:
        return self._in.fileno()

    def ring(self) -> None:
        if not self._rung:
            self._rung = True
            with contextlib.suppress(OSError):  # full: it rings already
                self._out.send(b"!")

    def hush(self) -> None:
        """Call when select has heard it, before looking for work: who rings after it is heard by the next select."""
        with contextlib.suppress(BlockingIOError):
            self._in.recv(4096)
        self._rung = False
