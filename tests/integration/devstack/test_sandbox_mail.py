"""The sandbox's mail server: what it takes, what it keeps of it, and how it fails."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import aiosmtplib
import pytest

from devstack.sandbox import Sandbox
from tests.support.sandbox_client import SandboxClient, plain_mail


@pytest.fixture
async def client() -> AsyncIterator[SandboxClient]:
    async with Sandbox() as box, aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
        yield SandboxClient(box, session)


async def test_mail_arrives_with_everything_it_carried(client: SandboxClient) -> None:
    message = plain_mail()
    message.add_alternative('<p>Hello <img src="cid:logo"></p>', subtype="html")
    message.get_payload()[1].add_related(b"\x89PNG", "image", "png", cid="<logo>", filename="logo.png")  # type: ignore[index, union-attr]
    message.add_attachment(b"%PDF", maintype="application", subtype="pdf", filename="menü.pdf")
    reply = await client.mail("ada@example.com", "hidden@example.com", message=message, username="u", password="p")
    (item,) = await client.inbox(provider="smtp")
    assert item["provider_message_id"] in reply
    assert item["message_id"] == "msg_1"
    assert item["to"] == ["ada@example.com", "hidden@example.com"]
    assert item["from"] == "Hermod <hello@example.com>"
    assert item["text"] == "Hello\n"
    assert item["attachments"] == [
        {"filename": "logo.png", "content_type": "image/png", "size": 4, "content_id": "logo"},
        {"filename": "menü.pdf", "content_type": "application/pdf", "size": 4, "content_id": None},
    ]
    where = f"/_sandbox/inbox/{item['number']}"
    assert f'<img src="{where}/attachments/0">' in await client.get(f"{where}/html")
    status, _, headers = await client.call("GET", f"{where}/attachments/1")
    assert (status, headers["Content-Type"]) == (200, "application/octet-stream")
    assert headers["Content-Disposition"].startswith("attachment;")
    assert "cid:logo" in await client.get(f"{where}/raw")


async def test_mail_server_says_what_it_can(client: SandboxClient) -> None:
    async with aiosmtplib.SMTP(hostname="127.0.0.1", port=client.box.smtp_port, start_tls=False) as smtp:
        await smtp.ehlo()
        assert {"size", "8bitmime", "smtputf8"} <= set(smtp.esmtp_extensions)
        assert smtp.server_auth_methods == ["login", "plain"]
        assert not smtp.supports_extension("starttls")


async def test_mail_goes_to_an_address_of_another_script_is_taken(client: SandboxClient) -> None:
    await client.mail("жук@example.com")
    assert (await client.inbox())[0]["to"] == ["жук@example.com"]


@pytest.mark.parametrize("method", ["plain", "login"])
@pytest.mark.parametrize(("user", "password", "good"), [("u", "p", True), ("bad", "p", False), ("u", "bad", False)])
async def test_mail_client_logs_in_is_checked(
    client: SandboxClient, method: str, user: str, password: str, *, good: bool
) -> None:
    async with aiosmtplib.SMTP(hostname="127.0.0.1", port=client.box.smtp_port, start_tls=False) as smtp:
        await smtp.ehlo()
        log_in = getattr(smtp, f"auth_{method}")
        if good:
            assert (await log_in(user, password)).code == 235
        else:
            with pytest.raises(aiosmtplib.SMTPAuthenticationError) as refusal:
                await log_in(user, password)
            assert refusal.value.code == 535


@pytest.mark.parametrize(
    ("name", "code", "text"),
    [
        ("throttle", 421, "4.7.0"),
        ("error_500", 451, "4.3.0"),
        ("error_503", 452, "4.3.1"),
        ("bad_credentials", 530, "5.7.0"),
        ("rejected_recipient", 550, "5.1.1"),
    ],
)
async def test_mail_fault_refuses_the_recipient_with_its_code(
    client: SandboxClient, name: str, code: int, text: str
) -> None:
    await client.fault("smtp", name, times=1)
    with pytest.raises(aiosmtplib.SMTPRecipientsRefused) as refusal:
        await client.mail()
    (recipient,) = refusal.value.recipients
    assert (recipient.code, recipient.message.split()[0]) == (code, text)
    assert await client.inbox() == []
    await client.mail()
    assert len(await client.inbox()) == 1


async def test_mail_fault_is_bad_credentials_refuses_the_login(client: SandboxClient) -> None:
    await client.fault("smtp", "bad_credentials", times=1)
    with pytest.raises(aiosmtplib.SMTPAuthenticationError):
        await client.mail(username="u", password="p")


async def test_mail_fault_refuses_the_content_after_the_dot(client: SandboxClient) -> None:
    await client.fault("smtp", "rejected_message", times=1)
    with pytest.raises(aiosmtplib.SMTPDataError) as refusal:
        await client.mail()
    assert (refusal.value.code, refusal.value.message.split()[0]) == (554, "5.6.0")
    assert await client.inbox() == []


async def test_mail_fault_is_for_one_recipient_takes_the_others(client: SandboxClient) -> None:
    await client.fault("smtp", "rejected_recipient", to="bob@example.com")
    await client.mail("ada@example.com", "bob@example.com")
    assert (await client.inbox())[0]["to"] == ["ada@example.com"]


@pytest.mark.parametrize(
    ("name", "stored"),
    [("reset", 0), ("html_error", 0), ("accept_then_reset", 1), ("wrong_content_type", 1), ("truncated_json", 1)],
)
async def test_mail_fault_breaks_the_conversation(client: SandboxClient, name: str, stored: int) -> None:
    await client.fault("smtp", name, times=1)
    with pytest.raises((aiosmtplib.SMTPException, ConnectionError)):
        await client.mail()
    assert len(await client.inbox()) == stored
    await client.mail()
    assert len(await client.inbox()) == stored + 1


async def test_mail_has_no_from_is_refused(client: SandboxClient) -> None:
    async with aiosmtplib.SMTP(hostname="127.0.0.1", port=client.box.smtp_port, start_tls=False) as smtp:
        with pytest.raises(aiosmtplib.SMTPDataError) as refusal:
            await smtp.sendmail("a@example.com", ["b@example.com"], "Subject: x\r\n\r\nHi")
    assert refusal.value.code == 554
    assert (await client.get("/_sandbox/stats"))["smtp"]["refused"] == 1


async def test_mail_carries_a_script_is_shown_where_none_runs(client: SandboxClient) -> None:
    message = plain_mail()
    message.add_alternative("<script>alert(1)</script>", subtype="html")
    await client.mail(message=message)
    _, _, headers = await client.call("GET", "/_sandbox/inbox/1/html")
    assert headers["Content-Security-Policy"].startswith("sandbox ")
    assert "allow-scripts" not in headers["Content-Security-Policy"]
