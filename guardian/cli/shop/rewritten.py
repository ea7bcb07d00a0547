"""The rewritten pricing: one table, whole carts at once; faster for the large carts of a wholesaler, and with a bug.

The bug is real and stays in on purpose: a campaign's row replaces the standard row of its category and region when
the table is built, and rows that have ended are left out. So the day after a campaign there is no row at all.
No test of the rewrite ran with an ended campaign; until that moment it gives the same prices as the classic one.
"""

from __future__ import annotations

import numpy as np

from guardian.cli.shop.carts import Cart
from guardian.cli.shop.rates import BULK, FULL_BP, Rate

_BULK_FROM = np.array([0, *sorted(pieces for pieces, _ in BULK)])
_BULK_BP = np.array([0, *(discount_bp for _, discount_bp in sorted(BULK))])


class RewrittenPricing:
    """Prices a cart with one look-up per line and integer arithmetic over whole arrays.

    Args:
        standard: one row per category and region.
        campaigns: rows that replace the standard ones.
        mended: keep the standard rows beneath the campaigns' rows, as it should have been from the beginning.
    """

    def __init__(self, standard: list[Rate], campaigns: list[Rate], *, mended: bool = False) -> None:
        self._rows = {(rate.category, rate.region): rate for rate in [*standard, *campaigns]}
        self._beneath = {(rate.category, rate.region): rate for rate in standard} if mended else {}
        self._live: dict[tuple[str, str], Rate] = {}
        self._until_s = 0.0

    def price_cents(self, cart: Cart, now_s: float) -> int:
        """Return what the cart costs.

        Args:
            cart: the cart.
            now_s: Unix seconds; campaigns end.

        Raises:
            KeyError: the bug: a campaign for this category and region has ended.
        """
        if now_s >= self._until_s:
            self._build(now_s)
        live, region = self._live, cart.region
        rates = [live[line.category, region] for line in cart.lines]
        quantities = np.array([line.quantity for line in cart.lines], dtype=np.int64)
        cents = quantities * np.array([line.unit_cents for line in cart.lines], dtype=np.int64)
        bulk_bp = _BULK_BP[np.searchsorted(_BULK_FROM, quantities, side="right") - 1]
        net = _rounded(cents * (FULL_BP - bulk_bp))
        net = _rounded(net * (FULL_BP - np.array([rate.discount_bp for rate in rates], dtype=np.int64)))
        return int(_rounded(net * (FULL_BP + np.array([rate.tax_bp for rate in rates], dtype=np.int64))).sum())

    def _build(self, now_s: float) -> None:
        """Keep the rows that apply now, until the first of them ends."""
        live = {place: rate for place, rate in self._rows.items() if now_s < rate.ends_s}
        self._live = {**self._beneath, **live}
        self._until_s = min(rate.ends_s for rate in self._live.values())


def _rounded(cents_bp: np.ndarray) -> np.ndarray:
    """Cents times 10,000 as whole cents, half a cent rounded up."""
    return (cents_bp + FULL_BP // 2) // FULL_BP
