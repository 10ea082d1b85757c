"""Tokens of a column as numbers, words and texts, for a whole batch at a time."""

import re

import polars as pl

NUMERIC = r"\A[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?\z"
_JSON_NUMBER = r"\A-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?\z"
MAX_DIGITS = 400


def numbers(tokens: pl.Series) -> tuple[pl.Series, pl.Series]:
    """The decimal text of each token, written as JSON writes numbers, and the reason where there is none.

    Number tokens pass through untouched; strings must hold a number and nothing else.

    >>> values, reasons = numbers(pl.Series(["10.50", '" +07. "', "true", None, "NaN", '"12,5"']))
    >>> values.to_list(), reasons.to_list()
    (['10.50', '7', None, None, None, None], [None, None, 'no_value', 'no_value', 'not_finite', 'no_value'])
    """
    plain = ((tokens >= "-") & (tokens < ":")).fill_null(False)
    blank = pl.Series([None], dtype=pl.String).new_from_index(0, len(tokens))
    long = tokens.str.len_bytes().max()
    if plain.all() and (not isinstance(long, int) or long <= MAX_DIGITS):
        return tokens, blank
    odd = tokens.filter(~plain).str.strip_chars('"').str.strip_chars()
    numeric = odd.str.contains(NUMERIC).fill_null(False)
    text = odd.zip_with(numeric, blank.head(1))
    strange = numeric & ~odd.str.contains(_JSON_NUMBER).fill_null(False)
    if strange.any():
        stated = text.filter(strange)
        known = {one: _as_json(one) for one in stated.unique()}
        text = text.scatter(strange.arg_true(), pl.Series([known[one] for one in stated], dtype=pl.String))
    infinite = odd.str.to_lowercase().str.contains(r"\A[+-]?(?:nan|inf|infinity)\z").fill_null(False)
    reason = pl.select(
        pl.when(numeric).then(None).when(infinite).then(pl.lit("not_finite")).otherwise(pl.lit("no_value")).alias("reason")
    )["reason"]
    places = (~plain).arg_true()
    values, reasons = tokens.scatter(places, text), blank.scatter(places, reason)
    lengthy = (values.str.len_bytes() > MAX_DIGITS).fill_null(False)
    if lengthy.any():
        values = values.scatter(lengthy.arg_true(), pl.Series([None], dtype=pl.String))
        reasons = reasons.scatter(lengthy.arg_true(), "out_of_range")
    return values, reasons


def _as_json(text: str) -> str:
    """A number as JSON writes it: no plus sign, no leading zeros, digits on both sides of the point.

    >>> _as_json("+007.50"), _as_json(".5e3"), _as_json("5."), _as_json("-00")
    ('7.50', '0.5e3', '5', '-0')
    """
    found = re.fullmatch(r"([+-]?)([0-9]*)\.?([0-9]*)((?:[eE].*)?)", text)
    if found is None:
        return text
    sign, whole, fraction, exponent = found.groups()
    return f"{sign.replace('+', '')}{whole.lstrip('0') or '0'}{'.' if fraction else ''}{fraction}{exponent}"


def texts(tokens: pl.Series) -> pl.Series:
    """The text of each token: the content of a string, a number as written; null for null, booleans and what is not there.

    >>> texts(pl.Series(['"p7"', "42", "true", "null", None])).to_list()
    ['p7', '42', None, None, None]
    """
    quoted = tokens.str.starts_with('"')
    if quoted.all(ignore_nulls=False):
        inside = pl.col("token").cast(pl.Binary).bin.slice(1, pl.col("token").str.len_bytes() - 2)
        return tokens.rename("token").to_frame().select_seq(inside.cast(pl.String))["token"]
    said = quoted | ((tokens >= "-") & (tokens < ":"))
    return tokens.str.strip_prefix('"').str.strip_suffix('"').zip_with(said.fill_null(False), pl.Series([None], dtype=pl.String))


def utf8(payloads: pl.Series) -> pl.Series:
    """Bytes as text, null where they are no UTF-8.

    polars casts a whole column or none of it, so a column that fails is halved down to the payloads that are at fault.

    >>> utf8(pl.Series([b"a", b"\\xff", None])).to_list()
    ['a', None, None]
    """
    try:
        return payloads.cast(pl.String)
    except pl.exceptions.ComputeError:
        if len(payloads) > 64:
            half = len(payloads) // 2
            return pl.concat([utf8(payloads.head(half)), utf8(payloads.tail(len(payloads) - half))])
    return pl.Series(payloads.name, [_text_or_none(one) for one in payloads], dtype=pl.String)


def _text_or_none(payload: bytes | None) -> str | None:
    try:
        return None if payload is None else payload.decode()
    except UnicodeDecodeError:
        return None
