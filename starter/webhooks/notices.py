"""Tells of webhook endpoints that were disabled: other endpoints by an event, the owner by an email.

Implements `hermod.ports.webhooks.notices.Notices` for the housekeeping activity. What is told is stored like anything
that an application hands over, under an id that is made of the notice, so that telling it twice stores it once; the
sweeper starts it. Nothing here waits for anybody to receive it.
"""

from __future__ import annotations

from datetime import UTC
from typing import Final

from hermod.contracts.errors import InvalidInput
from hermod.contracts.ids import message_id, message_workflow, new_id, webhook_workflow
from hermod.contracts.notifications.content import Channel, Email
from hermod.contracts.notifications.messages import Options, Submission
from hermod.contracts.webhooks.deliveries import EventInput
from hermod.contracts.webhooks.notices import ENDPOINT_DISABLED, EndpointDisabled, NoticeReport
from hermod.domain.webhooks.endpoint_health import GONE
from hermod.ports.clock import Clock
from hermod.storage.notifications.acceptance import Acceptance, Draft, Ready
from hermod.storage.tenants.accounts import ProviderAccounts
from hermod.storage.webhook_endpoints.notices import Notice, WebhookNotices
from hermod.storage.webhooks.acceptance import EventDraft, PlannedDelivery, WebhookAcceptance, event_body
from hermod.telemetry import get_logger

AT_MOST: Final = 100
"""Notices of one pass; the next one comes in two minutes."""

_log = get_logger(__name__)


class NoticeSender:
    def __init__(
        self,
        notices: WebhookNotices,
        acceptance: Acceptance,
        accounts: ProviderAccounts,
        events: WebhookAcceptance,
        clock: Clock,
    ) -> None:
        self._notices = notices
        self._acceptance = acceptance
        self._accounts = accounts
        self._events = events
        self._clock = clock

    async def send(self) -> NoticeReport:
        announced = written = 0
        for notice in await self._notices.open(AT_MOST):
            if not notice.announced:
                announced += await self._tell_endpoints(notice)
                await self._notices.done(notice, self._clock.now(), announced=True)
            if not notice.written:
                written += await self._tell_owner(notice)
                await self._notices.done(notice, self._clock.now(), written=True)
        return NoticeReport(announced=announced, written=written)

    async def _tell_endpoints(self, notice: Notice) -> bool:
        listeners = await self._notices.listeners(notice)
        if not listeners:
            return False
        own = f"endpoint-disabled-{notice.told.endpoint_id}-{notice.told.disabled_at:%Y%m%dT%H%M%S%f}"
        event = EventInput(type=ENDPOINT_DISABLED, payload=notice.told.model_dump(mode="json"), event_id=own)
        now, deliveries = self._clock.now(), tuple(_delivery(notice.tenant, endpoint) for endpoint in listeners)
        draft = EventDraft(own, event, event_body(event, now), None, deliveries)
        (taken,) = await self._events.take(notice.tenant, [draft], now)
        # An InvalidInput says that it was told before, in other words: the endpoint was changed in between.
        return not isinstance(taken, InvalidInput) and bool(taken.started)

    async def _tell_owner(self, notice: Notice) -> bool:
        if notice.owner_email is None:
            return False
        if Channel.EMAIL not in (await self._accounts.names(notice.tenant)).values():
            _log.warning("owner_not_told", tenant=notice.tenant, endpoint=notice.told.endpoint_id, reason="no account")
            return False
        submission = Submission(
            content=letter(notice.told, notice.owner_email),
            options=Options(priority=8, metadata={"endpoint_id": notice.told.endpoint_id}),
            idempotency_key=f"endpoint-disabled/{notice.key}",
        )
        own = message_id()
        draft = Draft(own, message_workflow(notice.tenant, own), None, Ready(submission, submission.content))
        answers = await self._acceptance.take(notice.tenant, [draft], self._clock.now())
        return own in answers and not isinstance(answers[own], InvalidInput)


def _delivery(tenant: str, endpoint: str) -> PlannedDelivery:
    own = new_id("whd")
    return PlannedDelivery(own, endpoint, None, webhook_workflow(tenant, own))


def letter(told: EndpointDisabled, to: str) -> Email:
    """What the owner reads. The same notice always makes the same words: they are compared when it is told twice."""
    name = f"“{' '.join(told.description.split())}”" if told.description else told.endpoint_id
    why = (
        "It answered 410 Gone: the receiver says that nobody is there any more."
        if told.reason == GONE or told.failing_since is None
        else f"Nothing has been delivered to it since {told.failing_since:%d %B %Y, %H:%M} UTC."
    )
    since = (told.failing_since or told.disabled_at).astimezone(UTC)
    text = (
        f"The webhook endpoint {name} ({told.url}) was disabled on {told.disabled_at:%d %B %Y at %H:%M} UTC.\n\n"
        f"{why}\n\n"
        "Events for it are kept: their deliveries are parked until it is enabled again, and can then be replayed.\n\n"
        f"  hermod webhooks endpoints enable {told.endpoint_id}\n"
        f"  hermod webhooks replay {told.endpoint_id} --since {since:%Y-%m-%dT%H:%M}Z\n"
    )
    return Email(to=to, subject=f"Webhook endpoint disabled: {told.endpoint_id}", text=text)
