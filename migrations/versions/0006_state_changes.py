"""Triggers that tell analytics what became of messages and webhook deliveries, within the change itself.

Each statement that changes states leaves one row in `event_batches` (one for each tenant, where it touches several):
JSON lines with the columns of ClickHouse's table `message_states`. See docs/decisions/0018.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


_CLICKHOUSE_TIME: Final = """
CREATE FUNCTION clickhouse_time(at timestamptz) RETURNS text LANGUAGE sql STABLE AS $$
  SELECT to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.MS')
$$
"""
_NEW_ID: Final = """
CREATE FUNCTION new_id(prefix text) RETURNS text LANGUAGE sql VOLATILE AS $$
  SELECT prefix || '_' || lpad(to_hex(CAST(floor(extract(epoch FROM clock_timestamp()) * 1000) AS bigint)), 12, '0')
         || right(replace(CAST(gen_random_uuid() AS text), '-', ''), 16)
$$
"""
"""As hermod.contracts.ids makes them."""

_OF_MESSAGE: Final = """
         m.id AS message_id, coalesce(m.template, '') AS template, m.category,
         coalesce(left(m.metadata ->> 'campaign', 128), '') AS campaign, clickhouse_time(m.created_at) AS accepted_at
"""
_OF_DELIVERY: Final = """
         d.id AS message_id, d.event_type AS template, '' AS category, '' AS campaign,
         clickhouse_time(d.created_at) AS accepted_at, '' AS provider, d.endpoint_id AS account
"""
_TAKEN: Final = "('sent', 'delivered', 'bounced', 'complained')"
"""A provider has it. A report may bring a message there in one leap; then `sent` is told as well."""
_REACHED: Final = (
    "('sent', 'delivered', 'bounced', 'complained', 'failed', 'unknown', 'suppressed', 'expired', 'cancelled')"
)
_LEFT: Final = "('failed', 'unknown')"
"""States of messages that are not the end after all: leaving one takes it back."""
_ENDED: Final = "('delivered', 'failed', 'skipped', 'parked', 'cancelled')"
"""Of deliveries. All of them are left again by a retry or a replay."""
_SEEN: Final = "('opened', 'clicked', 'read')"


def _moved(*told: str) -> str:
    """The rows whose status changed, as often as `told` has states for them; one that is taken back has a minus.

    What stands beside `unnest` is computed twice for each row, so the rest is done outside.
    """
    return f"""
         (SELECT n.*, ltrim(n.told, '-') AS state, CASE WHEN starts_with(n.told, '-') THEN -1 ELSE 1 END AS sign
            FROM (SELECT n.*, unnest(array_remove(ARRAY[{", ".join(told)}], NULL)) AS told
                    FROM new_rows n JOIN old_rows o ON o.tenant_id = n.tenant_id AND o.id = n.id
                   WHERE o.status <> n.status) AS n)
"""  # noqa: S608 - constants of this module


def _reported(condition: str) -> str:
    """The recipient's own doings. Who was in copy is not the recipient; `read` is what WhatsApp calls opened.

    The limit keeps the planner from joining with the whole table, whatever its statistics say.
    """
    return f"""
  SELECT r.tenant_id AS tenant, m.channel, CASE r.kind WHEN 'read' THEN 'opened' ELSE r.kind END AS state, 1 AS sign,
         clickhouse_time(greatest(least(r.occurred_at, r.received_at), m.created_at)) AS at,
         coalesce(m.provider, '') AS provider, r.account, {_OF_MESSAGE}
    FROM new_rows r CROSS JOIN LATERAL (
         SELECT * FROM messages m WHERE m.tenant_id = r.tenant_id AND m.id = r.message_id LIMIT 1) AS m
   WHERE r.kind IN {_SEEN} AND r.message_id IS NOT NULL AND {condition}
     AND NOT (m.channel = 'email' AND r.address_hash IS NOT NULL AND m.address_hash IS NOT NULL
              AND r.address_hash <> m.address_hash)
"""  # noqa: S608


_ACCEPTED: Final = f"""
  SELECT m.tenant_id AS tenant, m.channel, 'accepted' AS state, 1 AS sign, clickhouse_time(m.created_at) AS at,
         '' AS provider, coalesce(m.requested_account, '') AS account, {_OF_MESSAGE}
    FROM new_rows m
"""  # noqa: S608
_STEP: Final = _moved(
    f"CASE WHEN o.status IN {_LEFT} THEN '-' || o.status END",
    f"CASE WHEN n.status IN {_TAKEN} AND n.status <> 'sent' AND o.status NOT IN {_TAKEN} THEN 'sent' END",
    f"CASE WHEN n.status IN {_REACHED} THEN n.status END",
)
_CHANGED: Final = f"""
  SELECT m.tenant_id AS tenant, m.channel, m.state, m.sign, clickhouse_time(m.updated_at) AS at,
         coalesce(m.provider, '') AS provider,
         coalesce((SELECT a.account FROM attempts a WHERE a.tenant_id = m.tenant_id AND a.message_id = m.id
                    ORDER BY (a.outcome = 'accepted') DESC NULLS LAST, (a.provider = m.provider) DESC NULLS LAST,
                             a.number DESC LIMIT 1), m.requested_account, '') AS account, {_OF_MESSAGE}
    FROM {_STEP} AS m
"""  # noqa: S608
_MATCHED: Final = """
  (r.tenant_id, r.account, r.event_id) NOT IN
       (SELECT o.tenant_id, o.account, o.event_id FROM old_rows o WHERE o.message_id IS NOT NULL)
"""
"""A report is told when it is known whose it is: as it comes, or when its message was found."""
_PLACED: Final = f"""
  SELECT d.tenant_id AS tenant, 'webhook' AS channel, d.state, 1 AS sign, clickhouse_time(d.created_at) AS at,
         {_OF_DELIVERY}
    FROM (SELECT n.*, unnest(CASE n.status WHEN 'parked' THEN ARRAY['accepted', 'parked'] ELSE ARRAY['accepted'] END)
                 AS state FROM new_rows n) AS d
"""  # noqa: S608
_ENDING: Final = _moved(
    *(
        f"CASE WHEN {row}.status IN {_ENDED} THEN '{sign}' || replace({row}.status, 'skipped', 'failed') END"
        for row, sign in (("o", "-"), ("n", ""))
    )
)
_DELIVERED: Final = f"""
  SELECT d.tenant_id AS tenant, 'webhook' AS channel, d.state, d.sign, clickhouse_time(d.updated_at) AS at,
         {_OF_DELIVERY}
    FROM {_ENDING} AS d
"""  # noqa: S608

_JOINING: Final = "SET enable_nestloop = off"
"""Rows of before and after are joined by hashes. The planner goes by the number of rows that the session's first
statement had, and would compare each of five thousand with each."""
_LOOKING_UP: Final = "SET enable_seqscan = off"
"""However small the tables were when the session made its plan."""


class _Teller(NamedTuple):
    """`states` is what the function writes; `unless` is asked first, since most statements change nothing told."""

    table: str
    verb: str
    name: str
    states: str
    settings: str = ""
    unless: str = "false"

    def function(self) -> str:
        return f"""
CREATE FUNCTION {self.name}() RETURNS trigger LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan {self.settings}
AS $$
BEGIN
  IF {self.unless} THEN
    RETURN NULL;
  END IF;
  INSERT INTO event_batches (tenant_id, id, sink, events, body)
  SELECT s.tenant, new_id('evb'), 'message_states', count(*),
         convert_to(string_agg(CAST(row_to_json(s) AS text) || chr(10), ''), 'UTF8')
    FROM ({self.states}) AS s
   GROUP BY s.tenant;
  RETURN NULL;
END
$$
"""  # noqa: S608

    def trigger(self) -> str:
        rows = "NEW TABLE AS new_rows" + (" OLD TABLE AS old_rows" if self.verb == "UPDATE" else "")
        return (
            f"CREATE TRIGGER {self.name} AFTER {self.verb} ON {self.table} REFERENCING {rows} "
            f"FOR EACH STATEMENT EXECUTE FUNCTION {self.name}()"
        )


def _none(**conditions: str) -> str:
    return " AND ".join(f"NOT EXISTS (SELECT 1 FROM {rows} WHERE {what})" for rows, what in conditions.items())  # noqa: S608


_TELLERS: Final = (
    _Teller("messages", "INSERT", "tell_accepted", _ACCEPTED),
    _Teller(
        "messages",
        "UPDATE",
        "tell_changed",
        _CHANGED,
        f"{_JOINING} {_LOOKING_UP}",
        _none(new_rows=f"status IN {_REACHED}", old_rows=f"status IN {_LEFT}"),
    ),
    _Teller("receipts", "INSERT", "tell_reported", _reported("true"), _LOOKING_UP, _none(new_rows=f"kind IN {_SEEN}")),
    _Teller("receipts", "UPDATE", "tell_matched", _reported(_MATCHED), _LOOKING_UP, _none(new_rows=f"kind IN {_SEEN}")),
    _Teller("webhook_deliveries", "INSERT", "tell_placed", _PLACED),
    _Teller(
        "webhook_deliveries",
        "UPDATE",
        "tell_delivered",
        _DELIVERED,
        _JOINING,
        _none(new_rows=f"status IN {_ENDED}", old_rows=f"status IN {_ENDED}"),
    ),
)


def upgrade() -> None:
    op.execute(_CLICKHOUSE_TIME)
    op.execute(_NEW_ID)
    for teller in _TELLERS:
        op.execute(teller.function())
        op.execute(teller.trigger())


def downgrade() -> None:
    for teller in _TELLERS:
        op.execute(f"DROP TRIGGER {teller.name} ON {teller.table}")
        op.execute(f"DROP FUNCTION {teller.name}()")
    op.execute("DROP FUNCTION new_id(text)")
    op.execute("DROP FUNCTION clickhouse_time(timestamptz)")
