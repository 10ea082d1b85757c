"""Which readings a document gives: the definition, run a payload at a time, or once for a whole batch of one shape."""

from typing import NamedTuple

from ingest import paths
from ingest.decoders.csv import point
from ingest.decoders.decoder import MAX_READINGS, Document, Field, Leaf, Token, Unreadable, channel_name
from ingest.ready import ReadyChannel, ReadyFeed, Spec


class Slot(NamedTuple):
    """One reading as tokens. `{` stands for an object or array where a scalar is wanted, None for nothing."""

    spec: Spec
    value: Token
    stamp: Token
    unit: Token
    event: Token
    quality: Token
    device: Token
    start: Token
    end: Token
    where: tuple[tuple[Token, object], ...]


CONTAINER = "{"


def slots(feed: ReadyFeed, document: Document, place: object) -> list[Slot]:
    """The readings of one document, in the order of their index. Tokens are carried, never looked into.

    Raises Unreadable where the format's rules are broken or the readings are too many.
    """
    found: list[Slot] = []
    if feed.channels:
        elements = [document] if feed.each is None else paths.elements(feed.each, document)
        if len(elements) * len(feed.channels) > MAX_READINGS:
            raise Unreadable(f"holds more than {MAX_READINGS} readings: publish them in parts", "too_large")
        for element in elements:
            device = _at(feed.naming.device_path, document, element)
            stamp = _stamp(feed, document, element, None)
            for channel in feed.channels:
                found.append(_slot(feed, channel, channel.spec, channel.value, None, document, element, stamp, device))
    if feed.decoder.fields is not None:
        fields = feed.decoder.fields(document, place)
        if len(fields) > MAX_READINGS:
            raise Unreadable(f"holds more than {MAX_READINGS} readings: publish them in parts", "too_large")
        for field in fields:
            element = document if field.element is None else field.element
            device = _at(feed.naming.device_path, document, element)
            stamp = _stamp(feed, document, element, field)
            for declared in _declared(feed, field):
                if declared is not None and declared.channel.drop:
                    continue
                spec = feed.spec(declared, field)
                found.append(_slot(feed, declared, spec, None, field, document, element, stamp, device))
    return found


def _declared(feed: ReadyFeed, field: Field) -> tuple[ReadyChannel | None, ...]:
    named = feed.by_native.get(field.native, ())
    if not named and feed.short and field.short is not None:
        named = feed.by_native.get(field.short, ())
    if not named and feed.by_channel:
        named = feed.by_channel.get(field.channel or channel_name(field.native), ())
    return named or (None,)


def _slot(
    feed: ReadyFeed,
    channel: ReadyChannel | None,
    spec: Spec,
    value_path: paths.Path | None,
    field: Field | None,
    document: Document,
    element: Document,
    stamp: Token,
    device: Token,
) -> Slot:
    value = _scalar(field.value) if field is not None else _at(value_path, document, element)
    if feed.feed.csv is not None and feed.feed.csv.decimal == "," and isinstance(value, str):
        value = point(value)
    unit = field.unit_token if field is not None and spec.allow == () else None
    if channel is None:
        return Slot(spec, value, stamp, unit, None, None, device, None, None, ())
    return Slot(
        spec,
        value,
        stamp,
        _at(channel.unit, document, element) if channel.unit else unit,
        _at(channel.event, document, element),
        _at(channel.quality, document, element),
        device,
        _at(channel.start, document, element),
        _at(channel.end, document, element),
        tuple((_at(path, document, element), wanted) for path, wanted in channel.where),
    )


def _stamp(feed: ReadyFeed, document: Document, element: Document, field: Field | None) -> Token:
    if not feed.stamp:
        return field.stamp if field is not None else None
    if len(feed.stamp) == 1:
        return _at(feed.stamp[0], document, element)
    parts = [_at(path, document, element) for path in feed.stamp]
    return '"' + " ".join(part[1:-1] for part in parts if isinstance(part, str)) + '"' if all(parts) else None


def _at(path: paths.Path | None, document: Document, element: Document) -> Token:
    return None if path is None else _scalar(paths.resolve(path, document, element))


def _scalar(node: Document) -> Token:
    return node if node is None or isinstance(node, (str, Leaf)) else CONTAINER
