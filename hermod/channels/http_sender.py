"""The base of adapters that speak HTTP: the exchange, and what a status means where the vendor says nothing else.

A provider's file gives a `capability`, `request()` and `outcome()`. Both are pure, so that every row of a vendor's
table is tested without a socket; this base makes the exchange in between.

How a status is read where the vendor documents nothing closer, and why:

    2xx                 OutcomeUnknown   Accepted only for the statuses that the vendor documents, by its adapter
    301 307 308         AccountHalted    the base URL points elsewhere; redirects are not followed with credentials
    400 413 415 422 …   MessageRejected  the provider read it and will not have it
    401 402 403 407     AccountHalted    credentials, billing, permission
    404 405 406 410     AccountHalted    the URL is wrong for every message, not this message for the provider
    421 425             Transient        defined as "not processed"
    429                 Throttled        not processed; Retry-After says for how long
    408, 5xx, the rest  OutcomeUnknown   it may have been processed before something behind it failed

408 and 5xx stay unknown for providers with an idempotency key, too: `Transient` claims that the message was not taken,
and would let it go out through another provider. A repeat at the same provider is safe, and the caller knows that
from the capability.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import httpx
import orjson

from hermod.channels.composing import Uncomposed, composable, composed
from hermod.channels.redaction import one_line
from hermod.contracts.errors import FieldError
from hermod.contracts.notifications.content import AnyContent
from hermod.contracts.notifications.outcomes import (
    Accepted,
    AccountHalted,
    AnyOutcome,
    MessageRejected,
    OutcomeUnknown,
    Throttled,
    Transient,
)
from hermod.contracts.tenants.accounts import Account
from hermod.outbound.addresses.guard import AddressGuard
from hermod.outbound.http.client import Client, HttpClient, NotSent, Reply, Unknown
from hermod.outbound.http.retry_after import parse_retry_after
from hermod.outbound.wiring import AdapterContext
from hermod.ports.notifications.sender import Capability, Outgoing

_HALTING: Final = frozenset({301, 307, 308, 401, 402, 403, 404, 405, 406, 407, 410})
_NOT_PROCESSED: Final = frozenset({421, 425})
_LONGEST_ID: Final = 255

NoReply = AccountHalted | Transient | OutcomeUnknown
"""What an exchange without an answer comes to."""


async def answer_of(exchange: Awaitable[Reply]) -> Reply | NoReply:
    """The answer, or what it comes to that there is none."""
    try:
        return await exchange
    except NotSent as failure:
        if failure.code == "address_refused":
            return AccountHalted(error_code=failure.code, error=str(failure))
        return Transient(error_code=failure.code, error=str(failure))
    except Unknown as failure:
        return OutcomeUnknown(error_code=failure.code, error=str(failure))


class HttpSender(ABC):
    """One provider account that is reached over HTTP. Implements `hermod.ports.notifications.sender.Sender`."""

    capability: Capability

    def __init__(self, account: Account, wiring: AdapterContext) -> None:
        self.account = account
        self._clock = wiring.clock
        self._base_url = (account.base_url or self.capability.base_url or "").rstrip("/")
        self._client = self.client(wiring)
        self._deadline = wiring.deadline or self.capability.deadline.total_seconds()
        self._secrets = tuple(account.credentials.values())
        self.receipts_url = receipts_url(account, wiring.public_url)

    @classmethod
    def check(cls, credentials: Mapping[str, str], base_url: str | None, guard: AddressGuard) -> Iterator[FieldError]:
        """What is wrong with the settings beyond missing and unknown names. Adapters add to it."""
        for name, value in credentials.items():
            if not value.isascii():
                yield FieldError(f"credentials.{name}", "must not contain characters outside ASCII")
        if base_url is None and cls.capability.base_url is None:
            yield FieldError("base_url", f"missing: {cls.capability.provider} has no address of its own")
        fault = guard.url_fault(base_url) if base_url is not None else None
        if fault is not None:
            yield FieldError("base_url", fault)

    def client(self, wiring: AdapterContext) -> Client:
        """What makes the exchanges."""
        return HttpClient(wiring.guard, wiring.http)

    @abstractmethod
    def request(self, message: Outgoing) -> httpx.Request:
        """The one request that carries this message. Pure."""

    @abstractmethod
    def outcome(self, reply: Reply, message: Outgoing) -> AnyOutcome:
        """What the provider's answer means. Pure, and never raises, whatever the answer holds."""

    def cannot_express(self, content: AnyContent) -> str | None:
        return None

    async def send(self, message: Outgoing) -> AnyOutcome:
        # A kept connection may be dying unseen. Where a repeat cannot be recognised, it gets a connection of its own.
        fresh = message.attempt > 1 and not self.capability.idempotency_key
        try:
            request = composed(message, self.request)
        except Uncomposed as fault:
            return fault.outcome
        reply = await self.exchange(request, fresh=fresh)
        return self.outcome(reply, message) if isinstance(reply, Reply) else reply

    async def send_together(
        self,
        messages: Sequence[Outgoing],
        compose: Callable[[Sequence[Outgoing]], httpx.Request],
        read: Callable[[Reply, Sequence[Outgoing]], Sequence[AnyOutcome]],
        *,
        fresh: bool = False,
    ) -> Sequence[AnyOutcome]:
        """One request for several messages, without those that cannot be composed; the outcomes in their order."""
        refused: dict[str, AnyOutcome] = {}
        try:
            request, good = compose(messages), list(messages)
        except Exception:  # noqa: BLE001 - composed one by one, where each failure is told of its own message
            good, refused = composable(messages, lambda one: compose([one]))
            if not good:
                return [refused[one.id] for one in messages]
            request = compose(good)
        reply = await self.exchange(request, fresh=fresh)
        told = read(reply, good) if isinstance(reply, Reply) else [reply] * len(good)
        outcomes = refused | {one.id: outcome for one, outcome in zip(good, told, strict=True)}
        return [outcomes[one.id] for one in messages]

    async def exchange(self, request: httpx.Request, *, fresh: bool = False) -> Reply | NoReply:
        """The provider's answer, or what it comes to that there is none."""
        return await answer_of(self._client.exchange(request, deadline=self._deadline, fresh=fresh))

    async def aclose(self) -> None:
        await self._client.aclose()

    def post(self, url: httpx.URL, headers: list[tuple[str, str]], body: bytes, message: Outgoing) -> httpx.Request:
        """A POST with the headers that all adapters share; `url` and `headers` are prebuilt by the adapter."""
        if message.request_id and message.request_id.isascii() and message.request_id.isprintable():
            headers = [*headers, ("x-request-id", message.request_id)]
        # A request made of a stream is left as it is; one made of content looks for each default header, which costs
        # more than all the rest. The client adds `host` and `content-length`.
        request = httpx.Request("POST", url, headers=headers, stream=httpx.ByteStream(body))
        request.read()
        return request

    def accepted(self, reply: Reply, vendor_id: object) -> AnyOutcome:
        """The vendor's documented success status. `vendor_id` is its message id, where the answer has one.

        The status alone says it: a body that is cut off or unreadable costs us the id, not the acceptance. Only a web
        page is no answer of a vendor's API, whatever its status: a proxy or a portal on the way made it, and nobody
        knows whether the request got past it.
        """
        if is_html(reply):
            return OutcomeUnknown(status_code=reply.status, error_code="html", error="a web page instead of an answer")
        return Accepted(status_code=reply.status, provider_id=provider_id(vendor_id))

    def by_status(self, reply: Reply, *, code: str | None = None, text: str | None = None) -> AnyOutcome:
        """The outcome by status alone. `code` and `text` are the vendor's own words, where it gave any."""
        status = reply.status
        error = self.line(text) if text else f"HTTP {status}"
        if status == 429:
            return Throttled(status_code=status, error_code=code, error=error, retry_after=self.wait(reply))
        if status in _HALTING:
            return AccountHalted(status_code=status, error_code=code, error=error)
        if status in _NOT_PROCESSED:
            return Transient(status_code=status, error_code=code, error=error, retry_after=self.wait(reply))
        if 400 <= status < 500 and status != 408:
            return MessageRejected(status_code=status, error_code=code, error=error)
        return OutcomeUnknown(status_code=status, error_code=code, error=error)

    def sender_refused(
        self, reply: Reply, message: Outgoing, *, code: str | None = None, text: str | None = None
    ) -> AnyOutcome:
        """The provider will not send from this sender.

        That halts the account where the sender is the account's own. Where the message brought another one, only the
        message is refused: one caller's wrong `from` must not stop everybody's mail.
        """
        error = self.line(text) if text else "the sender is not allowed"
        if message.sender == self.account.from_:
            return AccountHalted(status_code=reply.status, error_code=code, error=error)
        return MessageRejected(status_code=reply.status, error_code=code, error=error)

    def wait(self, reply: Reply) -> float | None:
        """Seconds that the answer asks us to wait, or None."""
        return parse_retry_after(reply.headers.get("retry-after"), self._clock.now())

    def line(self, text: str) -> str:
        return one_line(text, self._secrets)


def receipts_url(account: Account, public_url: str | None) -> str | None:
    """Where this account's provider is to report to, or None where it cannot reach us."""
    if public_url is None:
        return None
    return f"{public_url}/ingress/receipts/{account.provider}/{account.tenant}/{account.name}"


def is_html(reply: Reply) -> bool:
    """Whether a web page came back: something between us and the provider's API answered (proxy, portal, nginx)."""
    return "html" in reply.headers.get("content-type", "").lower()


def json_object(reply: Reply) -> dict[str, Any]:
    """The body as a JSON object, or an empty one for anything else: truncated, HTML, not JSON, not an object."""
    if not reply.body or is_html(reply):
        return {}
    try:
        value = orjson.loads(reply.body)
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}


def text_of(value: object) -> str | None:
    """A vendor's code or message as text: strings and integers only, None for the rest."""
    if isinstance(value, str):
        return value or None
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def provider_id(value: object) -> str | None:
    """A provider's message id, or None where it is missing or no id at all (too long, not printable)."""
    if isinstance(value, str) and 0 < len(value) <= _LONGEST_ID and value.isprintable():
        return value
    return None
