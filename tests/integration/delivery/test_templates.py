"""A message by template, from its acceptance to the provider's inbox."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from devstack.sandbox.entry import Entry
from devstack.sandbox.inbox import Filter
from hermod.contracts.errors import InvalidInput
from hermod.contracts.notifications.content import Channel, Email, Sms
from hermod.contracts.notifications.messages import Status
from hermod.contracts.notifications.templates import TemplateInput
from tests.support.product import ProductFixture


async def put(house: ProductFixture, name: str, **template: Any) -> None:
    core = house.hermod.core
    given = TemplateInput.model_validate({"channel": "email", "subject": "Hello {{ name }}"} | template)
    await core.storage.templates.put(house.hermod.tenant, name, given, actor="test", now=core.clock.now())


def received(house: ProductFixture, message: str) -> Entry:
    assert house.sandbox is not None
    ((entry,), *_) = house.sandbox.inbox.find(Filter(message_id=message), 9)
    return entry


async def test_words_of_a_template_reach_the_inbox_with_a_text_twin(house: ProductFixture) -> None:
    await house.add_account("main")
    await put(house, "welcome", html="<h1>Hello {{ name }}</h1><p>Tom &amp; <a href='{{ url }}'>Go</a></p>")
    letter = Email(to="ada@example.com", template="welcome", data={"name": "Ada <b>", "url": "https://a.b/?x=1&y=2"})
    message = await house.hermod.send(letter)
    view = await house.ended(message.id)
    assert (view.status, view.template) == (Status.SENT, "welcome/en@1")
    entry = received(house, message.id)
    assert entry.subject == "Hello Ada <b>"
    assert "<h1>Hello Ada &lt;b&gt;</h1>" in (entry.html or "")
    assert entry.text == "Hello Ada <b>\n\nTom & Go (https://a.b/?x=1&y=2)"


async def test_version_put_after_acceptance_does_not_change_the_message(house: ProductFixture) -> None:
    await house.add_account("main")
    await put(house, "welcome", text="first {{ name }}")
    letter = Email(to="ada@example.com", template="welcome", data={"name": "Ada"})
    message = await house.hermod.send(letter, send_at=house.hermod.core.clock.now())
    await put(house, "welcome", text="second {{ name }}")
    await house.ended(message.id)
    assert received(house, message.id).text == "first Ada"
    later = await house.hermod.send(letter)
    assert (await house.ended(later.id)).template == "welcome/en@2"
    assert received(house, later.id).text == "second Ada"


async def test_many_messages_by_template_have_their_own_words_and_locales(house: ProductFixture) -> None:
    await house.add_account("main")
    await put(house, "welcome", text="Hello {{ name }}")
    await put(house, "welcome", text="Hallo {{ name }}", locale="de")
    letters = [Email(to=f"a{n}@example.com", template="welcome", data={"name": str(n)}) for n in range(20)]
    lacking = Email(to="b@example.com", template="welcome", data={})
    batch = await house.hermod.send_many([*letters, lacking], locale="de-CH")
    assert [(one.index, one.errors[0].field) for one in batch.rejected] == [(20, "data.name")]
    await asyncio.gather(*(house.ended(one.id) for one in batch.receipts))
    assert [received(house, one.id).text for one in batch.receipts] == [f"Hallo {n}" for n in range(20)]


async def test_sms_by_template_counts_its_segments(house: ProductFixture) -> None:
    await house.add_account("texts", channel=Channel.SMS)
    await put(house, "code", channel="sms", subject=None, body="{{ code }}" + "x" * 160)
    message = await house.hermod.send(Sms(to="+14155550100", template="code", data={"code": "481516"}))
    assert (await house.ended(message.id)).segments == 2
    assert (received(house, message.id).text or "").startswith("481516")


async def test_template_of_another_tenant_is_refused(house: ProductFixture) -> None:
    await house.add_account("main")
    await put(house, "welcome", text="x")
    core = house.hermod.core
    await core.storage.tenants.create(f"{house.hermod.tenant}-b", "B", core.clock.now())
    other = replace(house, hermod=house.hermod.as_tenant(f"{house.hermod.tenant}-b", "test"))
    await other.add_account("main")
    with pytest.raises(InvalidInput, match="there is no template welcome"):
        await other.hermod.send(Email(to="ada@example.com", template="welcome", data={"name": "Ada"}))
