"""The demo's shop: two pricings that really run, and one honest bug."""

from __future__ import annotations

import math
import queue
from dataclasses import replace

import pytest
from openfeature import api
from openfeature.provider.in_memory_provider import InMemoryFlag, InMemoryProvider

from guardian.cli.shop.carts import Customers
from guardian.cli.shop.classic import ClassicPricing
from guardian.cli.shop.rates import standard_rates, toy_campaign
from guardian.cli.shop.report import Report
from guardian.cli.shop.rewritten import RewrittenPricing
from guardian.cli.shop.service import Shop
from guardian.sdk import Telemetry
from tests.sdk.scenes import closed_port

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


def test_a_shop_that_is_always_behind_notices_all_the_same_that_everybody_has_the_old_price_again() -> None:
    flags = {"pricing": InMemoryFlag("on", {"on": True, "off": False})}
    provider = InMemoryProvider(flags)
    api.set_provider_and_wait(provider, "busy-shop")
    words: queue.SimpleQueue[str] = queue.SimpleQueue()
    said: list[Report] = []

    def say(report: Report) -> None:
        said.append(report)
        if report.first_failure_s:
            provider._flags = {"pricing": replace(flags["pricing"], default_variant="off")}
        if report.flipped_s or len(said) == 40:
            words.put("close")

    words.put("campaign 1")
    with Telemetry("shop", bootstrap=f"127.0.0.1:{closed_port()}") as telemetry:
        # More requests than any machine can serve: it is never idle.
        Shop(api.get_client("busy-shop"), telemetry, "pricing", 10**9, say).serve(words)
    assert said[-1].flipped_s >= said[-1].first_failure_s > 0


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
