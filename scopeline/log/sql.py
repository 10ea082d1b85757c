"""Conditions of queries, as SQL with parameters."""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from scopeline.log.tables import naive


def condition(
    among: Sequence[tuple[str, Sequence[Any] | None]], between: Sequence[tuple[str, datetime | None, datetime | None]] = ()
) -> tuple[str, list[Any]]:
    """SQL and parameters: columns that must be one of some values (None: any), times within [start, end)."""
    parts: list[str] = ["true"]
    parameters: list[Any] = []
    for column, values in among:
        if values is not None:
            parts.append(f"{column} IN (SELECT unnest(?))")
            parameters.append(list(values))
            if values and isinstance(values[0], int):
                parts.append(f"{column} BETWEEN {min(values)} AND {max(values)}")
    for column, start, end in between:
        for sign, at in ((">=", start), ("<", end)):
            if at is not None:
                parts.append(f'"{column}" {sign} ?')  # quoted: `at` is a word of SQL
                parameters.append(naive(at))
    return " AND ".join(parts), parameters


def topic_pattern(topic_filter: str) -> str:
    """A topic filter as a regular expression for whole topics.

    >>> bool(re.fullmatch(topic_pattern("a/+/c/#"), "a/b/c")), bool(re.fullmatch(topic_pattern("a/+"), "a/b/c"))
    (True, False)
    """
    levels = ["[^/]*" if level == "+" else re.escape(level) for level in topic_filter.split("/")]
    if topic_filter.endswith("#"):
        return "/".join(levels[:-1]) + ("(/.*)?" if levels[:-1] else ".*")
    return "/".join(levels)
