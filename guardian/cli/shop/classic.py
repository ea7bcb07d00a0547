"""The pricing that the shop has had for years: a loop over the lines, rule after rule."""

from __future__ import annotations

from guardian.cli.shop.carts import Cart, Line
from guardian.cli.shop.rates import BULK, FULL_BP, Rate


class ClassicPricing:
    """Prices a cart line by line; a campaign that has ended simply no longer applies.

    Args:
        standard: one row per category and region.
        campaigns: rows that go before the standard ones while they last.
    """

    def __init__(self, standard: list[Rate], campaigns: list[Rate]) -> None:
        self._standard = standard
        self._campaigns = campaigns

    def price_cents(self, cart: Cart, now_s: float) -> int:
        """Return what the cart costs.

        Args:
            cart: the cart.
            now_s: Unix seconds; campaigns end.
        """
        total = 0
        for line in cart.lines:
            rate = self._rate(line.category, cart.region, now_s)
            net = _less(line.quantity * line.unit_cents, _bulk_bp(line))
            net = _less(net, rate.discount_bp)
            total += _rounded(net * (FULL_BP + rate.tax_bp))
        return total

    def _rate(self, category: str, region: str, now_s: float) -> Rate:
        """The campaign's row while it lasts, else the standard one."""
        for rate in self._campaigns:
            if rate.category == category and rate.region == region and now_s < rate.ends_s:
                return rate
        for rate in self._standard:
            if rate.category == category and rate.region == region:
                return rate
        raise LookupError(f"no rate for {category} in {region}")


def _bulk_bp(line: Line) -> int:
    """The discount for many pieces."""
    for pieces, discount_bp in BULK:
        if line.quantity >= pieces:
            return discount_bp
    return 0


def _less(cents: int, discount_bp: int) -> int:
    """A price after a discount, half a cent rounded up."""
    return _rounded(cents * (FULL_BP - discount_bp))


def _rounded(cents_bp: int) -> int:
    """Cents times 10,000 as whole cents, half a cent rounded up."""
    return (cents_bp + FULL_BP // 2) // FULL_BP
