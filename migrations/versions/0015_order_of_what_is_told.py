"""An order for what comes in the same moment: ids made in SQL count up, and reports know their place in their call."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

# Of the sixteen digits behind the milliseconds ten count, over all sessions. The others are random, so that no id of
# the same millisecond that was made in code is the same.
_COUNTED: Final = """
CREATE OR REPLACE FUNCTION new_id(prefix text) RETURNS text LANGUAGE sql VOLATILE AS $$
  SELECT prefix || '_' || lpad(to_hex(CAST(floor(extract(epoch FROM clock_timestamp()) * 1000) AS bigint)), 12, '0')
         || lpad(to_hex(nextval('id_numbers')), 10, '0')
         || right(replace(CAST(gen_random_uuid() AS text), '-', ''), 6)
$$
"""
_RANDOM: Final = """
CREATE OR REPLACE FUNCTION new_id(prefix text) RETURNS text LANGUAGE sql VOLATILE AS $$
  SELECT prefix || '_' || lpad(to_hex(CAST(floor(extract(epoch FROM clock_timestamp()) * 1000) AS bigint)), 12, '0')
         || right(replace(CAST(gen_random_uuid() AS text), '-', ''), 16)
$$
"""


def upgrade() -> None:
    op.execute(f"CREATE SEQUENCE id_numbers MAXVALUE {16**10 - 1} CYCLE")
    op.execute(_COUNTED)
    op.add_column(
        "receipts",
        sa.Column(
            "place",
            sa.Integer(),
            server_default=sa.text("0"),
            nullable=False,
            comment="among those of the same call",
        ),
    )


def downgrade() -> None:
    op.drop_column("receipts", "place")
    op.execute(_RANDOM)
    op.execute("DROP SEQUENCE id_numbers")
