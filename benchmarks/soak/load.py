"""What the application does: each kind of call at its own steady rate, so many at once at the most, whatever the
answers.

The rates are for `rate=1`: some two thirds of two cores that everything shares. Chance comes from a seed, so that two
runs make the same calls in about the same order.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Final

from benchmarks.soak.accepted import Accepted
from benchmarks.soak.product import FORM, LIMITED, WITHOUT_KEYS, Product
from hermod.contracts.errors import HermodError, TooMany, Unavailable
from starter.notifications.parsing import message_from

MESSAGES, WEBHOOKS, VISITORS, EVENTS = 5.0, 0.6, 0.4, 8.0
"""Calls a second: single messages, webhook events (eight deliveries each, seven of them tried), visitors of the form,
analytics events (and fifty more in one call)."""
BATCH: Final = 500
BATCH_EVERY: Final = 60.0
FIRST_BATCH: Final = 3.0
MOST: Final = 50
"""Calls of one kind that wait for their answers; what would be more is left out, and counted."""
KEYS: Final = 10
"""Different ordering keys."""
_CANCELLABLE: Final = frozenset({409})


class Load:
    def __init__(self, product: Product, accepted: Accepted, random: Random, rate: float) -> None:
        self._product = product
        self._accepted = accepted
        self._random = random
        self._rate = rate
        self._numbers = 0
        self.left_out: Counter[str] = Counter()

    async def run(self, seconds: float) -> None:
        """Make calls for so long, and end with the last answer."""
        end = time.monotonic() + seconds
        async with asyncio.TaskGroup() as group:
            for act, rate in (
                (self._message, MESSAGES),
                (self._webhook_event, WEBHOOKS),
                (self._visitor, VISITORS),
                (self._event, EVENTS),
                (self._events, 1.0),
            ):
                group.create_task(self._steadily(act, rate * self._rate, end))
            group.create_task(self._batches(end))

    async def _steadily(self, act: Callable[[int], Coroutine[Any, Any, None]], rate: float, end: float) -> None:
        """Begin calls at random moments, `rate` a second on average."""
        under_way: set[asyncio.Task[None]] = set()
        async with asyncio.TaskGroup() as group:
            at = time.monotonic()
            while (at := at + self._random.expovariate(rate)) < end:
                await asyncio.sleep(max(0.0, at - time.monotonic()))
                if len(under_way) >= MOST:
                    self.left_out[act.__name__.lstrip("_")] += 1
                    continue
                task = group.create_task(act(self._number()))
                under_way.add(task)
                task.add_done_callback(under_way.discard)

    def _number(self) -> int:
        self._numbers += 1
        return self._numbers

    async def _message(self, number: int) -> None:
        body, key = self._message_body(number), f"message-{number}"
        if self._random.random() < 0.25:
            asked = message_from(body, idempotency_key=key)
            receipt = await self._by_client("send", lambda: self._product.hermod.take(asked))
            own = receipt.id if receipt is not None else None
        else:
            answer = await self._product.api.call("send", "POST", "/v1/messages", body, key=key)
            own = answer["id"] if answer is not None else None
        if own is None:
            return
        self._note(own, body)
        if self._random.random() < (0.2 if "send_at" in body else 0.005):
            await self._cancel(own, after=self._random.choice((0.0, 0.0, 1.0)))

    def _note(self, own: str, body: dict[str, Any]) -> None:
        self._accepted.messages.add(own)
        if body.get("guarantee") == "at_most_once" or body.get("category") == "marketing":
            self._accepted.at_most_once.add(own)

    async def _cancel(self, own: str, after: float) -> None:
        await asyncio.sleep(after)
        path = f"/v1/messages/{own}/cancel"
        if await self._product.api.call("cancel", "POST", path, may_be=_CANCELLABLE) is not None:
            self._accepted.cancelled.add(own)

    def _message_body(self, number: int) -> dict[str, Any]:
        dice = self._random.random()
        if dice < 0.60:
            body = _mail(self._random.choices(("user", "throttled", "flaky", "rejected"), (97, 1, 1, 1))[0], number)
        elif dice < 0.75:
            body = _mail("member", number) | {"provider_account": WITHOUT_KEYS, "category": "marketing"}
        elif dice < 0.90:
            body = _sms(number)
        else:
            body = _push(number)
        if self._random.random() < 0.10:
            body["guarantee"] = "at_most_once"
        if self._random.random() < 0.20:
            body["priority"] = self._random.randint(1, 10)
        if self._random.random() < 0.04:
            body["send_at"] = (datetime.now(UTC) + timedelta(seconds=self._random.uniform(2, 10))).isoformat()
        return body

    async def _batches(self, end: float) -> None:
        at = time.monotonic() + FIRST_BATCH
        while at < end:
            await asyncio.sleep(at - time.monotonic())
            count = max(1, round(BATCH * self._rate))
            bodies = [_push(n) if n % 10 == 0 else _mail("reader", n) for n in (self._number() for _ in range(count))]
            key = f"batch-{self._number()}"
            answer = await self._product.api.call("batch", "POST", "/v1/messages/batch", {"messages": bodies}, key=key)
            if answer is not None:
                self._accepted.messages |= {one["id"] for one in answer["messages"]}
            at += BATCH_EVERY

    async def _webhook_event(self, number: int) -> None:
        payload = {"number": number, "order": f"ord_{number}", "total": 4999, "currency": "EUR"}
        own, key = f"order-{number}", f"customer-{number % KEYS}"
        if self._random.random() < 0.25:
            hermod = self._product.hermod
            receipt = await self._by_client(
                "emit", lambda: hermod.emit("order.paid", payload, event_id=own, ordering_key=key)
            )
            self._accepted.deliveries |= {delivery.id for delivery in receipt.deliveries} if receipt else set()
            return
        body = {"type": "order.paid", "payload": payload, "event_id": own, "ordering_key": key}
        answer = await self._product.api.call("emit", "POST", "/v1/webhook-events", body)
        self._accepted.deliveries |= {delivery["id"] for delivery in answer["deliveries"]} if answer else set()

    async def _visitor(self, number: int) -> None:
        """Three of five go step by step and submit, one of them goes away, and one submits at once."""
        data = {"email": f"visitor{number}@example.com", "name": "Ada"}
        dice = self._random.random()
        session = f"session-{number:08d}" if dice < 0.8 else None
        if session is not None:
            for revision in range(1, self._random.randint(2, 5)):
                await self._revise(session, revision, data)
                await asyncio.sleep(self._random.uniform(0.05, 0.8))
            if dice < 0.2:
                return
        contact, key = f"customer-{number}", f"submission-{number}"
        if self._random.random() < 0.25:
            hermod = self._product.hermod
            receipt = await self._by_client(
                "submit",
                lambda: hermod.submit(FORM, data, session=session, contact=contact, idempotency_key=key),
            )
            own = receipt.id if receipt is not None else None
        else:
            body = {"data": data, "session": session, "contact": contact}
            answer = await self._product.api.call("submit", "POST", f"/v1/forms/{FORM}/submissions", body, key=key)
            own = answer["id"] if answer is not None else None
        if own is not None:
            self._accepted.submissions[own] = session

    async def _revise(self, session: str, revision: int, data: dict[str, Any]) -> None:
        path, body = f"/v1/forms/{FORM}/partials/{session}", {"revision": revision, "data": data}
        if await self._product.api.call("revise", "PUT", path, body) is not None:
            self._accepted.sessions[session] = revision

    async def _event(self, number: int) -> None:
        """Some are told twice."""
        one = _event(number)
        for _ in range(2 if self._random.random() < 0.02 else 1):
            if self._random.random() < 0.5:
                told = await self._product.api.call("track", "POST", "/v1/events", one)
            else:
                told = await self._by_client("track", lambda: self._product.hermod.track(**one))
            if told is not None:
                self._accepted.events.add(one["event_id"])

    async def _events(self, _number: int) -> None:
        several = [_event(self._number()) for _ in range(50)]
        told = await self._by_client("track", lambda: self._product.hermod.track_many(several))
        if told is not None:
            self._accepted.events |= {one["event_id"] for one in several}

    async def _by_client(self, what: str, call: Callable[[], Awaitable[Any]]) -> Any:
        """The same promises as over HTTP. None where nothing was to be had."""
        api = self._product.api
        api.calls[f"{what} (client)"] += 1
        for number in range(1, 6):
            try:
                return await call()
            except (Unavailable, TooMany):
                api.asked_to_wait += 1
                await asyncio.sleep(0.5 * number)
            except HermodError as error:
                api.unexpected[f"{what} (client): {type(error).__name__}"] += 1
                return None
        return None


def _mail(who: str, number: int) -> dict[str, Any]:
    to = f"{who}+{number}@example.com"
    return {"channel": "email", "to": to, "subject": f"Order {number}", "text": "Thank you for your order. " * 8}


def _sms(number: int) -> dict[str, Any]:
    return {
        "channel": "sms",
        "to": f"+1415{5_550_000 + number % 9_999:07d}",
        "body": f"Your order {number} is on its way.",
        "provider_account": LIMITED,
    }


def _push(number: int) -> dict[str, Any]:
    return {"channel": "push", "to": f"device:{number}", "title": "On its way", "body": f"Your order {number}"}


def _event(number: int) -> dict[str, Any]:
    return {
        "type": f"page.kind_{number % 10}",
        "event_id": f"event-{number}",
        "contact": f"customer-{number % 500}",
        "properties": {"path": f"/products/{number % 50}", "ms": number % 900},
    }
