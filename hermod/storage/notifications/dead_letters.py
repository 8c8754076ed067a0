"""Finding dead letters by what went wrong, of messages, webhook deliveries and submissions alike.

What is found is moved one by one, by the moves of `hermod.storage.notifications.messages` and its siblings: each has
its own conditions, its decision and its line in the audit, and one that somebody else has moved meanwhile is passed
over.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import TextClause

from hermod.contracts.notifications.dead_letters import AnyMany
from hermod.storage.database.engine import Database, sql
from hermod.storage.webhooks.event_filters import asks_for

_TIMES: Final = """
    tenant_id = :tenant AND discarded_at IS NULL
    AND (CAST(:since AS timestamptz) IS NULL OR created_at >= CAST(:since AS timestamptz))
    AND (CAST(:until AS timestamptz) IS NULL OR created_at < CAST(:until AS timestamptz))
    AND (CAST(:ids AS text[]) IS NULL OR id = ANY(CAST(:ids AS text[])))
"""


def _equal(column: str, kind: str = "text") -> str:
    return f"(CAST(:{column} AS {kind}) IS NULL OR {column} = CAST(:{column} AS {kind}))"


@dataclass(frozen=True, slots=True)
class _Kind:
    """Conditions in SQL on a row of `table`."""

    table: str
    matches: str
    may_begin_again: str
    """Beside the content."""
    has_content: str

    def statements(self) -> dict[str, TextClause]:
        dead = f"FROM {self.table} r WHERE {_TIMES} AND {self.matches}"
        again = f"{dead} AND {self.may_begin_again}"
        return {
            "discard": sql(f"""
                SELECT array(SELECT id {dead} ORDER BY id LIMIT CAST(:limit AS int)) AS ids,
                       (SELECT count(*) {dead}) AS matching, 0 AS without_content
            """),
            "retry": sql(f"""
                SELECT array(SELECT id {again} AND {self.has_content} ORDER BY id LIMIT CAST(:limit AS int)) AS ids,
                       (SELECT count(*) {again} AND {self.has_content}) AS matching,
                       (SELECT count(*) {again} AND NOT {self.has_content}) AS without_content
            """),
        }


_KINDS: Final = {
    "message": _Kind(
        table="messages",
        matches=f"""
            dead_at IS NOT NULL AND status IN ('failed', 'unknown')
            AND {_equal("channel")} AND {_equal("status")} AND {_equal("error_code")}
        """,
        may_begin_again="status = 'failed'",
        has_content="""
            EXISTS (SELECT 1 FROM message_contents c WHERE c.tenant_id = r.tenant_id AND c.message_id = r.id)
        """,
    ),
    "delivery": _Kind(
        table="webhook_deliveries",
        matches=f"""
            status = CAST(:status AS text) AND {_equal("endpoint_id")} AND {_equal("status_code", "int")}
            AND (CAST(:type AS text) IS NULL OR {asks_for("CAST(:type AS text)", "event_type")})
        """,
        may_begin_again="true",
        has_content="EXISTS (SELECT 1 FROM webhook_events e WHERE e.tenant_id = r.tenant_id AND e.id = r.event_id)",
    ),
    "submission": _Kind(
        table="form_submissions",
        matches=f"status = 'failed' AND dead_at IS NOT NULL AND {_equal('form_id')} AND {_equal('error_code')}",
        may_begin_again="true",
        has_content="true",
    ),
}
_STATEMENTS: Final = {name: kind.statements() for name, kind in _KINDS.items()}
_COLUMNS: Final = {"endpoint": "endpoint_id", "form": "form_id"}
"""Names of a filter that are others in the tables."""


@dataclass(frozen=True, slots=True)
class Found:
    """`matching` may be moved, of which `ids` are the oldest; `without_content` match and cannot begin again."""

    ids: tuple[str, ...]
    matching: int
    without_content: int


class DeadLetters:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, tenant: str, verb: str, asked: AnyMany) -> Found:
        """`verb`: `retry` or `discard`. Raises Unavailable."""
        names: Mapping[str, Any] = {
            _COLUMNS.get(name, name): list(value) if isinstance(value, tuple) else value for name, value in asked.filter
        }
        (row,) = await self._database.rows(
            _STATEMENTS[asked.kind][verb], {**names, "tenant": tenant, "limit": asked.limit}
        )
        return Found(tuple(row.ids), row.matching, row.without_content)
