"""The shop's API: each request asks the flag which pricing it gets, and tells guardian how that went."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse
from openfeature import api
from openfeature.evaluation_context import EvaluationContext
from pydantic import BaseModel, Field

from examples.fastapi_app.pricing import Item, new_price_cents, old_price_cents
from examples.fastapi_app.shipping import shipping_cents
from guardian.sdk import GuardianProvider, Telemetry
from guardian.sdk.asgi import GuardianAsgiMiddleware

FLAG = "new-pricing"


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Follow the flags and open the telemetry; GUARDIAN_BOOTSTRAP and GUARDIAN_PREFIX say where Kafka is."""
    provider = GuardianProvider(snapshot=os.environ.get("FLAG_SNAPSHOT"))
    # Waits for the flags, 5 s at most, on another thread; without Kafka the application starts all the same.
    await asyncio.to_thread(api.set_provider_and_wait, provider)
    with Telemetry("checkout", provider) as telemetry:
        app.state.telemetry = telemetry
        yield
    api.shutdown()


app = FastAPI(title="checkout", lifespan=lifespan)
app.add_middleware(GuardianAsgiMiddleware)


class Line(BaseModel):
    """One line of the cart that a customer sends."""

    sku: str = Field(max_length=64)
    cents: int = Field(ge=0)
    count: int = 1


class Cart(BaseModel):
    """What a customer wants to pay for."""

    customer: str = Field(min_length=1, max_length=64)
    lines: list[Line] = Field(max_length=100)


class Price(BaseModel):
    """What it costs, and which pricing said so."""

    cents: int
    variant: str | None


@app.post("/price")
def price(cart: Cart, request: Request) -> Price:
    """Price a cart, the new way for who has it."""
    items = [Item(line.sku, line.cents, line.count) for line in cart.lines]
    details = api.get_client().get_boolean_details(FLAG, False, EvaluationContext(cart.customer))
    telemetry: Telemetry = request.app.state.telemetry
    with telemetry.measure(details, subject=cart.customer):
        cents = new_price_cents(items) if details.value else old_price_cents(items)
    return Price(cents=cents, variant=details.variant)


@app.post("/receipt")
def receipt(cart: Cart, request: Request) -> StreamingResponse:
    """Stream what each line costs; measured to the last of it, so a price that fails in the middle counts."""
    details = api.get_client().get_boolean_details(FLAG, False, EvaluationContext(cart.customer))
    telemetry: Telemetry = request.app.state.telemetry
    telemetry.measure_response(details, subject=cart.customer)

    def lines() -> Iterator[str]:
        for line in cart.lines:
            item = [Item(line.sku, line.cents, line.count)]
            yield f"{line.sku},{new_price_cents(item) if details.value else old_price_cents(item)}\n"

    return StreamingResponse(lines(), media_type="text/csv")


@app.post("/shipping")
def shipping(cart: Cart) -> int:
    """Say what shipping costs, in cents; which implementation serves is not this function's business."""
    return shipping_cents([Item(line.sku, line.cents, line.count) for line in cart.lines], cart.customer)
