"""The shop as an application: it asks its feature flag, prices the cart, and measures what really happened."""

from __future__ import annotations

import math
import queue
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from openfeature.client import OpenFeatureClient
from openfeature.evaluation_context import EvaluationContext

from guardian.cli.shop.carts import Cart, Customers
from guardian.cli.shop.classic import ClassicPricing
from guardian.cli.shop.rates import standard_rates, toy_campaign
from guardian.cli.shop.report import Report
from guardian.cli.shop.rewritten import RewrittenPricing
from guardian.core.split import split_of
from guardian.sdk import Telemetry

_REPORT_S = 0.25
_IDLE_S = 0.001
_LONGEST_DEBT_S = 0.5
"""A shop that was held up longer does not serve the missed requests in one burst."""
_SAMPLE = 10
"""One customer in ten is asked for, when the share of the new price is reported."""


@dataclass
class _Attempt:
    """What belongs to one attempt of the rollout."""

    number: int = 1
    failed: int = 0
    first_failure_s: float = 0.0
    first_error: str = ""
    flipped_s: float = 0.0


@dataclass
class _Spell:
    """What has been measured since the report before."""

    began_s: float = field(default_factory=time.monotonic)
    requests: int = 0
    spent_s: dict[bool, float] = field(default_factory=lambda: {False: 0.0, True: 0.0})
    served: dict[bool, int] = field(default_factory=lambda: {False: 0, True: 0})

    def mean_ms(self, new: bool) -> float | None:
        """The mean latency of one pricing in milliseconds; None when it did not run."""
        return self.spent_s[new] / self.served[new] * 1_000 if self.served[new] else None


class Shop:
    """Serves customers at a steady rate, one after the other.

    Args:
        client: OpenFeature, with guardian's provider behind it.
        telemetry: where the events go.
        flag: what decides between the pricings.
        per_second: requests a second.
        say: takes a report, several times a second.
    """

    def __init__(
        self,
        client: OpenFeatureClient,
        telemetry: Telemetry,
        flag: str,
        per_second: int,
        say: Callable[[Report], None],
    ) -> None:
        self._client = client
        self._telemetry = telemetry
        self._flag = flag
        self._pause_s = 1 / per_second
        self._say = say
        self._customers = Customers()
        # The customer with the least split is the last to get the old price again when a share shrinks.
        self._last_to_leave = min(self._customers.ids, key=lambda customer: split_of(flag, customer))
        self._events = 0
        self._attempt = _Attempt()
        self._spell = _Spell()
        self._stock(math.inf, mended=False)

    def serve(self, words: queue.SimpleQueue[str]) -> None:
        """Serve until the word `close` comes.

        Args:
            words: what the shopkeeper says: `campaign UNIX_SECONDS`, `repair`, `close`.
        """
        due_s = time.monotonic()
        while True:
            while not words.empty():
                word = words.get()
                if word == "close":
                    return
                self._obey(word)
            # In every turn: a shop on a busy machine is always behind, and never idle.
            self._watch_flip()
            now_s = time.monotonic()
            if now_s >= due_s:
                self._serve_one(self._customers.next_cart())
                due_s = max(due_s + self._pause_s, now_s - _LONGEST_DEBT_S)
            else:
                time.sleep(min(_IDLE_S, due_s - now_s))
            if now_s - self._spell.began_s >= _REPORT_S:
                self._report()

    def _obey(self, word: str) -> None:
        """Do what the shopkeeper says."""
        match word.split():
            case ["campaign", ends_s]:
                self._stock(float(ends_s), mended=False)
            case ["repair"]:
                self._stock(self._campaign_ends_s, mended=True)
                self._attempt = _Attempt(self._attempt.number + 1)

    def _stock(self, campaign_ends_s: float, *, mended: bool) -> None:
        """Build both pricings from the table of rates."""
        self._campaign_ends_s = campaign_ends_s
        standard, campaign = standard_rates(), toy_campaign(campaign_ends_s)
        self._classic = ClassicPricing(standard, campaign)
        self._rewritten = RewrittenPricing(standard, campaign, mended=mended)

    def _serve_one(self, cart: Cart) -> None:
        """One request: ask the flag, price the cart; a customer whose price fails sees an error."""
        self._events += 1
        self._spell.requests += 1
        details = self._client.get_boolean_details(self._flag, False, EvaluationContext(cart.customer))
        pricing = self._rewritten if details.value else self._classic
        began_s = time.perf_counter()
        try:
            with self._telemetry.measure(details, subject=cart.customer):
                pricing.price_cents(cart, time.time())
        except LookupError as error:
            self._note_failure(error)
        self._spell.spent_s[details.value] += time.perf_counter() - began_s
        self._spell.served[details.value] += 1

    def _note_failure(self, error: LookupError) -> None:
        """Count it, and keep the moment of the first."""
        self._attempt.failed += 1
        if not self._attempt.first_failure_s:
            self._attempt.first_failure_s = time.time()
            self._attempt.first_error = f"{type(error).__name__}: {error}"
            self._report()

    def _watch_flip(self) -> None:
        """Take note of the moment from which the SDK answers control for everybody."""
        attempt = self._attempt
        if not attempt.first_failure_s or attempt.flipped_s or self._gets_new_price(self._last_to_leave):
            return
        seen_s = time.time()
        if not any(self._gets_new_price(customer) for customer in self._customers.ids):
            attempt.flipped_s = seen_s
            self._report()

    def _gets_new_price(self, customer: str) -> bool:
        """What the provider answers for a customer now."""
        return self._client.get_boolean_value(self._flag, False, EvaluationContext(customer))

    def _report(self) -> None:
        """Say how it goes, and begin a new spell."""
        spell, attempt = self._spell, self._attempt
        sample = self._customers.ids[::_SAMPLE]
        share = sum(self._gets_new_price(customer) for customer in sample) / len(sample)
        self._spell = _Spell()
        self._say(
            Report(
                at_s=time.time(),
                events=self._events,
                failed=attempt.failed,
                per_second=spell.requests / max(self._spell.began_s - spell.began_s, _IDLE_S),
                new_share=share,
                classic_ms=spell.mean_ms(False),
                rewritten_ms=spell.mean_ms(True),
                first_failure_s=attempt.first_failure_s,
                first_error=attempt.first_error,
                flipped_s=attempt.flipped_s,
                attempt=attempt.number,
                dropped=self._telemetry.dropped,
            )
        )
