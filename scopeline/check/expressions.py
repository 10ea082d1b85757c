"""Checks of expressions of meters: they can be read, their meters exist, their units add up."""

import re
from collections.abc import Callable

from processors.expressions import Expression, parse
from processors.formula import ExpressionProblem
from schemas.units import Unit, UnitProblem, unit
from scopeline.check.context import Context
from scopeline.check.settings import split
from scopeline.plant.documents import Keys

Item = tuple[str, int]
_STAR = "x"
"""Stands for a star where a meter must be a concrete one."""


class _Open(Exception):
    """A unit that only the device knows."""


def readable(c: Context, item: Item, path: Keys | str, text: str) -> Expression | None:
    """The expression, or None with a problem said."""
    try:
        return parse(text)
    except (ExpressionProblem, UnitProblem) as problem:
        c.error(item, path, *said(problem))
        return None


def said(problem: ValueError) -> tuple[str, str]:
    """A problem of an expression as message and remedy, without the text that stands in the file anyway.

    >>> said(ValueError("'[a:b] +' ends too early: write like [a:b] + [c:d]"))
    ('ends too early', 'write like [a:b] + [c:d]')
    """
    plain = re.sub(r"^'[^']*':? ", "", str(problem))
    message, remedy = split(plain)
    return message, remedy if remedy != "correct the rule" else "correct the expression"


def meters(found: Expression, item_text: str = "") -> list[str]:
    """The meters and the patterns that an expression names."""
    return [*found.meters(), *found.patterns()]


def references(c: Context, item: Item, path: Keys | str, text: str) -> list[str]:
    """The meters and patterns of an expression; none, with a problem said, where it cannot be read."""
    found = readable(c, item, path, text)
    return meters(found) if found else []


def result(c: Context, item: Item, path: Keys | str, found: Expression) -> Unit | None:
    """The unit of what an expression adds up to; None where it is wrong (said) or where only the devices know it."""
    patterns = {pattern.replace("*", _STAR): pattern for pattern in found.patterns()}
    try:
        return unit(found.unit(_unit_of(c, patterns), list(patterns)))
    except _Open:
        return None
    except (ExpressionProblem, UnitProblem) as problem:
        c.error(item, path, *said(problem))
        return None


def _unit_of(c: Context, patterns: dict[str, str]) -> Callable[[str], str]:
    def of(meter: str) -> str:
        known = [one.units for one in c.meters.find(patterns.get(meter, meter))]
        if not known or any(units is None for units in known):
            raise _Open
        stated = [found for units in known for found in units or ()]
        for other in stated[1:]:
            if other.dimension != stated[0].dimension:
                raise UnitProblem(
                    f"{patterns.get(meter, meter)} is in {stated[0].name} and in {other.name}: use meters of one unit"
                )
        return stated[0].name

    return of
