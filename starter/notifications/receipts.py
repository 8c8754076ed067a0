"""What providers report back: the call is checked by its account's reader, then its events are kept."""

from __future__ import annotations

import re
from collections import Counter
from typing import Final

import httpx

from hermod.channels.registry import KITS
from hermod.contracts.errors import HermodError, Unauthorized, Unavailable
from hermod.contracts.ids import TENANT_PATTERN
from hermod.contracts.tenants.accounts import Account
from hermod.outbound.addresses.guard import AddressGuard
from hermod.outbound.http.client import HttpClient, HttpSettings, NotSent, Unknown
from hermod.ports.notifications.receipts import (
    Answer,
    Callback,
    ReceiptContext,
    ReceiptReader,
    SignatureInvalid,
    Unreadable,
)
from hermod.storage.tenants.accounts import UNREADABLE
from hermod.telemetry import RECEIPTS, get_logger
from starter.notifications.replies import pass_on
from starter.services import Services

FETCH_SECONDS: Final = 5.0
FETCH_BYTES: Final = 64 * 1024
_NAME: Final = re.compile(TENANT_PATTERN)
"""Of tenants and accounts alike. What is no name never reaches the database."""
_log = get_logger(__name__)


class MalformedReport(HermodError):
    """The call is the provider's, and nothing that its reader can read. The text is for the provider."""


async def reporter(core: Services, provider: str, tenant: str, account: str) -> Account | None:
    """The account that reports at this address, or None: no such tenant or account, or one that reports nothing.

    Known before the body is read, so that nothing is held for who has no account. Raises Unavailable.
    """
    if not (_NAME.fullmatch(tenant) and _NAME.fullmatch(account)):
        return None
    found = await core.storage.accounts.find(tenant, account)
    return found if _reader(found, provider) is not None else None


async def receive(core: Services, provider: str, tenant: str, found: Account | None, call: Callback) -> Answer:
    """Keep what the call reports; what the provider is to be answered. `found` is the address's `reporter`.

    Raises Unauthorized for a forged call, and in the same words where there is no such reporter, so that nobody learns
    which there are; a provider's test call is answered for that reason as if there were one. Raises MalformedReport,
    and Unavailable, after which providers repeat the call. Nothing is kept then.
    """
    kit = KITS.get(provider)
    if kit is not None and kit.is_test is not None and kit.is_test(call):
        return Answer()
    reader = _reader(found, provider)
    if found is None or reader is None:
        raise _refused()
    if found.blocked_reason == UNREADABLE:
        raise Unavailable("the account's credentials cannot be read at the moment")
    whose = {"tenant": tenant, **found.describe()}
    now = core.clock.now()
    desk = ReceiptContext(
        now=now, fetch=Fetcher(AddressGuard(allow_private=core.settings.allow_private_addresses)).fetch
    )
    try:
        reading = await reader.read(call, found, desk)
    except SignatureInvalid as reason:
        _log.warning("report_refused", reason=str(reason)[:200], **whose)
        raise _refused() from None
    except Unreadable as reason:
        _log.warning("report_unreadable", reason=str(reason)[:200], **whose)
        raise MalformedReport("the body is not what the provider documents") from None
    if reading.events:
        await pass_on(core, found, reading.events)
        taken = await core.storage.receipts.take(tenant, found.name, found.channel, reading.events, now)
        for kind, count in Counter(event.kind.value for event in reading.events).items():
            RECEIPTS.labels(found.channel.value, provider, kind).inc(count)
        _log.info("reports_taken", new=taken.new, repeated=taken.repeated, **whose)
    return reading.answer


class Fetcher:
    """`ReceiptContext.fetch`: one GET to a public address over https, five seconds, no redirects, 64 KiB at most."""

    def __init__(self, guard: AddressGuard) -> None:
        self._guard = guard

    async def fetch(self, url: str) -> bytes:
        """Raises SignatureInvalid for an address that must not be asked or answers too much, Unavailable otherwise."""
        self._check(url)
        client = HttpClient(self._guard, HttpSettings(max_reply_bytes=FETCH_BYTES))
        try:
            reply = await client.exchange(httpx.Request("GET", url), deadline=FETCH_SECONDS)
        except (NotSent, Unknown) as failure:
            if failure.code == "address_refused":
                raise SignatureInvalid("the call names an address that is not public") from failure
            raise Unavailable("an address that the provider names does not answer") from failure
        finally:
            await client.aclose()
        if reply.truncated and len(reply.body) >= FETCH_BYTES:
            raise SignatureInvalid("the address that the call names answers more than it should")
        if reply.status != httpx.codes.OK or reply.truncated:
            raise Unavailable(f"an address that the provider names answers {reply.status}")
        return reply.body

    def _check(self, url: str) -> None:
        try:
            parsed = httpx.URL(url)
        except httpx.InvalidURL:
            raise SignatureInvalid("the call names something that is no address") from None
        schemes = ("https", "http") if self._guard.allow_private else ("https",)
        if parsed.scheme not in schemes or not parsed.host or parsed.userinfo:
            raise SignatureInvalid("the call names an address that is not https")
        if self._guard.host_fault(parsed.host) is not None:
            raise SignatureInvalid("the call names an address that is not public")


def _reader(account: Account | None, provider: str) -> ReceiptReader | None:
    kit = KITS.get(provider) if account is not None and account.provider == provider else None
    return kit.receipts if kit is not None else None


def _refused() -> Unauthorized:
    return Unauthorized("the call is not signed as this address asks for")
