"""The socket under paho: receives much at a time, hands messages out by itself and other packets to paho, and sends together.

paho asks a TLS context for the socket that it talks through: the one public place where it can be given another. So both plain
and encrypted connections get a Wire; WebSockets, which paho unpacks, do not.
"""

import socket
import ssl
from typing import Any

from ingest.packets import Buffer, Read

CHUNK = 64 * 1024
"""Bytes received at once. What is held beyond is the packet that it ends in."""


class Wire:
    """A connected socket that does not block. What paho calls is named as it names it; for one thread."""

    def __init__(self, sock: socket.socket, five: bool) -> None:
        self._sock, self._buffer = sock, Buffer(five)
        self._fault: OSError | None = None
        self._out = bytearray()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    @property
    def whole(self) -> bool:
        """True where a packet is here."""
        return self._buffer.whole

    @property
    def waiting(self) -> bool:
        """True where something is left to be sent."""
        return bool(self._out)

    def pending(self) -> bool:
        """True where reading finds something that select does not see."""
        return self.whole or self._fault is not None or (isinstance(self._sock, ssl.SSLSocket) and self._sock.pending() > 0)

    def receive(self) -> None:
        """Take in what has come, unless a packet is still here. A connection that ended is found by paho, when all is read."""
        if self.whole or self._fault:
            return
        try:
            came = self._sock.recv(CHUNK)
            if not came:
                raise ConnectionAbortedError("the broker has closed the connection")
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return
        except OSError as error:
            self._fault = error
            return
        self._buffer.feed(came)

    def messages(self, most: int, receipt: int, at_us: int) -> Read:
        """Take out messages, at most so many, up to a packet of another kind."""
        return self._buffer.messages(most, receipt, at_us)

    def grant(self) -> bool:
        """Let paho read one packet, or the end of the connection; False where neither is here."""
        return self._buffer.grant() or self._fault is not None

    # what paho calls -----------------------------------------------------------------------------------------------------
    def recv(self, size: int) -> bytes:
        if self._buffer.granted:
            return self._buffer.take(size)
        raise self._fault or BlockingIOError

    def send(self, data: bytes | bytearray) -> int:
        self._out += data
        return len(data)

    def flush(self) -> bool:
        """Send as much as the network takes; False where the connection is lost."""
        try:
            while self._out:
                del self._out[: self._sock.send(self._out)]
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        except OSError as error:
            self._fault = error
            return False
        return True

    def close(self) -> None:
        self.flush()
        self._sock.close()
        self._buffer.clear()  # whoever still asks finds nothing
        self._fault = None

    def fileno(self) -> int:
        return self._sock.fileno()

    def setblocking(self, flag: bool) -> None:
        self._sock.setblocking(flag)

    def settimeout(self, seconds: float | None) -> None:
        self._sock.settimeout(seconds)

    def do_handshake(self) -> None:
        if isinstance(self._sock, ssl.SSLSocket):
            self._sock.do_handshake()


class Wiring:
    """Stands where paho expects an ssl.SSLContext, and gives it a Wire: encrypted by `tls`, or plain where that is None."""

    def __init__(self, tls: ssl.SSLContext | None, five: bool) -> None:
        self._tls, self._five = tls, five
        self.check_hostname = tls is not None and tls.check_hostname

    def wrap_socket(self, sock: socket.socket, **named: Any) -> Wire:
        return Wire(self._tls.wrap_socket(sock, **named) if self._tls else sock, self._five)
