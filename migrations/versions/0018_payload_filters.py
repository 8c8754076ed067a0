"""Endpoints that ask for some events of their types, by their payloads."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "webhook_endpoints",
        sa.Column(
            "filter",
            postgresql.JSONB(),
            server_default=sa.text("'[]'"),
            nullable=False,
            comment="conditions on the payload, which must all hold",
        ),
    )


def downgrade() -> None:
    op.drop_column("webhook_endpoints", "filter")
