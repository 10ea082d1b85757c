"""What the properties share: a plant folder and messages from plain values, through `scopeline compute`, back as text."""

import csv
import io
import json
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from click.testing import Result
from typer.testing import CliRunner

from scopeline.cli import app


class Computed(NamedTuple):
    """One run: the bytes of the file, its rows as text, what stood on standard error and on standard output, the exit code."""

    bytes: bytes
    rows: list[dict[str, str]]
    said: str
    exit_code: int


def _folder(place: Path, files: Mapping[str, Any]) -> Path:
    """A plant folder: texts as they are, everything else as YAML (JSON is YAML)."""
    for name, content in files.items():
        path = place / "plant" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return place / "plant"


def _lines(messages: Iterable[Mapping[str, Any] | bytes]) -> bytes:
    return b"".join(m if isinstance(m, bytes) else json.dumps(m).encode() + b"\n" for m in messages)


@pytest.fixture(scope="session")
def compute() -> Callable[..., Computed]:
    """compute({"plant.yaml": {...}, ...}, [message, ...], "--interval", "1d"): a message is a mapping, or a line as bytes."""

    def run(
        files: Mapping[str, Any], messages: Iterable[Mapping[str, Any] | bytes], *more: str, code: int | None = 0
    ) -> Computed:
        with tempfile.TemporaryDirectory() as place:
            folder = _folder(Path(place), files)
            log, out = Path(place, "messages.ndjson"), Path(place, "figures.csv")
            log.write_bytes(_lines(messages))
            arguments: Sequence[str] = ["--plant", str(folder), "--messages", str(log), "--out", str(out), *more]
            done: Result = CliRunner().invoke(app, ["compute", *arguments])
            if done.exception is not None and not isinstance(done.exception, SystemExit):
                raise done.exception
            assert code is None or done.exit_code == code, done.output
            data = out.read_bytes() if out.exists() else b""
            rows = list(csv.DictReader(io.StringIO(data.decode())))
            return Computed(data, rows, done.output, done.exit_code)

    return run
