"""What all tests share: with CI=true a skipped test is a failure, and hypothesis runs without a deadline."""

import os
import sys
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import polars as pl
import pytest
from hypothesis import settings

collect_ignore = ["canary.py", "cluster_messages.py", "cluster_store.py", "cluster_world.py", "waiting.py", "live/launcher.py"]
"""Modules that fixtures load, and a program: nothing in them is a test."""

settings.register_profile("scopeline", deadline=None, print_blob=True)
settings.load_profile("scopeline")


def _load(name: str) -> ModuleType:
    """A module beside this file, under its name: test modules import it, and never each other."""
    spec = spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec and spec.loader
    sys.modules[name] = found = module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


_load("canary")
_load("waiting")


def _fail_if_skipped(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Turn a skip into a failure, so that the checking machine cannot silently lack a browser or a server."""
    if os.environ.get("CI") == "true" and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        report.outcome = "failed"
        report.longrepr = f"{report.nodeid}: skipped with CI=true, where everything must run: {reason}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Properties and audit go over the same lines thousands of times; to count these, which others reach, doubles their time."""
    for item in items:
        if item.path.parent.name in ("properties", "audit"):
            item.add_marker(pytest.mark.no_cover)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    _fail_if_skipped(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector):
    report = yield
    _fail_if_skipped(report)
    return report


@pytest.fixture(scope="session")
def works() -> Callable[..., Any]:
    """A plant with one site and one feed `f`: works({"channel": "e", "unit": "kWh", "kind": "counter"}, meters=[...])."""
    from schemas.plant import Plant

    def make(*channels: dict[str, Any], **parts: Any) -> Plant:
        settings = {"organisation": "Works", "sites": [{"site": "works", "timezone": "Europe/Berlin"}]}
        named = [{"value": f"$.{channel['channel']}"} | channel for channel in channels]
        feed = {"feed": "f", "topic": "t/{device}", "site": "works", "decoder": "json", "channels": named}
        return Plant.model_validate({"settings": settings, "feeds": [feed], **parts})

    return make


@pytest.fixture(scope="session")
def spoken() -> Callable[..., pl.DataFrame]:
    """READINGS of one meter: spoken([(second, value), (second, value, {"received_at": 90, "quality": "suspect"}), ...])."""
    from schemas.frames import READINGS, empty, shaped
    from schemas.numeric import exact_n

    def at(second: float) -> datetime:
        return datetime(2026, 3, 1, tzinfo=UTC) + timedelta(microseconds=round(second * 1_000_000))

    def make(rows: Iterable[tuple[Any, ...]], **facts: Any) -> pl.DataFrame:
        common = {"meter": "works/m:e", "site": "works", "feed": "f", "channel": "e", "device": "m", "kind": "counter"}
        common |= {"unit": "kWh", "quality": "good", "index": 0} | facts
        found = []
        for number, (second, value, *more) in enumerate(rows):
            row = common | {"observed_at": second, "received_at": second + 1, "message": number} | (more[0] if more else {})
            times = {name: at(row[name]) for name in ("observed_at", "received_at", "period_start", "period_end") if name in row}
            found.append(row | times | {"value_n": exact_n(str(value))})
        return shaped(pl.DataFrame(found, infer_schema_length=None), READINGS) if found else empty(READINGS)

    return make


@pytest.fixture(scope="session")
def world() -> ModuleType:
    """The worker of the cluster profile without servers: tests/cluster_world.py, made of three files."""
    return [_load(name) for name in ("cluster_messages", "cluster_store", "cluster_world")][-1]


def _counted(number: int) -> bytes:
    """A length of MQTT: seven bits a byte."""
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(found) + bytes([number])


@pytest.fixture(scope="session")
def publish() -> Any:
    """Makes an MQTT PUBLISH packet; `properties` (their bytes) only in version 5."""

    def make(
        topic: str | bytes, payload: bytes, packet_id: int | None = 1, *, flags: int = 0, properties: bytes | None = None
    ) -> bytes:
        name = topic.encode() if isinstance(topic, str) else topic
        body = len(name).to_bytes(2, "big") + name
        if packet_id is not None:
            body += packet_id.to_bytes(2, "big")
            flags |= 0 if flags & 0x06 else 0x02
        if properties is not None:
            body += _counted(len(properties)) + properties
        return bytes([0x30 | flags]) + _counted(len(body) + len(payload)) + body + payload

    return make
