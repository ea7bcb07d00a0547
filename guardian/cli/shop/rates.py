"""The rate table of the shop: a standard row per category and region, and campaigns that end at some moment."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from guardian.cli.shop.carts import CATEGORIES, REGIONS

BULK: Final = ((50, 800), (10, 500))
"""Discount in basis points from so many pieces on, the greatest first."""
FULL_BP: Final = 10_000
_TAX_BP: Final = {"eu": 2_100, "uk": 2_000, "us": 825, "jp": 1_000}
_REDUCED_TAX_BP: Final = {"books": 700}
_DISCOUNT_BP: Final = {"garden": 200, "sports": 150}


@dataclass(frozen=True, slots=True)
class Rate:
    """What applies to one category in one region.

    Args:
        discount_bp: off the price, in basis points.
        tax_bp: on the discounted price, in basis points.
        ends_s: Unix seconds at which the row ends; infinite for a standard row.
    """

    category: str
    region: str
    discount_bp: int
    tax_bp: int
    ends_s: float = math.inf


def standard_rates() -> list[Rate]:
    """Return the row that applies when no campaign does, for every category and region."""
    return [
        Rate(category, region, _DISCOUNT_BP.get(category, 0), _REDUCED_TAX_BP.get(category, _TAX_BP[region]))
        for category in CATEGORIES
        for region in REGIONS
    ]


def toy_campaign(ends_s: float) -> list[Rate]:
    """Return the toy weeks: 15 % off toys in the EU and the UK.

    Args:
        ends_s: Unix seconds at which the campaign ends.
    """
    return [Rate("toys", region, 1_500, _TAX_BP[region], ends_s) for region in ("eu", "uk")]
