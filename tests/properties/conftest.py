"""What the properties share: a plant folder and messages from plain values, through `scopeline compute`, back as text."""

import base64
import csv
import io
import json
import re
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType, SimpleNamespace
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


ZERO = datetime(2026, 3, 2, tzinfo=UTC)
COUNTER = {"channel": "e", "value": "$.v", "unit": "kWh", "kind": "counter"}
AMOUNT = {"channel": "e", "value": "$.v", "unit": "kWh", "kind": "amount"}


def stamp(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def after(minutes: float) -> str:
    return stamp(ZERO + timedelta(minutes=minutes))


def plant(*channels: dict[str, Any], zone: str = "UTC", **feed: Any) -> dict[str, Any]:
    """One site `w`; feed `f` reads w/{device} into the given channels, `other` reads o/+; each meter below is a source."""
    at = {"path": "$.t", "format": "iso8601"}
    named = {"feed": "f", "topic": "w/{device}", "decoder": "json", "site": "w", "observed_at": at, "channels": channels, **feed}
    other = {"feed": "other", "topic": "o/{device}", "decoder": "json", "site": "w", "observed_at": at, "channels": [COUNTER]}
    first = channels[0]["channel"]
    meters = {"bad": f"w/bad:{first}", "good": f"w/good:{first}", "other": "w/other:e", "device": f"w/device:{first}"}
    return {
        "plant.yaml": {
            "organisation": "Faults",
            "sites": [{"site": "w", "timezone": zone}],
            "reporting": {"base_interval": "15m"},
        },
        "feeds/f.yaml": {"feeds": [named, {**other, "meter": "w/{device}"}]},
        "sources/s.yaml": {
            "sources": [
                {"source": name, "site": "w", "scope": "none", "category": "energy_only", "measured_by": meter}
                for name, meter in meters.items()
            ]
        },
    }


def message(topic: str, payload: str | bytes, minutes: float, **more: Any) -> dict[str, Any]:
    raw = payload.encode() if isinstance(payload, str) else payload
    return {"topic": topic, "payload_base64": base64.b64encode(raw).decode(), "received_at": after(minutes), **more}


def said(device: str, minutes: float, value: Any, received: float | None = None, more: str = "") -> dict[str, Any]:
    """A plain message: the value as JSON writes it, or as text already."""
    text = value if isinstance(value, str) else json.dumps(value)
    topic = device if "/" in device else f"w/{device}"
    return message(topic, f'{{"t": "{after(minutes)}", "v": {text}{more}}}', minutes + 0.1 if received is None else received)


def quarantined(output: str) -> dict[str, int]:
    """What the summary of `compute` says was quarantined, by reason."""
    found = re.findall(r"quarantined: ([\d,]+) (\w+)", output)
    return {reason: int(count.replace(",", "")) for count, reason in found}


def activity(rows: list[Mapping[str, str]], source: str = "bad") -> list[float]:
    return [float(row["activity"]) for row in rows if row["source"] == source]


@pytest.fixture(scope="session")
def pencil() -> ModuleType:
    """The reference of pencil.py: rules of readings and activity in plain fractions."""
    spec = spec_from_file_location("pencil", Path(__file__).with_name("pencil.py"))
    assert spec and spec.loader
    found = module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


@pytest.fixture(scope="session")
def lab() -> SimpleNamespace:
    """A small plant with a good device, a bad one and their messages, in minutes after `ZERO`."""
    tools = (stamp, after, plant, message, said, quarantined, activity)
    return SimpleNamespace(COUNTER=COUNTER, AMOUNT=AMOUNT, **{tool.__name__: tool for tool in tools})


@pytest.fixture(scope="session")
def harmless(compute: Callable[..., Computed]) -> Callable[..., Computed]:
    """harmless([message, ...]) computes them among good ones, and asserts that these come out as if they were alone.

    There are enough good ones, of two feeds, that payloads are read by shape. `more` stands in each good payload.
    """
    alone: dict[str, list[dict[str, str]]] = {}

    def run(faulty: list[Any], files: dict[str, Any] | None = None, more: str = "") -> Computed:
        files = files or plant(COUNTER)
        good = [said(device, 3 * n, round(1.5 * n, 1), more=more) for n in range(90) for device in ("good", "o/other")]
        key = json.dumps([files, more])
        if key not in alone:
            alone[key] = compute(files, good).rows
        found = compute(files, good[:101] + faulty + good[101:])
        assert [row for row in found.rows if row["source"] != "bad"] == alone[key]
        return found

    return run
