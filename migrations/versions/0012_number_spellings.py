"""Phone numbers of Mexico, Argentina and Brazil that have two spellings are one address: what was put under the older
spelling is found under both. Only rows whose address is still known can be told."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

OLD_COMMENT = "halted (breaker) or throttled"
COMMENT = "halted or away (breaker), or throttled"
OLDER = r"^\+(521\d{10}|549\d{10}|55\d\d[6-9]\d{7})$"
SPELLINGS = ((r"\+521(\d{10})", r"+52\1"), (r"\+549(\d{10})", r"+54\1"), (r"\+55(\d\d)([6-9]\d{7})", r"+55\g<1>9\2"))
CHUNK = 1_000


def upgrade() -> None:
    op.alter_column("provider_accounts", "blocked_reason", comment=COMMENT, existing_comment=OLD_COMMENT)
    _rehash(lambda number: _hash(_newer(number)))


def downgrade() -> None:
    _rehash(_hash)
    op.alter_column("provider_accounts", "blocked_reason", comment=OLD_COMMENT, existing_comment=COMMENT)


def _newer(number: str) -> str:
    for spelling, other in SPELLINGS:
        if found := re.fullmatch(spelling, number):
            return found.expand(other)
    return number


def _hash(number: str) -> bytes:
    return hashlib.blake2b(number.encode(), digest_size=16).digest()


def _rehash(hashed: Callable[[str], bytes]) -> None:
    database = op.get_bind()
    found = database.execute(
        sa.text("SELECT id, tenant_id, address, channel, category FROM suppressions WHERE address ~ :older"),
        {"older": OLDER},
    ).all()
    for row in found:
        names = {"tenant": row.tenant_id, "id": row.id, "hash": hashed(row.address)}
        # Where both spellings are there, the one that lasts stays.
        database.execute(
            sa.text("""
                DELETE FROM suppressions s USING suppressions own
                 WHERE own.tenant_id = :tenant AND own.id = :id AND s.tenant_id = :tenant
                   AND ((s.id = own.id AND EXISTS (
                           SELECT 1 FROM suppressions o WHERE o.tenant_id = :tenant AND o.address_hash = :hash
                              AND o.channel = own.channel AND o.category = own.category AND o.id <> own.id
                              AND o.expires_at IS NULL))
                     OR (s.id <> own.id AND s.address_hash = :hash AND s.channel = own.channel
                         AND s.category = own.category AND s.expires_at IS NOT NULL))
            """),
            names,
        )
        database.execute(
            sa.text("UPDATE suppressions SET address_hash = :hash WHERE tenant_id = :tenant AND id = :id"), names
        )
    sendable = database.execute(
        sa.text("""
            SELECT tenant_id, id, recipient FROM messages
             WHERE channel IN ('sms', 'whatsapp') AND recipient ~ :older
               AND status NOT IN ('sent', 'delivered', 'bounced', 'complained', 'cancelled', 'suppressed', 'expired')
        """),
        {"older": OLDER},
    ).all()
    for start in range(0, len(sendable), CHUNK):
        database.execute(
            sa.text("UPDATE messages SET address_hash = :hash WHERE tenant_id = :tenant AND id = :id"),
            [
                {"tenant": row.tenant_id, "id": row.id, "hash": hashed(row.recipient)}
                for row in sendable[start : start + CHUNK]
            ],
        )
