"""Opens gzip (RFC 1952) for the next decoder of a chain, within a cap of size and ratio."""

import zlib

from ingest.decoders.decoder import MAX_OPENED, Decoder, Unreadable

MAX_RATIO = 500
_SMALL = 64 * 1024


def unpack(payload: bytes) -> bytes:
    """The bytes inside; Unreadable where the stream is broken, cut, or grows beyond the caps.

    >>> import gzip
    >>> unpack(gzip.compress(b'{"v": 1}'))
    b'{"v": 1}'
    >>> unpack(gzip.compress(bytes(5_000_000)))
    Traceback (most recent call last):
    ingest.decoders.decoder.Unreadable: opens to more than 500 times its size: it looks like a bomb
    """
    cap = min(MAX_OPENED, max(len(payload) * MAX_RATIO, _SMALL))
    parts: list[bytes] = []
    size = 0
    rest = payload
    while rest:
        stream = zlib.decompressobj(wbits=31)
        try:
            part = stream.decompress(rest, cap - size + 1)
        except zlib.error as error:
            raise Unreadable(f"is no gzip: {error}") from None
        size += len(part)
        if size > cap:
            what = f"{MAX_OPENED} bytes" if cap == MAX_OPENED else f"{MAX_RATIO} times its size"
            raise Unreadable(f"opens to more than {what}: it looks like a bomb", "too_large")
        if not stream.eof:
            raise Unreadable("is no gzip: the stream is cut")
        parts.append(part)
        rest = stream.unused_data
    if not parts:
        raise Unreadable("is no gzip: it is empty")
    return b"".join(parts)


DECODER = Decoder(open=unpack)
