"""Who buys what: customers and carts, drawn from a seed, so that a run can be repeated."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

CATEGORIES: Final = ("books", "toys", "garden", "kitchen", "music", "sports")
REGIONS: Final = ("eu", "uk", "us", "jp")
_CUSTOMERS: Final = 3_000
_MAX_LINES: Final = 240


@dataclass(frozen=True, slots=True)
class Line:
    """One position of a cart: what, how many, and the price of one in cents."""

    category: str
    quantity: int
    unit_cents: int


@dataclass(frozen=True, slots=True)
class Cart:
    """What one customer wants to pay for."""

    customer: str
    region: str
    lines: tuple[Line, ...]


class Customers:
    """A few thousand customers who come again and again.

    Args:
        seed: the same seed gives the same customers and the same carts.
        count: how many customers there are.
    """

    def __init__(self, seed: int = 7, count: int = _CUSTOMERS) -> None:
        self._random = random.Random(seed)  # noqa: S311 (carts, not secrets)
        self.ids = [f"u-{number:05d}" for number in range(count)]
        self._regions = {customer: self._random.choice(REGIONS) for customer in self.ids}

    def next_cart(self) -> Cart:
        """Return the cart of whoever comes next."""
        customer = self._random.choice(self.ids)
        lines = tuple(self._line() for _ in range(self._random.randint(1, _MAX_LINES)))
        return Cart(customer, self._regions[customer], lines)

    def _line(self) -> Line:
        draw = self._random
        return Line(draw.choice(CATEGORIES), draw.choice((1, 1, 1, 2, 3, 10, 60)), draw.randint(99, 19_999))
