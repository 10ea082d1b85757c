"""A TCP proxy that harms connections on purpose: delay, throttle, black hole, cut, reset, refuse; `heal` ends all of it."""

import asyncio
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from typing import Literal

Way = Literal["to_server", "from_server", "both"]
Pair = tuple[Coroutine[None, None, None], Coroutine[None, None, None]]
WAYS: tuple[Way, Way] = ("to_server", "from_server")


class Proxy:
    """Listens on 127.0.0.1:`port` and passes on to `target` on the same machine; the loop runs in a thread of its own.

    Settings hold for open and for new connections, by way: what clients send goes `to_server`, answers come `from_server`.
    """

    def __init__(self, target: int, port: int = 0) -> None:
        self.target = target
        self.port = port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"proxy to {target}", daemon=True)
        self._thread.start()
        self._listener: asyncio.Server | None = None
        self._connections: set[asyncio.StreamWriter] = set()
        self._pumps: set[asyncio.Task[None]] = set()
        self._delay = dict.fromkeys(WAYS, 0.0)
        self._rate: dict[Way, float] = dict.fromkeys(WAYS, 0.0)
        self._open = {way: asyncio.Event() for way in WAYS}
        self.accepted = 0
        self.heal()

    def heal(self) -> None:
        """Passes everything on at once again; what a black hole held goes through."""
        self.delay(0)
        self.throttle(0)
        for gate in self._open.values():
            self._do(gate.set)
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)

    def delay(self, seconds: float, way: Way = "both") -> None:
        """What arrives leaves so much later; the rate stays what it was."""
        self._do(lambda: self._delay.update(dict.fromkeys(_ways(way), seconds)))

    def throttle(self, bytes_per_second: float, way: Way = "both") -> None:
        """Passes on so much a second on each connection; 0 is no limit."""
        self._do(lambda: self._rate.update(dict.fromkeys(_ways(way), bytes_per_second)))

    def black_hole(self, way: Way = "both") -> None:
        """Connections stay open and new ones are accepted, but nothing passes this way until `heal`."""
        for one in _ways(way):
            self._do(self._open[one].clear)

    def cut(self) -> None:
        """Closes all connections in good order (FIN); new ones are served."""

        def close() -> None:
            for writer in self._connections:
                writer.close()

        self._do(close)

    def reset(self) -> None:
        """Breaks all connections (RST), as a firewall or a crashed machine does; new ones are served."""
        self._do(self._break)

    def refuse(self) -> None:
        """Breaks all connections and listens no longer: new ones get "connection refused" until `heal`."""

        def close() -> None:
            if self._listener:
                self._listener.close()
                self._listener = None
            self._break()

        self._do(close)

    def close(self) -> None:
        """Ends the proxy with all its connections."""
        self.refuse()
        self._do(lambda: [pump.cancel() for pump in self._pumps])
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def _do(self, act: Callable[[], object]) -> None:
        """Runs `act` in the loop and returns when it is done."""

        async def acting() -> None:
            act()

        asyncio.run_coroutine_threadsafe(acting(), self._loop).result(10)

    def _break(self) -> None:
        for writer in self._connections:
            if not writer.is_closing():
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()

    async def _listen(self) -> None:
        if self._listener is None:
            self._listener = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
            self.port = self._listener.sockets[0].getsockname()[1]

    async def _serve(self, from_client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        self.accepted += 1
        self._connections.add(to_client)
        try:
            from_server, to_server = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            self._connections.discard(to_client)
            to_client.transport.abort()
            return
        self._connections.add(to_server)
        ways = ((from_client, to_server, WAYS[0]), (from_server, to_client, WAYS[1]))
        pumps = [self._loop.create_task(part) for way in ways for part in self._pump(*way)]
        self._pumps.update(pumps)
        await asyncio.wait(pumps)
        self._pumps.difference_update(pumps)
        self._connections.difference_update((to_client, to_server))

    def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: Way) -> Pair:
        """Two tasks of one way: one takes what arrives and notes when, the other passes it on when it is due."""
        held: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(64)

        async def take() -> None:
            data = b"begin"
            while data:
                try:
                    data = await reader.read(16384)
                except OSError:
                    data = b""
                await held.put((self._loop.time(), data))

        async def give() -> None:
            while True:
                arrived, data = await held.get()
                await self._open[way].wait()
                await asyncio.sleep(max(0.0, arrived + self._delay[way] - self._loop.time()))
                if not data or writer.is_closing():
                    writer.close()
                    return
                piece = max(1, int(self._rate[way] / 20)) if self._rate[way] else len(data)
                for start in range(0, len(data), piece):
                    writer.write(data[start : start + piece])
                    if self._rate[way]:
                        await asyncio.sleep(piece / self._rate[way])
                try:
                    await writer.drain()
                except OSError:
                    return

        return take(), give()


def _ways(way: Way) -> tuple[Way, ...]:
    return WAYS if way == "both" else (way,)
