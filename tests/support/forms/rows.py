"""Forms as they stand in the database, for tests that need no more of them."""

from __future__ import annotations

from typing import Any, Final

import orjson

from hermod.contracts.forms.forms import FormInput
from hermod.contracts.ids import new_id
from hermod.storage.database.engine import Database, sql

_FORM: Final = sql("""
    INSERT INTO forms (tenant_id, id, definition) VALUES (:tenant, :id, CAST(:definition AS jsonb))
    ON CONFLICT (tenant_id, id) DO UPDATE SET definition = excluded.definition, deleted_at = NULL
""")


_SUBMISSION: Final = sql("""
    INSERT INTO form_submissions (tenant_id, id, form_id, form_revision, definition, status, body_hash, metadata,
                                  workflow_id, payment_status)
    VALUES (:tenant, :id, CAST(:form AS text), 1, '{"name": "Order"}', :status, '\\x00', '{}',
            'submission/' || :tenant || '/' || :id, 'awaited')
""")


async def add_submission(database: Database, tenant: str, status: str, form: str = "order") -> str:
    """A submission that is to be paid, without what was entered."""
    own = new_id("sub")
    await database.execute(_SUBMISSION, {"tenant": tenant, "id": own, "form": form, "status": status})
    return own


async def add_form(database: Database, tenant: str, form: str = "order", **definition: Any) -> str:
    """A form that takes everything; `definition` says the rest, as `PUT /v1/forms/{id}` does."""
    given = FormInput.model_validate({"name": "Order", "schema": {}} | definition)
    stored = orjson.dumps(given.model_dump(mode="json", by_alias=True)).decode()
    await database.execute(_FORM, {"tenant": tenant, "id": form, "definition": stored})
    return form
