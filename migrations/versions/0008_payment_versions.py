"""Numbers that the database counts, by which a submission's steps and tellings compare what they were decided from.

`payment_version` counts the changes of a submission's payment: what was told up to a number is told, whatever the
clocks of two processes say. `fencing_token` counts who took a submission up: only the newest may decide about it.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name, comment in (
        ("payment_version", "changes of its payment, counted"),
        ("fencing_token", "who took it up, counted; only the newest may decide about it"),
    ):
        column = sa.Column(name, sa.Integer(), server_default=sa.text("0"), nullable=False, comment=comment)
        op.add_column("form_submissions", column)


def downgrade() -> None:
    for name in ("fencing_token", "payment_version"):
        op.drop_column("form_submissions", name)
