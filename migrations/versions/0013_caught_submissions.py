"""What caught a submission as spam, whose events count for its payment, and money that is contested or went back."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def _counter(name: str, comment: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Integer(), server_default=sa.text("0"), nullable=False, comment=comment)


def _amount(name: str, comment: str) -> sa.Column[Any]:
    return sa.Column(name, sa.BigInteger(), server_default=sa.text("0"), nullable=False, comment=comment)


def _of_submissions() -> list[sa.Column[Any]]:
    return [
        sa.Column(
            "caught_by",
            sa.Text(),
            nullable=True,
            comment="the honeypot's field that was filled in; what with is in data",
        ),
        _amount("amount_disputed", "contested by the payer and not won"),
        _amount("amount_returned", "taken back by the payer's bank"),
        _counter("payment_disputes", "changes of amount_disputed"),
        _counter("payment_returns", "changes of amount_returned"),
    ]


def upgrade() -> None:
    for column in _of_submissions():
        op.add_column("form_submissions", column)
    op.add_column(
        "stripe_accounts",
        sa.Column(
            "connected_accounts",
            postgresql.ARRAY(sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
            comment="acct_…, whose events count as well",
        ),
    )


def downgrade() -> None:
    op.drop_column("stripe_accounts", "connected_accounts")
    for column in reversed(_of_submissions()):
        op.drop_column("form_submissions", column.name)
