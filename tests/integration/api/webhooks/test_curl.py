"""An attempt as a script: what a receiver gets when somebody runs it is what it got, signed with its own secret."""

from __future__ import annotations

import asyncio
import os
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from hermod.contracts.ids import new_id
from hermod.contracts.webhooks.deliveries import DeliveryStatus
from hermod.outbound.webhooks.signatures import verify_webhook
from tests.integration.api.conftest import Api, assert_problem
from tests.support.webhooks.rows import WebhookRows

BODY = '{"type":"order.paid","data":{"note":"it\'s $HOME, `id` & \\"żółć\\" 🚀"}}'
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SENT = {
    "webhook-id": "evt",
    "webhook-timestamp": "1614265330",
    "webhook-signature": "v1,***",
    "webhook-attempt": "1",
    "content-type": "application/json",
    "x-request-id": "req_1",
    "authorization": "***",
}
_ATTEMPT = text("""
    INSERT INTO webhook_attempts (tenant_id, delivery_id, number, outcome, exchange, started_at)
    VALUES (:tenant, :id, :number, 'http_error', CAST(:exchange AS jsonb), :now)
""")
_PREPARE = (
    text("UPDATE webhook_deliveries SET attempt_count = 2 WHERE tenant_id = :tenant"),
    text("UPDATE webhook_events SET body = :body WHERE tenant_id = :tenant"),
    text("UPDATE webhook_endpoints SET url = :url, header_names = '{authorization}' WHERE tenant_id = :tenant"),
)


async def delivery_of(api: Api, url: str) -> str:
    """A delivery that failed twice; the log knows what was sent the first time."""
    database, now = api.hermod.core.storage.database, datetime.now(UTC)
    rows = await WebhookRows.make(database, api.tenant, now)
    delivery = await rows.add(DeliveryStatus.FAILED)
    for statement in _PREPARE:
        known = {"tenant": api.tenant, "body": BODY.encode(), "url": url}
        named = {name: value for name, value in known.items() if name in statement.compile().params}
        await database.execute(statement, named)
    exchange = httpx.Response(200, json={"request_headers": SENT}).text
    for number, stored in ((1, exchange), (2, None)):
        values: dict[str, Any] = {"tenant": api.tenant, "id": delivery, "number": number, "exchange": stored}
        await database.execute(_ATTEMPT, values | {"now": now})
    return delivery


@pytest.mark.parametrize("attempt", ["1", "2"])
@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
async def test_script_run_as_it_is_reaches_the_receiver_with_the_same_bytes_rightly_signed(
    api: Api, tmp_path: Path, attempt: str
) -> None:
    received: list[tuple[dict[str, str], bytes]] = []

    async def receive(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head.split("\r\n")[1:])}
        received.append((headers, await reader.readexactly(int(headers["content-length"]))))
        writer.write(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(receive, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        delivery = await delivery_of(api, f"http://127.0.0.1:{port}/hook?a=[1]&b='$(id)'")
        response = await api.client.get(f"/v1/webhook-deliveries/{delivery}/curl", params={"attempt": attempt})
        assert response.headers["content-type"].startswith("text/plain")
        (tmp_path / "attempt.sh").write_bytes(response.content)
        process = await asyncio.create_subprocess_exec(
            "sh",
            str(tmp_path / "attempt.sh"),
            env={"PATH": os.environ["PATH"], "WEBHOOK_SECRET": SECRET, "HEADER_AUTHORIZATION": "Bearer $x"},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        _, complaint = await asyncio.wait_for(process.communicate(), timeout=20)
        assert process.returncode == 0, complaint.decode()
    headers, body = received[0]
    assert body == BODY.encode()
    assert headers["webhook-id"] == delivery
    assert headers["webhook-attempt"] == attempt
    assert headers["authorization"] == "Bearer $x"
    verify_webhook(body, headers, SECRET)


async def test_last_attempt_is_the_default_and_others_are_not_found(api: Api) -> None:
    delivery = await delivery_of(api, "https://example.com/hook")
    url = f"/v1/webhook-deliveries/{delivery}/curl"
    assert f"# attempt 2 of {delivery}\n" in (await api.client.get(url)).text
    assert_problem(await api.client.get(url, params={"attempt": 3}), 404, "not-found")
    assert_problem(await api.client.get(url, params={"attempt": "x"}), 422, "invalid-input")
    for unknown in (new_id("whd"), "x" * 80, "%00"):
        assert_problem(await api.client.get(f"/v1/webhook-deliveries/{unknown}/curl"), 404, "not-found")


async def test_delivery_without_an_attempt_is_shown_as_its_first_will_be(api: Api) -> None:
    rows = await WebhookRows.make(api.hermod.core.storage.database, api.tenant, datetime.now(UTC))
    delivery = await rows.add(DeliveryStatus.PENDING)
    script = (await api.client.get(f"/v1/webhook-deliveries/{delivery}/curl")).text
    assert "'webhook-attempt: 1'" in script
    assert f"'webhook-id: {delivery}'" in script
