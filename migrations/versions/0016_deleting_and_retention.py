"""Accounts and tenants can be deleted, and a tenant says how long and how many of its records are kept."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("provider_accounts", sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("tenants", sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column(
        "tenants",
        sa.Column(
            "retention",
            postgresql.JSONB(),
            nullable=True,
            comment="of records, by kind: how long and how many; null: the default",
        ),
    )


def downgrade() -> None:
    # The version before knows of no deleted ones, and would take their wiped credentials for an account's.
    op.execute("DELETE FROM provider_accounts WHERE deleted_at IS NOT NULL")
    op.drop_column("tenants", "retention")
    op.drop_column("tenants", "deleted_at")
    op.drop_column("provider_accounts", "deleted_at")
