"""What a model refuses, in the operator's words: file, line, key, message, remedy."""

import difflib
import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from schemas.problem import Problem
from scopeline.plant.documents import Keys

SECRETS = ("password", "passwd", "secret", "token", "api_key", "apikey", "passphrase", "credentials", "private_key")
"""Keys under which people write secrets into configuration; we point to the file instead and never print the value."""


class Place(NamedTuple):
    """Where an item stands: its file, the lines of its keys, and the path of the item in the file."""

    file: str
    lines: Mapping[Keys, int]
    path: Keys = ()
    written: Mapping[Keys, str] = {}

    def line(self, path: Keys) -> int | None:
        """The line of a key of the item, or of the nearest key above it."""
        whole = (*self.path, *path)
        return next((self.lines[whole[:n]] for n in range(len(whole), -1, -1) if whole[:n] in self.lines), None)

    def problem(self, severity: Any, path: Keys | str, message: str, remedy: str) -> Problem:
        """A problem of this item at a key of it."""
        path = (path,) if isinstance(path, str) else path
        return Problem(severity, self.file, self.line(path), key_text((*self.path, *path)), message, remedy)


def key_text(path: Keys) -> str:
    """A path as people read it.

    >>> key_text(("feeds", 0, "channels", 2, "unit"))
    'feeds[0].channels[2].unit'
    """
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def near(word: str, known: Iterable[str]) -> str:
    """A hint at the known words that look like this one, or ''.

    >>> near("chanels", ["channels", "feed"])
    'did you mean channels?'
    """
    every = list(known)
    close = [k for k in every if k.lower() == word.lower()] or difflib.get_close_matches(word, every, 3, 0.6)
    alike = {other: difflib.SequenceMatcher(None, word, other).ratio() for other in close}
    close = [other for other in close if alike[other] > max(alike.values()) - 0.08]
    return f"did you mean {' or '.join(close)}?" if close else ""


def explain(error: ValidationError, model: type[BaseModel], place: Place) -> list[Problem]:
    """One problem for each thing that the model refuses."""
    every = error.errors(include_url=False)
    inside = {details["loc"][:length] for details in every for length in range(len(details["loc"]))}
    return [
        _problem(details, model, place) for details in every if details["type"] != "too_short" or details["loc"] not in inside
    ]


def _problem(details: ErrorDetails, model: type[BaseModel], place: Place) -> Problem:
    path = tuple(part for part in details["loc"] if part not in ("<text>", "<list>", "<map>", "[key]"))
    kind, context, value = details["type"], details.get("ctx", {}), details["input"]
    name = str(path[-1]) if path else ""
    if kind == "extra_forbidden":
        return place.problem("error", path, *_unknown(name, _keys(model, path[:-1])))
    if kind == "missing":
        line = place.line(path[:-1])
        problem = place.problem("error", path, f"the key {name} is missing", _add(name, model, path))
        return problem._replace(line=line)
    if kind == "quote":
        text = place.written.get((*place.path, *path), context["value"])
        shown = '"..."' if _secret(path) else f'"{text}"'
        return place.problem("error", path, f"is a {context['kind']} but must be text", f"quote it: {shown}")
    if kind in ("plant", "plant_form"):
        message, _, remedy = details["msg"].partition(": ")
        return place.problem("error", path, context.get("problem", message), context.get("remedy", remedy))
    if kind == "literal_error":
        allowed = str(context["expected"]).replace(" or ", ", ").replace("'", "").split(", ")
        hint = near(value, allowed) if isinstance(value, str) else ""
        return place.problem(
            "error", path, f"{_shown(value)} is not allowed", f"{hint} write one of: {', '.join(allowed)}".strip()
        )
    message, remedy = _PLAIN.get(kind, (details["msg"].lower(), "correct the value"))
    if value is None:
        message, remedy = "is empty", "write a value, or remove the key"
    return place.problem("error", path, message.format(**context), remedy.format(**context))


_PLAIN = {
    "string_type": ("is no text", "write a single text here"),
    "bool_type": ("is neither true nor false", "write true or false, without quotes"),
    "int_type": ("is no whole number", "write a whole number without quotes"),
    "int_parsing": ("is no whole number", "write a whole number"),
    "tuple_type": ("is no list", "write a list: [a, b], or lines that start with -"),
    "dict_type": ("is no map of keys", "write keys and values here"),
    "model_type": ("is no map of keys", "write keys and values here"),
    "model_attributes_type": ("is no map of keys", "write keys and values here"),
    "too_short": ("is an empty list", "write at least {min_length}"),
    "string_too_long": ("is too long", "write at most {max_length} character"),
    "string_too_short": ("is empty", "write at least {min_length} character"),
    "greater_than_equal": ("is too small", "write at least {ge}"),
    "less_than_equal": ("is too large", "write at most {le}"),
}
"""Kinds of pydantic's errors -> message and remedy."""


def _unknown(name: str, known: list[str]) -> tuple[str, str]:
    stem = next((word for word in SECRETS if word in name.lower()), None)
    if stem:
        file_key = next((key for key in known if key.endswith("_file") and key.startswith(stem)), None)
        where = f"{file_key}: secrets/{stem}" if file_key else "a file below secrets/"
        return f"the secret {name} must not stand here", f"write it into a file or the environment and name the file: {where}"
    hint = near(name, known)
    return f"unknown key {name}", hint or f"known here: {', '.join(known)}"


def _add(name: str, model: type[BaseModel], path: Keys) -> str:
    what = _properties(model, path[:-1]).get(name, {}).get("description", "")
    return f"add {name}:" + (f" {what}" if what else "")


def _secret(path: Keys) -> bool:
    return any(word in str(part).lower() for part in path for word in SECRETS)


def _shown(value: Any) -> str:
    return repr(value) if isinstance(value, str) else json.dumps(value, default=str)


def _keys(model: type[BaseModel], path: Keys) -> list[str]:
    return list(_properties(model, path))


@lru_cache(maxsize=64)
def schema(model: type[BaseModel]) -> dict[str, Any]:
    """The JSON Schema of a model's written form."""
    return model.model_json_schema(by_alias=True, mode="validation")


def _properties(model: type[BaseModel], path: Keys) -> dict[str, Any]:
    """The known keys at a path of a model's written form, with their schemas."""
    root = schema(model)
    nodes = [root]
    for part in path:
        nodes = [after for node in nodes for form in _forms(root, node) for after in _step(form, part)]
    return {name: inner for node in nodes for form in _forms(root, node) for name, inner in form.get("properties", {}).items()}


def _forms(root: dict[str, Any], node: dict[str, Any]) -> list[dict[str, Any]]:
    if "$ref" in node:
        return _forms(root, root["$defs"][node["$ref"].rsplit("/", 1)[1]])
    return [form for option in ("anyOf", "oneOf") for inner in node.get(option, []) for form in _forms(root, inner)] or [node]


def _step(node: dict[str, Any], part: str | int) -> list[dict[str, Any]]:
    if part in node.get("properties", {}):
        return [node["properties"][part]]
    inner = node.get("items") if isinstance(part, int) else node.get("additionalProperties")
    return [inner] if isinstance(inner, dict) else []
