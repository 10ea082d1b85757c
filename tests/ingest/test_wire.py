"""The socket under paho: paho takes it, sees whole packets of its own only, and nothing is lost at either end."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ingest import connecting
from ingest.wire import Wire, Wiring
from schemas.connections import Broker

PINGRESP = b"\xd0\x00"


class Ends:
    """Both ends of a TCP connection; the near one is under a Wire."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            near = socket.create_connection(server.getsockname())
            self.far = server.accept()[0]
        self.wire = Wire(near, False)
        self.wire.setblocking(False)

    def come(self, data: bytes) -> None:
        """These bytes arrive, all of them, without any being read."""
        self.far.sendall(data)
        seen = 0
        while seen < min(len(data), 64 * 1024):
            seen = len(self.wire._sock.recv(len(data), socket.MSG_PEEK))


@pytest.fixture
def ends() -> Iterator[Ends]:
    made = Ends()
    made.wire._sock.setblocking(True)  # so that `come` waits; what has come is there, and reading does not block
    yield made
    made.wire.close()
    made.far.close()


def test_paho_talks_through_the_wire(tmp_path: Path) -> None:
    """Another version of paho may ask for its socket elsewhere: then everything still works, but slowly, and this fails."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        host, port = server.getsockname()
        for version in ("3.1.1", "5"):
            broker = Broker.model_validate({"host": host, "port": port, "version": version})
            client = connecting.client(broker, "c", None, tmp_path, wired=True)
            client.on_socket_register_write = lambda *_: None
            connecting.connect(client, broker)
            sock: Any = client.socket()
            assert isinstance(sock, Wire), "paho no longer asks its TLS context for the socket"
            far = server.accept()[0]
            client.loop_write()
            assert sock.waiting, "sent together, later"
            assert sock.flush()
            assert not sock.waiting
            assert far.recv(1000)[:1] == b"\x10", "CONNECT, in clear"
            assert client.loop_read() == 0, "nothing was granted: paho waits"
            assert client.socket() is sock
            far.close()
            sock.close()


def test_a_client_that_paho_s_own_loop_drives_has_none(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        broker = Broker.model_validate(dict(zip(("host", "port"), server.getsockname(), strict=True)))
        client = connecting.client(broker, "c", None, tmp_path)
        connecting.connect(client, broker)
        assert isinstance(client.socket(), socket.socket)
        client.disconnect()


def test_host_names_are_checked_as_the_context_says(tmp_path: Path) -> None:
    tls = connecting.context(Broker.model_validate({"host": "h", "tls": {}}), tmp_path)
    assert Wiring(tls, False).check_hostname
    assert not Wiring(None, False).check_hostname


def test_paho_gets_a_whole_packet_and_no_byte_more(ends: Ends, publish: Any) -> None:
    ends.come(publish("a", b"1") + PINGRESP + publish("b", b"2") + PINGRESP[:1])
    ends.wire.receive()
    assert [one.payload for one in ends.wire.messages(9, 1, 0).messages] == [b"1"]
    with pytest.raises(BlockingIOError):
        ends.wire.recv(1)
    assert ends.wire.pending()
    assert ends.wire.grant()
    assert (ends.wire.recv(1), ends.wire.recv(9)) == (PINGRESP[:1], PINGRESP[1:])
    with pytest.raises(BlockingIOError):
        ends.wire.recv(1)
    assert [one.payload for one in ends.wire.messages(9, 1, 0).messages] == [b"2"]
    assert not ends.wire.grant(), "half a packet"
    assert not ends.wire.pending(), "the selector says when there is more"
    ends.come(PINGRESP[1:])
    ends.wire.receive()
    assert ends.wire.pending()
    assert ends.wire.grant()


def test_what_is_left_of_a_burst_is_known_and_nothing_more_is_received(ends: Ends, publish: Any) -> None:
    ends.come(b"".join(publish("t", b"%d" % n) for n in range(10)))
    ends.wire.receive()
    assert [one.payload for one in ends.wire.messages(4, 1, 0).messages] == [b"0", b"1", b"2", b"3"]
    assert ends.wire.pending()
    ends.come(publish("t", b"10"))
    ends.wire.receive()
    assert len(ends.wire.messages(100, 1, 0).messages) == 6
    assert not ends.wire.pending()
    ends.wire.receive()
    assert [one.payload for one in ends.wire.messages(100, 1, 0).messages] == [b"10"]


def test_a_large_message_is_collected_once(ends: Ends, publish: Any) -> None:
    payload = bytes(range(256)) * 40_000
    stream = publish("t", payload) + publish("t", b"next")
    sending = threading.Thread(target=ends.far.sendall, args=(stream,))
    sending.start()
    found: list[bytes] = []
    while len(found) < 2:
        ends.wire.receive()
        found += [one.payload for one in ends.wire.messages(9, 1, 0).messages]
        assert len(ends.wire._buffer._held) <= len(stream)
    sending.join()
    assert found == [payload, b"next"]


def test_the_end_comes_after_what_was_received(ends: Ends, publish: Any) -> None:
    ends.come(publish("t", b"1") + publish("t", b"2")[:-1])
    ends.far.close()
    ends.wire.receive()
    ends.wire.receive()
    assert not ends.wire.pending() or ends.wire.whole
    assert [one.payload for one in ends.wire.messages(9, 1, 0).messages] == [b"1"]
    ends.wire.receive()
    assert ends.wire.pending()
    assert ends.wire.grant(), "the end, for paho"
    with pytest.raises(ConnectionAbortedError):
        ends.wire.recv(1)
    ends.wire.close()
    assert not ends.wire.grant()
    assert not ends.wire.pending()


def test_what_the_network_does_not_take_waits(ends: Ends) -> None:
    ends.wire.setblocking(False)
    ends.wire._sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    sent = bytes(range(256)) * 4_000
    assert ends.wire.send(sent) == len(sent), "paho need not keep it"
    assert ends.wire.flush()
    assert ends.wire.waiting
    came = bytearray()
    ends.far.settimeout(0.01)
    while len(came) < len(sent):
        with contextlib.suppress(TimeoutError):
            came += ends.far.recv(1 << 20)
        assert ends.wire.flush()
    assert came == sent
    assert not ends.wire.waiting


def test_a_connection_that_was_reset_says_so(ends: Ends) -> None:
    ends.far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    ends.far.close()
    lost = False
    while not lost:
        ends.wire.send(b"x")
        lost = not ends.wire.flush()
    assert ends.wire.grant()
    with pytest.raises(OSError, match=r"."):
        ends.wire.recv(1)
