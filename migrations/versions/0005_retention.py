"""The indexes by which old rows are found."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_idempotency_keys_message", "idempotency_keys", ["tenant_id", "message_id"])
    op.create_index("ix_receipts_stray", "receipts", ["received_at"], postgresql_where=sa.text("message_id IS NULL"))
    op.create_index(
        "ix_suppressions_expiring", "suppressions", ["expires_at"], postgresql_where=sa.text("expires_at IS NOT NULL")
    )
    op.create_index("ix_devices_removed", "devices", ["removed_at"], postgresql_where=sa.text("removed_at IS NOT NULL"))


def downgrade() -> None:
    op.drop_index("ix_devices_removed", table_name="devices")
    op.drop_index("ix_suppressions_expiring", table_name="suppressions")
    op.drop_index("ix_receipts_stray", table_name="receipts")
    op.drop_index("ix_idempotency_keys_message", table_name="idempotency_keys")
