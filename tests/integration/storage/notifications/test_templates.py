"""Templates in the database: versions that stay, one count over all locales, and what the cache remembers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import text

from hermod.contracts.errors import InvalidInput, NotFound
from hermod.contracts.notifications.templates import TemplateInput
from hermod.storage.database.engine import Database
from hermod.storage.notifications import templates as storage
from hermod.storage.notifications.templates import PutTemplate, Templates
from hermod.storage.tenants.tenants import Tenants


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = Database(database_url)
    for tenant in ("demo", "other"):
        await Tenants(opened).create(tenant, tenant, now())
    yield opened
    await opened.close()


@pytest.fixture
def templates(database: Database) -> Templates:
    return Templates(database)


async def put(templates: Templates, body: str, locale: str = "en", name: str = "code", **more: Any) -> PutTemplate:
    given = TemplateInput.model_validate({"channel": "sms", "body": body, "locale": locale, **more})
    return await templates.put("demo", name, given, actor="test", now=now())


async def rendered(templates: Templates, locale: str | None = None, version: int | None = None) -> tuple[str, str]:
    head = await templates.head("demo", "code", locale, version)
    assert head is not None
    words = (await templates.compiled("demo", "code", head)).fill({"code": 5}).words()
    return words["body"], f"{head.locale}@{head.version}"


async def test_version_once_put_stays_as_it_was(templates: Templates) -> None:
    await put(templates, "one {{ code }}")
    await put(templates, "two {{ code }}")
    assert await rendered(templates) == ("two 5", "en@2")
    assert await rendered(templates, version=1) == ("one 5", "en@1")
    assert (await templates.version("demo", "code", 1)).source == {"body": "one {{ code }}"}
    assert [one.current for one in (await templates.show("demo", "code")).versions] == [True, False]


async def test_same_source_again_makes_no_version(templates: Templates) -> None:
    first, again = await put(templates, "one"), await put(templates, "one")
    assert (first.created, again.created) == (True, False)
    assert (first.view.version, again.view.version) == (1, 1)
    await put(templates, "two")
    assert (await put(templates, "one")).view.version == 3


async def test_versions_are_counted_over_all_locales_and_pin_them_all(templates: Templates) -> None:
    for body, locale in (("en 1", "en"), ("de 2", "de"), ("en 3", "en"), ("de 4", "de"), ("de-AT 5", "de_at")):
        await put(templates, body, locale)
    assert await rendered(templates, "de-AT") == ("de-AT 5", "de-AT@5")
    assert await rendered(templates, "de-CH") == ("de 4", "de@4")
    assert await rendered(templates, "de-AT", 3) == ("de 2", "de@2")
    assert await rendered(templates, "fr", 2) == ("en 1", "en@1")
    assert await templates.head("demo", "code", None, 6) is None


async def test_first_locale_is_the_default_until_another_says_so(templates: Templates) -> None:
    await put(templates, "de 1", "de")
    await put(templates, "en 2", "en")
    assert (await rendered(templates, "fr"))[1] == "de@1"
    assert not (await put(templates, "en 2", "en", default=True)).created
    assert (await rendered(templates, "fr"))[1] == "en@2"
    view = await templates.show("demo", "code")
    assert (view.default_locale, view.locales, view.version) == ("en", ("de", "en"), 2)
    assert [one.default_locale for one in view.current] == ["en", "en"]
    assert (await put(templates, "de 3", "de")).view.default_locale == "en"
    assert (await put(templates, "en 4", "en")).view.default_locale == "en"


async def test_puts_at_the_same_time_get_a_version_each(templates: Templates) -> None:
    put_at_once = [put(templates, f"body {number}", locale) for number in range(4) for locale in ("en", "de")]
    assert sorted([one.view.version for one in await asyncio.gather(*put_at_once)]) == list(range(1, 9))
    assert len(await templates.all("demo")) == 1
    assert sorted(one.version for one in (await templates.show("demo", "code")).versions) == list(range(1, 9))


async def test_other_channel_under_the_same_name_is_refused(templates: Templates) -> None:
    await put(templates, "one")
    with pytest.raises(InvalidInput, match="code is a template for sms"):
        await put(templates, "one", channel="whatsapp")


async def test_source_that_does_not_compile_is_not_stored(templates: Templates) -> None:
    with pytest.raises(InvalidInput, match="body: line 1"):
        await put(templates, "{{ code")
    with pytest.raises(NotFound):
        await templates.show("demo", "code")


async def test_template_of_another_tenant_is_not_there(templates: Templates) -> None:
    await put(templates, "one")
    assert await templates.head("other", "code", None, None) is None
    assert await templates.all("other") == []
    with pytest.raises(NotFound):
        await templates.version("other", "code", 1)


async def test_put_by_another_process_is_seen_when_the_cache_is_old(
    templates: Templates, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await put(templates, "one")
    assert (await rendered(templates))[0] == "one"
    await put(Templates(database), "two")
    monkeypatch.setattr(storage, "CACHE_SECONDS", 0.0)
    assert (await rendered(templates))[0] == "two"


async def test_version_is_compiled_once_and_kept(templates: Templates, database: Database) -> None:
    await put(templates, "one")
    head = await templates.head("demo", "code", None, None)
    assert head is not None
    first, second = await asyncio.gather(*(templates.compiled("demo", "code", head) for _ in range(2)))
    assert first is second
    await database.execute(text("DELETE FROM templates"), {})
    assert await templates.compiled("demo", "code", head) is first


async def test_names_that_nobody_put_do_not_fill_the_memory(
    templates: Templates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "MOST_NAMES", 3)
    for number in range(5):
        assert await templates.head("demo", f"none-{number}", None, None) is None
    assert len(templates._heads) == 3


async def test_put_is_in_the_audit(templates: Templates, database: Database) -> None:
    await put(templates, "one")
    rows = await database.rows(text("SELECT actor, action, subject FROM audit WHERE tenant_id = 'demo'"), {})
    assert ("test", "template.put", "code") in [tuple(row) for row in rows]
