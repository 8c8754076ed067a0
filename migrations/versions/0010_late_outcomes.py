"""Which requests there were when the outcome of one that had been called lost became known: by number, not by clock."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

OWNERS = {"attempts": "message_id", "webhook_attempts": "delivery_id"}


def upgrade() -> None:
    for table, owner in OWNERS.items():
        op.add_column(table, sa.Column("late_after", sa.Integer(), nullable=True, comment="the newest attempt by then"))
        op.execute(f"""
            UPDATE {table} a
               SET late_after = (SELECT max(b.number) FROM {table} b
                                  WHERE b.tenant_id = a.tenant_id AND b.{owner} = a.{owner}
                                    AND (b.number = a.number OR b.started_at <= a.late_at))
             WHERE a.late_at IS NOT NULL
        """)  # noqa: S608 - names of ours


def downgrade() -> None:
    for table in OWNERS:
        op.drop_column(table, "late_after")
