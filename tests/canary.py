"""Which secrets a text holds: as they are, or encoded as protocols and files do it. For the tests that hunt for them."""

import base64
import json
from collections.abc import Mapping

USER = "us"
"""The name that goes with each of them."""


def leaks(text: str, secrets: Mapping[str, str]) -> list[str]:
    """The names of the secrets (name -> value) that are in the text."""
    return [name for name, value in secrets.items() if any(form in text for form in forms(value))]


def forms(value: str) -> set[str]:
    """A secret as it is, in JSON, in an address, and in the base64 of HTTP and SASL."""
    found = {value, json.dumps(value)[1:-1], value.replace("/", "%2F").replace("+", "%2B")}
    return found | {base64.b64encode(text.encode()).decode() for text in (value, f"{USER}:{value}", f"\0{USER}\0{value}")}
