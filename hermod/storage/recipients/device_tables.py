"""The tables of push: devices of contacts, and what is known of tokens that a provider refuses."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, LargeBinary, PrimaryKeyConstraint, Table, Text, text
from sqlalchemy.dialects.postgresql import JSONB

from hermod.storage.database.tables import created, metadata, moment

devices = Table(
    "devices",
    metadata,
    Column("tenant_id", Text, nullable=False),
    Column("contact_id", Text, nullable=False),
    Column("token_hash", LargeBinary, nullable=False),
    Column("token", JSONB, nullable=False, comment="a device token, or a Web Push subscription"),
    Column("platform", Text, nullable=False),
    created(),
    created("seen_at"),
    moment("suspect_since", nullable=True),
    moment("removed_at"),
    Column("removed_reason", Text),
    PrimaryKeyConstraint("tenant_id", "contact_id", "token_hash"),
    Index("ix_devices_tenant_id_token_hash", "tenant_id", "token_hash"),
    Index("ix_devices_removed", "removed_at", postgresql_where=text("removed_at IS NOT NULL")),
)

suspect_tokens = Table(
    "suspect_tokens",
    metadata,
    Column("tenant_id", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("token_hash", LargeBinary, nullable=False),
    moment("since", nullable=False),
    moment("last_at", nullable=False),
    Column("confirmed", Boolean, nullable=False, comment="refused again after the account had accepted something"),
    PrimaryKeyConstraint("tenant_id", "account", "token_hash"),
    Index("ix_suspect_tokens_tenant_id_token_hash", "tenant_id", "token_hash"),
)

push_tallies = Table(
    "push_tallies",
    metadata,
    Column("tenant_id", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("accepted", BigInteger, nullable=False, comment="messages, since `since`"),
    moment("since", nullable=False),
    moment("last_accepted_at"),
    PrimaryKeyConstraint("tenant_id", "account"),
    postgresql_with={"fillfactor": "50"},
)
