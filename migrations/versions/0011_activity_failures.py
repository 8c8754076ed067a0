"""Activities that fail again and again: which, with what error, and for which workflow."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "activity_failures",
        sa.Column("workflow_id", sa.Text(), nullable=False),
        sa.Column("activity", sa.Text(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False, comment="the class of the last one"),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("first_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("workflow_id", "activity", name=op.f("pk_activity_failures")),
    )
    op.create_index("ix_activity_failures_last_at", "activity_failures", ["last_at"])


def downgrade() -> None:
    op.drop_table("activity_failures")
