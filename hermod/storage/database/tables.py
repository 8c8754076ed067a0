"""The ledger's tables. `messages` is the record; `attempts` has one row per wire request.

Names are fixed here and in `migrations/`; a test compares the two. The busy tables have no foreign keys: rows of one
tenant are written in bursts, and every insert would lock the same parent row. Their writers all take the tenant from a
checked API key.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Float,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def moment(name: str, *, nullable: bool = True) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=nullable)


def created(name: str = "created_at") -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=False, server_default=text("now()"))


tenants = Table(
    "tenants",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("weight", Float, nullable=False, server_default=text("1"), comment="share of a busy lane, 0.001 to 1000"),
    Column("rate_per_second", Float, comment="messages over all channels; null: no limit"),
    Column(
        "retry",
        JSONB,
        nullable=False,
        server_default=text("'{}'"),
        comment="by channel, or `default`: the name of a preset, or a list of seconds",
    ),
    Column("content_key", LargeBinary, comment="the tenant's data key, sealed; null: contents are stored in the clear"),
    Column("encrypts", Boolean, nullable=False, server_default=text("false"), comment="new contents are encrypted"),
    Column("content_days", Integer, comment="contents of finished messages are kept so long; null: the default"),
    Column("owner_email", Text, comment="who is told what needs a person, such as a disabled webhook endpoint"),
    Column("retention", JSONB, comment="of records, by kind: how long and how many; null: the default"),
    created(),
    moment("deleted_at"),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Text, primary_key=True, comment="the part of the key that may be shown"),
    Column("tenant_id", Text, ForeignKey("tenants.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("name", Text, nullable=False),
    Column("secret_hash", LargeBinary, nullable=False, comment="SHA-256 of the whole key, which is random"),
    created(),
    moment("revoked_at"),
)

provider_accounts = Table(
    "provider_accounts",
    metadata,
    Column("tenant_id", Text, ForeignKey("tenants.id", ondelete="CASCADE"), nullable=False),
    Column("name", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("provider", Text, nullable=False),
    Column("credentials", LargeBinary, nullable=False, comment="encrypted JSON"),
    Column("base_url", Text),
    Column("sender", Text),
    Column("position", Integer, nullable=False, comment="`order` in the API"),
    Column("rate_per_second", Float),
    Column("retry", JSONB, comment="the name of a preset, or a list of seconds; null: as the channel or tenant says"),
    Column("enabled", Boolean, nullable=False),
    Column("revision", Integer, nullable=False, server_default=text("1")),
    Column(
        "identity_revision",
        Integer,
        nullable=False,
        server_default=text("1"),
        comment="the revision that last changed provider, address or credentials",
    ),
    moment("blocked_until"),
    Column("blocked_reason", Text, comment="halted or away (breaker), or throttled"),
    Column("blocked_count", Integer, nullable=False, server_default=text("0"), comment="halts in a row"),
    created(),
    created("updated_at"),
    moment("deleted_at"),
    PrimaryKeyConstraint("tenant_id", "name"),
)

workers = Table(
    "workers",
    metadata,
    Column("number", Integer, Identity(always=True), primary_key=True),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    moment("started_at", nullable=False),
    moment("seen_at", nullable=False),
    postgresql_with={"fillfactor": "50"},
)

messages = Table(
    "messages",
    metadata,
    Column("tenant_id", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("recipient", Text, nullable=False),
    Column(
        "address_hash", LargeBinary, comment="fingerprint of the bare address; hermod.domain.notifications.recipients"
    ),
    Column("category", Text, nullable=False),
    Column("guarantee", Text, nullable=False),
    Column("preset", Text, nullable=False),
    Column("waits", JSONB, comment="seconds after each attempt, instead of the preset"),
    Column("retry_from", Text, comment="message, channel, tenant or built_in; null: of a version before"),
    Column("priority", SmallInteger, nullable=False),
    Column("requested_account", Text),
    Column("workflow_id", Text, nullable=False, comment="the workflow that owns the message"),
    Column("request_id", Text),
    Column("metadata", JSONB, nullable=False),
    Column("template", Text, comment="name, locale and version that the words were made from"),
    Column("segments", SmallInteger, comment="parts of an SMS, as we count them"),
    Column("group_id", Text, comment="the first of the messages that one call made, one for each device"),
    moment("send_at"),
    moment("not_after"),
    Column("attempt_count", Integer, nullable=False, server_default=text("0")),
    Column(
        "late_success_number",
        Integer,
        comment="the newest request when it became known that an earlier one had been taken",
    ),
    Column("round", Integer, nullable=False, server_default=text("1"), comment="the current pass over the accounts"),
    Column("spent", Integer, nullable=False, server_default=text("0"), comment="rounds counted by the preset"),
    Column("wait_reason", Text),
    Column("provider", Text),
    Column("provider_message_id", Text),
    Column("error_code", Text),
    Column("error", Text),
    moment("next_attempt_at"),
    Column("failed_run", Text, comment="the workflow run that gave up; another run is an operator's reset"),
    moment("dead_at"),
    moment("discarded_at"),
    created(),
    created("updated_at"),
    moment("finished_at"),
    PrimaryKeyConstraint("tenant_id", "id"),
    # The conditions name columns that change only at a message's end, so that every step before it is a HOT update.
    Index("ix_messages_unfinished", "created_at", postgresql_where=text("finished_at IS NULL")),
    Index(
        "ix_messages_provider",
        "tenant_id",
        "provider_message_id",
        postgresql_where=text("provider_message_id IS NOT NULL"),
    ),
    Index("ix_messages_dead", "tenant_id", "id", postgresql_where=text("dead_at IS NOT NULL")),
    Index(
        "ix_messages_polled",
        "finished_at",
        postgresql_where=text("channel = 'push' AND provider_message_id IS NOT NULL"),
    ),
    postgresql_with={"fillfactor": "60", "autovacuum_vacuum_scale_factor": "0.05"},
)

message_contents = Table(
    "message_contents",
    metadata,
    Column("tenant_id", Text, nullable=False),
    Column("message_id", Text, nullable=False),
    Column(
        "body",
        LargeBinary,
        nullable=False,
        comment="the content as JSON, or encrypted (hermod.storage.secrets.contents)",
    ),
    PrimaryKeyConstraint("tenant_id", "message_id"),
)

attempts = Table(
    "attempts",
    metadata,
    Column("tenant_id", Text, nullable=False),
    Column("message_id", Text, nullable=False),
    Column("number", Integer, nullable=False),
    Column("round", Integer, nullable=False),
    Column("account", Text, nullable=False),
    Column("provider", Text, nullable=False),
    Column("shared", Boolean, nullable=False, server_default=text("false"), comment="one request for several messages"),
    Column("outcome", Text, comment="null while the request is on its way"),
    Column("status_code", Integer),
    Column("error_code", Text),
    Column("error", Text),
    Column("provider_message_id", Text),
    moment("started_at", nullable=False),
    Column("duration_ms", Integer),
    Column("worker", Integer, comment="the session of the worker that makes it"),
    Column("ends_by", DateTime(timezone=True), comment="it has ended by then, whatever became of it"),
    Column("late_at", DateTime(timezone=True), comment="its outcome came after it was called lost"),
    Column("late_provider_message_id", Text, comment="the provider's id, where it came late"),
    Column("account_revision", Integer, comment="of the account's settings"),
    PrimaryKeyConstraint("tenant_id", "message_id", "number"),
    # A message has its provider's id itself, but for one that came when the message had moved on. Such ids have a
    # column of their own: what every request sets must be in no index, or the row is written anew in all of them.
    Index(
        "ix_attempts_late_id",
        "tenant_id",
        "late_provider_message_id",
        postgresql_where=text("late_provider_message_id IS NOT NULL"),
    ),
    postgresql_with={"fillfactor": "85"},
)

decisions = Table(
    "decisions",
    metadata,
    Column("tenant_id", Text, nullable=False),
    Column("message_id", Text, nullable=False),
    Column("id", BigInteger, Identity(always=True), nullable=False),
    moment("at", nullable=False),
    Column("kind", Text, nullable=False),
    Column("verdict", Text, nullable=False),
    Column("reason", Text, nullable=False),
    PrimaryKeyConstraint("tenant_id", "message_id", "id"),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("tenant_id", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("body_hash", LargeBinary, nullable=False),
    Column("message_id", Text, nullable=False),
    created(),
    PrimaryKeyConstraint("tenant_id", "key"),
    Index("ix_idempotency_keys_message", "tenant_id", "message_id"),
)

suppressions = Table(
    "suppressions",
    metadata,
    Column("tenant_id", Text, nullable=False),
    Column("address_hash", LargeBinary, nullable=False),
    Column("channel", Text, nullable=False, comment="`*` for all"),
    Column("category", Text, nullable=False, comment="`*` for all"),
    Column("id", Text, nullable=False),
    Column("address", Text, comment="null once the person was erased"),
    Column("reason", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("detail", Text),
    created(),
    moment("expires_at"),
    PrimaryKeyConstraint("tenant_id", "address_hash", "channel", "category"),
    Index("ix_suppressions_tenant_id_id", "tenant_id", "id", unique=True),
    Index("ix_suppressions_expiring", "expires_at", postgresql_where=text("expires_at IS NOT NULL")),
)

soft_bounces = Table(
    "soft_bounces",
    metadata,
    Column("tenant_id", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("address_hash", LargeBinary, nullable=False),
    Column("count", Integer, nullable=False, comment="in a row; a delivery ends the row"),
    moment("last_at", nullable=False),
    PrimaryKeyConstraint("tenant_id", "channel", "address_hash"),
)

receipts = Table(
    "receipts",
    metadata,
    Column("tenant_id", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("event_id", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("word", Text, nullable=False, comment="the vendor's own"),
    Column("message_id", Text, comment="null while it is not known which message it is about"),
    Column("provider_message_id", Text),
    Column("address_hash", LargeBinary),
    Column("code", Text),
    Column("text", Text),
    moment("occurred_at"),
    created("received_at"),
    moment("settled_at"),
    moment("look_at"),
    Column("place", Integer, nullable=False, server_default=text("0"), comment="among those of the same call"),
    PrimaryKeyConstraint("tenant_id", "account", "event_id"),
    Index("ix_receipts_message", "tenant_id", "message_id", postgresql_where=text("message_id IS NOT NULL")),
    Index("ix_receipts_unsettled", "look_at", postgresql_where=text("settled_at IS NULL")),
    Index("ix_receipts_stray", "received_at", postgresql_where=text("message_id IS NULL")),
)

templates = Table(
    "templates",
    metadata,
    Column("tenant_id", Text, ForeignKey("tenants.id", ondelete="CASCADE"), nullable=False),
    Column("name", Text, nullable=False),
    Column("locale", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("channel", Text, nullable=False),
    Column("source", JSONB, nullable=False),
    Column("is_default", Boolean, nullable=False, comment="whether its locale is the template's default"),
    Column("actor", Text, nullable=False),
    created(),
    PrimaryKeyConstraint("tenant_id", "name", "version"),
)

rates = Table(
    "rates",
    metadata,
    Column("bucket", Text, primary_key=True, comment="what is limited: an account at a provider, a tenant, a domain"),
    moment("tat", nullable=False),
    postgresql_with={"fillfactor": "50"},
)

rate_shares = Table(
    "rate_shares",
    metadata,
    Column("bucket", Text, nullable=False),
    Column("tenant_id", Text, nullable=False),
    Column("weight", Float, nullable=False),
    moment("tat", nullable=False),
    moment("seen_at", nullable=False),
    PrimaryKeyConstraint("bucket", "tenant_id"),
    postgresql_with={"fillfactor": "50"},
)

domain_rates = Table(
    "domain_rates",
    metadata,
    Column("tenant_id", Text, ForeignKey("tenants.id", ondelete="CASCADE"), nullable=False),
    Column("domain", Text, nullable=False, comment="of recipients, in lower case"),
    Column("rate_per_second", Float, nullable=False),
    created("updated_at"),
    PrimaryKeyConstraint("tenant_id", "domain"),
)

audit = Table(
    "audit",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("tenant_id", Text, nullable=False),
    created("at"),
    Column("actor", Text, nullable=False, comment="an API key's id, `cli`, `temporal` or `hermod`"),
    Column("action", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("detail", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    Index("ix_audit_tenant_id_at", "tenant_id", "at"),
)

activity_failures = Table(
    "activity_failures",
    metadata,
    Column("workflow_id", Text, nullable=False),
    Column("activity", Text, nullable=False),
    Column("error", Text, nullable=False, comment="the class of the last one"),
    Column("attempts", Integer, nullable=False),
    moment("first_at", nullable=False),
    moment("last_at", nullable=False),
    PrimaryKeyConstraint("workflow_id", "activity"),
    Index("ix_activity_failures_last_at", "last_at"),
)
