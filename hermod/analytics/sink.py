"""Writes rows to ClickHouse, once for each token."""

from __future__ import annotations

import time
from typing import Final

from hermod.analytics.client import ClickHouse
from hermod.analytics.faults import Missing
from hermod.analytics.schema import TABLES, Schema
from hermod.ports.analytics import Refused
from hermod.telemetry import INSERT_SECONDS, INSERTED_ROWS, INSERTS

_ONCE: Final = {
    "async_insert": 0,
    "insert_deduplicate": 1,
    "deduplicate_blocks_in_dependent_materialized_views": 1,
    "input_format_parallel_parsing": 0,
}
"""One block, written when the answer comes, and not again for the same token. Newer servers would otherwise collect
inserts of several clients, and parse large ones into blocks whose order is left to chance."""

_READING: Final = {
    "input_format_skip_unknown_fields": 1,
    "type_json_skip_duplicated_paths": 1,
    "input_format_try_infer_dates": 0,
    "input_format_try_infer_datetimes": 0,
    "input_format_json_try_infer_numbers_from_strings": 0,
}
"""Columns of a newer version are left out while it rolls out. Of `a.b` and `{a: {b}}` in one event the first counts.
What looks like a date or a number is a text all the same, and stays as it was sent.
"""


class ClickHouseSink:
    """An EventSink. Brings the schema up before the first insert, so that nobody has to wait for it elsewhere."""

    def __init__(self, clickhouse: ClickHouse, schema: Schema) -> None:
        self._clickhouse = clickhouse
        self._schema = schema

    async def insert(self, table: str, lines: bytes, *, token: str) -> None:
        if table not in TABLES:
            raise ValueError(f"there is no table {table!r} to insert into")
        if not lines:
            return
        begun = time.perf_counter()
        result = "unavailable"
        try:
            await self._schema.prepare()
            await self._clickhouse.insert(table, lines, {**_ONCE, **_READING, "insert_deduplication_token": token})
            result = "inserted"
            INSERTED_ROWS.labels(table).inc(lines.count(b"\n") + (not lines.endswith(b"\n")))
        except Missing:
            self._schema.forget()
            raise
        except Refused:
            result = "refused"
            raise
        finally:
            INSERTS.labels(table, result).inc()
            INSERT_SECONDS.labels(table).observe(time.perf_counter() - begun)
