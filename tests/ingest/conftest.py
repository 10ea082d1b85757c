"""Plants of a few feeds, and messages for them."""

import sys
from collections.abc import Callable
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest

import ingest
from schemas.feed import Feed
from schemas.frames import MESSAGES
from schemas.plant import Plant, PlantFile
from schemas.source import MeterRow

ARRIVAL = datetime(2026, 6, 1, 12, tzinfo=UTC)


def _plant(*feeds: dict[str, Any], meters: list[dict[str, Any]] | None = None, brokers: dict[str, Any] | None = None) -> Plant:
    sites = [
        {"site": "duisburg", "timezone": "Europe/Berlin"},
        {"site": "york", "timezone": "America/New_York"},
        {"site": "howe", "timezone": "Australia/Lord_Howe"},
    ]
    return Plant(
        settings=PlantFile.model_validate({"organisation": "Acme", "sites": sites, "brokers": brokers or {}}),
        feeds=tuple(Feed.model_validate(feed) for feed in feeds),
        meters=tuple(MeterRow.model_validate(row) for row in meters or ()),
    )


def _messages(*given: tuple[Any, ...] | dict[str, Any]) -> pl.DataFrame:
    """(topic, payload) pairs or whole rows; payload text becomes bytes."""
    rows = []
    for number, one in enumerate(given):
        row = {"message": number, "received_at": ARRIVAL, "retained": False, "broker": None}
        row |= one if isinstance(one, dict) else {"topic": one[0], "payload": one[1]}
        row["payload"] = row["payload"].encode() if isinstance(row["payload"], str) else row["payload"]
        rows.append(row)
    return pl.DataFrame(rows, schema=MESSAGES)


@contextmanager
def _few(count: int):
    """Payloads below this count go one by one."""
    module = sys.modules["ingest.decode"]
    before, module.FEW = module.FEW, count
    try:
        yield
    finally:
        module.FEW = before


def _both_ways(messages: pl.DataFrame, plant: Plant) -> ingest.Decoded:
    """Decode by shape and one by one; both must say the same."""
    with _few(1):
        fast = ingest.decode(messages, ingest.compile(plant))
    with _few(10**9):
        slow = ingest.decode(messages, ingest.compile(plant))
    for name in ("decoded", "rejects", "outcomes"):
        assert getattr(fast, name).equals(getattr(slow, name)), (name, getattr(fast, name), getattr(slow, name))
    return fast


@pytest.fixture(scope="session")
def plant() -> Callable[..., Plant]:
    return _plant


@pytest.fixture(scope="session")
def messages() -> Callable[..., pl.DataFrame]:
    return _messages


@pytest.fixture(scope="session")
def both_ways() -> Callable[[pl.DataFrame, Plant], ingest.Decoded]:
    return _both_ways


@pytest.fixture(scope="session")
def arrival() -> datetime:
    return ARRIVAL
