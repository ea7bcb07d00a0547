"""The business of this application: two ways to price a cart, and no word about flags."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Item:
    """One line of a cart.

    Args:
        sku: what.
        cents: price of one, in cents.
        count: how many.
    """

    sku: str
    cents: int
    count: int = 1


def old_price_cents(items: list[Item]) -> int:
    """Return the sum: no discount."""
    return sum(item.cents * item.count for item in items)


def new_price_cents(items: list[Item]) -> int:
    """Return the sum with the new discount: of three of a kind, one is free.

    Raises:
        ValueError: an item that is counted negatively, which the old pricing took.
    """
    total = 0
    for item in items:
        if item.count < 0:
            raise ValueError(f"{item.sku}: {item.count} of it")
        total += item.cents * (item.count - item.count // 3)
    return total
