"""The small written values of a plant folder: durations, percentages, quantities, ids.

Each type parses the text an operator writes and refuses what it cannot read, naming the remedy.
"""

import re
from datetime import date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, PlainSerializer, PlainValidator, Strict, Tag
from pydantic_core import PydanticCustomError


class Model(BaseModel):
    """Base of every plant model: unknown keys are errors, values never change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


def refuse(problem: str, remedy: str) -> PydanticCustomError:
    """An error of a written value: what is wrong, and what to do."""
    return PydanticCustomError("plant", "{problem}: {remedy}", {"problem": problem, "remedy": remedy})


def _text(value: Any) -> Any:
    if isinstance(value, (bool, int, float, Decimal)):
        kind = "true/false value" if isinstance(value, bool) else "number"
        raise PydanticCustomError("quote", "is a {kind} but must be text: quote it", {"kind": kind, "value": str(value)})
    return value


def _pattern(pattern: str, allowed: str) -> BeforeValidator:
    def check(value: Any) -> Any:
        value = _text(value)
        if isinstance(value, str) and not re.fullmatch(pattern, value):
            raise refuse(f"{value!r} is not allowed here", f"use {allowed}")
        return value

    return BeforeValidator(check, json_schema_input_type=Annotated[str, Field(pattern=f"^{pattern}$")])


Text = Annotated[str, BeforeValidator(_text, json_schema_input_type=str)]
Id = Annotated[str, _pattern(r"[a-z0-9][a-z0-9-]*", "lower-case letters, digits and '-'")]
Name = Annotated[str, _pattern(r"[a-z0-9_]+", "lower-case letters, digits and '_'")]
Flag = Annotated[bool, Strict()]
Whole = Annotated[int, Strict()]

_LONGEST = timedelta(days=10**6)
_MICROSECONDS = {"us": 1, "ms": 1000, "s": 10**6, "m": 60 * 10**6, "h": 3600 * 10**6, "d": 86400 * 10**6}


def _duration(value: Any) -> Any:
    if isinstance(value, timedelta):
        return value
    found = re.fullmatch(r"(\d{1,18}(?:\.\d+)?)\s*(us|ms|s|m|h|d)", value) if isinstance(value, str) else None
    if not found:
        raise refuse(f"{value!r} is no duration", "write a number and us, ms, s, m, h or d, like 15m")
    us = Decimal(found[1]) * _MICROSECONDS[found[2]]
    if us > _LONGEST // timedelta(microseconds=1):
        raise refuse(f"{value!r} is too long", "write a shorter duration, like 400d")
    return timedelta(microseconds=int(us))


def duration_text(value: timedelta) -> str:
    """Write a duration in the largest unit that divides it.

    >>> duration_text(timedelta(minutes=15))
    '15m'
    """
    us = value // timedelta(microseconds=1)
    for unit, size in (("d", 86_400_000_000), ("h", 3_600_000_000), ("m", 60_000_000), ("s", 1_000_000), ("ms", 1000)):
        if us % size == 0:
            return f"{us // size}{unit}"
    return f"{us}us"


Duration = Annotated[
    timedelta, BeforeValidator(_duration, json_schema_input_type=str), PlainSerializer(duration_text, return_type=str)
]


def _day(value: Any) -> Any:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", value):
        try:
            return date.fromisoformat(value)
        except ValueError:
            pass
    raise refuse(f"{value!r} is no day", "write year-month-day, like 2026-01-31")


Day = Annotated[date, BeforeValidator(_day, json_schema_input_type=str)]
"""A calendar day; in valid_from and valid_to a day in the site's zone, inclusive."""


def _percent(value: Any) -> Any:
    if isinstance(value, Decimal):
        return value
    if isinstance(value, str) and re.fullmatch(r"\s*[+-]?(\d+\.?\d*|\.\d+)\s*%\s*", value):
        share = Decimal(value.strip()[:-1].strip()) / 100
        if 0 <= share <= 1:
            return share
        raise refuse(f"{value!r} is outside 0% to 100%", "write the share of a whole, like 40%")
    raise refuse(f"{value!r} is no percentage", "write it with a percent sign, like 40%")


def _percent_text(value: Decimal) -> str:
    return f"{(value * 100).normalize():f}%"


Percent = Annotated[
    Decimal, BeforeValidator(_percent, json_schema_input_type=str), PlainSerializer(_percent_text, return_type=str)
]
"""A share as a fraction: `40%` is Decimal('0.4')."""


def _share_or_meter(value: Any) -> Decimal | str:
    if isinstance(value, Decimal):
        return value
    text = _text(value)
    if not isinstance(text, str):
        raise refuse(
            f"{value!r} is neither a percentage nor a meter", "write a share like 10%, or a meter like site/path:channel"
        )
    return _percent(text) if text.rstrip().endswith("%") else text


ShareOrMeter = Annotated[
    Decimal | str,
    PlainValidator(_share_or_meter, json_schema_input_type=str),
    PlainSerializer(lambda value: value if isinstance(value, str) else _percent_text(value), return_type=str),
]
"""A share, or the meter that measures it."""


def _expect(value: Any) -> timedelta | str:
    if value in ("1d", "1mo", "1y"):
        return value
    try:
        return _duration(value)
    except PydanticCustomError:
        raise refuse(f"{value!r} is no period", "write 1d, 1mo or 1y (days, months and years of the site), or like 15m") from None


Expect = Annotated[
    timedelta | Literal["1d", "1mo", "1y"],
    PlainValidator(_expect, json_schema_input_type=str),
    PlainSerializer(lambda value: value if isinstance(value, str) else duration_text(value), return_type=str),
]
"""How often something must come: a calendar period of the site, or a length."""


_MOST_DIGITS = 60


def _number(value: Any) -> Any:
    if isinstance(value, bool) or value is None:
        raise refuse(f"{value!r} is not a number", "write a number, like 10 or 0.5")
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        hint = " (the decimal sign is a point)" if isinstance(value, str) and "," in value else ""
        raise refuse(f"{value!r} is not a number", f"write a number, like 10 or 0.5{hint}") from None
    if not number.is_finite():
        raise refuse(f"{value!r} is not a finite number", "write a number, like 10 or 0.5")
    if number and abs(number.adjusted()) > _MOST_DIGITS:
        raise refuse(f"{str(value)[:40]!r} is beyond {_MOST_DIGITS} digits", "write a number, like 10 or 0.5")
    return number


Number = Annotated[Decimal, BeforeValidator(_number, json_schema_input_type=float | int | str)]


class Quantity(NamedTuple):
    """A number with its unit as written: `3 MW` is Quantity(Decimal(3), 'MW'); unit '' when only a number was written."""

    value: Decimal
    unit: str


def _quantity(value: Any) -> Any:
    if isinstance(value, Quantity):
        return value
    if isinstance(value, (int, float, Decimal)) and not isinstance(value, bool):
        return Quantity(_number(value), "")
    found = re.fullmatch(r"\s*([+-]?[\d.]+(?:[eE][+-]?\d+)?)\s*(.*?)\s*", value) if isinstance(value, str) else None
    if not found:
        raise refuse(f"{value!r} is no quantity", "write a number and a unit, like 3 MW")
    return Quantity(_number(found[1]), found[2])


Amount = Annotated[
    Quantity,
    BeforeValidator(_quantity, json_schema_input_type=str | float | int),
    PlainSerializer(lambda q: f"{q.value} {q.unit}".strip(), return_type=str),
]


def _shape(value: Any) -> str:
    if isinstance(value, (dict, BaseModel)):
        return "<map>"
    return "<list>" if isinstance(value, (list, tuple)) else "<text>"


TEXT, LIST, MAP = Tag("<text>"), Tag("<list>"), Tag("<map>")
"""The forms of a value that may be written in more than one; see `forms`."""


def forms(*allowed: str) -> Discriminator:
    """Tells the forms of a value apart (text, list, map), so that errors speak of the form used and not of the others."""
    message = f"has the wrong form: write {' or '.join(allowed)}"
    return Discriminator(_shape, custom_error_type="plant_form", custom_error_message=message)
