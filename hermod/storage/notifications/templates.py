"""Stored templates: one row per version, never changed; compiled once and kept."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

import orjson
from sqlalchemy import Row

from hermod.contracts.errors import InvalidInput, NotFound
from hermod.contracts.notifications.content import Channel
from hermod.contracts.notifications.templates import (
    TemplateInput,
    TemplateSummary,
    TemplateView,
    VersionSummary,
    VersionView,
)
from hermod.domain.templates.compiled import Compiled, compile_template
from hermod.domain.templates.locales import Head, chosen
from hermod.heavy_work import off_loop
from hermod.storage.database.engine import Database, sql

CACHE_SECONDS: Final = 1.0
MOST_COMPILED: Final = 500
MOST_NAMES: Final = 5_000
"""Names whose versions are kept in mind; callers can ask for names that do not exist."""

_LOCK: Final = sql("SELECT pg_advisory_xact_lock(hashtextextended('template/' || :tenant || '/' || :id, 0))")
_NEWEST: Final = sql("""
    SELECT DISTINCT ON (locale) locale, version, channel, source, is_default, actor, created_at
      FROM templates WHERE tenant_id = :tenant AND name = :id
     ORDER BY locale, version DESC
""")
_INSERT: Final = sql("""
    WITH audited AS (
      INSERT INTO audit (tenant_id, at, actor, action, subject) VALUES (:tenant, :now, :actor, 'template.put', :id)
    )
    INSERT INTO templates (tenant_id, name, locale, version, channel, source, is_default, actor, created_at)
    VALUES (:tenant, :id, :locale, CAST(:version AS int), :channel, CAST(:source AS jsonb), CAST(:is_default AS bool),
            :actor, :now)
""")
_MAKE_DEFAULT: Final = sql("""
    UPDATE templates SET is_default = (locale = CAST(:locale AS text))
     WHERE tenant_id = :tenant AND name = :id AND is_default <> (locale = CAST(:locale AS text))
""")
_HEADS: Final = sql("""
    SELECT locale, version, channel, is_default, actor, created_at
      FROM templates WHERE tenant_id = :tenant AND name = :id ORDER BY version DESC
""")
_SOURCE: Final = sql("""
    SELECT locale, version, channel, source, is_default, actor, created_at
      FROM templates WHERE tenant_id = :tenant AND name = :id AND version = ANY(CAST(:versions AS int[]))
     ORDER BY version DESC
""")
_ALL: Final = sql("""
    SELECT name, min(channel) AS channel, array_agg(DISTINCT locale ORDER BY locale) AS locales,
           max(version) AS version, max(created_at) AS updated_at,
           coalesce(min(locale) FILTER (WHERE is_default), min(locale)) AS default_locale
      FROM templates WHERE tenant_id = :tenant GROUP BY name ORDER BY name
""")


class PutTemplate(NamedTuple):
    view: VersionView
    created: bool
    """False where the newest version of the locale says the same already."""


class _Known(NamedTuple):
    """What is known of a name, with the choices that were made from it: a batch makes the same one often."""

    heads: tuple[Head, ...]
    choices: dict[tuple[str | None, int | None], Head | None]


class Templates:
    """A tenant's templates. What the cache remembers of a name is a second old at the most."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._heads: OrderedDict[tuple[str, str], tuple[float, asyncio.Future[_Known]]] = OrderedDict()
        self._compiled: OrderedDict[tuple[str, str, int, datetime], asyncio.Future[Compiled]] = OrderedDict()

    async def put(self, tenant: str, name: str, template: TemplateInput, *, actor: str, now: datetime) -> PutTemplate:
        """Store a version, unless the newest of its locale is the same. Raises InvalidInput, by field and line."""
        source = template.fields()
        await off_loop(compile_template, template.channel, source)
        names = {"tenant": tenant, "id": name}
        async with self._database.begin() as connection:
            await connection.execute(_LOCK, names)
            newest = {row.locale: row for row in await connection.execute(_NEWEST, names)}
            same = _is_stored(name, template, newest)
            number = newest[template.locale].version if same else _latest(newest) + 1
            if not same:
                version = {
                    "locale": template.locale,
                    "version": number,
                    "channel": template.channel.value,
                    "source": orjson.dumps(source).decode(),
                    "is_default": not newest or (template.locale in newest and newest[template.locale].is_default),
                    "actor": actor,
                    "now": now,
                }
                await connection.execute(_INSERT, names | version)
            if template.default:
                await connection.execute(_MAKE_DEFAULT, names | {"locale": template.locale})
        self._heads.pop((tenant, name), None)
        return PutTemplate(await self.version(tenant, name, number), not same)

    async def all(self, tenant: str) -> list[TemplateSummary]:
        rows = await self._database.rows(_ALL, {"tenant": tenant})
        return [TemplateSummary(**row._asdict()) for row in rows]

    async def show(self, tenant: str, name: str) -> TemplateView:
        """A template with its current sources and all its versions. Raises NotFound."""
        rows = await self._database.rows(_HEADS, {"tenant": tenant, "id": name})
        if not rows:
            raise NotFound(f"there is no template {name}")
        current = {row.locale: row.version for row in reversed(rows)}
        default = _default_locale(rows)
        return TemplateView(
            name=name,
            channel=Channel(rows[0].channel),
            default_locale=default,
            locales=tuple(sorted(current)),
            version=rows[0].version,
            updated_at=rows[0].created_at,
            current=await self._views(tenant, name, sorted(current.values(), reverse=True), rows),
            versions=tuple(
                VersionSummary(
                    locale=row.locale,
                    version=row.version,
                    current=current[row.locale] == row.version,
                    actor=row.actor,
                    created_at=row.created_at,
                )
                for row in rows
            ),
        )

    async def version(self, tenant: str, name: str, version: int) -> VersionView:
        """One version with its source. Raises NotFound."""
        rows = await self._database.rows(_HEADS, {"tenant": tenant, "id": name})
        if not any(row.version == version for row in rows):
            raise NotFound(f"there is no template {name}" + (f" in version {version}" if rows else ""))
        return (await self._views(tenant, name, [version], rows))[0]

    async def head(self, tenant: str, name: str, locale: str | None, version: int | None) -> Head | None:
        """The version that a message gets; None where there is no such template, or none so old."""
        known, choice = await self._known(tenant, name), (locale, version)
        if choice not in known.choices:
            known.choices[choice] = chosen(known.heads, locale, version)
        return known.choices[choice]

    async def compiled(self, tenant: str, name: str, head: Head) -> Compiled:
        """A version ready to render, compiled by the first who asks. Raises InvalidInput where it no longer does."""
        key = (tenant, name, head.version, head.created_at)
        kept = self._compiled.get(key)
        if kept is None:
            kept = self._compiled[key] = asyncio.ensure_future(self._compile(tenant, name, head.version))
            if len(self._compiled) > MOST_COMPILED:
                self._compiled.popitem(last=False)
        elif kept.done():
            self._compiled.move_to_end(key)
            return kept.result()
        try:
            return await asyncio.shield(kept)
        except Exception:
            self._compiled.pop(key, None)
            raise

    async def _compile(self, tenant: str, name: str, version: int) -> Compiled:
        row = (await self._database.rows(_SOURCE, {"tenant": tenant, "id": name, "versions": [version]}))[0]
        return await off_loop(compile_template, Channel(row.channel), row.source)

    async def _known(self, tenant: str, name: str) -> _Known:
        """A template's versions. Callers that come while they are read share the reading."""
        kept = self._heads.get((tenant, name))
        if kept is None or time.monotonic() - kept[0] > CACHE_SECONDS:
            kept = (time.monotonic(), asyncio.ensure_future(self._read_heads(tenant, name)))
            self._heads[tenant, name] = kept
            if len(self._heads) > MOST_NAMES:
                self._heads.popitem(last=False)
        elif kept[1].done() and not kept[1].cancelled() and kept[1].exception() is None:
            return kept[1].result()
        try:
            return await asyncio.shield(kept[1])
        except Exception:
            self._heads.pop((tenant, name), None)
            raise

    async def _read_heads(self, tenant: str, name: str) -> _Known:
        rows = await self._database.rows(_HEADS, {"tenant": tenant, "id": name})
        return _Known(tuple(map(_head, rows)), {})

    async def _views(
        self, tenant: str, name: str, versions: Sequence[int], heads: Sequence[Row[Any]]
    ) -> tuple[VersionView, ...]:
        newest = {row.locale: row.version for row in reversed(heads)}
        views = []
        for row in await self._database.rows(_SOURCE, {"tenant": tenant, "id": name, "versions": list(versions)}):
            compiled = await self.compiled(tenant, name, _head(row))
            views.append(
                VersionView(
                    name=name,
                    channel=Channel(row.channel),
                    locale=row.locale,
                    version=row.version,
                    current=newest[row.locale] == row.version,
                    default_locale=_default_locale(heads),
                    source=row.source,
                    variables=compiled.variables,
                    warnings=compiled.warnings,
                    actor=row.actor,
                    created_at=row.created_at,
                )
            )
        return tuple(views)


def _head(row: Row[Any]) -> Head:
    return Head(row.locale, row.version, Channel(row.channel), row.is_default, row.created_at)


def _default_locale(heads: Sequence[Row[Any]]) -> str:
    return next((str(row.locale) for row in heads if row.is_default), str(heads[-1].locale))


def _latest(newest: dict[str, Row[Any]]) -> int:
    return max((row.version for row in newest.values()), default=0)


def _is_stored(name: str, template: TemplateInput, newest: dict[str, Row[Any]]) -> bool:
    """Whether the newest version of the locale is this one. Raises InvalidInput where the channel is another."""
    channel = next((row.channel for row in newest.values()), template.channel.value)
    if channel != template.channel.value:
        raise InvalidInput.of("channel", f"{name} is a template for {channel}; give this one another name")
    return template.locale in newest and newest[template.locale].source == template.fields()
