"""A client's stream into the embedded broker: messages are taken out of it, all that have come; other packets are amqtt's.

amqtt reads a message in a dozen awaited calls and handles it in a task of its own, which costs ten times what the rest of its way
into the inbox does. But it asks a reader for bytes: so a reader of ours can keep messages back.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

from amqtt.adapters import ReaderAdapter

from ingest.bridge import Stamps
from ingest.packets import Buffer, Read

LARGEST = 16 * 1024 * 1024
"""Bytes of the largest packet that is read; a client that announces more is disconnected."""
_CHUNK = 64 * 1024
_PUBLISH, _QOS, _QOS_2 = 0x3, 0x6, 0x4

Take = Callable[[Read], Awaitable[None]]


class Gate(ReaderAdapter):
    """Reads while there is room; the client's TCP window does the rest. `heard`: when it was last read, monotonic seconds."""

    def __init__(self, stream: asyncio.StreamReader, stamps: Stamps, room: Callable[[], Awaitable[int]]) -> None:
        """room: waits until messages may come, and says how many at once."""
        self._stream, self._stamps, self._room = stream, stamps, room
        self._buffer = Buffer(five=False)
        self.take: Take | None = None
        """Who takes messages; before the client is let in nobody does, and they are faults."""
        self.heard = time.monotonic()

    async def read(self, n: int = -1) -> bytes:
        """Bytes of the packet that amqtt reads; at its end, fewer. ConnectionResetError where the client breaks the protocol."""
        if n and not self._buffer.granted:
            await self._next()
        return self._buffer.take(n)

    def feed_eof(self) -> None:
        self._stream.feed_eof()

    async def _next(self) -> None:
        """Until a packet for amqtt is here."""
        while True:
            await asyncio.sleep(0)  # what was read before is handled first, and acknowledgements leave
            most = await self._room()
            self.heard = time.monotonic()  # the wait was not the client's silence
            if self.take:
                found = self._buffer.messages(most, 1, self._stamps.now())
                self._stamps.used(len(found.messages))
                reserved = next((n for n, one in enumerate(found.messages) if one.topic.startswith("$")), None)
                if found.messages:
                    await self.take(found._replace(messages=found.messages[:reserved]))
                    if reserved is None:
                        continue
                    raise ConnectionResetError("a message on a topic that only brokers publish on")
            if self._buffer.need > LARGEST:
                raise ConnectionResetError(f"a packet of {self._buffer.need} bytes is larger than {LARGEST}")
            if self._buffer.grant():
                if self._buffer.first >> 4 == _PUBLISH and self._buffer.first & _QOS != _QOS_2:
                    raise ConnectionResetError("a message on a faulty topic, or of no QoS, or before the client was let in")
                return
            came = await self._stream.read(_CHUNK)
            if not came:
                raise ConnectionResetError("the client has gone")
            self._buffer.feed(came)
