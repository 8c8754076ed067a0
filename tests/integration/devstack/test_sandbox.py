"""The provider sandbox over real sockets: the providers, every fault, the inbox, the page, the process."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import aiosmtplib
import pytest

from devstack.sandbox import Sandbox
from tests.support.polling import eventually
from tests.support.sandbox_client import AUTHORIZATION, SandboxClient

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
async def client() -> AsyncIterator[SandboxClient]:
    async with Sandbox() as box, aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
        yield SandboxClient(box, session)


async def test_sendgrid_takes_a_mail_answers_202_with_the_id_of_the_inbox(client: SandboxClient) -> None:
    status, body, headers = await client.sendgrid()
    (item,) = await client.inbox(provider="sendgrid")
    assert (status, body) == (202, "")
    assert item["provider_message_id"] == headers["X-Message-Id"]
    assert (item["message_id"], item["to"], item["subject"], item["text"]) == (
        "msg_1",
        ["ada@example.com"],
        "Hi",
        "Hello",
    )


async def test_twilio_takes_a_message_answers_201_and_shows_it_again(client: SandboxClient) -> None:
    status, body, _ = await client.twilio()
    assert (status, body["status"], body["to"]) == (201, "queued", "+14155550100")
    headers = {"Authorization": AUTHORIZATION}
    status, found, _ = await client.call("GET", "/twilio" + body["uri"], headers=headers)
    assert (status, found["sid"]) == (200, body["sid"])
    status, missing, _ = await client.call("GET", "/twilio" + body["uri"].replace("SM", "SX"), headers=headers)
    assert (status, missing["code"]) == (404, 20404)


async def test_sandbox_takes_a_repeat_answers_the_same_id_and_stores_once(client: SandboxClient) -> None:
    first = await client.sandbox(key="k")
    again = await client.sandbox(key="k")
    assert (first[0], again[0], first[1]) == (202, 202, again[1])
    assert "idempotent-replayed" not in first[2]
    assert again[2]["idempotent-replayed"] == "true"
    (item,) = await client.inbox()
    assert item["repeats"] == 1
    assert (await client.get("/_sandbox/stats"))["sandbox"] == {"accepted": 1, "repeated": 1, "refused": 0, "faults": 0}


async def test_sandbox_takes_a_key_for_another_message_refuses_it(client: SandboxClient) -> None:
    await client.sandbox(1, key="k")
    status, body, _ = await client.sandbox(2, key="k")
    assert (status, body["error"]["code"]) == (422, "invalid_message")


async def test_vendor_would_refuse_the_request_is_counted_and_not_stored(client: SandboxClient) -> None:
    await client.fault("sendgrid", "error_500", times=1)
    status, body, _ = await client.sendgrid("nobody")
    assert (status, body["errors"][0]["field"]) == (400, "personalizations.0.to.0.email")
    assert await client.inbox() == []
    assert (await client.get("/_sandbox/stats"))["sendgrid"]["refused"] == 1
    assert (await client.sendgrid())[0] == 500, "a refused request does not use up a fault"


@pytest.mark.parametrize("provider", ["sandbox", "sendgrid", "twilio"])
@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("throttle", 429),
        ("error_500", 500),
        ("error_503", 503),
        ("bad_credentials", 401),
        ("rejected_recipient", 4),
        ("rejected_message", 4),
    ],
)
async def test_fault_is_an_answer_is_in_the_vendors_shape_and_stores_nothing(
    client: SandboxClient, provider: str, name: str, status: int
) -> None:
    await client.fault(provider, name, times=1, retry_after=3)
    answered, body, headers = await client.provider(provider)
    assert status in (answered, answered // 100)
    assert {"sandbox": "error", "sendgrid": "errors", "twilio": "code"}[provider] in body
    assert headers["Retry-After"] == "3"
    assert await client.inbox() == []
    assert (await client.provider(provider))[0] in (201, 202)


@pytest.mark.parametrize("provider", ["sandbox", "sendgrid", "twilio"])
async def test_fault_mangles_the_answer_the_message_is_stored(client: SandboxClient, provider: str) -> None:
    accepted = (await client.provider(provider))[0]
    await client.fault(provider, "wrong_content_type", times=1)
    status, body, headers = await client.provider(provider)
    assert (status, headers["Content-Type"]) == (accepted, "text/plain")
    assert "thank you" in body
    await client.fault(provider, "truncated_json", times=1)
    with pytest.raises(json.JSONDecodeError):
        await client.provider(provider)
    assert len(await client.inbox()) == 3


async def test_fault_is_a_gateways_page_answers_502_in_html(client: SandboxClient) -> None:
    await client.fault("sendgrid", "html_error", times=1)
    status, body, headers = await client.sendgrid()
    assert (status, headers["Content-Type"]) == (502, "text/html")
    assert "<h1>502 Bad Gateway</h1>" in body
    assert await client.inbox() == []


@pytest.mark.parametrize(("name", "stored"), [("reset", 0), ("accept_then_reset", 1)])
async def test_fault_resets_the_connection_the_peer_sees_a_tcp_reset(
    client: SandboxClient, name: str, stored: int
) -> None:
    await client.fault("sandbox", name, times=1)
    port = int(client.box.url.rpartition(":")[2])
    body = b'{"id":"msg_1","channel":"sms","to":"+14155550100","content":{"body":"x"},"attempt":1}'
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        b"POST /sandbox/v1/messages HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer k\r\n"
        b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    )
    with pytest.raises(ConnectionResetError):
        await reader.read()
    writer.close()
    assert len(await client.inbox()) == stored


async def test_fault_is_slow_answers_after_the_delay(client: SandboxClient) -> None:
    await client.fault("sandbox", "slow", times=1, delay=2)
    asked = asyncio.create_task(client.sandbox())
    await eventually(lambda: len(client.box.inbox) == 1)
    assert not asked.done()
    assert (await asked)[0] == 202


async def test_fault_outlasts_the_caller_the_message_is_stored(client: SandboxClient) -> None:
    await client.fault("sandbox", "accept_then_timeout", times=1)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await client.sandbox(key="k")
    assert len(await client.inbox()) == 1
    assert (await client.sandbox(key="k"))[2]["idempotent-replayed"] == "true"


async def test_sandbox_stops_held_back_answers_do_not_hold_it_up() -> None:
    async with aiohttp.ClientSession() as session:
        async with Sandbox() as box:
            client = SandboxClient(box, session)
            await client.fault("sandbox", "accept_then_timeout", delay=3600)
            await client.fault("smtp", "accept_then_timeout", delay=3600)
            waiting = [asyncio.create_task(client.sandbox()), asyncio.create_task(client.mail())]
            await eventually(lambda: len(box.inbox) == 2)
        answers = await asyncio.gather(*waiting, return_exceptions=True)
        assert all(isinstance(answer, Exception) for answer in answers), answers


async def test_fault_is_for_one_recipient_spares_the_others(client: SandboxClient) -> None:
    await client.fault("twilio", "error_503", to="+14155550111")
    assert (await client.twilio("+14155550100"))[0] == 201
    assert (await client.twilio("+14155550111"))[0] == 503
    (standing,) = (await client.get("/_sandbox/faults"))["items"]
    assert (standing["to"], standing["applied"], standing["remaining"]) == ("+14155550111", 1, None)
    assert (await client.call("DELETE", "/_sandbox/faults"))[0] == 204
    assert (await client.twilio("+14155550111"))[0] == 201


async def test_requests_are_asked_for_count_faults_and_repeats(client: SandboxClient) -> None:
    await client.fault("sandbox", "error_503", times=1)
    answers = [await client.sandbox(1, key="k") for _ in range(3)]
    assert [status for status, _, _ in answers] == [503, 202, 202]
    assert (await client.get("/_sandbox/inbox/ids"))["ids"] == {"msg_1": 1}
    assert (await client.get("/_sandbox/inbox/requests"))["ids"] == {"msg_1": 3}
    assert (await client.get("/_sandbox/inbox/requests?provider=twilio"))["ids"] == {}


async def test_fault_is_ordered_wrongly_is_refused(client: SandboxClient) -> None:
    status, body, _ = await client.call("PUT", "/_sandbox/faults/sendgrid", json={"fault": "fire"})
    assert (status, body["error"]["code"]) == (422, "invalid_fault")
    status, body, _ = await client.call("PUT", "/_sandbox/faults/nobody", json={"fault": "reset"})
    assert (status, body["error"]["code"]) == (404, "unknown_provider")


async def test_recipient_is_magic_misbehaves_without_a_fault(client: SandboxClient) -> None:
    answers = [await client.sandbox(to="throttled@example.com") for _ in range(3)]
    assert [status for status, _, _ in answers] == [429, 429, 202]
    assert answers[0][2]["Retry-After"] == "1"
    assert (await client.sendgrid("bounced@example.com"))[0] == 400
    assert (await client.twilio("+15005550004"))[1]["code"] == 21610
    with pytest.raises(aiosmtplib.SMTPRecipientsRefused):
        await client.mail("bounced@example.com")


async def test_inbox_is_asked_pages_filters_and_counts(client: SandboxClient) -> None:
    for number in range(1, 6):
        await client.sandbox(number)
    await client.twilio()
    page = await client.get("/_sandbox/inbox?channel=email&limit=2&before=5")
    assert ([item["number"] for item in page["items"]], page["total"]) == ([4, 3], 5)
    assert [item["number"] for item in await client.inbox(after="4")] == [6, 5]
    assert [item["number"] for item in await client.inbox(message_id="msg_2")] == [2]
    assert (await client.get("/_sandbox/inbox/ids"))["ids"] == {f"msg_{number}": 1 for number in range(1, 6)}
    assert (await client.get("/_sandbox/inbox/ids?provider=twilio"))["ids"] == {}
    assert await client.get("/_sandbox/health") == {"status": "ok", "messages": 6}
    assert (await client.call("GET", "/_sandbox/inbox?limit=many"))[0] == 400
    assert (await client.call("GET", "/_sandbox/inbox/99"))[0] == 404
    assert (await client.call("DELETE", "/_sandbox/inbox"))[0] == 204
    assert await client.inbox() == []


async def test_path_is_unknown_answers_404_and_a_wrong_method_405(client: SandboxClient) -> None:
    assert (await client.call("GET", "/nothing"))[0] == 404
    assert (await client.call("POST", "/_sandbox/health"))[0] == 405
    assert (await client.call("GET", "/sendgrid/v3/mail/sent"))[0] == 404


async def test_page_is_opened_brings_everything_it_needs(client: SandboxClient) -> None:
    status, page, headers = await client.call("GET", "/")
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert "{{" not in page
    assert f"127.0.0.1:{client.box.smtp_port}" in page
    for needed in ("throttled", "+15005550004", "accept_then_reset", "prefers-color-scheme: dark"):
        assert needed in page
    nonce = page.partition('<script nonce="')[2].partition('"')[0]
    assert f"script-src 'nonce-{nonce}'" in headers["Content-Security-Policy"]


async def test_sandbox_restarts_the_inbox_and_its_keys_are_there_again(home: Path) -> None:
    data = home / "inbox.jsonl"
    async with aiohttp.ClientSession() as session:
        async with Sandbox(data_file=data) as box:
            first = await SandboxClient(box, session).sandbox(key="k")
        async with Sandbox(data_file=data) as box:
            again = await SandboxClient(box, session).sandbox(key="k")
            (item,) = await SandboxClient(box, session).inbox()
    assert again[1] == first[1]
    assert again[2]["idempotent-replayed"] == "true"
    assert (item["provider_message_id"], item["repeats"]) == (first[1]["id"], 1)


async def test_sandbox_runs_its_file_is_written_before_it_stops(home: Path) -> None:
    data = home / "inbox.jsonl"
    async with aiohttp.ClientSession() as session, Sandbox(data_file=data) as box:
        await SandboxClient(box, session).sandbox()
        await eventually(lambda: b'"msg_1"' in data.read_bytes(), within=2)


async def test_port_is_taken_fails_and_frees_what_it_had() -> None:
    async with Sandbox() as box:
        port = int(box.url.rpartition(":")[2])
        with pytest.raises(OSError, match="address already in use"):
            async with Sandbox(http_port=port):
                pass


async def test_process_is_asked_to_end_ends_with_0_and_a_written_file(home: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "devstack.sandbox", "--port", "0", "--smtp-port", "0", "--data", str(home / "inbox")),
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    try:
        assert process.stdout is not None
        ready = json.loads(await asyncio.wait_for(process.stdout.readline(), 15))
        assert ready["pid"] == process.pid
        async with aiohttp.ClientSession() as session, session.get(ready["url"] + "/_sandbox/health") as response:
            assert response.status == 200
        reader, writer = await asyncio.open_connection("127.0.0.1", ready["smtp_port"])
        assert (await reader.readline()).startswith(b"220 ")
        writer.close()
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 5) == 0
        assert (home / "inbox").exists()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
async def test_process_loses_its_parent_ends_too() -> None:
    program = (
        "import subprocess, sys\n"
        "command = [sys.executable, '-m', 'devstack.sandbox', '--port', '0', '--smtp-port', '0']\n"
        "child = subprocess.Popen(command, stdout=subprocess.PIPE)\n"
        "print(child.stdout.readline().decode(), flush=True); child.wait()"
    )
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE, cwd=ROOT
    )
    assert parent.stdout is not None
    pid = json.loads(await asyncio.wait_for(parent.stdout.readline(), 15))["pid"]
    parent.kill()
    await parent.wait()
    try:
        await eventually(lambda: not _runs(pid), within=5)
    finally:
        if _runs(pid):
            os.kill(pid, signal.SIGKILL)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_page_of_another_name_reads_neither_inbox_nor_providers() -> None:
    async with Sandbox() as sandbox, aiohttp.ClientSession(sandbox.url) as client:
        for path in ("/", "/_sandbox/inbox", "/sendgrid/v3/mail/send"):
            statuses = []
            for host in ("attacker.example:8090", "localhost:8090"):
                async with client.get(path, headers={"Host": host}) as answer:
                    statuses.append(answer.status)
            assert statuses[0] == 421
            assert statuses[1] != 421
