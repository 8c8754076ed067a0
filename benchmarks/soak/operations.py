"""What goes wrong at the providers, and what the operator does about it meanwhile."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Final

from benchmarks.soak.accepted import Accepted
from benchmarks.soak.product import WITH_KEYS, Product

FAULTS: Final[tuple[dict[str, Any], ...]] = (
    {"fault": "throttle", "retry_after": 1, "times": 20},
    {"fault": "error_503", "times": 20},
    {"fault": "error_500", "times": 10},
    {"fault": "slow", "delay": 1.5, "times": 30},
    {"fault": "accept_then_reset", "times": 2},
    {"fault": "truncated_json", "times": 2},
)
PROVIDERS: Final = ("sandbox", "sendgrid", "twilio")
FAULT_EVERY: Final = 12.0
FAULT_LASTS: Final = 3.0
RETRY_EVERY: Final = 5.0
REPLAY_EVERY: Final = 60.0
REPLAYED: Final = timedelta(seconds=15)
_MOVED_ON: Final = frozenset({404, 409})


class Operator:
    def __init__(self, product: Product, accepted: Accepted, random: Random) -> None:
        self._product = product
        self._accepted = accepted
        self._random = random
        self.faults: Counter[str] = Counter()
        self.replayed = 0
        """Deliveries that replays found."""

    async def run(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        async with asyncio.TaskGroup() as group:
            group.create_task(self._misfortune(end))
            group.create_task(self._retries(end))
            group.create_task(self._replays(end, first=min(30.0, seconds / 2)))

    async def _misfortune(self, end: float) -> None:
        """A short fault of one provider now and then; none is left at the end."""
        while await _until(time.monotonic() + FAULT_EVERY - FAULT_LASTS, end):
            provider, fault = self._random.choice(PROVIDERS), self._random.choice(FAULTS)
            path = f"/_sandbox/faults/{provider}"
            (await self._product.sandbox.put(path, json=fault)).raise_for_status()
            self.faults[f"{provider}: {fault['fault']}"] += 1
            await _until(time.monotonic() + FAULT_LASTS, end)
            (await self._product.sandbox.delete(path, params={"to": ""})).raise_for_status()

    async def _retries(self, end: float) -> None:
        """A message that its provider refuses once; then the dead letters, each of them once."""
        number = 0
        while await _until(time.monotonic() + RETRY_EVERY, end):
            number += 1
            await self._refused_once(f"mended+{number}@example.com", f"mended-{number}")
            for path in ("/v1/messages", "/v1/webhook-deliveries"):
                await self._retry_one(path)

    async def _refused_once(self, to: str, key: str) -> None:
        fault = {"fault": "rejected_message", "to": to, "times": 1}
        (await self._product.sandbox.put("/_sandbox/faults/sandbox", json=fault)).raise_for_status()
        body = {"channel": "email", "to": to, "subject": "Hello", "text": "Hello", "provider_account": WITH_KEYS}
        answer = await self._product.api.call("send", "POST", "/v1/messages", body, key=key)
        if answer is not None:
            self._accepted.messages.add(answer["id"])

    async def _retry_one(self, path: str) -> None:
        api = self._product.api
        listed = await api.call("list dead letters", "GET", f"{path}?status=failed&limit=50")
        left = [one["id"] for one in listed["items"] if one["id"] not in self._accepted.retried] if listed else []
        if left:
            own = self._random.choice(left)
            if await api.call("retry", "POST", f"{path}/{own}/retry", may_be=_MOVED_ON) is not None:
                self._accepted.retried.add(own)

    async def _replays(self, end: float, first: float) -> None:
        """What a good endpoint has got lately goes there again; the one that is gone is enabled, and is gone again."""
        api, endpoints = self._product.api, self._product.endpoints
        at = time.monotonic() + first
        while await _until(at, end):
            asked = {
                "since": (datetime.now(UTC) - REPLAYED).isoformat(),
                "status": ["delivered"],
                "per_second": 20,
            }
            replay = await api.call("replay", "POST", f"/v1/webhook-endpoints/{endpoints['good-1']}/replay", asked)
            self.replayed += replay["matching"] if replay is not None else 0
            await api.call("enable", "POST", f"/v1/webhook-endpoints/{endpoints['answers-410']}/enable")
            at += REPLAY_EVERY


async def _until(moment: float, end: float) -> bool:
    """Wait for the moment; False where the end comes first."""
    await asyncio.sleep(max(0.0, min(moment, end) - time.monotonic()))
    return moment < end
