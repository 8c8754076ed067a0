"""What was begun before it became known that an earlier request had been taken: by number, not by clock."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

COMMENT = "the newest request when it became known that an earlier one had been taken"
RECORDS = {
    "messages": ("attempts", "message_id", "accepted"),
    "webhook_deliveries": ("webhook_attempts", "delivery_id", "success"),
}


def upgrade() -> None:
    for table, (attempts, own, taken) in RECORDS.items():
        op.add_column(table, sa.Column("late_success_number", sa.Integer(), nullable=True, comment=COMMENT))
        op.execute(f"""
            UPDATE {table} r SET late_success_number = l.number
              FROM (SELECT a.tenant_id, a.{own} AS id, max(b.number) AS number
                      FROM {attempts} a JOIN {attempts} b ON b.tenant_id = a.tenant_id AND b.{own} = a.{own}
                     WHERE a.late_at IS NOT NULL AND a.outcome = '{taken}'
                       AND (b.number = a.number OR b.started_at <= a.late_at)
                     GROUP BY a.tenant_id, a.{own}) l
             WHERE r.tenant_id = l.tenant_id AND r.id = l.id
        """)  # noqa: S608 - names of ours


def downgrade() -> None:
    for table in RECORDS:
        op.drop_column(table, "late_success_number")
