"""What the world hears of a submission: webhooks, messages, analytics, the journey; and what cannot be told."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text

from hermod.contracts.forms.forms import FormMoment, FormNotification, SubmissionStatus
from hermod.contracts.notifications.outcomes import Accepted
from hermod.contracts.webhooks.deliveries import EndpointSettings
from hermod.ports.forms.forms import Announcement
from starter.forms.announcer import FormAnnouncer, identity
from starter.forms.journeys import journey
from starter.webhooks.deliveries import deliveries, delivery_status
from starter.webhooks.endpoints import create_endpoint
from tests.support.forms.product import ENTERED, add_form, ended, submitted
from tests.support.product import ProductFixture

SESSION = "session-12345678"


def notification(**settings: Any) -> dict[str, Any]:
    content = {"subject": "Welcome, {{ data.name }}", "text": "{{ submission.id }}"}
    return {"channel": "email", "to": "{{ data.email }}", "content": content, **settings}


async def events(house: ProductFixture) -> list[str]:
    """Bodies of what waits for ClickHouse, or has gone there: the types."""
    rows = await house.hermod.core.storage.database.rows(
        text("SELECT fingerprint FROM event_ids WHERE tenant_id = :tenant"), {"tenant": house.hermod.tenant}
    )
    return [row.fingerprint.hex() for row in rows]


async def endpoint(house: ProductFixture, *types: str) -> None:
    settings = EndpointSettings.model_validate({"url": "http://127.0.0.1:9/hook", "event_types": types})
    await create_endpoint(house.hermod, settings)


async def test_completed_submission_is_told_by_webhook_message_and_journey(skipping: ProductFixture) -> None:
    await skipping.add_account("main")
    script = skipping.script("main", Accepted(provider_id="p"))
    await endpoint(skipping, "submission.*")
    await add_form(skipping, on_submit={"webhooks": True, "notifications": [notification()]})
    own = await submitted(skipping, session=SESSION, contact="c-7", metadata={"page": "/"})
    await ended(skipping, own, SubmissionStatus.COMPLETED)
    (delivery,) = (await deliveries(skipping.hermod)).items
    payload = (await delivery_status(skipping.hermod, delivery.id)).payload
    assert payload is not None
    assert (delivery.event_type, payload["submission"], payload["data"]) == ("submission.completed", own, ENTERED)
    assert (payload["session"], payload["contact"], payload["metadata"]) == (SESSION, "c-7", {"page": "/"})
    steps = (await journey(skipping.hermod, SESSION)).steps
    message = next(step.reference for step in steps if step.kind == "message.accepted")
    assert message is not None
    await skipping.ended(message)
    (sent,) = script.sent
    assert (sent.content.to, sent.content.subject, sent.content.text) == ("ada@example.com", "Welcome, Ada", own)  # type: ignore[union-attr]
    kinds = [step.kind for step in steps]
    assert kinds.index("submission.received") < kinds.index("submission.completed") < kinds.index("message.accepted")
    assert "webhook.accepted" in kinds
    assert ENTERED["email"] not in repr(steps)


async def test_notification_that_cannot_be_made_is_recorded_and_the_others_go(skipping: ProductFixture) -> None:
    await skipping.add_account("main")
    await add_form(
        skipping,
        on_submit={
            "notifications": [
                notification(to="not an address"),
                notification(template="nowhere", content={}),
                notification(to="{{ data.phone }}"),
                notification(channel="sms", to="+14155550100", content={"body": "x"}),
                notification(when="data.newsletter"),
                notification(),
            ]
        },
    )
    own = await submitted(skipping, session=SESSION)
    await ended(skipping, own, SubmissionStatus.COMPLETED)
    steps = (await journey(skipping.hermod, SESSION)).steps
    refused = {
        step.detail["notification"]: step.detail["reason"] for step in steps if step.kind == "notification.refused"
    }
    assert set(refused) == {0, 1, 2, 3}
    assert refused[1] == "template: there is no template nowhere"
    assert refused[2] == "to: asks for phone, which is not there"
    assert "no provider account for sms" in refused[3]
    assert len([step for step in steps if step.kind == "message.accepted"]) == 1


def announcement(house: ProductFixture, **changes: Any) -> Announcement:
    given: dict[str, Any] = {
        "tenant": house.hermod.tenant,
        "moment": FormMoment.COMPLETED,
        "reference": "sub_1",
        "form": "signup",
        "at": house.hermod.core.clock.now(),
        "payload": {"submission": "sub_1", "data": {"email": "ada@example.com"}},
        "scope": {"data": ENTERED, "submission": {"id": "sub_1"}},
        "webhooks": True,
        "notifications": [FormNotification.model_validate(notification())],
        "session": SESSION,
    }
    return Announcement(**given | changes)


async def test_moment_told_twice_is_stored_once(skipping: ProductFixture) -> None:
    await skipping.add_account("main")
    await endpoint(skipping, "*")
    announcer = new_announcer(skipping)
    first = await announcer.announce(announcement(skipping))
    again = await announcer.announce(announcement(skipping))
    assert (first.deliveries, first.messages) == (again.deliveries, again.messages)
    assert (len(first.deliveries), len(first.messages)) == (1, 1)
    assert len((await deliveries(skipping.hermod)).items) == 1
    assert len((await skipping.hermod.messages()).items) == 1
    assert len(await events(skipping)) == 1
    kinds = [step.kind for step in (await journey(skipping.hermod, SESSION)).steps]
    assert kinds.count("submission.completed") == 1


async def test_moment_told_again_in_other_words_is_left_as_it_was(skipping: ProductFixture) -> None:
    await skipping.add_account("main")
    await endpoint(skipping, "*")
    announcer = new_announcer(skipping)
    await announcer.announce(announcement(skipping))
    scope = {"data": {**ENTERED, "name": "Eve"}, "submission": {"id": "sub_1"}}
    other = announcement(skipping, payload={"submission": "sub_1", "data": {}}, scope=scope)
    again = await announcer.announce(other)
    assert (again.deliveries, again.messages, again.refused) == ((), (), ())
    assert len((await skipping.hermod.messages()).items) == 1


async def test_turn_makes_another_moment(skipping: ProductFixture) -> None:
    await endpoint(skipping, "*")
    announcer = new_announcer(skipping)
    for turn in ("1", "2"):
        await announcer.announce(announcement(skipping, moment=FormMoment.REFUNDED, turn=turn, notifications=()))
    assert len((await deliveries(skipping.hermod)).items) == 2


async def test_payload_too_large_for_a_webhook_goes_without_what_was_entered(skipping: ProductFixture) -> None:
    await endpoint(skipping, "*")
    large = announcement(skipping, payload={"submission": "sub_1", "data": {"text": "x" * 262_100}}, notifications=())
    (delivery,) = (await new_announcer(skipping).announce(large)).deliveries
    payload = (await delivery_status(skipping.hermod, delivery)).payload
    assert payload == {"submission": "sub_1", "data": None, "truncated": True}


@pytest.mark.parametrize("change", [{"turn": "2"}, {"reference": "sub_2"}, {"moment": FormMoment.PAID}])
async def test_identity_is_of_the_moment(skipping: ProductFixture, change: dict[str, Any]) -> None:
    assert identity(announcement(skipping)) == identity(announcement(skipping, payload={}))
    assert identity(announcement(skipping)) != identity(announcement(skipping, **change))


def new_announcer(house: ProductFixture) -> FormAnnouncer:
    core = house.hermod.core
    return FormAnnouncer(core.storage, core.webhooks, core.desk, core.clock)
