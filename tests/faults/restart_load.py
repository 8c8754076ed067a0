"""The load of the restart tests: an application that calls the HTTP API and the client, and does not give up.

Every call has a key of its own and is repeated under it until it is answered, so what was in doubt is reconciled by
the end: what `accepted` names is what the product has to answer for, and nothing else may be on record.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from random import Random
from typing import Any, Final

import httpx

from benchmarks.soak.accepted import Accepted
from hermod.contracts.errors import HermodError, MaybeStored, TooMany, Unavailable
from starter import Hermod
from starter.notifications.parsing import message_from

FORM: Final = "signup"
KEYED, PLAIN, LIMITED, FAILING, PAUSED = "keyed", "plain", "limited", "failing", "paused"
"""Accounts: a provider that knows idempotency keys and one that knows none, one with a rate limit, one that
answers 503, and one that asks for a pause."""
PER_SECOND: Final = 3.0
"""The limit of the account that has one."""
PAUSE: Final = 61
"""Seconds for which the provider of `PAUSED` asks to be left alone, and after which a failed webhook comes again."""
PAUSED_AFTER: Final = 3.0
"""Seconds until the pause has surely begun."""
BURST: Final = 60
"""Messages of a batch that goes to a slow provider when the fault is near."""
ANSWERED_WITHIN: Final = 15.0
"""Seconds after which a caller hangs up and calls again."""
AGAIN_AFTER: Final = 1.0
_NEVER: Final = object()


@dataclass
class Answers:
    """What the application was told, apart from what was accepted."""

    refused: int = 0
    """429, and 503 by which nothing was stored."""
    maybe_stored: int = 0
    """503 by which it is not known."""
    unanswered: int = 0
    unexpected: Counter[str] = field(default_factory=Counter)
    given_up: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0
    """Seconds until the last answer to a call, repetitions included."""


class Load:
    """`url` is asked for before each call, so that a web process may move."""

    def __init__(self, hermod: Hermod, url: Callable[[], str], key: str) -> None:
        self.accepted = Accepted()
        self.answers = Answers()
        self._hermod = hermod
        self._url = url
        self._headers = {"authorization": f"Bearer {key}"}
        self._random = Random(7)
        self._numbers = 0
        self._stop = asyncio.Event()
        self._give_up = float("inf")
        self._http: httpx.AsyncClient

    async def run(self) -> None:
        """Until `stop`, and then until the last call is answered."""
        limits = httpx.Limits(max_connections=200, max_keepalive_connections=50)
        client = httpx.AsyncClient(timeout=ANSWERED_WITHIN, limits=limits, trust_env=False)
        async with client as self._http, asyncio.TaskGroup() as group:
            for body in self._long_waits():
                group.create_task(self._message(body))
            group.create_task(self._batch([_sms(self._number()) for _ in range(30)]))
            group.create_task(self._later())
            for _ in range(6):
                group.create_task(self._emit("order.later"))
            for act, rate in (
                (self._some_message, 6.0),
                (lambda: self._emit("order.paid"), 0.8),
                (self._visitor, 0.6),
                (lambda: self._track(1), 4.0),
                (lambda: self._track(20), 0.5),
            ):
                group.create_task(self._steadily(act, rate))

    async def burst(self) -> None:
        """Slow requests that are under way for some seconds: the fault falls into them."""
        await self._batch([_mail("slow", self._number(), provider_account=PLAIN, **_once(n)) for n in range(BURST)])
        await asyncio.gather(*(self._emit("order.paid") for _ in range(5)))

    def stop(self, *, answers_within: float) -> None:
        self._give_up = time.monotonic() + answers_within
        self._stop.set()

    async def _steadily(self, act: Callable[[], Coroutine[Any, Any, None]], rate: float) -> None:
        async with asyncio.TaskGroup() as group:
            at = time.monotonic()
            while not self._stop.is_set():
                at += self._random.expovariate(rate)
                try:
                    await asyncio.wait_for(self._stop.wait(), max(0.0, at - time.monotonic()))
                except TimeoutError:
                    group.create_task(act())

    def _long_waits(self) -> list[dict[str, Any]]:
        """Messages that have a reason to wait for longer than the fault lasts."""
        paused = _mail("paused", 0, provider_account=PAUSED)
        hours = [_mail("flaky", self._number(), provider_account=FAILING, retry="webhook") for _ in range(4)]
        at = (datetime.now(UTC) + timedelta(seconds=40)).isoformat()
        return [paused, *hours, *(_mail("user", self._number(), provider_account=KEYED, send_at=at) for _ in range(4))]

    async def _later(self) -> None:
        """Messages that find the pause."""
        await asyncio.sleep(PAUSED_AFTER)
        for _ in range(4):
            await self._message(_mail("user", self._number(), provider_account=PAUSED))

    async def _some_message(self) -> None:
        number = self._number()
        whom, account = self._random.choices(
            (("user", KEYED), ("slow", KEYED), ("slow", PLAIN), ("user", PLAIN), ("flaky", FAILING), ("down", FAILING)),
            (40, 12, 24, 10, 10, 4),
        )[0]
        body = _mail(whom, number, provider_account=account) if self._random.random() < 0.9 else _sms(number)
        if body["provider_account"] == PLAIN:
            body |= _once(number)
        if self._random.random() < 0.25:
            body["priority"] = self._random.choice((1, 9, 10))
        await self._message(body)

    async def _message(self, body: dict[str, Any]) -> None:
        key = f"message-{self._number()}"
        asked = message_from(body, idempotency_key=key)
        told = await self._call("/v1/messages", body, lambda: self._hermod.take(asked), key)
        if told is not None:
            self._take(told["id"] if isinstance(told, dict) else told.id, body)

    async def _batch(self, bodies: list[dict[str, Any]]) -> None:
        told = await self._post("/v1/messages/batch", {"messages": bodies}, f"batch-{self._number()}")
        if told is not None:
            for one, body in zip(told["messages"], bodies, strict=True):
                self._take(one["id"], body)

    def _take(self, own: str, body: dict[str, Any]) -> None:
        self.accepted.messages.add(own)
        if body.get("guarantee") == "at_most_once":
            self.accepted.at_most_once.add(own)

    async def _emit(self, kind: str) -> None:
        number = self._number()
        payload, own = {"number": number, "total": 4999, "currency": "EUR"}, f"order-{number}"
        told = await self._call(
            "/v1/webhook-events",
            {"type": kind, "payload": payload, "event_id": own},
            lambda: self._hermod.emit(kind, payload, event_id=own),
        )
        if isinstance(told, dict):
            self.accepted.deliveries |= {delivery["id"] for delivery in told["deliveries"]}
        elif told is not None:
            self.accepted.deliveries |= {delivery.id for delivery in told.deliveries}

    async def _visitor(self) -> None:
        number = self._number()
        data, key = {"email": f"visitor{number}@example.com", "name": "Ada"}, f"submission-{number}"
        told = await self._call(
            f"/v1/forms/{FORM}/submissions",
            {"data": data, "contact": f"customer-{number}"},
            lambda: self._hermod.submit(FORM, data, contact=f"customer-{number}", idempotency_key=key),
            key,
        )
        if told is not None:
            self.accepted.submissions[told["id"] if isinstance(told, dict) else told.id] = None

    async def _track(self, count: int) -> None:
        events = [_event(self._number()) for _ in range(count)]
        if count == 1:
            told = await self._call("/v1/events", events[0], lambda: self._hermod.track(**events[0]))
        else:
            told = await self._by_client("track_many", lambda: self._hermod.track_many(events))
        if told is not None:
            self.accepted.events |= {event["event_id"] for event in events}

    async def _call(
        self, path: str, body: dict[str, Any], by_client: Callable[[], Awaitable[Any]], key: str | None = None
    ) -> Any:
        """By one of the two ways, as chance has it. None where there was no answer in the end."""
        if self._random.random() < 0.5:
            return await self._by_client(path, by_client)
        return await self._post(path, body, key)

    async def _post(self, path: str, body: dict[str, Any], key: str | None = None) -> Any:
        headers = self._headers | ({"idempotency-key": key} if key else {})

        async def post() -> Any:
            try:
                answer = await self._http.post(f"{self._url()}{path}", json=body, headers=headers)
            except httpx.TransportError:
                self.answers.unanswered += 1
                return _NEVER
            if answer.is_success:
                return answer.json()
            if answer.status_code in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
                self._note_refusal(in_doubt=answer.json()["type"].endswith("maybe-stored"))
                return _NEVER
            self.answers.unexpected[f"{path}: {answer.status_code} {answer.text[:200]}"] += 1
            return None

        return await self._until_answered(path, post)

    async def _by_client(self, what: str, call: Callable[[], Awaitable[Any]]) -> Any:
        async def ask() -> Any:
            try:
                return await call()
            except (Unavailable, TooMany) as error:
                self._note_refusal(in_doubt=isinstance(error, MaybeStored))
                return _NEVER
            except HermodError as error:
                self.answers.unexpected[f"{what} (client): {error!r}"] += 1
                return None

        return await self._until_answered(what, ask)

    async def _until_answered(self, what: str, ask: Callable[[], Awaitable[Any]]) -> Any:
        begun = time.monotonic()
        while (answer := await ask()) is _NEVER:
            if time.monotonic() > self._give_up:
                self.answers.given_up[what] += 1
                return None
            await asyncio.sleep(AGAIN_AFTER * (0.5 + self._random.random()))
        self.answers.slowest = max(self.answers.slowest, time.monotonic() - begun)
        return answer

    def _note_refusal(self, *, in_doubt: bool) -> None:
        if in_doubt:
            self.answers.maybe_stored += 1
        else:
            self.answers.refused += 1

    def _number(self) -> int:
        self._numbers += 1
        return self._numbers


def _mail(whom: str, number: int, **options: Any) -> dict[str, Any]:
    """The sandbox knows recipients by their first word: `slow` takes 3 s, `flaky` fails twice, `down` ever."""
    to = f"{whom}+{number}@example.com"
    return {"channel": "email", "to": to, "subject": f"Order {number}", "text": "Thank you for your order."} | options


def _sms(number: int) -> dict[str, Any]:
    to = f"+1415{5_550_000 + number % 9_999:07d}"
    return {"channel": "sms", "to": to, "body": f"Your order {number} is on its way.", "provider_account": LIMITED}


def _once(number: int) -> dict[str, Any]:
    """Every other message may go out once at the most."""
    return {"guarantee": "at_most_once"} if number % 2 else {}


def _event(number: int) -> dict[str, Any]:
    return {
        "type": f"page.kind_{number % 5}",
        "event_id": f"event-{number}",
        "contact": f"customer-{number % 100}",
        "properties": {"path": f"/products/{number % 50}", "ms": number % 900},
    }
