"""Category 3: what comes before the fuel and the power: well to tank, and losses of the grid.

Derived from scope 1 and 2 where the pinned set has the factor; a part that it should have and has not is an unpriced row.
Source: GHG Protocol Scope 3 Standard (2011), category 3 "fuel- and energy-related activities", table 5.5.
"""

from datetime import date

from processors.factors import Catalogue
from processors.product import E18
from processors.spans import Piece, Pricing, Slot

CATEGORY = "cat_3"
COMPONENTS = ("wtt", "t_and_d", "wtt_t_and_d")


def derived(of: Slot, pricing: Pricing) -> list[Slot]:
    """The category 3 slots of a scope 1 or 2 slot: the same part of the activity, without basis."""

    def at(component: str, day: date) -> Piece | None:
        piece = of.at(day)
        if piece is None or piece.origin is None:
            return None
        parts = dict(pricing.catalogue.derived(piece.origin))
        if component not in parts:
            return None
        replaced = component == "t_and_d" and piece.live is not None and piece.live.boundary == "with_losses"
        live = {"live": piece.live, "live_role": "annual"} if replaced else {}
        return pricing.piece(component, parts[component], CATEGORY, **live)

    def lost(day: date) -> Piece | None:
        """The part of a live intensity with losses that belongs to category 3."""
        piece = of.at(day)
        if piece is None or piece.live is None or piece.live.boundary != "with_losses":
            return None
        return Piece("t_and_d", True, pricing.base, live=piece.live, live_role="losses", live_share=E18 - piece.live_share)

    slots = [Slot(of.part, 3, CATEGORY, "", lambda day, c=component: at(c, day), of.days) for component in COMPONENTS]  # type: ignore[misc]  # c is bound early
    return [*slots, Slot(of.part, 3, CATEGORY, "", lost, of.days)]


def losses(catalogue: Catalogue, piece: Piece) -> int | None:
    """The share of the energy that a region's grid loses, in 1e-18; None: nobody says.

    As the annual factor has it: its own share, or that of its transmission and distribution factor, t / (g + t).
    """
    factor = piece.origin
    if factor is None:
        return None
    if factor.losses:
        return round(factor.losses * E18)
    grid = dict(catalogue.derived(factor)).get("t_and_d")
    generated, lost = (sum(f.gases.get(gas, 0) for gas in ("CO2", "unsplit")) if f else 0 for f in (factor, grid))
    return round(lost / (generated + lost) * E18) if lost and generated else None
