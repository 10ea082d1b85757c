"""The text of an expression as a tree: `+ - * / ( )`, numbers with units, `[meter]`, `sum([pattern])`, `delta([level])`."""

import re
from fractions import Fraction
from typing import NamedTuple


class ExpressionProblem(ValueError):
    """An expression that cannot be read, or whose units do not fit; the text says what and the remedy."""


class Number(NamedTuple):
    value: Fraction
    unit: str  # "" where it has none


class Meter(NamedTuple):
    meter: str


class Total(NamedTuple):
    pattern: str  # sum([pattern])


class Delta(NamedTuple):
    meter: str  # delta([level])


class Operation(NamedTuple):
    sign: str  # + - * /
    left: "Node"
    right: "Node"


Node = Number | Meter | Total | Delta | Operation

_UNIT = r"[A-Za-z%°µ][\w%°·³²]*(?:/[A-Za-z%°µ][\w%°·³²]*)?"
_TOKENS = re.compile(
    rf"\s*(?:(?P<number>(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)(?:\s*(?P<unit>{_UNIT}))?"
    r"|(?P<function>sum|delta)\s*\(\s*\[(?P<argument>[^\[\]]+)\]\s*\)|\[(?P<meter>[^\[\]]+)\]|(?P<sign>[-+*/()]))"
)


class _Token(NamedTuple):
    kind: str  # number, function, meter, sign, end
    text: str
    more: str
    at: int


def tree(text: str) -> Node:
    """The tree of an expression. Without brackets the whole text is one meter id, with whatever signs are in it.

    >>> tree("works/line-1:energy")
    Meter(meter='works/line-1:energy')
    >>> tree("2 * ([a:e] - [b:e])").sign, tree("[a:e] * 11.3 kWh/m3").right
    ('*', Number(value=Fraction(113, 10), unit='kWh/m3'))
    """
    if "[" not in text:
        return Meter(_meter(text.strip(), text))
    tokens = _tokens(text)
    node, rest = _sum(tokens, text)
    if rest[0].kind != "end":
        raise _unexpected(rest[0], text)
    return node


def _tokens(text: str) -> list[_Token]:
    found, at = [], 0
    while text[at:].strip():
        token = _TOKENS.match(text, at)
        if not token:
            place = at + len(text[at:]) - len(text[at:].lstrip())
            hint = "write a meter in brackets: [site/path:channel]; sums as sum([pattern])"
            raise ExpressionProblem(f"cannot read {text!r} at {text[place:]!r}: {hint}")
        kind = (
            token.lastgroup
            if token.lastgroup not in ("unit", "argument")
            else {"unit": "number", "argument": "function"}[token.lastgroup]
        )
        more = token["unit"] or token["argument"] or ""
        found.append(_Token(str(kind), token[str(kind)], more, token.end()))
        at = token.end()
    return [*found, _Token("end", "", "", at)]


def _unexpected(token: _Token, text: str) -> ExpressionProblem:
    what = "ends too early" if token.kind == "end" else f"has {token.text!r} where a term or sign is missing"
    return ExpressionProblem(f"{text!r} {what}: write like [a:b] - 0.5 * ([c:d] + sum([e/*:f]))")


def _sum(tokens: list[_Token], text: str) -> tuple[Node, list[_Token]]:
    return _chain(tokens, text, "+-", lambda rest: _chain(rest, text, "*/", lambda last: _factor(last, text)))


def _chain(tokens, text, signs, operand):
    node, rest = operand(tokens)
    while rest[0].kind == "sign" and rest[0].text in signs:
        sign = rest[0].text
        right, rest = operand(rest[1:])
        node = Operation(sign, node, right)
    return node, rest


def _factor(tokens: list[_Token], text: str) -> tuple[Node, list[_Token]]:
    token, rest = tokens[0], tokens[1:]
    if token.kind == "number":
        return Number(Fraction(token.text), token.more), rest
    if token.kind == "meter":
        return Meter(_meter(token.text, text)), rest
    if token.kind == "function":
        return (Total if token.text == "sum" else Delta)(_meter(token.more, text)), rest
    if token.text == "-":
        node, rest = _factor(rest, text)
        return Operation("*", Number(Fraction(-1), ""), node), rest
    if token.text == "(":
        node, rest = _sum(rest, text)
        if rest[0].text != ")":
            raise ExpressionProblem(f"{text!r}: a bracket ( is not closed: add )")
        return node, rest[1:]
    raise _unexpected(token, text)


def _meter(name: str, text: str) -> str:
    name = name.strip()
    if ":" not in name or re.search(r"\s", name) or name.startswith(("sum(", "delta(")):
        raise ExpressionProblem(f"{name!r} in {text!r} is no meter: write <site>/<path>:<channel>, in expressions in brackets")
    return name


def matches(pattern: str, meters: list[str] | tuple[str, ...]) -> list[tuple[str, str]]:
    """The meters that a pattern names, sorted, each with its starred parts joined by `-`; a star stays within one level.

    >>> matches("works/press/*:energy", ["works/press/p2:energy", "works/press/p1:energy", "works/press/a/b:energy"])
    [('works/press/p1:energy', 'p1'), ('works/press/p2:energy', 'p2')]
    """
    asked = re.compile("([^/]+)".join(re.escape(part) for part in pattern.split("*")))
    found = ((meter, asked.fullmatch(meter)) for meter in sorted(set(meters)))
    return [(meter, "-".join(match.groups())) for meter, match in found if match]


def written(node: Node, names: dict[str, Node]) -> str:
    """The tree as text again, with named meters replaced by what they stand for.

    >>> written(tree("[a:e] - 0.5 * [v:e]"), {"v:e": tree("[b:e] + [c:e]")})
    '([a:e] - (0.5 * ([b:e] + [c:e])))'
    """
    if isinstance(node, Number):
        value = str(node.value.numerator) if node.value.denominator == 1 else _fraction(node.value)
        return f"{value} {node.unit}".strip()
    if isinstance(node, Meter):
        return written(names[node.meter], names) if node.meter in names else f"[{node.meter}]"
    if isinstance(node, Total):
        return f"sum([{node.pattern}])"
    if isinstance(node, Delta):
        return f"delta([{node.meter}])"
    return f"({written(node.left, names)} {node.sign} {written(node.right, names)})"


def _fraction(value: Fraction) -> str:
    """A decimal fraction as decimal text (all numbers of an expression are decimal)."""
    digits = 0
    while (value * 10**digits).denominator != 1:
        digits += 1
    whole = abs(int(value * 10**digits))
    text = str(whole).rjust(digits + 1, "0")
    return f"{'-' if value < 0 else ''}{text[:-digits]}.{text[-digits:]}"
