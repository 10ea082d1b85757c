"""The small written values of a plant folder: durations, percentages, quantities, ids.

Each type parses the text an operator writes and refuses what it cannot read, naming the remedy.
"""

import re
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer


class Model(BaseModel):
    """Base of every plant model: unknown keys are errors, values never change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


def _text(value: Any) -> Any:
    if isinstance(value, (bool, int, float)):
        raise ValueError(f'is a {type(value).__name__}, must be text: quote it, like "{value}"')
    return value


def _pattern(pattern: str, allowed: str) -> Any:
    def check(value: Any) -> Any:
        value = _text(value)
        if isinstance(value, str) and not re.fullmatch(pattern, value):
            raise ValueError(f"{value!r} is not allowed here: use {allowed}")
        return value

    return BeforeValidator(check)


Text = Annotated[str, BeforeValidator(_text)]
Id = Annotated[str, _pattern(r"[a-z0-9][a-z0-9-]*", "lower-case letters, digits and '-'")]
Name = Annotated[str, _pattern(r"[a-z0-9_]+", "lower-case letters, digits and '_'")]

_SECONDS = {"us": Decimal("1e-6"), "ms": Decimal("1e-3"), "s": 1, "m": 60, "h": 3600, "d": 86400}


def _duration(value: Any) -> Any:
    if isinstance(value, timedelta):
        return value
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(us|ms|s|m|h|d)", value) if isinstance(value, str) else None
    if not found:
        raise ValueError(f"{value!r} is no duration: write a number and us, ms, s, m, h or d, like 15m")
    return timedelta(microseconds=int(Decimal(found[1]) * _SECONDS[found[2]] * 1_000_000))


def duration_text(value: timedelta) -> str:
    """Write a duration in the largest unit that divides it.

    >>> duration_text(timedelta(minutes=15))
    '15m'
    """
    us = round(value / timedelta(microseconds=1))
    for unit, size in (("d", 86_400_000_000), ("h", 3_600_000_000), ("m", 60_000_000), ("s", 1_000_000), ("ms", 1000)):
        if us % size == 0:
            return f"{us // size}{unit}"
    return f"{us}us"


Duration = Annotated[
    timedelta, BeforeValidator(_duration, json_schema_input_type=str), PlainSerializer(duration_text, return_type=str)
]


def _percent(value: Any) -> Any:
    if isinstance(value, Decimal):
        return value
    if isinstance(value, str) and value.strip().endswith("%"):
        try:
            return Decimal(value.strip()[:-1].strip()) / 100
        except InvalidOperation:
            pass
    raise ValueError(f"{value!r} is no percentage: write it with a percent sign, like 40%")


Percent = Annotated[Decimal, BeforeValidator(_percent, json_schema_input_type=str)]
"""A share as a fraction: `40%` is Decimal('0.4')."""


def _number(value: Any) -> Any:
    if isinstance(value, bool) or value is None:
        raise ValueError(f"{value!r} is not a number")
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        raise ValueError(f"{value!r} is not a number") from None
    if not number.is_finite():
        raise ValueError(f"{value!r} is not a finite number")
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
        raise ValueError(f"{value!r} is no quantity: write a number and a unit, like 3 MW")
    return Quantity(_number(found[1]), found[2])


Amount = Annotated[
    Quantity,
    BeforeValidator(_quantity, json_schema_input_type=str | float | int),
    PlainSerializer(lambda q: f"{q.value} {q.unit}".strip(), return_type=str),
]
