"""Lists of waits on messages, and what counts where a message names none: an account's, a channel's, a tenant's."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

_OF_MESSAGES = (
    ("waits", "seconds after each attempt, instead of the preset", postgresql.JSONB()),
    ("retry_from", "message, channel, tenant or built_in; null: of a version before", sa.Text()),
)


def upgrade() -> None:
    for name, comment, kind in _OF_MESSAGES:
        op.add_column("messages", sa.Column(name, kind, nullable=True, comment=comment))
    op.add_column(
        "provider_accounts",
        sa.Column(
            "retry",
            postgresql.JSONB(),
            nullable=True,
            comment="the name of a preset, or a list of seconds; null: as the channel or tenant says",
        ),
    )
    op.add_column(
        "tenants",
        sa.Column(
            "retry",
            postgresql.JSONB(),
            server_default=sa.text("'{}'"),
            nullable=False,
            comment="by channel, or `default`: the name of a preset, or a list of seconds",
        ),
    )


def downgrade() -> None:
    op.drop_column("tenants", "retry")
    op.drop_column("provider_accounts", "retry")
    for name, _, _ in reversed(_OF_MESSAGES):
        op.drop_column("messages", name)
