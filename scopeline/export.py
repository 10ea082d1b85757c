"""Exports: figures as a file with its proof beside it, written here or taken over from a running instance."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from scopeline.query import QueryError, rfc3339
from scopeline.remote import Failed
from scopeline.service.figures import Figures
from scopeline.tokens import write_private
from sinks import files


def write(figures: Figures, file: Path, form: str, dialect: str = "plain", progress: Callable[[Any], None] | None = None) -> Path:
    """Write an answer and its meta file, whole or not at all; returns the meta file's path. Constant memory."""
    if dialect not in files.DIALECTS:
        raise QueryError(f"csv dialect {dialect!r} is not known", f"Use one of: {', '.join(files.DIALECTS)}.")
    if progress:
        figures.seen = progress
    now = figures.host.now()
    zones = {site.site: site.timezone for site in figures.configuration.plant.settings.sites if site.site in figures.windows}

    def meta() -> dict[str, Any]:
        return {**figures.facts(), "generated_at": rfc3339(now)}

    return files.write(figures, file, form, dialect, meta, zones).meta


def keep(part: Path, file: Path, meta: dict[str, Any]) -> Path:
    """Take over a file that an instance wrote: checked against its sha256, moved into place, with its meta file."""
    with part.open("rb") as got:
        digest = hashlib.file_digest(got, "sha256").hexdigest()
        os.fsync(got.fileno())
    if digest != meta["sha256"]:
        raise Failed("The file did not arrive whole", "Export again")
    mask = os.umask(0)
    os.umask(mask)
    beside = files.meta_path(file)
    text = orjson.dumps({**meta, "file": file.name}, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode()
    part.chmod(0o666 & ~mask)
    part.replace(file)
    write_private(beside, text)
    beside.chmod(0o666 & ~mask)
    return beside
