"""Expressions of meters: what they name, their unit, and, where they are sums with constant factors, their exact terms."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, lru_cache
from typing import NamedTuple

from processors.formula import Delta, ExpressionProblem, Meter, Node, Number, Operation, Total, matches, tree, written
from schemas.units import UnitProblem, amount_of, is_additive, is_rate, no_conversion, unit

PRODUCT = "products of meters are not computed yet"
_LARGEST = 10**9
DELTA = "the delta of a level is not computed yet"


class Term(NamedTuple):
    """A meter, or the sum of the meters of a pattern, times a constant (in base units)."""

    factor: Fraction
    meter: str  # or a pattern
    total: bool  # sum([pattern])


class _Dimension(NamedTuple):
    powers: tuple[tuple[str, int], ...]  # base units and their exponents, sorted
    rate: bool
    constant: bool


@dataclass(frozen=True)
class Expression:
    """A parsed expression. `computed` is False, with `reason`, where this version cannot evaluate it."""

    text: str
    node: Node

    def meters(self, known: Sequence[str] = ()) -> list[str]:
        """The meters it reads, in order: those it names, and those of `known` that its patterns match.

        >>> parse("[s/a:e] - sum([s/p/*:e])").meters(["s/p/1:e", "s/q/1:e"])
        ['s/a:e', 's/p/1:e']
        """
        found: dict[str, None] = {}
        for leaf in _leaves(self.node):
            if isinstance(leaf, Total):
                found.update((meter, None) for meter, _ in matches(leaf.pattern, list(known)))
            elif not isinstance(leaf, Number):
                found[leaf.meter] = None
        return list(found)

    def patterns(self) -> list[str]:
        """The patterns of its sums."""
        return [leaf.pattern for leaf in _leaves(self.node) if isinstance(leaf, Total)]

    def unit(self, unit_of: Callable[[str], str], known: Sequence[str] = ()) -> str:
        """The base unit of the result, checked term by term; a rate enters as what it adds up to (kW -> kWh).

        unit_of gives a meter's unit as stated. ExpressionProblem or UnitProblem says what does not fit.

        >>> parse("[a:gas] * 11.3 kWh_gross/m3").unit({"a:gas": "l/min"}.__getitem__)
        'kWh_gross'
        >>> parse("[a:power] - [b:energy]").unit({"a:power": "W", "b:energy": "MJ"}.__getitem__)
        'kWh'
        """
        found = _dimension(self.node, unit_of, known, self.text)
        if found.constant:
            raise ExpressionProblem(f"{self.text!r} names no meter: write one in brackets, like [site/path:channel]")
        base = found.powers[0][0] if len(found.powers) == 1 and found.powers[0][1] == 1 else None
        if base is None or not is_additive(unit(base)):
            raise ExpressionProblem(
                f"{self.text!r} gives {_shown(found)}, which does not add up: it must give a quantity, like kWh or kg"
            )
        return base

    @cached_property
    def reason(self) -> str | None:
        """Why it is not computed, or None."""
        try:
            _linear(self.node, self.text)
        except NotComputed as problem:
            return str(problem)
        return None

    @property
    def computed(self) -> bool:
        return self.reason is None

    @cached_property
    def terms(self) -> tuple[Term, ...]:
        """Its terms with constant factors, equal ones joined; NotComputed where it is no such sum.

        >>> [(str(term.factor), term.meter) for term in parse("0.5 * ([a:e] - [b:e]) + [a:e]").terms]
        [('3/2', 'a:e'), ('-1/2', 'b:e')]
        """
        found, rest = _linear(self.node, self.text)
        if rest is not None:
            raise ExpressionProblem(f"{self.text!r}: a number cannot be added to a meter: multiply, or measure it")
        return tuple(Term(factor, meter, total) for (meter, total), factor in found.items())


class NotComputed(ExpressionProblem):
    """A valid expression that this version does not evaluate."""


@lru_cache(maxsize=20_000)
def parse(text: str) -> Expression:
    """Read an expression; a bare meter id is an expression of one term.

    >>> parse("works/boiler-1:gas").terms
    (Term(factor=Fraction(1, 1), meter='works/boiler-1:gas', total=False),)
    >>> parse("[a:flow] * [b:density]").reason
    'products of meters are not computed yet'
    """
    found = Expression(text, tree(text))
    try:
        factors = [abs(term.factor) for term in found.terms]
    except (ExpressionProblem, UnitProblem):
        return found  # `unit`, `reason` and `terms` say what is wrong
    if max(factors, default=0) > _LARGEST:
        raise ExpressionProblem(f"{text!r} multiplies a meter by more than 1e9: correct the number or its unit")
    return found


def substituted(text: str, virtual: dict[str, str]) -> str:
    """The expression with virtual meters written out (named meters only: a sum's pattern never includes a virtual one).

    >>> substituted("[v:e] - [c:e]", {"v:e": "[a:e] + [b:e]"})
    '(([a:e] + [b:e]) - [c:e])'
    >>> substituted("v:e", {"v:e": "[w:e] + [b:e]", "w:e": "[v:e]"})
    Traceback (most recent call last):
    processors.formula.ExpressionProblem: virtual meters go round in a circle: v:e -> w:e -> v:e: take one of them out
    """
    node = tree(text)
    if not any(leaf.meter in virtual for leaf in _leaves(node) if isinstance(leaf, Meter)):
        return text
    return written(node, _opened(node, virtual, ()))


def _opened(node: Node, virtual: dict[str, str], way: tuple[str, ...]) -> dict[str, Node]:
    found: dict[str, Node] = {}
    for leaf in _leaves(node):
        if isinstance(leaf, Meter) and leaf.meter in virtual:
            if leaf.meter in way:
                circle = " -> ".join((*way[way.index(leaf.meter) :], leaf.meter))
                raise ExpressionProblem(f"virtual meters go round in a circle: {circle}: take one of them out")
            found[leaf.meter] = tree(virtual[leaf.meter])
            found |= _opened(found[leaf.meter], virtual, (*way, leaf.meter))
    return found


def _leaves(node: Node) -> list[Number | Meter | Total | Delta]:
    if isinstance(node, Operation):
        return [*_leaves(node.left), *_leaves(node.right)]
    return [node]


_Linear = dict[tuple[str, bool], Fraction]


def _linear(node: Node, text: str) -> tuple[_Linear, Fraction | None]:
    """Terms with factors, and None; or no terms and a constant in base units."""
    if isinstance(node, Number):
        return {}, _constant(node, text)
    if isinstance(node, Delta):
        raise NotComputed(DELTA)
    if isinstance(node, Meter):
        return {(node.meter, False): Fraction(1)}, None
    if isinstance(node, Total):
        return {(node.pattern, True): Fraction(1)}, None
    (left, a), (right, b) = _linear(node.left, text), _linear(node.right, text)
    if node.sign in "+-":
        sign = 1 if node.sign == "+" else -1
        if a is not None and b is not None:
            return {}, a + sign * b
        if a is not None or b is not None:
            raise ExpressionProblem(f"{text!r}: a number cannot be added to a meter: multiply, or measure it")
        joined = {key: left.get(key, Fraction(0)) + sign * right.get(key, Fraction(0)) for key in {**left, **right}}
        return joined, None
    if node.sign == "/":
        if b is None:
            raise NotComputed(PRODUCT)
        if b == 0:
            raise ExpressionProblem(f"{text!r} divides by zero: correct the number")
        b = 1 / b
    if a is not None and b is not None:
        return {}, a * b
    if a is None and b is None:
        raise NotComputed(PRODUCT)
    factor = a if a is not None else b
    assert factor is not None
    return {key: value * factor for key, value in {**left, **right}.items()}, None


def _constant(node: Number, text: str) -> Fraction:
    found = unit(node.unit)
    if found.dimension == "temperature":
        raise ExpressionProblem(
            f"{text!r}: {node.unit} has no natural zero and cannot be a factor: use a difference or another unit"
        )
    return node.value * found.factor


def _dimension(node: Node, unit_of: Callable[[str], str], known: Sequence[str], text: str) -> _Dimension:
    if isinstance(node, Number):
        return _Dimension(_powers(unit(node.unit).base), False, True)
    if isinstance(node, Total):
        members = [_of_unit(unit_of(meter)) for meter, _ in matches(node.pattern, list(known))]
        if not members:
            raise ExpressionProblem(
                f"sum([{node.pattern}]): no meter matches: correct the pattern, or wait for the first message"
            )
        for other in members[1:]:
            _same(members[0], other, text)
        return members[0]
    if isinstance(node, Meter | Delta):
        return _of_unit(unit_of(node.meter))
    left, right = (_dimension(side, unit_of, known, text) for side in (node.left, node.right))
    constant = left.constant and right.constant
    if node.sign in "+-":
        _same(left, right, text)
        return _Dimension(left.powers, left.rate or right.rate, constant)
    if left.rate and right.rate:
        what = "multiplied with" if node.sign == "*" else "divided by"
        raise ExpressionProblem(
            f"{text!r}: a rate {what} a rate has no meaning: one of them must be a level, like a concentration"
        )
    sign = 1 if node.sign == "*" else -1
    powers = dict(left.powers)
    for base, power in right.powers:
        powers[base] = powers.get(base, 0) + sign * power
    kept = tuple(sorted((base, power) for base, power in powers.items() if power))
    return _Dimension(kept, left.rate or right.rate, constant)


def _of_unit(stated: str) -> _Dimension:
    found = unit(stated)
    rate = is_rate(found)
    return _Dimension(_powers(amount_of(stated).base if rate else found.base), rate, False)


def _powers(base: str) -> tuple[tuple[str, int], ...]:
    upper, _, lower = base.partition("/")
    return tuple(sorted((name, power) for name, power in ((upper, 1), (lower, -1)) if name))


def _same(left: _Dimension, right: _Dimension, text: str) -> None:
    if left.powers != right.powers:
        try:
            why = no_conversion(unit(_shown(left)), unit(_shown(right)))
        except UnitProblem:
            why = f"{_shown(left)} and {_shown(right)} do not add up: correct a unit or a factor"
        raise ExpressionProblem(f"{text!r}: {why}")


def _shown(found: _Dimension) -> str:
    upper = "·".join(base for base, power in found.powers for _ in range(power) if power > 0)
    lower = "/".join(base for base, power in found.powers for _ in range(-power) if power < 0)
    return f"{upper or '1'}/{lower}" if lower else upper
