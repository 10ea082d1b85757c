"""The catalogue for people: factors found by words, and one with its gases and citation."""

from typing import Any

from processors.factors import Factor
from scopeline.catalogue import described
from scopeline.pipeline import Configuration
from scopeline.query import NotThere


def search(configuration: Configuration, text: str, of_set: str | None, region: str | None, limit: int) -> list[dict[str, Any]]:
    found = configuration.catalogue.search(text, of_set=of_set, region=region, limit=limit)
    return [described(factor) for factor in found]


def show(configuration: Configuration, factor_id: str) -> dict[str, Any]:
    """The newest version, with the others under `versions`; an own factor of the plant as its rows say."""
    found = versions(configuration, factor_id)
    if not found:
        raise NotThere(f"There is no factor {factor_id!r}", "Ids are found by words: /api/v1/factors?search=WORDS.")
    return {**described(found[0]), "versions": [described(factor) for factor in found]}


def versions(configuration: Configuration, factor_id: str) -> list[Factor]:
    """Every version of a factor id, newest first; ids of derived parts (`<id>/t-and-d`) give none."""
    if factor_id.startswith("own/"):
        own = configuration.plant.own_factors
        spans = configuration.catalogue.resolve({"id": factor_id}, pins={}, own=own).spans
        return [span.factor for span in reversed(spans)]
    return list(configuration.catalogue.show(factor_id))
