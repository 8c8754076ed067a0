"""The API as the application calls it: each call has a key that makes it safe to repeat, and is repeated until it is
answered. What is answered in a way that nobody expects is a broken promise.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

import httpx

TRIES: Final = 5
PAUSE: Final = 0.5
"""Seconds between two tries; longer each time."""
_WAIT: Final = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})


class Api:
    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client
        self.calls: Counter[str] = Counter()
        """By what was called, in a few words."""
        self.asked_to_wait = 0
        """Answers 429 and 503: nothing was taken, and the caller comes again."""
        self.unanswered: Counter[str] = Counter()
        """Tries without an answer, by the kind of error."""
        self.unexpected: Counter[str] = Counter()
        """Answers that the call cannot have deserved, by call and status."""

    async def call(
        self,
        what: str,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        key: str | None = None,
        may_be: frozenset[int] = frozenset(),
    ) -> Any:
        """The body of a 2xx answer. None for an answer in `may_be`, and where there was none to be had."""
        headers = {"idempotency-key": key} if key is not None else {}
        self.calls[what] += 1
        for number in range(1, TRIES + 1):
            try:
                answer = await self._client.request(method, path, json=body, headers=headers)
            except httpx.TransportError as error:
                self.unanswered[type(error).__name__] += 1
            else:
                if answer.is_success:
                    return answer.json()
                if answer.status_code in may_be:
                    return None
                if answer.status_code in _WAIT:
                    self.asked_to_wait += 1
                else:
                    self.unexpected[f"{what}: {answer.status_code}"] += 1
                    if answer.is_client_error:
                        return None
            await asyncio.sleep(PAUSE * number)
        return None
