"""The steps of visitors' journeys. They are written by whoever makes the step, in the same transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import orjson
from sqlalchemy.ext.asyncio import AsyncConnection

from hermod.storage.engine import sql

_NOTE: Final = sql("""
    INSERT INTO journey_steps (tenant_id, at, kind, session, contact, form_id, reference, detail)
    SELECT :tenant, s.at, s.kind, s.session, s.contact, s.form, s.reference, s.detail
      FROM unnest(CAST(:ats AS timestamptz[]), CAST(:kinds AS text[]), CAST(:sessions AS text[]),
                  CAST(:contacts AS text[]), CAST(:forms AS text[]), CAST(:references AS text[]),
                  CAST(:details AS jsonb[])) AS s(at, kind, session, contact, form, reference, detail)
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    at: datetime
    kind: str
    session: str | None = None
    contact: str | None = None
    form: str | None = None
    reference: str | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)


async def note(connection: AsyncConnection, tenant: str, steps: Sequence[Step]) -> None:
    """Write steps down, within the connection's transaction."""
    names = {
        "tenant": tenant,
        "ats": [step.at for step in steps],
        "kinds": [step.kind for step in steps],
        "sessions": [step.session for step in steps],
        "contacts": [step.contact for step in steps],
        "forms": [step.form for step in steps],
        "references": [step.reference for step in steps],
        "details": [orjson.dumps(dict(step.detail)).decode() for step in steps],
    }
    await connection.execute(_NOTE, names)
