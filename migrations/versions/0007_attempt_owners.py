"""Who makes a request, until when it can last, and whether its outcome came late."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "workers",
        sa.Column("number", sa.Integer, sa.Identity(always=True), nullable=False),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("pid", sa.Integer, nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_workers"),
        postgresql_with={"fillfactor": "50"},
    )
    for table in ("attempts", "webhook_attempts"):
        op.add_column(table, sa.Column("worker", sa.Integer, comment="the session of the worker that makes it"))
        op.add_column(
            table,
            sa.Column("ends_by", sa.DateTime(timezone=True), comment="it has ended by then, whatever became of it"),
        )
        op.add_column(
            table, sa.Column("late_at", sa.DateTime(timezone=True), comment="its outcome came after it was called lost")
        )
    op.add_column("attempts", sa.Column("account_revision", sa.Integer, comment="of the account's settings"))
    op.create_index(
        "ix_attempts_late",
        "attempts",
        ["tenant_id", "provider_message_id"],
        postgresql_where=sa.text("late_at IS NOT NULL"),
    )
    op.add_column(
        "provider_accounts",
        sa.Column(
            "identity_revision",
            sa.Integer,
            nullable=False,
            server_default=sa.text("1"),
            comment="the revision that last changed provider, address or credentials",
        ),
    )


def downgrade() -> None:
    op.drop_column("provider_accounts", "identity_revision")
    op.drop_index("ix_attempts_late", table_name="attempts")
    op.drop_column("attempts", "account_revision")
    for table in ("attempts", "webhook_attempts"):
        for column in ("late_at", "ends_by", "worker"):
            op.drop_column(table, column)
    op.drop_table("workers")
