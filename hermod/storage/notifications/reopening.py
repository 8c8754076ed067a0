"""How messages that have ended begin again, as `hermod.storage.webhooks.reopening` has it for deliveries."""

from __future__ import annotations


def with_content(condition: str) -> str:
    """CTEs for an UPDATE: `own` are the messages that `condition` names, locked; `kept` those of them whose content is
    there and stays until the end of the transaction.
    """
    return f"""
    own AS MATERIALIZED (
      SELECT id FROM messages WHERE tenant_id = :tenant AND {condition} ORDER BY id FOR NO KEY UPDATE
    ), kept AS MATERIALIZED (
      SELECT message_id AS id FROM message_contents
       WHERE tenant_id = :tenant AND message_id = ANY(ARRAY(SELECT id FROM own)) ORDER BY message_id FOR KEY SHARE
    )
    """  # noqa: S608 - conditions are constants of the callers
