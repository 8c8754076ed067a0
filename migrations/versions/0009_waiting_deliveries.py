"""The index by which deliveries that wait for an endpoint in trouble are found."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "ix_webhook_deliveries_waiting",
        "webhook_deliveries",
        ["tenant_id", "endpoint_id", "id"],
        postgresql_where=sa.text("finished_at IS NULL AND starts_with(workflow_id, 'webhook-endpoint/')"),
    )


def downgrade() -> None:
    op.drop_index("ix_webhook_deliveries_waiting", table_name="webhook_deliveries")
