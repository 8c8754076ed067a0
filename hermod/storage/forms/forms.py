"""Definitions of forms: one row each, counted up with every change, their schemas compiled once and kept."""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson
from sqlalchemy import Row

from hermod.contracts.errors import InvalidInput, NotFound
from hermod.contracts.forms.forms import FormInput, FormPage, FormSummary, FormView, SpamGuard, SubmissionTerms
from hermod.domain.forms.definitions import check
from hermod.domain.forms.schemas import FormSchema, compiled
from hermod.heavy_work import off_loop
from hermod.storage.database.engine import Database, sql
from hermod.storage.database.readable import page_of
from hermod.storage.database.ttl_cache import TtlCache

CACHE_SECONDS: Final = 1.0
"""For so long after a change another process may still go by the form as it was."""
MOST_KEPT: Final = 1_000

_PUT: Final = sql("""
    WITH put AS (
      INSERT INTO forms (tenant_id, id, definition, created_at, updated_at)
      VALUES (:tenant, :id, CAST(:definition AS jsonb), :now, :now)
      ON CONFLICT (tenant_id, id) DO UPDATE
         SET definition = excluded.definition, revision = forms.revision + 1, updated_at = :now, deleted_at = NULL
       WHERE forms.definition <> excluded.definition OR forms.deleted_at IS NOT NULL
      RETURNING *
    ), audited AS (
      INSERT INTO audit (tenant_id, at, actor, action, subject) SELECT :tenant, :now, :actor, 'form.put', id FROM put
    )
    SELECT * FROM put
""")
_GET: Final = sql("SELECT * FROM forms WHERE tenant_id = :tenant AND id = :id AND deleted_at IS NULL")
_LIST: Final = sql("""
    SELECT id, revision, updated_at, definition->>'name' AS name,
           coalesce(CAST(definition->'payment'->>'required' AS bool), false) AS asks_for_payment
      FROM forms
     WHERE tenant_id = :tenant AND deleted_at IS NULL AND (CAST(:cursor AS text) IS NULL OR id > CAST(:cursor AS text))
     ORDER BY id LIMIT CAST(:limit AS int)
""")
_DELETE: Final = sql("""
    WITH gone AS (
      UPDATE forms SET deleted_at = :now WHERE tenant_id = :tenant AND id = :id AND deleted_at IS NULL RETURNING id
    ), audited AS (
      INSERT INTO audit (tenant_id, at, actor, action, subject)
      SELECT :tenant, :now, :actor, 'form.delete', id FROM gone
    )
    SELECT id FROM gone
""")


@dataclass(frozen=True, slots=True)
class Form:
    """A form that submissions are checked against."""

    id: str
    revision: int
    definition: FormInput
    schema: FormSchema

    def terms(self) -> SubmissionTerms:
        definition = self.definition
        return SubmissionTerms(name=definition.name, payment=definition.payment, on_submit=definition.on_submit)


@dataclass(frozen=True, slots=True)
class PutForm:
    view: FormView
    changed: bool
    """False where the form was the same already."""


class Forms:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._kept: OrderedDict[tuple[str, str], tuple[float, Form]] = OrderedDict()
        self._guards = TtlCache(self._guard, CACHE_SECONDS)

    async def put(self, tenant: str, form: str, definition: FormInput, *, actor: str, now: datetime) -> PutForm:
        """Store a definition, as the next revision unless it says the same. Raises InvalidInput, by field."""
        await off_loop(check, definition)
        stored = orjson.dumps(definition.model_dump(mode="json", by_alias=True)).decode()
        names = {"tenant": tenant, "id": form, "actor": actor, "now": now, "definition": stored}
        rows = await self._database.rows(_PUT, names)
        self._forget(tenant, form)
        if rows:
            return PutForm(_view(rows[0]), changed=True)
        return PutForm(await self.view(tenant, form), changed=False)

    async def view(self, tenant: str, form: str) -> FormView:
        """Raises NotFound."""
        return _view(await self._row(tenant, form))

    async def page(self, tenant: str, *, cursor: str | None, limit: int) -> FormPage:
        """By id."""
        rows = await self._database.rows(_LIST, {"tenant": tenant, "cursor": cursor, "limit": limit + 1})
        items, next_cursor = page_of("form", rows, limit, lambda row: FormSummary(**row._asdict()))
        return FormPage(items=items, next_cursor=next_cursor)

    async def delete(self, tenant: str, form: str, *, actor: str, now: datetime) -> None:
        """Take no more submissions; those that there are go on. Raises NotFound."""
        names = {"tenant": tenant, "id": form, "actor": actor, "now": now}
        if not await self._database.rows(_DELETE, names):
            raise _unknown(form)
        self._forget(tenant, form)

    async def compiled(self, tenant: str, form: str) -> Form:
        """The form as it is now, or was a second ago. Raises NotFound."""
        kept = self._kept.get((tenant, form))
        if kept is not None and time.monotonic() - kept[0] < CACHE_SECONDS:
            return kept[1]
        row = await self._row(tenant, form)
        if kept is None or kept[1].revision != row.revision:
            definition = FormInput.model_validate(row.definition)
            found = Form(form, row.revision, definition, await off_loop(_schema, definition))
        else:
            found = kept[1]
        self._kept[tenant, form] = (time.monotonic(), found)
        self._kept.move_to_end((tenant, form))
        if len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)
        return found

    async def guard(self, tenant: str, form: str) -> SpamGuard:
        """The form's spam guard, as it is or was a second ago; its schema need not be valid. Raises NotFound."""
        return await self._guards.get((tenant, form))

    async def _guard(self, key: tuple[str, str]) -> SpamGuard:
        return SpamGuard.model_validate((await self._row(*key)).definition.get("spam", {}))

    def _forget(self, tenant: str, form: str) -> None:
        self._kept.pop((tenant, form), None)
        self._guards.forget((tenant, form))

    async def _row(self, tenant: str, form: str) -> Row[Any]:
        rows = await self._database.rows(_GET, {"tenant": tenant, "id": form})
        if not rows:
            raise _unknown(form)
        return rows[0]


def _schema(definition: FormInput) -> FormSchema:
    """Raises InvalidInput where a newer version of the checks refuses what an older one took."""
    try:
        return compiled(definition.schema_)
    except InvalidInput as wrong:
        raise InvalidInput.of("form", f"its schema is no longer valid, put it again: {wrong}") from None


def _view(row: Row[Any]) -> FormView:
    return FormView.model_validate(
        row.definition
        | {"id": row.id, "revision": row.revision, "created_at": row.created_at, "updated_at": row.updated_at}
    )


def _unknown(form: str) -> NotFound:
    return NotFound(f"there is no form {form}")
