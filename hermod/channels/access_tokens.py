"""OAuth2 access tokens: one is asked for where it is needed, and used by everybody until shortly before its end.

    200 {"access_token": "ya29.…", "expires_in": 3599, "token_type": "Bearer"}
    400 {"error": "invalid_grant", "error_description": "…"}     a clock that is wrong, a key that was taken back

Whatever goes wrong here, no message was sent: no outcome of this exchange is unknown.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import urlencode

import httpx

from hermod.channels.http_sender import NoReply, json_object, text_of
from hermod.channels.redaction import one_line
from hermod.contracts.notifications.outcomes import AccountHalted, AnyOutcome, OutcomeUnknown, Throttled, Transient
from hermod.outbound.http.client import Reply
from hermod.outbound.http.retry_after import parse_retry_after
from hermod.outbound.http.single_flight import SingleFlight
from hermod.ports.clock import Clock

RENEWED_BEFORE: Final = timedelta(minutes=5)
"""How long before its end a token is not used any more."""
_VALID_FOR: Final = timedelta(hours=1)
_SHORTEST: Final = 60.0
_PASSING: Final = frozenset({408, 425})

Exchange = Callable[[httpx.Request], Awaitable[Reply | NoReply]]


class NoToken(Exception):
    """There is no access token at the moment; `outcome` is what that means for the message that waits for it."""

    def __init__(self, outcome: AnyOutcome) -> None:
        self.outcome = outcome
        super().__init__(outcome.error)


class AccessTokens:
    """The present token of one account. Messages that need a new one at the same time share one exchange."""

    def __init__(self, request: Callable[[datetime], httpx.Request], exchange: Exchange, clock: Clock) -> None:
        """`request` makes the request for a token, for the time that it is given."""
        self._request = request
        self._exchange = exchange
        self._clock = clock
        self._exchanging = SingleFlight[None]()
        self._good_until: datetime | None = None
        self.value = ""

    async def ensure(self) -> str:
        """The token to use. Raises NoToken."""
        if self._good_until is None or self._clock.now() >= self._good_until:
            await self._exchanging.run(self._renew)
        return self.value

    async def replace(self, refused: str) -> None:
        """Get another token than the one that was refused. Raises NoToken."""
        if self.value == refused:
            await self._exchanging.run(self._renew)

    async def _renew(self) -> None:
        reply = await self._exchange(self._request(self._clock.now()))
        if not isinstance(reply, Reply):
            if isinstance(reply, OutcomeUnknown):
                raise NoToken(Transient(error_code=reply.error_code, error=f"no access token: {reply.error}"))
            raise NoToken(reply)
        answer, now = json_object(reply), self._clock.now()
        token, seconds = text_of(answer.get("access_token")), answer.get("expires_in")
        if reply.status != 200 or token is None or not token.isascii() or not token.isprintable():
            raise NoToken(failed(reply, now))
        lasts = timedelta(seconds=seconds) if isinstance(seconds, int) and 0 < seconds <= 86_400 else _VALID_FOR
        self.value = token
        self._good_until = now + max(lasts - RENEWED_BEFORE, timedelta(seconds=_SHORTEST))


def form_request(url: str, fields: Mapping[str, str]) -> httpx.Request:
    """A request for a token, as OAuth2 has it (RFC 6749)."""
    request = httpx.Request(
        "POST",
        url,
        headers=[("content-type", "application/x-www-form-urlencoded"), ("accept", "application/json")],
        stream=httpx.ByteStream(urlencode(fields).encode("ascii")),
    )
    request.read()
    return request


def failed(reply: Reply, now: datetime) -> AnyOutcome:
    """What an exchange without a token means. The description is left out: it can quote the account's address."""
    status, code = reply.status, text_of(json_object(reply).get("error"))
    error = one_line(f"no access token: {code or f'HTTP {status}'}")
    wait = parse_retry_after(reply.headers.get("retry-after"), now)
    if status == 429:
        return Throttled(status_code=status, error_code=code, error=error, retry_after=wait)
    if 300 <= status < 500 and status not in _PASSING:
        return AccountHalted(status_code=status, error_code=code, error=error)
    return Transient(status_code=status, error_code=code, error=error, retry_after=wait)
