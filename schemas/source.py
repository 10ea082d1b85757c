"""sources/*.yaml: what emits, what measures it and which factor prices it; meters/*.csv and virtual.yaml."""

from datetime import date
from typing import Literal

from pydantic import Field

from schemas.scalars import Duration, Id, Model, Name, Number, Percent, Text

Scope = Literal[1, 2, 3]
Method = Literal["activity", "mass_balance", "spend", "direct"]
SCOPE_CATEGORIES: dict[int | None, tuple[str, ...]] = {
    1: ("stationary_combustion", "mobile_combustion", "process", "fugitive"),
    2: ("purchased_electricity", "purchased_heat", "purchased_steam", "purchased_cooling"),
    3: tuple(f"cat_{n}" for n in range(1, 16)),
    None: ("energy_only", "outside_scopes", "removal"),
}


class FactorRule(Model):
    """How a source chooses its factor; it must resolve to exactly one."""

    id: Text | None = Field(None, description="a factor id, like own/boiler-gas or desnz/1_100_1000_15")
    set: Text | None = None
    table: Text | None = None
    activity: Text | None = None
    item: Text | None = None
    per_unit: Text | None = None
    basis: Literal["gross", "net"] | None = None
    region: Text | None = None
    boundary: Literal["generation", "with_losses", "life_cycle"] | None = None
    refrigerant: Text | None = None
    naics: Text | None = None
    currency: Text | None = None
    margins: Literal["with", "without"] | None = None
    gas: Text | None = None


class Source(Model):
    source: Text = Field(description="an id; with for_each: a pattern like press-{n}")
    site: Id
    scope: Scope | Literal["none"]
    category: Name
    measured_by: Text
    name: Text | None = None
    factor: FactorRule | None = None
    method: Method = "activity"
    valid_from: date | None = None
    valid_to: date | None = None
    tags: dict[str, Text] = {}
    biogenic_share: Percent | Text | None = None
    expect: Duration | Literal["1d", "1mo", "1y"] | None = None
    over: Literal["1d", "1mo"] | None = None
    derive: tuple[Literal["cat_3"], ...] | None = None
    for_each: Text | None = None


class MeterRow(Model):
    """One row of meters/*.csv: a device at a measuring point from valid_from until valid_to (exclusive)."""

    feed: Id
    device: Text
    channel: Text | None = None
    meter: Text
    site: Id | None = None
    name: Text | None = None
    unit: Text | None = None
    scale: Number | None = None
    valid_from: Text | None = None
    valid_to: Text | None = None
    first_reading: Number | None = None
    last_reading: Number | None = None
    tags: dict[str, Text] = {}


class VirtualMeter(Model):
    meter: Text
    unit: Text
    is_: Text = Field(alias="is")
