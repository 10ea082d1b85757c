"""The whole plant folder as one frozen value, and plant.yaml."""

from datetime import date
from typing import Literal

from pydantic import Field

from schemas.feed import Feed
from schemas.scalars import Duration, Id, Model, Name, Percent, Text
from schemas.source import MeterRow, Source, VirtualMeter
from schemas.tables import Budget, Contract, Conversion, OwnFactor, Price, Rule


class Share(Model):
    share: Percent
    valid_from: date | None = None
    valid_to: date | None = None


class Site(Model):
    site: Id
    name: Text | None = None
    timezone: Text
    grid_region: Text | None = None
    share: Percent | tuple[Share, ...] = Field("100%", validate_default=True)
    partition: Id | None = None


class Reporting(Model):
    consolidation: Literal["operational_control", "financial_control", "equity_share"] = "operational_control"
    gwp: Literal["SAR", "TAR", "AR4", "AR5", "AR6"] = "AR6"
    base_interval: Duration = Field("1m", validate_default=True)
    lateness: Duration = Field("10m", validate_default=True)
    derive: tuple[Literal["cat_3"], ...] = ("cat_3",)
    cat_3_basis: Literal["location", "market"] = "location"


class GridRegion(Model):
    """A grid region: which set prices it, and, if there is one, its live intensity."""

    region: Text
    factor: dict[str, Text] | None = Field(None, description="a factor rule, where the pinned sets hold more than one")
    intensity: Text | None = Field(None, description="a reference meter, like ref/grid-de:intensity")
    gas: Literal["CO2", "CO2e"] = "CO2e"
    boundary: Literal["generation", "with_losses", "life_cycle"] = "generation"
    max_age: Duration = Field("2h", validate_default=True)
    residual_mix: Text | None = Field(None, description="a factor id, like own/de-residual")


class Tls(Model):
    ca_file: Text | None = None
    cert_file: Text | None = None
    key_file: Text | None = None


class Broker(Model):
    host: Text
    port: int = 1883
    username: Text | None = None
    password_file: Text | None = None
    tls: Tls | None = None
    transport: Literal["tcp", "websockets"] = "tcp"
    version: Literal["3.1.1", "5"] = "3.1.1"
    client_id: Text | None = None


class Kafka(Model):
    bootstrap_servers: tuple[Text, ...]


class InfluxDB(Model):
    url: Text
    org: Text
    bucket: Text
    token_file: Text | None = None


class PlantFile(Model):
    """plant.yaml: organisation, sites, reporting, grid regions, factor sets, connections."""

    organisation: Text
    tags: tuple[Name, ...] = ()
    sites: tuple[Site, ...] = Field(min_length=1)
    reporting: Reporting = Reporting()
    grid_regions: tuple[GridRegion, ...] = ()
    factor_sets: dict[Text, Text | dict[int, Text]] = {}
    profile: Literal["embedded", "cluster"] = "embedded"
    brokers: dict[Id, Broker] = {}
    kafka: Kafka | None = None
    influxdb: InfluxDB | None = None
    console: "Console" = Field(default_factory=lambda: Console())
    retention: "Retention" = Field(default_factory=lambda: Retention())


class Console(Model):
    host: Text = "127.0.0.1"
    port: int = 8090


class Retention(Model):
    """How long raw messages stay in the log file before whole days move to Parquet."""

    days: int = Field(90, ge=1)


class Plant(Model):
    """One organisation: everything that the plant folder says."""

    settings: PlantFile
    feeds: tuple[Feed, ...] = ()
    meters: tuple[MeterRow, ...] = ()
    virtual_meters: tuple[VirtualMeter, ...] = ()
    sources: tuple[Source, ...] = Field((), description="with for_each not yet expanded")
    conversions: tuple[Conversion, ...] = ()
    own_factors: tuple[OwnFactor, ...] = ()
    contracts: tuple[Contract, ...] = ()
    prices: tuple[Price, ...] = ()
    budgets: tuple[Budget, ...] = ()
    rules: tuple[Rule, ...] = ()

    def site(self, site: str) -> Site:
        return next(s for s in self.settings.sites if s.site == site)
