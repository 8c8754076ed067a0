"""Mailgun: the request's shape to the byte, and every row of how its answers are read."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from devstack.sandbox.providers.mailgun_form import Part, parts_of
from hermod.channels.email.mailgun.form import Field, File, encode
from hermod.channels.email.mailgun.sender import MailgunSender
from hermod.contracts.notifications.messages import Outcome
from hermod.contracts.notifications.outcomes import Accepted, Throttled
from hermod.outbound.addresses.guard import AddressGuard
from tests.unit.channels.samples import CREDENTIALS, account, email, file, outgoing, reply, sms, wiring

HEAD = 'Content-Disposition: form-data; name="{}"'


def sender(**changes: Any) -> MailgunSender:
    return MailgunSender(account("mailgun", **changes), wiring())


def credentials(**changes: str | None) -> dict[str, str]:
    merged: dict[str, str | None] = {**CREDENTIALS["mailgun"], **changes}
    return {name: value for name, value in merged.items() if value is not None}


def form(**changes: Any) -> list[Part]:
    request = sender().request(outgoing(email(**changes)))
    return parts_of(request.headers["content-type"], request.content)


def texts(**changes: Any) -> list[tuple[str, str]]:
    return [(part.name, part.text) for part in form(**changes) if part.filename is None]


def test_request_is_what_mailgun_documents() -> None:
    request = sender().request(outgoing(email(html="<p>Hi</p>"), sender="News <news@example.com>", request_id="req_1"))
    assert request.method == "POST"
    assert str(request.url) == "https://api.eu.mailgun.net/v3/mail.example.com/messages"
    headers = dict(request.headers)
    kind, _, boundary = headers.pop("content-type").partition("; boundary=")
    assert kind == "multipart/form-data"
    assert headers == {
        "accept": "application/json",
        "authorization": "Basic " + base64.b64encode(b"api:key-of-the-account").decode(),
        "x-request-id": "req_1",
    }
    fields = {
        "from": "News <news@example.com>",
        "to": "ada@example.com",
        "subject": "Hello",
        "text": "Hi Ada",
        "html": "<p>Hi</p>",
        "v:hermod_message_id": "msg_1",
    }
    expected = "".join(f"--{boundary}\r\n{HEAD.format(name)}\r\n\r\n{value}\r\n" for name, value in fields.items())
    assert request.content.decode() == f"{expected}--{boundary}--\r\n"


@pytest.mark.parametrize(
    ("region", "base_url", "host"),
    [
        (None, None, "api.mailgun.net"),
        ("us", None, "api.mailgun.net"),
        ("eu", None, "api.eu.mailgun.net"),
        ("eu", "https://proxy.example.com/", "proxy.example.com"),
    ],
)
def test_request_goes_to_the_region_of_the_account(region: str | None, base_url: str | None, host: str) -> None:
    request = sender(credentials=credentials(region=region), base_url=base_url).request(outgoing(email()))
    assert str(request.url) == f"https://{host}/v3/mail.example.com/messages"


def test_request_people_have_fields_of_their_own_and_nobody_gets_it_twice() -> None:
    fields = texts(
        to='"Doe, Zoë" <zoe@bücher.example>',
        cc=["bob@example.com", "Carl <carl@example.com>"],
        bcc=["BOB@example.com", "dora@example.com"],
        reply_to="Büro <office@example.com>",
    )
    people = [(name, value) for name, value in fields if name in ("to", "cc", "bcc", "h:Reply-To")]
    assert people == [
        ("to", '"Doe, Zoë" <zoe@xn--bcher-kva.example>'),
        ("cc", "bob@example.com"),
        ("cc", "Carl <carl@example.com>"),
        ("bcc", "dora@example.com"),
        ("h:Reply-To", "Büro <office@example.com>"),
    ]


def test_request_carries_headers_and_files() -> None:
    parts = form(
        html='<img src="cid:logo">',
        headers={"List-Unsubscribe": "<https://example.com/u/1>"},
        attachments=[file('Grö"ße.pdf', data=b"\r\n--\x00\xff"), file("logo.png", "image/png", b"png", "logo")],
    )
    assert Part("h:List-Unsubscribe", b"<https://example.com/u/1>") in parts
    assert [part for part in parts if part.filename] == [
        Part("attachment", b"\r\n--\x00\xff", 'Grö"ße.pdf', "application/pdf"),
        Part("inline", b"png", "logo", "image/png"),
    ]


def test_request_image_that_no_html_shows_is_an_attachment() -> None:
    parts = form(attachments=[file("logo.png", cid="logo")])
    assert [(part.name, part.filename) for part in parts if part.filename] == [("attachment", "logo.png")]


def test_form_boundary_follows_the_content_and_is_not_in_it() -> None:
    fields: list[Field] = [("text", "Hello"), ("inline", File("a", "image/png", b"1"))]
    kind, body = encode(fields)
    assert (kind, body) == encode(fields)
    boundary = kind.rpartition("=")[2]
    other, _ = encode([("text", boundary)])
    assert boundary not in other
    assert body.count(boundary.encode()) == 3


def test_form_names_cannot_leave_their_quotes() -> None:
    _, body = encode([("attachment", File('a"; name="to\r\nX: y', "text/plain", b""))])
    assert b'filename="a%22; name=%22to%0D%0AX: y"\r\nContent-Type: text/plain\r\n\r\n\r\n' in body


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (sms(), "email only"),
        (email(to="zoë@example.com"), "before the @"),
        (email(headers={f"X-{number}": "v" * 900 for number in range(20)}), "16 KiB of headers"),
        (email(cc=[f"{n}@example.com" for n in range(50)], bcc=[f"{n}@example.org" for n in range(50)]), None),
        (email(attachments=[file(data=b"x" * 10_000_000)]), None),
    ],
)
def test_content_that_mailgun_cannot_carry_is_named(content: Any, says: str | None) -> None:
    fault = sender().cannot_express(content)
    assert (says in (fault or "")) if says else fault is None


@pytest.mark.parametrize(
    ("name", "value"),
    [("domain", "https://mail.example.com"), ("domain", "mail"), ("domain", "a/b.example"), ("region", "asia")],
)
def test_settings_that_do_not_fit_are_named(name: str, value: str) -> None:
    (fault,) = MailgunSender.check(credentials(**{name: value}), None, AddressGuard())
    assert fault.field == f"credentials.{name}"


@pytest.mark.parametrize("identity", ["<1.2@mail.example.com>", "1.2@mail.example.com"])
def test_outcome_success_is_accepted_with_the_id_that_webhooks_name(identity: str) -> None:
    outcome = sender().outcome(reply(200, {"id": identity, "message": "Queued. Thank you."}), outgoing(email()))
    assert outcome == Accepted(status_code=200, provider_id="1.2@mail.example.com")


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"Mailgun Magnificent API", "text/plain"),
        (b'{"message": "Mailgun Magnificent API"}', "application/json"),
        (b'{"id": "<1', "application/json"),
        (b'{"id": 7}', "application/json"),
        (b"<html>", "text/html"),
        (b"", None),
    ],
)
def test_outcome_success_without_an_id_is_unknown(body: bytes, kind: str | None) -> None:
    outcome = sender().outcome(reply(200, body, kind), outgoing(email()))
    assert (outcome.kind, outcome.error_code) == (Outcome.UNKNOWN, "no_id")


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (400, "to parameter is not a valid address. please check documentation", Outcome.MESSAGE_REJECTED),
        (400, "Domain mail.example.com is not allowed to send: unverified", Outcome.MESSAGE_REJECTED),
        (401, "Invalid private key", Outcome.ACCOUNT_HALTED),
        (403, "Activate your account", Outcome.ACCOUNT_HALTED),
        (404, "Domain not found: mail.example.com", Outcome.ACCOUNT_HALTED),
        (413, "Request Entity Too Large", Outcome.MESSAGE_REJECTED),
        (429, "too fast", Outcome.THROTTLED),
        (408, "timeout", Outcome.UNKNOWN),
        (500, "Internal Server Error", Outcome.UNKNOWN),
        (502, "Bad Gateway", Outcome.UNKNOWN),
        (503, "Service Unavailable", Outcome.UNKNOWN),
        (504, "Gateway Timeout", Outcome.UNKNOWN),
    ],
)
def test_outcome_error_is_read_by_status(status: int, message: str, kind: Outcome) -> None:
    outcome = sender().outcome(reply(status, {"message": message}), outgoing(email()))
    assert (outcome.kind, outcome.status_code, outcome.error) == (kind, status, message)


def test_outcome_forbidden_as_plain_text_halts_the_account() -> None:
    outcome = sender().outcome(reply(401, b"Forbidden", "text/plain"), outgoing(email()))
    assert (outcome.kind, outcome.error) == (Outcome.ACCOUNT_HALTED, "HTTP 401")


@pytest.mark.parametrize(
    ("message", "header", "wait"),
    [
        ("Domain x: hourly limit exceeded, try again after 120 seconds", None, 120.0),
        ("limit exceeded, try again after Sun, 22 Nov 2026 12:00:30 UTC", None, 30.0),
        ("limit exceeded, try again after 120 seconds", "7", 7.0),
        ("limit exceeded, try again after a while", None, None),
        ("limit exceeded, try again after 9999999 seconds", None, None),
        ("", None, None),
    ],
)
def test_outcome_throttled_waits_as_long_as_the_sentence_says(
    message: str, header: str | None, wait: float | None
) -> None:
    headers = {"retry_after": header} if header else {}
    outcome = sender().outcome(reply(429, {"message": message}, **headers), outgoing(email()))
    assert isinstance(outcome, Throttled)
    assert outcome.retry_after == wait


def test_outcome_error_hides_the_key_and_shows_the_domain() -> None:
    text = "key-of-the-account may not send from mail.example.com to ada@example.com"
    outcome = sender().outcome(reply(403, {"message": text}), outgoing(email()))
    assert outcome.error == "[credential] may not send from mail.example.com to [address]"
