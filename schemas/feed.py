"""feeds/*.yaml: how to read a family of topics."""

from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import Field

from schemas.scalars import LIST, MAP, TEXT, Amount, Duration, Flag, Id, Model, Name, Number, Percent, Text, forms

Kind = Literal["counter", "rate", "amount", "level"]


class TimeRule(Model):
    """Where the time stamp of a payload stands and how it is written."""

    path: Text | None = Field(default=None, description="path into the payload (or into the element, starting with @)")
    columns: tuple[Text, ...] | None = Field(default=None, description="csv columns, joined by a blank")
    format: Text = Field(default="iso8601", description="iso8601, epoch_s, epoch_ms, epoch_us, epoch_ns, or a strptime pattern")
    timezone: Text | None = Field(default=None, description="zone of stamps without one; default: the site's")


class PeriodRule(Model):
    """The period of an amount, read from the payload."""

    from_: Text = Field(alias="from", description="path of the period's start")
    to: Text = Field(description="path of the period's end")


class UnitRule(Model):
    """A unit read from the payload."""

    path: Text = Field(description="path of the unit in the payload")
    allow: tuple[Text, ...] = Field(min_length=1, description="the units that may stand there, all of one dimension")


class QualityRule(Model):
    """Which readings are good: every other value at the path marks the reading suspect."""

    path: Text = Field(description="path into the payload")
    good: tuple[Any, ...] = Field(min_length=1, description="values that mean good")


Unit = Annotated[Annotated[Text, TEXT] | Annotated[UnitRule, MAP], forms("a unit like kWh", "a map with path and allow")]
Period = Annotated[Annotated[Duration, TEXT] | Annotated[PeriodRule, MAP], forms("a length like 15m", "a map with from and to")]
ObservedAt = Annotated[
    Annotated[Literal["received_at"], TEXT] | Annotated[TimeRule, MAP], forms("received_at", "a map with path and format")
]
Decoder = Annotated[
    Annotated[Text, TEXT] | Annotated[tuple[Text, ...], LIST], forms("a decoder", "a list of decoders, like [gzip, json]")
]


class Channel(Model):
    """One kind of value that a feed gives: where it stands, its unit and how it behaves."""

    channel: Name = Field(description="name of the channel: the part of a meter after its last colon")
    value: Text | None = Field(
        default=None, description="path of the value; csv: the column; preset decoders: the name they give"
    )
    unit: Unit | None = Field(default=None, description="unit of the value, like kWh; or where the payload states it")
    kind: Kind | None = Field(
        default=None,
        description="counter (ever rising total), rate (power, flow), amount (of an event or period), level; default: level",
    )
    drop: Flag = Field(default=False, description="leave this channel of a preset decoder out")
    scale: Number = Field(
        default=Decimal(1),
        description="the stated value is multiplied by this; not 0; below 0 turns the sign, not of a counter that only rises",
    )
    where: dict[str, Any] = Field(default={}, description="paths and the values they must have for this channel to be read")
    event: Text | None = Field(default=None, description="path of the event id of an amount: the same id is counted once")
    period: Period | None = Field(default=None, description="an amount's period: a length before observed_at, or paths")
    rollover_at: Number | None = Field(default=None, description="counter: the value at which it starts again at 0")
    jitter: Number = Field(default=Decimal(0), description="counter: a fall up to this is no reset")
    decrease: Literal["reset", "net"] = Field(default="reset", description="counter: what a fall means (net: a two-way meter)")
    max_rate: Amount | None = Field(default=None, description="counter: faster than this is no measurement, like 3 MW")
    max_gap: Duration | None = Field(
        default=None, description="counter: a longer gap is estimated (default none); rate: a longer gap is unknown (default 15m)"
    )
    between: Literal["linear", "previous"] = Field(default="linear", description="rate: how it runs between two readings")
    direction: Literal["net", "import", "export"] = Field(default="net", description="rate: which sign counts")
    min: Amount | None = Field(default=None, description="a lower reading is quarantined")
    max: Amount | None = Field(default=None, description="a higher reading is quarantined")
    accuracy: Percent | None = Field(default=None, description="95 % half width of the meter, like 1%")
    quality: QualityRule | None = Field(default=None, description="default: the feed's")


class Accept(Model):
    """How far a time stamp may stand from the message's arrival."""

    behind: Duration = Field(default=timedelta(days=400), description="older stamps are quarantined (too_old)")
    ahead: Duration = Field(default=timedelta(minutes=10), description="later stamps are quarantined (in_future)")


class Csv(Model):
    """The dialect of csv payloads."""

    delimiter: Text = Field(default=",", min_length=1, max_length=1, description="between cells")
    decimal: Literal[".", ","] = Field(default=".", description="the decimal sign")
    header: Flag = Field(default=True, description="whether the first line names the columns")
    columns: tuple[Text, ...] | None = Field(default=None, description="names of the columns; needed without a header")
    encoding: Text = Field(default="utf-8", description="of the text, like cp1252")


class Feed(Model):
    """How to read a family of topics: topic, decoder, time stamp, channels."""

    feed: Id = Field(description="id of the feed")
    topic: Text | None = Field(default=None, description="topic filter with {captures}, + and #; preset decoders have a default")
    decoder: Decoder = Field(description="a decoder, or a chain of them like [gzip, json]")
    broker: Id | None = Field(default=None, description="default: the plant's first broker")
    site: Id | None = Field(default=None, description="where neither topic nor meters table says it")
    observed_at: ObservedAt | None = Field(default=None, description="default: the decoder's own time, else received_at")
    device: Text | None = Field(default=None, description="{capture} or a path into the payload; default {device} if captured")
    meter: Text | None = Field(default=None, description="pattern of the meter before :channel; default {site}/{device}")
    meters: Literal["table"] | None = Field(default=None, description="table: meters/*.csv names the meter of each device")
    unlisted: Text = Field(default="quarantine", description="with meters: table: quarantine, or a meter pattern")
    accept: Accept = Field(default=Accept(), description="which time stamps are taken")
    skip: tuple[Text, ...] = Field(default=(), description="topic filters of messages that are no readings: LWT, keep-alives")
    each: Text | None = Field(
        default=None, description="path of an array: each element is one set of readings, paths start with @"
    )
    csv: Csv | None = Field(default=None, description="how csv payloads are written")
    quality: QualityRule | None = Field(default=None, description="which readings are good")
    channels: tuple[Channel, ...] = Field(default=(), description="the values; preset decoders bring theirs")
