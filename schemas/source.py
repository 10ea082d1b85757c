"""sources/*.yaml: what emits, what measures it and which factor prices it; meters/*.csv and virtual.yaml."""

from typing import Literal

from pydantic import Field

from schemas.scalars import Day, Expect, Id, Model, Name, Number, ShareOrMeter, Text

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

    id: Text | None = Field(default=None, description="a factor id, like own/boiler-gas or desnz/1_100_1000_15")
    set: Text | None = Field(default=None, description="a pinned set of plant.yaml's factor_sets, like desnz")
    table: Text | None = Field(default=None, description="the publication's table, like Fuels")
    activity: Text | None = Field(default=None, description="the publication's activity, like Fuels > Gaseous fuels")
    item: Text | None = Field(default=None, description="the publication's item, like Natural gas")
    per_unit: Text | None = Field(default=None, description="the unit that the factor is stated for, like kWh, l, t")
    basis: Literal["gross", "net"] | None = Field(
        default=None, description="calorific value: kWh of a fuel is kWh_gross or kWh_net"
    )
    region: Text | None = Field(default=None, description="ISO 3166-1 alpha-2 or ISO 3166-2, like GB or US-CA")
    boundary: Literal["generation", "with_losses", "life_cycle"] | None = Field(
        default=None, description="grid averages: what the factor includes"
    )
    refrigerant: Text | None = Field(default=None, description="a refrigerant or blend, like R-410A: mass x composition x GWP")
    naics: Text | None = Field(default=None, description="industry code of a spend factor")
    currency: Text | None = Field(default=None, description="currency of the spend")
    margins: Literal["with", "without"] | None = Field(default=None, description="spend factors: with or without trade margins")
    gas: Text | None = Field(default=None, description="the gas that is measured directly, like CH4")


class Source(Model):
    """Something that emits: where, under which scope and category, what measures it and what prices it."""

    source: Text = Field(description="an id; with for_each: a pattern like press-{n}")
    site: Id = Field(description="where it is")
    scope: Literal[1, 2, 3, "none"] = Field(description="1, 2, 3, or none (energy_only, outside_scopes, removal)")
    category: Name = Field(
        json_schema_extra={"enum": [name for names in SCOPE_CATEGORIES.values() for name in names]},
        description="category of the scope",
    )
    measured_by: Text = Field(description="a meter like site/path:channel, or an expression like [a:b] - [c:d]")
    name: Text | None = Field(default=None, description="name for people")
    factor: FactorRule | None = Field(default=None, description="which factor prices it; scope 2 needs none")
    method: Method = Field(default="activity", description="how activity becomes gas")
    valid_from: Day | None = Field(default=None, description="first day; default: its first reading")
    valid_to: Day | None = Field(default=None, description="last day")
    tags: dict[Name, Text] = Field(default={}, description="values of the plant's tags; they win over a meter's")
    biogenic_share: ShareOrMeter | None = Field(default=None, description="biogenic part of the carbon, like 10%, or a meter")
    expect: Expect | None = Field(default=None, description="events: how often something must come")
    over: Literal["1d", "1mo"] | None = Field(default=None, description="evaluate the expression on totals of this period")
    derive: tuple[Literal["cat_3"], ...] | None = Field(default=None, description="what is derived from it; default: the plant's")
    for_each: Text | None = Field(default=None, description="one source for each meter of this pattern, like site/press/*:energy")


class MeterRow(Model):
    """One row of meters/*.csv: a device at a measuring point from valid_from until valid_to (exclusive)."""

    feed: Id = Field(description="feed that brings the device")
    device: Text = Field(description="the device as the feed names it")
    channel: Name | None = Field(default=None, description="empty: all channels of the device")
    meter: Text = Field(description="the part of the meter before :channel")
    site: Id | None = Field(default=None, description="default: the first part of meter")
    name: Text | None = Field(default=None, description="name for people")
    unit: Text | None = Field(default=None, description="in place of the feed's")
    scale: Number | None = Field(default=None, description="in place of 1, times the channel's; not 0")
    valid_from: Text | None = Field(default=None, description="from when the device sits there")
    valid_to: Text | None = Field(default=None, description="until when, exclusive")
    first_reading: Number | None = Field(default=None, description="counter at valid_from")
    last_reading: Number | None = Field(default=None, description="counter at valid_to")
    tags: dict[Name, Text] = Field(default={}, description="one column for each tag of plant.yaml")


class VirtualMeter(Model):
    """A named expression of meters."""

    meter: Text = Field(description="its id, site/path:channel")
    unit: Text = Field(description="unit of the result")
    is_: Text = Field(alias="is", description="the expression, like [site/main:energy] - 0.5 * [site/tenant:energy]")
