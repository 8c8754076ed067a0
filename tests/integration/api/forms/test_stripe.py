"""Stripe's calls over HTTP: what is taken, what is refused and how, and what becomes of a submission's payment."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from devstack.demo.stripe_stand_in import PAYER, StripePayment, event, new_id, printed, signed
from hermod.contracts.forms.forms import PaymentView, SubmissionStatus, SubmissionView
from starter.forms.submissions import submission
from tests.integration.api.conftest import Api, assert_problem
from tests.support.forms.rows import add_form
from tests.support.forms.stripe_sender import SECRET, StripeSender, stripe_sender


@dataclass(frozen=True)
class Till:
    """A tenant with a form that asks for payment, and Stripe, which calls about it."""

    api: Api
    stripe: StripeSender

    async def submitted(self) -> str:
        receipt = await self.api.hermod.submit("order", {"email": "ada@example.com"}, session="session-1")
        return receipt.id

    async def view(self, of: str) -> SubmissionView:
        return await submission(self.api.hermod, of)

    async def payment(self, of: str) -> PaymentView:
        payment = (await self.view(of)).payment
        assert payment is not None
        return payment

    async def events(self) -> int:
        return len(await self.api.rows("SELECT id FROM payment_events WHERE tenant_id = :tenant"))

    async def put_into(self, of: str, status: SubmissionStatus) -> None:
        """A state that it takes a worker to reach."""
        statement = text("UPDATE form_submissions SET status = :status, finished_at = now() WHERE id = :id")
        database = self.api.hermod.core.storage.database
        await database.execute(statement, {"id": of, "status": status.value})

    async def untold(self, of: str) -> bool:
        rows = await self.api.rows(
            "SELECT id FROM form_submissions WHERE tenant_id = :tenant AND untold_since > '-infinity'"
        )
        return of in [row.id for row in rows]


@pytest.fixture
async def till(api: Api) -> AsyncIterator[Till]:
    await add_form(api.hermod.core.storage.database, api.tenant, payment={"expires_in": 3600})
    yield Till(api, await stripe_sender(api.hermod, api.client))
    await api.hermod.core.payments.drain()


async def test_payment_succeeds_is_shown_on_the_submission(till: Till) -> None:
    own = await till.submitted()
    assert (await till.payment(own)).status == "awaited"
    customer = StripePayment(own, amount=4_200, currency="jpy")
    await till.stripe.send(customer.succeeded())
    payment = await till.payment(own)
    assert (payment.status, payment.amount, payment.currency) == ("paid", 4200, "jpy")
    assert payment.reference == customer.intent_id
    assert payment.paid_at is not None
    assert await till.untold(own)  # Temporal is away here


async def test_event_comes_again_changes_nothing(till: Till) -> None:
    own = await till.submitted()
    customer = StripePayment(own)
    paid, back = customer.succeeded(), customer.gave_back(500)
    await till.stripe.send(paid, back)
    once = await till.view(own)
    await till.stripe.send(paid, back, paid)
    assert await till.view(own) == once
    assert await till.events() == 2


async def test_events_come_in_any_order_come_to_the_same(till: Till) -> None:
    at = datetime.now(UTC) - timedelta(hours=1)
    seen = set()
    for order in itertools.permutations(range(4)):
        own = await till.submitted()
        customer = StripePayment(own, charged_at=at, intent_id="pi_x", charge_id="ch_x")
        customer.intent_id += own
        events = [
            customer.failed(at=at),
            customer.checked_out(at=at + timedelta(seconds=9)),
            customer.gave_back(500, at=at + timedelta(seconds=20)),
            customer.refund("created", new_id("re"), 500, at=at + timedelta(seconds=20)),
        ]
        await till.stripe.send(*(events[place] for place in order))
        payment = await till.payment(own)
        seen.add(payment.model_copy(update={"reference": None, "expires_at": None}).model_dump_json())
    assert len(seen) == 1
    assert json.loads(seen.pop())["status"] == "partially_refunded"


async def test_events_come_all_at_once_none_is_missed(till: Till) -> None:
    own = await till.submitted()
    at = datetime.now(UTC)
    named, silent = StripePayment(own, charged_at=at), StripePayment(None, charged_at=at)
    silent.intent_id, silent.session_id, silent.charge_id = named.intent_id, named.session_id, named.charge_id
    refunds = [silent.gave_back(100, at=at + timedelta(seconds=second)) for second in range(1, 8)]
    events = [*refunds, silent.succeeded(), named.checked_out()]
    await asyncio.gather(*(till.stripe.send(each) for each in events))
    assert (await till.payment(own)).amount_refunded == 700


async def test_event_names_nobody_waits_until_its_payment_is_known(till: Till) -> None:
    own = await till.submitted()
    at = datetime.now(UTC)
    silent = StripePayment(None, charged_at=at)
    named = StripePayment(own, charged_at=at, session_id=silent.session_id, intent_id=silent.intent_id)
    await till.stripe.send(silent.succeeded(), silent.gave_back(300), silent.expired())
    assert (await till.payment(own)).status == "awaited"
    listed = (await till.api.client.get("/v1/payment-events", params={"unlinked": True})).json()["items"]
    assert [one["submission"] for one in listed] == [None] * 3
    # The session knows its intent, and whose it is; the one that expired is linked by it.
    await till.stripe.send(named.checked_out())
    payment = await till.payment(own)
    assert (payment.status, payment.amount_refunded) == ("partially_refunded", 300)
    listed = (await till.api.client.get("/v1/payment-events", params={"submission": own})).json()["items"]
    assert len(listed) == 4


async def test_reference_of_a_checkout_names_the_submission(till: Till) -> None:
    own = await till.submitted()
    session = StripePayment(None).checked_out()
    session["data"]["object"]["client_reference_id"] = own
    await till.stripe.send(session)
    assert (await till.payment(own)).status == "paid"


async def test_event_names_a_submission_that_is_not_there_yet_is_applied_by_the_sweeper(till: Till) -> None:
    payments, now = till.api.hermod.core.storage.payments, till.api.hermod.core.clock.now()
    own = await till.submitted()
    customer = StripePayment("sub_later")
    await till.stripe.send(customer.succeeded())
    rename = text("UPDATE form_submissions SET id = 'sub_later' WHERE tenant_id = :tenant AND id = :id")
    await till.api.hermod.core.storage.database.execute(rename, {"tenant": till.api.tenant, "id": own})
    assert await payments.link_named(now, within=timedelta(days=1), limit=500) == 1
    assert (await till.payment("sub_later")).status == "paid"
    assert await payments.link_named(now, within=timedelta(days=1), limit=500) == 0


async def test_event_of_another_tenants_submission_is_not_applied(till: Till, api: Api) -> None:
    own = await till.submitted()
    stranger = api.hermod.as_tenant(f"{api.tenant}-other", "test")
    await api.hermod.core.storage.tenants.create(stranger.tenant, "Other", api.hermod.core.clock.now())
    other = await stripe_sender(stranger, api.client)
    await other.send(StripePayment(own).succeeded())
    assert (await till.payment(own)).status == "awaited"


async def test_events_are_kept_without_the_payer(till: Till) -> None:
    own = await till.submitted()
    customer = StripePayment(own)
    await till.stripe.send(customer.failed(), customer.succeeded(), customer.checked_out(), customer.gave_back(1))
    tables = ("payment_events", "journey_steps", "audit")
    kept = [await till.api.rows(f"SELECT t::text AS line FROM {table} t WHERE tenant_id = :tenant") for table in tables]
    lines = " ".join(row.line for rows in kept for row in rows)
    assert own in lines
    assert [word for word in (PAYER["name"], PAYER["email"], "cus_", SECRET) if str(word) in lines] == []


async def test_money_comes_too_late_brings_the_submission_back(till: Till) -> None:
    own = await till.submitted()
    await till.put_into(own, SubmissionStatus.EXPIRED)
    customer = StripePayment(own)
    await till.stripe.send(customer.failed())
    assert ((await till.view(own)).status, (await till.payment(own)).status) == ("expired", "expired")
    await till.stripe.send(customer.succeeded())
    view = await till.view(own)
    assert (view.status, view.finished_at, (await till.payment(own)).status) == ("awaiting_payment", None, "paid")
    steps = await till.api.rows("SELECT kind FROM journey_steps WHERE tenant_id = :tenant ORDER BY id")
    assert [row.kind for row in steps][-2:] == ["payment.paid", "payment.late"]
    (audited,) = await till.api.rows("SELECT * FROM audit WHERE tenant_id = :tenant AND action = 'submission.revive'")
    assert (audited.subject, audited.actor, audited.detail["payment"]) == (own, "stripe", customer.intent_id)


async def test_money_comes_too_late_and_went_back_leaves_it_expired(till: Till) -> None:
    own = await till.submitted()
    await till.put_into(own, SubmissionStatus.EXPIRED)
    await till.stripe.send(StripePayment(own).gave_back(1_500))
    assert ((await till.view(own)).status, (await till.payment(own)).status) == ("expired", "refunded")


async def test_submission_is_a_dead_letter_is_paid_and_left_alone(till: Till) -> None:
    own = await till.submitted()
    await till.put_into(own, SubmissionStatus.FAILED)
    await till.stripe.send(StripePayment(own).succeeded())
    assert ((await till.view(own)).status, (await till.payment(own)).status) == ("failed", "paid")
    assert not await till.untold(own)


async def test_submission_is_spam_its_money_is_to_be_told_and_nothing_else(till: Till) -> None:
    own = await till.submitted()
    customer = StripePayment(own)
    await till.put_into(own, SubmissionStatus.SPAM)
    await till.stripe.send(customer.failed(), customer.processing())
    assert not await till.untold(own)
    await till.stripe.send(customer.succeeded())
    assert ((await till.view(own)).status, (await till.payment(own)).status) == ("spam", "paid")
    assert await till.untold(own)


async def test_connected_account_that_nobody_named_marks_nothing_as_paid(till: Till) -> None:
    own = await till.submitted()
    paid = StripePayment(own).succeeded() | {"account": "acct_1Stranger"}
    refused = await till.stripe.post(printed(paid))
    assert_problem(refused, 400, "refused-event")
    assert ((await till.payment(own)).status, await till.events()) == ("awaited", 0)
    named = {"livemode": False, "connected_accounts": ["acct_1Stranger"]}
    put = await till.api.client.put("/v1/payment-accounts/stripe", json=named)
    assert (put.status_code, put.json()["connected_accounts"]) == (200, ["acct_1Stranger"]), put.text
    await till.stripe.send(paid)
    assert (await till.payment(own)).status == "paid"
    kept = await till.api.client.put("/v1/payment-accounts/stripe", json={"livemode": False})
    assert kept.json()["connected_accounts"] == ["acct_1Stranger"]


async def test_money_is_contested_and_shown_with_the_payment(till: Till) -> None:
    own = await till.submitted()
    customer = StripePayment(own)
    await till.stripe.send(customer.disputed(amount=500), customer.succeeded())
    payment = await till.payment(own)
    assert (payment.status, payment.amount_disputed, payment.amount_returned) == ("disputed", 500, 0)


async def test_event_of_no_interest_is_taken_and_forgotten(till: Till) -> None:
    await till.stripe.send(event("invoice.created", {"id": "in_1", "object": "invoice"}))
    assert await till.events() == 0


async def test_call_is_forged_is_refused_in_the_same_words(till: Till) -> None:
    body = printed(StripePayment(await till.submitted()).succeeded())
    now, nobody = datetime.now(UTC), StripeSender(till.api.client, "nobody")
    no_account = StripeSender(till.api.client, f"{till.api.tenant}-none")
    good = signed(body, SECRET).headers
    answers = [
        await till.stripe.post(body, secret="whsec_wrong"),
        await till.stripe.post(body, at=now - timedelta(seconds=302)),
        await till.stripe.post(body, at=now + timedelta(seconds=302)),
        await nobody.post(body),
        await no_account.post(body),
        await StripeSender(till.api.client, "No%00Name").post(body),
        await till.api.client.post(till.stripe.path, content=body),
        await till.api.client.post(till.stripe.path, content=body + b" ", headers=good),
        await till.api.client.post(
            till.stripe.path, content=body, headers=[*good.items(), ("stripe-signature", good["stripe-signature"])]
        ),
    ]
    for answer in answers:
        assert_problem(answer, 400, "wrong-signature")
    assert len({answer.json()["detail"] for answer in answers}) == 1
    assert await till.events() == 0


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", "malformed-json"),
        (b"{", "malformed-json"),
        (b'{"id": NaN}', "malformed-json"),
        (b"\xff\xfe", "malformed-json"),
        (b"[" * 5000, "malformed-json"),
        (b"[]", "refused-event"),
        (b'{"id":"evt_1","object":"event"}', "refused-event"),
        (printed({"id": "evt_1", "object": "v2.core.event", "type": "x", "livemode": False}), "refused-event"),
        (printed(StripePayment("sub_1", livemode=True).succeeded()), "refused-event"),
        (printed(event("customer.created", {"id": "cus_1"}, livemode=True)), "refused-event"),
    ],
)
async def test_call_is_signed_and_cannot_be_taken_says_why(till: Till, body: bytes, kind: str) -> None:
    assert_problem(await till.stripe.post(body), 400, kind)
    assert await till.events() == 0


async def test_body_is_too_large_is_refused(till: Till) -> None:
    assert_problem(await till.stripe.post(b" " * (1024 * 1024 + 1)), 413, "body-too-large")


async def test_secret_is_rolled_both_sign_until_the_old_one_is_taken_away(till: Till) -> None:
    async def put(**given: Any) -> int:
        return (await till.api.client.put("/v1/payment-accounts/stripe", json={"livemode": False, **given})).status_code

    async def answered(secret: str) -> int:
        return (await till.stripe.post(printed(event("x", {"id": "y"})), secret=secret)).status_code

    assert await put(secrets=["whsec_new", SECRET]) == 200
    assert (await answered("whsec_new"), await answered(SECRET)) == (200, 200)
    assert await put() == 200
    assert (await answered("whsec_new"), await answered(SECRET)) == (200, 200)
    assert await put(secrets=["whsec_new"]) == 200
    assert (await answered("whsec_new"), await answered(SECRET)) == (200, 400)


async def test_account_is_put_shown_and_removed_never_tells_its_secrets(api: Api) -> None:
    path = "/v1/payment-accounts/stripe"
    assert_problem(await api.client.get(path), 404, "not-found")
    assert_problem(await api.client.put(path, json={"livemode": True}), 422, "invalid-input", "secrets")
    put = await api.client.put(path, json={"secrets": ["whsec_one", "whsec_two"], "livemode": True})
    shown = (await api.client.get(path)).json()
    assert (put.status_code, put.json()) == (200, shown)
    assert (shown["secrets"], shown["livemode"], shown["url"]) == (2, True, None)
    assert "payment_intent.succeeded" in shown["event_types"]
    (row,) = await api.rows("SELECT secrets FROM stripe_accounts WHERE tenant_id = :tenant")
    assert b"whsec" not in bytes(row.secrets)
    assert (await api.client.delete(path)).status_code == 204
    assert_problem(await api.client.delete(path), 404, "not-found")
    audited = await api.rows("SELECT action FROM audit WHERE tenant_id = :tenant AND subject = 'stripe' ORDER BY id")
    assert [row.action for row in audited] == ["payment_account.put", "payment_account.delete"]


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"secrets": []}, "secrets"),
        ({"secrets": ["sk_live_123"]}, "secrets.0"),
        ({"secrets": ["whsec_"]}, "secrets.0"),
        ({"secrets": ["whsec_a b"]}, "secrets.0"),
        ({"secrets": ["whsec_a"] * 6}, "secrets"),
        ({"secrets": ["whsec_a"], "livemode": "perhaps"}, "livemode"),
        ({"secrets": ["whsec_a"], "key": "sk_test"}, "key"),
    ],
)
async def test_account_is_wrong_names_the_field_and_no_secret(api: Api, given: dict[str, Any], field: str) -> None:
    answer = await api.client.put("/v1/payment-accounts/stripe", json=given)
    assert_problem(answer, 422, "invalid-input", field)
    assert "sk_" not in answer.text
    assert "whsec_a" not in answer.text


async def test_events_are_listed_page_by_page(till: Till) -> None:
    own = await till.submitted()
    customer = StripePayment(own)
    sent = [customer.failed(), customer.succeeded(), customer.gave_back(5)]
    await till.stripe.send(*sent)
    first = (await till.api.client.get("/v1/payment-events", params={"limit": 2})).json()
    rest = (await till.api.client.get("/v1/payment-events", params={"cursor": first["next_cursor"]})).json()
    assert [one["id"] for one in first["items"] + rest["items"]] == [each["id"] for each in reversed(sent)]
    assert first["items"][0]["fact"]["amount"] == 5
    assert rest["next_cursor"] is None
    assert (await till.api.client.get("/v1/payment-events", params={"submission": "sub_\x00"})).status_code == 422
