"""Tables and agreements of the sustainability team: conversions, own factors, prices, contracts, targets."""

from typing import Literal

from pydantic import Field

from schemas.scalars import Amount, Day, Duration, Id, Model, Number, Percent, Text
from schemas.source import FactorRule


class Conversion(Model):
    """One row of conversions.csv; value is a number or a reference meter."""

    site: Id
    substance: Text
    quantity: Literal["gross_cv", "net_cv", "density", "temperature", "pressure", "oxidation"]
    value: Text
    unit: Text
    valid_from: Day | None = None
    valid_to: Day | None = None
    citation: Text


class OwnFactor(Model):
    """One row of factors/*.csv: one gas of one factor, used as own/<factor_id>."""

    factor_id: Id
    activity: Text
    region: Text | None = None
    scope: Text | None = None
    gas: Text
    value: Number
    unit: Text
    per_unit: Text
    basis: Literal["gross", "net"] | None = None
    boundary: Literal["generation", "with_losses", "life_cycle"] | None = None
    valid_from: Day | None = None
    valid_to: Day | None = None
    published: Day | None = None
    gwp_set: Text | None = None
    uncertainty_pct: Number | None = None
    citation: Text


class Price(Model):
    """One row of prices.csv: units of the currency per USD and the US price index of a year."""

    currency: Text
    year: int
    per_usd: Number
    us_price_index: Number | None = None
    citation: Text


class Covers(Model):
    """How much a contract covers: a share of the consumption, a volume over its term, or a meter."""

    share: Percent | None = None
    volume: Amount | None = None
    meter: Text | None = None


class Contract(Model):
    """A PPA, certificate or supplier tariff: what it covers, when, by which factor, and the evidence."""

    contract: Id
    site: Id
    kind: Literal["certificate", "ppa", "supplier"]
    energy: Literal["electricity", "heat", "steam", "cooling"] = "electricity"
    covers: Covers
    matching: Literal["annual", "hourly"] = "annual"
    factor: FactorRule
    valid_from: Day
    valid_to: Day
    evidence: dict[str, Text] | None = None


class Budget(Model):
    """An amount of emissions that a site or the organisation must not exceed."""

    budget: Id
    site: Id | None = None
    scope: tuple[Literal[1, 2, 3], ...] = ()
    basis: Literal["location", "market"] = "location"
    amount: Amount
    from_: Day = Field(alias="from")
    to: Day
    owner: Text | None = None


class Rule(Model):
    """An alert: a meter above or below a value for some time."""

    rule: Id
    meter: Text
    above: Number | None = None
    below: Number | None = None
    unit: Text
    for_: Duration | None = Field(default=None, alias="for")
    severity: Literal["info", "warning", "critical"] = "warning"
