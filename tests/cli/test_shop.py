"""The demo's shop: two pricings that really run, and one honest bug."""

from __future__ import annotations

import math

import pytest

from guardian.cli.shop.carts import Customers
from guardian.cli.shop.classic import ClassicPricing
from guardian.cli.shop.rates import standard_rates, toy_campaign
from guardian.cli.shop.rewritten import RewrittenPricing

ENDS_S = 1_000.0


def pricings(ends_s: float = ENDS_S) -> tuple[ClassicPricing, RewrittenPricing]:
    """Return both pricings on the same table."""
    return ClassicPricing(standard_rates(), toy_campaign(ends_s)), RewrittenPricing(
        standard_rates(), toy_campaign(ends_s)
    )


def test_both_pricings_agree_to_the_cent_while_the_campaign_lasts() -> None:
    classic, rewritten = pricings()
    customers = Customers(seed=11)
    for cart in (customers.next_cart() for _ in range(500)):
        assert classic.price_cents(cart, ENDS_S - 1) == rewritten.price_cents(cart, ENDS_S - 1)


def test_both_pricings_agree_without_an_end_of_the_campaign() -> None:
    classic, rewritten = pricings(math.inf)
    cart = Customers(seed=3).next_cart()
    assert classic.price_cents(cart, 5e9) == rewritten.price_cents(cart, 5e9)


def test_after_the_campaign_the_rewrite_raises_for_the_carts_that_it_concerned_and_for_no_other() -> None:
    classic, rewritten = pricings()
    customers = Customers(seed=11)
    failed = agreed = 0
    for cart in (customers.next_cart() for _ in range(500)):
        concerned = cart.region in ("eu", "uk") and any(line.category == "toys" for line in cart.lines)
        expected = classic.price_cents(cart, ENDS_S + 1)
        if concerned:
            with pytest.raises(KeyError, match="toys"):
                rewritten.price_cents(cart, ENDS_S + 1)
            failed += 1
        else:
            assert rewritten.price_cents(cart, ENDS_S + 1) == expected
            agreed += 1
    assert failed > 50
    assert agreed > 50


def test_the_same_seed_brings_the_same_customers_and_carts() -> None:
    first, second = Customers(seed=5), Customers(seed=5)
    assert first.ids == second.ids
    assert [first.next_cart() for _ in range(20)] == [second.next_cart() for _ in range(20)]


def test_the_mended_rewrite_agrees_with_the_classic_pricing_after_the_campaign_too() -> None:
    classic, _ = pricings()
    mended = RewrittenPricing(standard_rates(), toy_campaign(ENDS_S), mended=True)
    customers = Customers(seed=11)
    carts = [customers.next_cart() for _ in range(200)]
    for now_s in (ENDS_S - 1, ENDS_S + 1):
        for cart in carts:
            assert classic.price_cents(cart, now_s) == mended.price_cents(cart, now_s)
