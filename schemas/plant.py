"""The whole plant folder as one frozen value, and plant.yaml."""

from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field

from schemas.feed import Feed
from schemas.scalars import LIST, MAP, TEXT, Day, Duration, Id, Model, Name, Percent, Text, Whole, forms
from schemas.source import FactorRule, MeterRow, Source, VirtualMeter
from schemas.tables import Budget, Contract, Conversion, OwnFactor, Price, Rule


class Share(Model):
    """A consolidation share in force between two days."""

    share: Percent
    valid_from: Day | None = None
    valid_to: Day | None = None


Shares = Annotated[
    Annotated[Percent, TEXT] | Annotated[tuple[Share, ...], LIST], forms("a share like 50%", "a list of dated shares")
]
Version = Annotated[
    Annotated[Text, TEXT] | Annotated[dict[int, Text], MAP], forms('a version like "2025"', "a map of years to versions")
]


class Site(Model):
    """A place with its time zone and electricity grid."""

    site: Id
    name: Text | None = None
    timezone: Text = Field(description="an IANA zone, like Europe/Berlin: days, months and years follow it")
    grid_region: Text | None = Field(default=None, description="which of the plant's grid_regions supplies it")
    share: Shares = Field(default=Decimal(1), description="consolidation share; used only by export --consolidated")
    partition: Id | None = Field(
        default=None, description="cluster: sites that share a gateway share a partition; default: the site"
    )


class Reporting(Model):
    """How figures are reported."""

    consolidation: Literal["operational_control", "financial_control", "equity_share"] = "operational_control"
    gwp: Literal["SAR", "TAR", "AR4", "AR5", "AR6"] = "AR6"
    base_interval: Duration = Field(default=timedelta(minutes=1), description="interval of stored figures, UTC-aligned")
    lateness: Duration = Field(default=timedelta(minutes=10), description="figures are provisional until this much later")
    derive: tuple[Literal["cat_3"], ...] = ("cat_3",)
    cat_3_basis: Literal["location", "market"] = "location"


class GridRegion(Model):
    """A grid region: which set prices it, and, if there is one, its live intensity."""

    region: Text = Field(description="ISO 3166-1 alpha-2 or ISO 3166-2, like DE or US-CA")
    factor: FactorRule | None = Field(default=None, description="a factor rule, where the pinned sets hold more than one")
    intensity: Text | None = Field(default=None, description="a reference meter, like ref/grid-de:intensity")
    gas: Literal["CO2", "CO2e"] = "CO2e"
    boundary: Literal["generation", "with_losses", "life_cycle"] = "generation"
    max_age: Duration = Field(default=timedelta(hours=2), description="how long an intensity holds")
    residual_mix: Text | None = Field(default=None, description="a factor id, like own/de-residual")


class Tls(Model):
    """Certificates of a broker connection, as paths of PEM files."""

    ca_file: Text | None = None
    cert_file: Text | None = None
    key_file: Text | None = None


class Broker(Model):
    """An MQTT broker; the password stands in a file or in the environment, never here."""

    host: Text
    port: Whole = Field(default=1883, ge=1, le=65535)
    username: Text | None = None
    password_file: Text | None = None
    tls: Tls | None = None
    transport: Literal["tcp", "websockets"] = "tcp"
    version: Literal["3.1.1", "5"] = "3.1.1"
    client_id: Text | None = None


class Kafka(Model):
    """The log of the cluster profile."""

    bootstrap_servers: tuple[Text, ...] = Field(min_length=1)


class InfluxDB(Model):
    """The store of the cluster profile."""

    url: Text
    org: Text
    bucket: Text
    token_file: Text | None = None


class Console(Model):
    """Where the console listens."""

    host: Text = "127.0.0.1"
    port: Whole = Field(default=8090, ge=1, le=65535)


class Retention(Model):
    """How long raw messages stay in the log file before whole days move to Parquet."""

    days: Whole = Field(default=90, ge=1)


class PlantFile(Model):
    """plant.yaml: organisation, sites, reporting, grid regions, factor sets, connections."""

    organisation: Text
    tags: tuple[Name, ...] = Field(default=(), description="the closed list of the plant's own tags")
    sites: tuple[Site, ...] = Field(min_length=1)
    reporting: Reporting = Reporting()
    grid_regions: tuple[GridRegion, ...] = ()
    factor_sets: dict[Text, Version] = Field(default={}, description="set -> version, or the version of each activity year")
    profile: Literal["embedded", "cluster"] = "embedded"
    brokers: dict[Id, Broker] = Field(default={}, description="none: the embedded broker")
    kafka: Kafka | None = None
    influxdb: InfluxDB | None = None
    console: Console = Console()
    retention: Retention = Retention()


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
