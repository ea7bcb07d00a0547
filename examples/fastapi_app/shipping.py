"""What shipping costs, while it moves to a new implementation: both run, and guardian hears where they differ."""

from __future__ import annotations

from examples.fastapi_app.pricing import Item
from guardian.sdk import dual_run

GRAMS_OF_ONE = 500


@dual_run("shipping", flag="new-shipping", subject="customer")
def shipping_cents(items: list[Item], customer: str) -> int:
    """Return what shipping costs, the old way: up to 5 kg, or more."""
    grams = 0
    for item in items:
        grams += item.count * GRAMS_OF_ONE
    return 490 if grams <= 5_000 else 990


@shipping_cents.candidate
def new_shipping_cents(items: list[Item], customer: str) -> int:
    """Return the same, the new way. Is it the same?"""
    return 490 if sum(item.count for item in items) * GRAMS_OF_ONE < 5_000 else 990
