"""The whole plant folder as one frozen value, and plant.yaml."""

from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field

from schemas.connections import Archive, Broker, Grafana, InfluxDB, Kafka
from schemas.feed import Feed
from schemas.scalars import LIST, MAP, TEXT, Day, Duration, Id, Model, Name, Percent, Text, Whole, forms
from schemas.source import FactorRule, MeterRow, Source, VirtualMeter
from schemas.tables import Budget, Contract, Conversion, OwnFactor, Price, Rule


class Share(Model):
    """A consolidation share in force between two days."""

    share: Percent = Field(description="like 50%")
    valid_from: Day | None = Field(default=None, description="first day, in the site's zone")
    valid_to: Day | None = Field(default=None, description="last day, inclusive")


Shares = Annotated[
    Annotated[Percent, TEXT] | Annotated[tuple[Share, ...], LIST], forms("a share like 50%", "a list of dated shares")
]
Version = Annotated[
    Annotated[Text, TEXT] | Annotated[dict[int, Text], MAP], forms('a version like "2025"', "a map of years to versions")
]


class Site(Model):
    """A place with its time zone and electricity grid."""

    site: Id = Field(description="id of the site; the first part of its meters")
    name: Text | None = Field(default=None, description="name for people")
    timezone: Text = Field(description="an IANA zone, like Europe/Berlin: days, months and years follow it")
    grid_region: Text | None = Field(default=None, description="which of the plant's grid_regions supplies it")
    share: Shares = Field(default=Decimal(1), description="consolidation share; used only by export --consolidated")
    partition: Id | None = Field(
        default=None, description="cluster: sites that share a gateway share a partition; default: the site"
    )


class Reporting(Model):
    """How figures are reported."""

    consolidation: Literal["operational_control", "financial_control", "equity_share"] = Field(
        default="operational_control",
        description="how the organisation consolidates; `share` of a site counts in export --consolidated",
    )
    gwp: Literal["SAR", "TAR", "AR4", "AR5", "AR6"] = Field(
        default="AR6", description="GWP100 set that joins the gases: an IPCC assessment report"
    )
    base_interval: Duration = Field(default=timedelta(minutes=1), description="interval of stored figures, UTC-aligned")
    lateness: Duration = Field(default=timedelta(minutes=10), description="figures are provisional until this much later")
    derive: tuple[Literal["cat_3"], ...] = Field(default=("cat_3",), description="what is derived from scope 1 and 2")
    cat_3_basis: Literal["location", "market"] = Field(
        default="location", description="the basis of scope 2 that category 3 is derived from"
    )


class GridRegion(Model):
    """A grid region: which set prices it, and, if there is one, its live intensity."""

    region: Text = Field(description="ISO 3166-1 alpha-2 or ISO 3166-2, like DE or US-CA")
    factor: FactorRule | None = Field(default=None, description="a factor rule, where the pinned sets hold more than one")
    intensity: Text | None = Field(default=None, description="a reference meter, like ref/grid-de:intensity")
    gas: Literal["CO2", "CO2e"] = Field(
        default="CO2e", description="what the intensity states; with CO2 alone, CH4 and N2O come from the annual factor"
    )
    boundary: Literal["generation", "with_losses", "life_cycle"] = Field(
        default="generation", description="what the intensity includes: generation, losses of the grid, or the life cycle"
    )
    max_age: Duration = Field(default=timedelta(hours=2), description="how long an intensity holds")
    residual_mix: Text | None = Field(default=None, description="a factor id, like own/de-residual")


class Console(Model):
    """Where the console listens."""

    host: Text = Field(default="127.0.0.1", description="any other than this machine needs tokens")
    port: Whole = Field(default=8090, ge=1, le=65535, description="port of console and HTTP API")


class Retention(Model):
    """How long raw messages stay in the log file before whole days move to Parquet."""

    days: Whole = Field(default=90, ge=1, description="older days move to Parquet files")


class PlantFile(Model):
    """plant.yaml: organisation, sites, reporting, grid regions, factor sets, connections."""

    organisation: Text = Field(description="name of the organisation")
    tags: tuple[Name, ...] = Field(default=(), description="the closed list of the plant's own tags")
    sites: tuple[Site, ...] = Field(min_length=1, description="the places")
    reporting: Reporting = Field(default=Reporting(), description="how figures are reported")
    grid_regions: tuple[GridRegion, ...] = Field(
        default=(), description="grids with a live intensity, a factor of their own or a residual mix"
    )
    factor_sets: dict[Text, Version] = Field(default={}, description="set -> version, or the version of each activity year")
    profile: Literal["embedded", "cluster"] = Field(
        default="embedded", description="embedded: one process; cluster: Kafka and InfluxDB"
    )
    brokers: dict[Id, Broker] = Field(default={}, description="none: the embedded broker")
    kafka: Kafka | None = Field(default=None, description="log of the cluster profile")
    influxdb: InfluxDB | None = Field(default=None, description="store of the cluster profile")
    archive: Archive | None = Field(default=None, description="where the cluster profile keeps raw messages for good")
    grafana: Grafana | None = Field(default=None, description="where `grafana push` puts the dashboards")
    console: Console = Field(default=Console(), description="where the console listens")
    retention: Retention = Field(default=Retention(), description="how long raw messages stay in the log file")


class Plant(Model):
    """One organisation: everything that the plant folder says."""

    settings: PlantFile
    feeds: tuple[Feed, ...] = ()
    meters: tuple[MeterRow, ...] = ()
    virtual_meters: tuple[VirtualMeter, ...] = ()
    sources: tuple[Source, ...] = Field(default=(), description="with for_each not yet expanded")
    conversions: tuple[Conversion, ...] = ()
    own_factors: tuple[OwnFactor, ...] = ()
    contracts: tuple[Contract, ...] = ()
    prices: tuple[Price, ...] = ()
    budgets: tuple[Budget, ...] = ()
    rules: tuple[Rule, ...] = ()

    def site(self, site: str) -> Site:
        return next(s for s in self.settings.sites if s.site == site)
