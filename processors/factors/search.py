"""Search among factors: every word counts, whole words before beginnings, what people mostly want first."""

import re
from collections.abc import Iterable
from functools import lru_cache

from processors.factors.factor import Factor
from processors.factors.match import EXPLICIT_ONLY, plain
from schemas.units import UnitProblem, unit

_FIRST = (
    "fuels",
    "uk electricity",
    "electricity",
    "stationary combustion",
    "waste disposal",
    "business travel air",
    "refrigerants",
)
"""Tables that people mostly mean; others follow."""

_LATER = re.compile(r"^(wtt|uk electricity t d|managed assets|secr)")
_RARER = ("non baseload", "0% laden")
SYNONYMS = {
    "gasoline": ("petrol", "gasoline"),
    "petrol": ("petrol", "gasoline"),
    "flight": ("flight", "flights", "air"),
    "flights": ("flight", "flights", "air"),
    "landfill": ("landfill", "landfilled"),
    "truck": ("truck", "hgv", "hgvs", "rigid"),
    "lorry": ("hgv", "hgvs", "rigid", "articulated"),
    "gas": ("gas",),
    "power": ("power", "electricity"),
    "uk": ("uk", "gb"),
}


def search(text: str, factors: Iterable[Factor], of_set: str | None, region: str | None, limit: int) -> list[Factor]:
    """The factors that hold every word of the text (in id, table, activity, item, unit, region), best first."""
    words = plain(text).split()
    if not words:
        return []
    chosen = [f for f in factors if (not of_set or f.set == of_set) and (not region or f.region == region)]
    scored = [(score, f) for f in chosen if (score := _score(words, f)) > 0]
    return [f for _, f in sorted(scored, key=lambda found: (-found[0], len(found[1].item), found[1].id))[:limit]]


def near(text: str, factors: Iterable[Factor], limit: int) -> list[Factor]:
    """The factors that hold most words of the text: candidates for an error."""
    words = dict.fromkeys(plain(text).split())
    scored = [(sum(_word(w, *_texts(f)) for w in words), f) for f in factors]
    return [f for score, f in sorted(scored, key=lambda s: (-s[0], len(s[1].item), s[1].id))[:limit] if score > 0]


def _score(words: list[str], factor: Factor) -> float:
    item, rest = _texts(factor)
    total = 0.0
    for word in words:
        points = _word(word, item, rest)
        if not points:
            return 0
        total += points
    table = plain(factor.table)
    if item == words:
        total += 6
    elif item[: len(words)] == words:
        total += 3
    total += 2 if table in _FIRST else (-4 if _LATER.match(table) and "wtt" not in words else 0)
    total -= 1 if factor.boundary in EXPLICIT_ONLY or any(rare in plain(factor.item) for rare in _RARER) else 0
    return total + (1 if len(factor.gases) > 1 else 0) - 0.05 * len(item)


def _texts(factor: Factor) -> tuple[list[str], list[str]]:
    return _words(factor.item, factor.table, factor.activity, factor.per_unit, factor.region or "", factor.set, factor.id)


@lru_cache(maxsize=16384)
def _words(
    item: str, table: str, activity: str, per_unit: str, region: str, of_set: str, name: str
) -> tuple[list[str], list[str]]:
    joined = "".join(c for c in item.casefold() if c.isalnum())  # r410a finds R-410A
    rest = f"{table} {activity} {per_unit} {region} {of_set} {name} {joined}"
    return plain(item).split(), plain(rest).replace("_", " ").split()


@lru_cache(maxsize=256)
def _unit(word: str) -> tuple[str, ...]:
    """A word that spells a unit, as factors name it: litre is l."""
    try:
        return (unit(word).name.casefold(),)
    except UnitProblem:
        return ()


def _word(word: str, item: list[str], rest: list[str]) -> float:
    best = 0.0
    for candidate in (*SYNONYMS.get(word, (word,)), *_unit(word)):
        exact = 0.0 if candidate == word else 0.5
        if candidate in item:
            best = max(best, 4 - exact)
        elif candidate in rest:
            best = max(best, 2.5 - exact)
        elif len(candidate) > 2 and any(text.startswith(candidate) for text in item):
            best = max(best, 2 - exact)
        elif len(candidate) > 2 and any(text.startswith(candidate) for text in rest):
            best = max(best, 1 - exact / 2)
    return best
