"""Tells the world of a form's moments: webhooks, messages, analytics and the journey.

Implements `hermod.ports.forms.forms.Announcer` for the activities of submissions and partials. Every part has an id
that is made of the moment, so that telling it again stores nothing again: the webhook event by its `event_id`, messages
by their idempotency keys, and analytics by an event id in the transaction that also writes the journey. Nothing here
waits for anybody to receive it.

A notification that cannot be made (a wrong address, no such template) is recorded on the journey, and the others go.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

from hermod.bootstrap import Storage
from hermod.channels.redaction import one_line
from hermod.contracts.errors import IdempotencyMismatch, InvalidInput, Unavailable
from hermod.contracts.forms.forms import FormMoment, FormNotification
from hermod.contracts.webhooks.deliveries import EventInput, EventReceipt
from hermod.domain.forms.notifications import rendered
from hermod.heavy_work import off_loop
from hermod.ports.clock import Clock
from hermod.ports.forms.forms import Announced, Announcement
from hermod.storage.analytics import event_outbox
from hermod.storage.operations import journeys
from hermod.storage.operations.journeys import Step
from hermod.telemetry import ANNOUNCED, fault, get_logger
from starter import validation_errors
from starter.notifications.acceptor import MessageAcceptor
from starter.notifications.parsing import message_from
from starter.webhooks.events import Webhooks

MESSAGE_ACCEPTED: Final = "message.accepted"
WEBHOOK_ACCEPTED: Final = "webhook.accepted"
NOTIFICATION_REFUSED: Final = "notification.refused"
_PERSONAL: Final = frozenset({"data", "metadata", "resume_url"})
"""Of a payload: what somebody entered, and what opens it, stays out of analytics."""

_log = get_logger(__name__)


class FormAnnouncer:
    def __init__(self, storage: Storage, webhooks: Webhooks, desk: MessageAcceptor, clock: Clock) -> None:
        self._storage = storage
        self._webhooks = webhooks
        self._desk = desk
        self._clock = clock

    async def announce(self, told: Announcement) -> Announced:
        deliveries = await self._emit(told) if told.webhooks else ()
        messages: list[str] = []
        refused: list[tuple[int, str]] = []
        for place, notification in enumerate(told.notifications):
            if notification.on is not told.moment:
                continue
            try:
                messages += await self._notify(told, place, notification)
            except IdempotencyMismatch:
                _log.info("told_before_in_other_words", tenant=told.tenant, reference=told.reference, place=place)
            except InvalidInput as wrong:
                refused.append((place, one_line(validation_errors.one_line(wrong.errors))))
            except Unavailable:
                raise
            except Exception as error:  # noqa: BLE001 - whatever it is, it is this notification's
                _log.error("notification_failed", reference=told.reference, notification=place, **fault(error))
                refused.append((place, f"cannot be made ({type(error).__name__})"))
        announced = Announced(deliveries, tuple(messages), tuple(refused))
        if await self._note(told, announced):
            ANNOUNCED.labels(told.moment.value).inc()
        return announced

    async def _emit(self, told: Announcement) -> tuple[str, ...]:
        """The deliveries of the moment's event; none where it was told before in other words."""
        try:
            receipt = await self._event(told, told.payload)
        except InvalidInput as wrong:
            if wrong.errors[0].field != "payload":
                return ()
            # Too large for a webhook. Receivers can ask for the record, whose id is in the payload.
            receipt = await self._event(told, {**told.payload, "data": None, "truncated": True})
        return tuple(delivery.id for delivery in receipt.deliveries)

    async def _event(self, told: Announcement, payload: Mapping[str, Any]) -> EventReceipt:
        event = EventInput(
            type=told.moment.value,
            payload=dict(payload),
            event_id=identity(told),
            ordering_key=told.reference[:255],
        )
        return await self._webhooks.take(told.tenant, event, told.request_id)

    async def _notify(self, told: Announcement, place: int, notification: FormNotification) -> Sequence[str]:
        """The messages that a notification comes to; none where its condition does not hold. Raises InvalidInput."""
        message = await off_loop(rendered, notification, told.scope)
        if message is None:
            return ()
        asked = message_from(message, idempotency_key=f"{identity(told)}/{place}")
        receipt = await self._desk.take(told.tenant, asked, told.request_id)
        return (receipt.id, *receipt.also)

    async def _note(self, told: Announcement, announced: Announced) -> bool:
        """Write the moment into analytics and the journey; False where it was written before."""
        now = self._clock.now()
        seal = await self._storage.contents.sealing(told.tenant)
        properties = {name: value for name, value in told.payload.items() if name not in _PERSONAL}
        event = event_outbox.EventRow(
            type=told.moment.value,
            occurred_at=told.at,
            source="form",
            event_id=identity(told),
            contact=told.contact,
            session=told.session,
            properties={"form": told.form, **properties},
        )
        async with self._storage.database.begin() as connection:
            is_new = await event_outbox.add(connection, told.tenant, [event], seal, now) == 1
            if is_new and _belongs_on_a_journey(told):
                await journeys.note(connection, told.tenant, _steps(told, announced))
        return is_new


def identity(told: Announcement) -> str:
    """The id of a moment: the same for the same moment, and fit for an event of a webhook."""
    named = "\n".join((told.reference, told.moment.value, told.turn))
    return f"form-{hashlib.sha256(named.encode()).hexdigest()[:32]}"


def _belongs_on_a_journey(told: Announcement) -> bool:
    """Not what nobody would find there, and not each pause of somebody who types: a partial notes its beginning."""
    return (told.session is not None or told.contact is not None) and told.moment is not FormMoment.PARTIAL


def _steps(told: Announcement, announced: Announced) -> list[Step]:
    payment = told.payload.get("payment")
    detail = dict(payment) if isinstance(payment, Mapping) else {}

    def step(kind: str, reference: str, detail: Mapping[str, Any]) -> Step:
        return Step(
            at=told.at,
            kind=kind,
            session=told.session,
            contact=told.contact,
            form=told.form,
            reference=reference,
            detail=detail,
        )

    moment = {"moment": told.moment.value}
    return [
        step(told.moment.value, told.reference, {name: value for name, value in detail.items() if value is not None}),
        *(step(MESSAGE_ACCEPTED, message, moment) for message in announced.messages),
        *(step(WEBHOOK_ACCEPTED, delivery, moment) for delivery in announced.deliveries),
        *(
            step(NOTIFICATION_REFUSED, told.reference, moment | {"notification": place, "reason": reason})
            for place, reason in announced.refused
        ),
    ]
