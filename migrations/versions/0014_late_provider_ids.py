"""Provider's ids that came late have a column of their own: the index on all ids was written with every answer."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "attempts", sa.Column("late_provider_message_id", sa.Text, comment="the provider's id, where it came late")
    )
    op.execute("UPDATE attempts SET late_provider_message_id = provider_message_id WHERE late_at IS NOT NULL")
    op.create_index(
        "ix_attempts_late_id",
        "attempts",
        ["tenant_id", "late_provider_message_id"],
        postgresql_where=sa.text("late_provider_message_id IS NOT NULL"),
    )
    op.drop_index("ix_attempts_late", table_name="attempts")


def downgrade() -> None:
    op.create_index(
        "ix_attempts_late",
        "attempts",
        ["tenant_id", "provider_message_id"],
        postgresql_where=sa.text("late_at IS NOT NULL"),
    )
    op.drop_index("ix_attempts_late_id", table_name="attempts")
    op.drop_column("attempts", "late_provider_message_id")
