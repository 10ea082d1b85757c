"""Plants, activity and reference levels for tests of pricing and roll-ups."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from processors import plan as plans
from processors.factors import Catalogue
from processors.sources import expand
from schemas.frames import ACTIVITY, AMOUNTS, READINGS, shaped
from schemas.numeric import exact_n
from schemas.plant import Plant

CHANNELS = [
    {"channel": "gas", "value": "$.g", "unit": "kWh_gross", "kind": "counter"},
    {"channel": "energy", "value": "$.e", "unit": "kWh", "kind": "counter"},
    {"channel": "diesel", "value": "$.d", "unit": "l", "kind": "amount", "event": "$.id"},
    {"channel": "filled", "value": "$.f", "unit": "kg", "kind": "amount", "event": "$.id"},
    {"channel": "freight", "value": "$.t", "unit": "tonne_km", "kind": "amount", "event": "$.id"},
]


@pytest.fixture(scope="session")
def catalogue() -> Catalogue:
    from scopeline.catalogue import catalogue as shipped

    return shipped()


@pytest.fixture(scope="session")
def plant_of() -> Callable[..., Plant]:
    """A plant of 15-minute intervals with sites `leeds` (GB) and what is given: plant_of(sources=[...], reporting={...}, ...)."""

    def make(sources: Sequence[dict[str, Any]] = (), **parts: Any) -> Plant:
        settings = {
            "organisation": "Works",
            "tags": parts.pop("tags", ()),
            "sites": parts.pop("sites", [{"site": "leeds", "timezone": "Europe/London", "grid_region": "GB"}]),
            "factor_sets": parts.pop("factor_sets", {"desnz": {2025: "2025", 2026: "2026"}}),
            "grid_regions": parts.pop("grid_regions", ()),
            "reporting": {"base_interval": "15m"} | parts.pop("reporting", {}),
        }
        feeds = parts.pop("feeds", [{"feed": "f", "topic": "t/{site}/{device}", "decoder": "json", "channels": CHANNELS}])
        own = parts.pop("own_factors", ())
        given = [{"activity": "a", "unit": "kg", "per_unit": "kWh", "citation": "made up for the test"} | dict(f) for f in own]
        return Plant.model_validate({"settings": settings, "feeds": feeds, "own_factors": given, "sources": sources, **parts})

    return make


@pytest.fixture(scope="session")
def plan_of(plant_of: Callable[..., Plant], catalogue: Catalogue) -> Callable[..., plans.Plan]:
    """The plan of `plant_of(...)`."""

    def make(*given: Any, **parts: Any) -> plans.Plan:
        plant = plant_of(*given, **parts)
        return plans.compile(plant, catalogue, expand(plant, []))

    return make


@pytest.fixture(scope="session")
def active() -> Callable[..., pl.DataFrame]:
    """ACTIVITY of a source: active("boiler", [10, 20], at=datetime(...)), one a quarter-hour; None leaves one out."""

    def make(source: str, amounts: Sequence[Any], at: datetime = datetime(2026, 1, 5, tzinfo=UTC), **facts: Any) -> pl.DataFrame:
        rows = [
            {"source": source, "interval_start": at + n * timedelta(minutes=15), "quantity_n": exact_n(str(amount))}
            for n, amount in enumerate(amounts)
            if amount is not None
        ]
        plain = {"covered_us": 900_000_000, "estimated_n": 0, "suspect": False, "lag_us": 0} | facts
        return pl.DataFrame([row | plain for row in rows], schema=ACTIVITY, orient="row")

    return make


@pytest.fixture(scope="session")
def shown() -> Callable[..., pl.DataFrame]:
    """AMOUNTS of a meter, like `active`."""

    def make(meter: str, amounts: Sequence[Any], at: datetime = datetime(2026, 1, 5, tzinfo=UTC), **facts: Any) -> pl.DataFrame:
        rows = [
            {"meter": meter, "interval_start": at + n * timedelta(minutes=15), "amount_n": exact_n(str(amount))} | facts
            for n, amount in enumerate(amounts)
        ]
        return shaped(pl.DataFrame(rows, schema_overrides={"amount_n": pl.Int128}), AMOUNTS)

    return make


@pytest.fixture(scope="session")
def levels() -> Callable[..., pl.DataFrame]:
    """READINGS of a reference meter: levels("ref/g:i", [(at, kg/kWh), (at, kg/kWh, received_at)])."""

    def make(meter: str, *rows: tuple[Any, ...]) -> pl.DataFrame:
        made = [
            {"meter": meter, "observed_at": r[0], "value_n": exact_n(str(r[1])), "received_at": r[-1] if len(r) > 2 else r[0]}
            for r in rows
        ]
        frame = pl.DataFrame(made, schema={name: READINGS[name] for name in ("meter", "observed_at", "value_n", "received_at")})
        return shaped(frame.with_columns(quality=pl.lit("good")), READINGS)

    return make
