"""What waits for ClickHouse: acknowledged events, and changes of messages' states.

Rows come with an acknowledgement or with the change itself, in one transaction, and go when ClickHouse has them.
"""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, LargeBinary, PrimaryKeyConstraint, Table, Text, text
from sqlalchemy.dialects.postgresql import ARRAY

from hermod.storage.database.tables import created, metadata, moment

event_batches = Table(
    "event_batches",
    metadata,
    Column("tenant_id", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("sink", Text, nullable=False, comment="the table in ClickHouse: events, or message_states"),
    Column("insert_id", Text, comment="the insert that has taken the batch; its rows go together, and once"),
    Column("events", Integer, nullable=False),
    Column("body", LargeBinary, nullable=False, comment="as hermod.storage.analytics.event_outbox says, or encrypted"),
    created(),
    moment("claimed_at"),
    Column("apart", ARRAY(Text), comment="tokens of inserts that ClickHouse refused, and that are made in parts since"),
    PrimaryKeyConstraint("tenant_id", "id"),
    Index("ix_event_batches_waiting", "tenant_id", "id", postgresql_where=text("insert_id IS NULL")),
    Index("ix_event_batches_insert", "tenant_id", "insert_id", postgresql_where=text("insert_id IS NOT NULL")),
    postgresql_with={"fillfactor": "90", "autovacuum_vacuum_scale_factor": "0.02"},
)

event_ids = Table(
    "event_ids",
    metadata,
    Column("tenant_id", Text, nullable=False),
    Column("fingerprint", LargeBinary, nullable=False, comment="of the caller's event_id; 16 bytes"),
    created(),
    PrimaryKeyConstraint("tenant_id", "fingerprint"),
    Index("ix_event_ids_created_at", "created_at"),
)

event_refusals = Table(
    "event_refusals",
    metadata,
    Column("tenant_id", Text, nullable=False),
    Column("id", Text, nullable=False, comment="of the batch that they came in"),
    Column("sink", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("events", Integer, nullable=False),
    Column("body", LargeBinary, nullable=False, comment="the lines that ClickHouse cannot take, or encrypted"),
    Column("reason", Text, nullable=False, comment="ClickHouse's code, and nothing of what is in them"),
    created(),
    PrimaryKeyConstraint("tenant_id", "id", "sink", "type"),
    Index("ix_event_refusals_created_at", "created_at"),
)
