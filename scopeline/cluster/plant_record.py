"""One version of the plant folder as a record of the topic `<prefix>.plant`: which files, how they are written and read.

The key is the version, `<number>-<start of the fingerprint>`; the value is the files as gzipped JSON, never a secret.
"""

import gzip
import json
import re
import zlib
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from pydantic import BaseModel

from scopeline.plant import files, load
from scopeline.plant.reading import holds

FORMAT = 1
"""Raised when an older Scopeline could no longer read a record."""
VERSION = re.compile(r"([0-9]{6})-[0-9a-f]{12}")
_LARGEST_TEXT = 64 * 1024 * 1024


class PlantTopicError(Exception):
    """What cannot be published, or was published by somebody else; the text says what to do."""


class Published(NamedTuple):
    """A version of the plant folder as it stands in the topic."""

    version: str
    number: int
    fingerprint: str
    published_at: datetime
    by: str
    files: dict[str, bytes]


def collect(folder: Path) -> dict[str, bytes]:
    """The configuration files of a plant folder by name; PlantTopicError for a file that is, or is named as, a secret."""
    plant, _ = load(folder)
    named = {(folder / name).resolve() for name in _secrets(plant)} if plant else set()
    found = {}
    for path in files(folder):
        name, real = path.relative_to(folder).as_posix(), path.resolve()
        if real in named or "secrets" in real.parts[len(folder.resolve().parts) :] or "secrets" in path.relative_to(folder).parts:
            raise PlantTopicError(
                f"{name} is a secret, or a link to one, and stands among the configuration files, which are published. "
                "Move it into secrets/ and name it there."
            )
        found[name] = path.read_bytes()
    return found


def _secrets(item: Any) -> set[str]:
    """The values of all keys `..._file` inside a model."""
    found: set[str] = set()
    if isinstance(item, BaseModel):
        for key in type(item).model_fields:
            value = getattr(item, key)
            found |= {value} if key.endswith("_file") and isinstance(value, str) else _secrets(value)
    elif isinstance(item, dict):
        found = found.union(*(_secrets(value) for value in item.values()))
    elif isinstance(item, tuple):
        found = found.union(*(_secrets(value) for value in item))
    return found


def encode(published: Published) -> bytes:
    """The value of a record; the same content gives the same bytes."""
    content = {
        "format": FORMAT,
        "fingerprint": published.fingerprint,
        "published_at": published.published_at.isoformat(),
        "by": published.by,
        "files": {name: data.decode() for name, data in sorted(published.files.items())},
    }
    return gzip.compress(json.dumps(content, ensure_ascii=False).encode(), mtime=0)


def decode(key: bytes | None, value: bytes) -> Published:
    """A record; PlantTopicError where it is damaged, foreign, or of a newer format."""
    version = (key or b"").decode("utf-8", "replace")
    if not (named := VERSION.fullmatch(version)):
        raise PlantTopicError(f"a record of the plant topic has the key {version[:40]!r}, which is no version of ours")
    try:
        content = json.loads(_unzipped(value))
        if content["format"] > FORMAT:
            raise PlantTopicError(f"version {version} was published by a newer Scopeline: update this one")
        found = Published(
            version,
            int(named[1]),
            content["fingerprint"],
            datetime.fromisoformat(content["published_at"]),
            str(content["by"]),
            {str(name): text.encode() for name, text in content["files"].items()},
        )
    except (ValueError, KeyError, TypeError, AttributeError, zlib.error) as error:
        raise PlantTopicError(f"version {version} of the plant topic is damaged ({error}): publish again with --force") from None
    for name in found.files:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or "\\" in name or not holds(Path(name)):
            raise PlantTopicError(f"version {version} of the plant topic holds {name!r}, which is no file of a plant folder")
    return found


def _unzipped(value: bytes) -> bytes:
    opened = zlib.decompressobj(wbits=31)
    text = opened.decompress(value, _LARGEST_TEXT)
    if opened.unconsumed_tail or not opened.eof:
        raise ValueError("cut off, or larger than 64 MiB")
    return text
