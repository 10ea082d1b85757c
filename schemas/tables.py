"""Tables and agreements of the sustainability team: conversions, own factors, prices, contracts, targets."""

from typing import Literal

from pydantic import Field

from schemas.scalars import Amount, Day, Duration, Id, Model, Number, Percent, Text
from schemas.source import FactorRule


class Conversion(Model):
    """One row of conversions.csv; value is a number or a reference meter."""

    site: Id = Field(description="where it holds")
    substance: Text = Field(description="like Natural gas")
    quantity: Literal["gross_cv", "net_cv", "density", "temperature", "pressure", "oxidation"] = Field(
        description="what is stated"
    )
    value: Text = Field(description="a number, or a reference meter like ref/lab:gross_cv")
    unit: Text = Field(description="like kWh/m3")
    valid_from: Day | None = Field(default=None, description="first day")
    valid_to: Day | None = Field(default=None, description="last day, inclusive")
    citation: Text = Field(description="where the value comes from")


class OwnFactor(Model):
    """One row of factors/*.csv: one gas of one factor, used as own/<factor_id>."""

    factor_id: Id = Field(description="used as own/<factor_id>")
    activity: Text = Field(description="what it is for")
    region: Text | None = Field(default=None, description="ISO 3166-1 alpha-2 or ISO 3166-2")
    scope: Text | None = Field(default=None, description="1, 2 or 3")
    gas: Text = Field(description="CO2, CH4, N2O, CO2e, CO2_biogenic, ...: one row a gas")
    value: Number = Field(description="how much gas")
    unit: Text = Field(description="unit of the gas, like kg")
    per_unit: Text = Field(description="for one of these, like kWh")
    basis: Literal["gross", "net"] | None = Field(default=None, description="calorific value of a fuel's kWh")
    boundary: Literal["generation", "with_losses", "life_cycle"] | None = Field(
        default=None, description="grid averages: what the factor includes"
    )
    valid_from: Day | None = Field(default=None, description="first day")
    valid_to: Day | None = Field(default=None, description="last day, inclusive")
    published: Day | None = Field(default=None, description="day of publication")
    gwp_set: Text | None = Field(default=None, description="of a CO2e-only row")
    uncertainty_pct: Number | None = Field(default=None, description="95 % half width")
    citation: Text = Field(description="where the value comes from")


class Price(Model):
    """One row of prices.csv: units of the currency per USD and the US price index of a year."""

    currency: Text = Field(description="like EUR")
    year: int = Field(description="calendar year")
    per_usd: Number = Field(description="units of the currency for one USD, mean of the year")
    us_price_index: Number | None = Field(default=None, description="US price index of the year")
    citation: Text = Field(description="where the values come from")


class Covers(Model):
    """How much a contract covers: a share of the consumption, a volume over its term, or a meter."""

    share: Percent | None = Field(default=None, description="of the purchased consumption")
    volume: Amount | None = Field(default=None, description="energy over the whole contract, like 12 GWh")
    meter: Text | None = Field(default=None, description="meter that measures the delivery")


class Contract(Model):
    """A PPA, certificate or supplier tariff: what it covers, when, by which factor, and the evidence."""

    contract: Id = Field(description="id; the component of its figures")
    site: Id = Field(description="whose consumption it covers")
    kind: Literal["certificate", "ppa", "supplier"] = Field(description="they count in the order certificate, ppa, supplier")
    energy: Literal["electricity", "heat", "steam", "cooling"] = Field(default="electricity", description="what is bought")
    covers: Covers = Field(description="how much: a share, a volume or a meter")
    matching: Literal["annual", "hourly"] = Field(
        default="annual", description="annual: the unused rest is settled once a year; hourly: no carrying over"
    )
    factor: FactorRule = Field(description="what the contract conveys")
    valid_from: Day = Field(description="first day")
    valid_to: Day = Field(description="last day, inclusive")
    evidence: dict[str, Text] | None = Field(
        default=None, description="registry, cancellation, technology ...; without it: unproven"
    )


class Budget(Model):
    """An amount of emissions that a site or the organisation must not exceed."""

    budget: Id = Field(description="id")
    site: Id | None = Field(default=None, description="default: all sites")
    scope: tuple[Literal[1, 2, 3], ...] = Field(default=(), description="default: all scopes")
    basis: Literal["location", "market"] = Field(default="location", description="basis of scope 2")
    amount: Amount = Field(description="like 12000 t")
    from_: Day = Field(alias="from", description="first day")
    to: Day = Field(description="last day, inclusive")
    owner: Text | None = Field(default=None, description="who answers for it")


class Rule(Model):
    """An alert: a meter above or below a value for some time."""

    rule: Id = Field(description="id")
    meter: Text = Field(description="meter that is watched")
    above: Number | None = Field(default=None, description="alert above this")
    below: Number | None = Field(default=None, description="alert below this")
    unit: Text = Field(description="unit of above and below")
    for_: Duration | None = Field(default=None, alias="for", description="only when it lasts this long")
    severity: Literal["info", "warning", "critical"] = Field(default="warning", description="how loud")
