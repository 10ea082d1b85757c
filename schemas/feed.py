"""feeds/*.yaml: how to read a family of topics."""

from typing import Any, Literal

from pydantic import Field

from schemas.scalars import Amount, Duration, Id, Model, Name, Number, Text

Kind = Literal["counter", "rate", "amount", "level"]


class TimeRule(Model):
    """Where the time stamp of a payload stands and how it is written."""

    path: Text | None = Field(None, description="path into the payload (or into the element, starting with @)")
    columns: tuple[Text, ...] | None = Field(None, description="csv columns, joined by a blank")
    format: Text = Field("iso8601", description="iso8601, epoch_s, epoch_ms, epoch_us, epoch_ns, or a strptime pattern")
    timezone: Text | None = Field(None, description="zone of stamps without one; default: the site's")


class PeriodRule(Model):
    """The period of an amount, read from the payload."""

    from_: Text = Field(alias="from", description="path of the period's start")
    to: Text = Field(description="path of the period's end")


class UnitRule(Model):
    """A unit read from the payload."""

    path: Text
    allow: tuple[Text, ...]


class QualityRule(Model):
    path: Text
    good: tuple[Any, ...] = Field(description="values that mean good; every other value marks the reading suspect")


class Channel(Model):
    channel: Name
    value: Text | None = Field(None, description="path of the value; preset decoders: the name they give")
    unit: Text | UnitRule | None = None
    kind: Kind | None = Field(None, description="default: the preset's, else level")
    drop: bool = Field(False, description="leave this channel of a preset decoder out")
    scale: Number = Field("1", validate_default=True, description="the stated value is multiplied by this")
    where: dict[str, Any] = Field({}, description="paths and the values they must have")
    event: Text | None = Field(None, description="path of the event id of an amount")
    period: Duration | PeriodRule | None = Field(None, description="an amount's period: a length before observed_at, or paths")
    rollover_at: Number | None = None
    jitter: Number = Field("0", validate_default=True)
    decrease: Literal["reset", "net"] = "reset"
    max_rate: Amount | None = None
    max_gap: Duration | None = Field(
        None, description="counter: longer is estimated (default none); rate: longer is unknown (default 15m)"
    )
    between: Literal["linear", "previous"] = "linear"
    direction: Literal["net", "import", "export"] = "net"
    min: Amount | None = None
    max: Amount | None = None
    accuracy: Text | None = Field(None, description="95 % half width of the meter, like 1%")
    quality: QualityRule | None = None


class Accept(Model):
    behind: Duration = Field("400d", validate_default=True)  # type: ignore[assignment]
    ahead: Duration = Field("10m", validate_default=True)  # type: ignore[assignment]


class Csv(Model):
    delimiter: Text = ","
    decimal: Literal[".", ","] = "."
    header: bool = True
    columns: tuple[Text, ...] | None = None
    encoding: Text = "utf-8"


class Feed(Model):
    feed: Id
    topic: Text | None = Field(None, description="topic filter with {captures}, + and #; preset decoders have a default")
    decoder: Text | tuple[Text, ...] = Field(description="a decoder or a chain of them")
    broker: Id | None = None
    site: Id | None = None
    observed_at: Literal["received_at"] | TimeRule | None = None
    device: Text | None = Field(None, description="{capture} or a path into the payload; default {device} if captured")
    meter: Text | None = Field(None, description="pattern of the meter before :channel; default {site}/{device}")
    meters: Literal["table"] | None = None
    unlisted: Text = Field("quarantine", description="with meters: table: quarantine, or a meter pattern")
    accept: Accept = Accept()
    skip: tuple[Text, ...] = ()
    each: Text | None = None
    csv: Csv | None = None
    quality: QualityRule | None = None
    channels: tuple[Channel, ...] = ()
