"""What every mail API is given alike: names as they are read, several addresses for replies, types with parameters."""

from __future__ import annotations

import base64
from email import message_from_bytes
from typing import Any

import orjson
import pytest

from hermod.channels.registry import build
from tests.support import mail_reader
from tests.unit.channels.samples import account, email, file, outgoing, wiring

APIS = ["elasticemail", "mailgun", "postmark", "resend", "sendgrid", "ses"]
INJECTION = "=?utf-8?q?x=0d=0aBcc:victim=40evil.example?="
REPLIES = ["Büro <office@example.com>", "ada@example.com"]


def body(provider: str, **changes: Any) -> str:
    """The request's body as text."""
    sender: Any = build(account(provider), wiring())
    content = email(**changes)
    assert sender.cannot_express(content) is None
    return str(sender.request(outgoing(content)).content.decode())


@pytest.mark.parametrize("provider", [provider for provider in APIS if provider != "ses"])
def test_encoded_name_of_the_sender_is_read(provider: str) -> None:
    sent = body(provider, from_="=?utf-8?q?M=C3=BCller?= <news@example.com>")
    assert "Müller" in sent
    assert "=?" not in sent


@pytest.mark.parametrize("provider", [provider for provider in APIS if provider != "ses"])
def test_encoded_name_of_the_account_is_read(provider: str) -> None:
    sender: Any = build(account(provider, from_="=?utf-8?q?M=C3=BCller?= <news@example.com>"), wiring())
    given = outgoing(email(), sender=sender.account.from_)
    assert "Müller" in sender.request(given).content.decode()


@pytest.mark.parametrize("provider", [provider for provider in APIS if provider != "ses"])
def test_text_that_looks_like_an_encoded_word_is_given_as_it_is(provider: str) -> None:
    sent = body(provider, subject=INJECTION, text=INJECTION)
    assert sent.count(INJECTION) == 2


@pytest.mark.parametrize(
    ("provider", "expected"),
    [
        ("mailgun", "Büro <office@example.com>, ada@example.com"),
        ("postmark", '"ReplyTo":"Büro <office@example.com>, ada@example.com"'),
        ("resend", '"reply_to":["Büro <office@example.com>","ada@example.com"]'),
        ("sendgrid", '"reply_to_list":[{"email":"office@example.com","name":"Büro"},{"email":"ada@example.com"}]'),
        ("ses", '"ReplyToAddresses":["=?utf-8?b?QsO8cm8=?= <office@example.com>","ada@example.com"]'),
    ],
)
def test_replies_go_to_several_addresses(provider: str, expected: str) -> None:
    sent = body(provider, reply_to=REPLIES)
    assert expected in sent
    assert '"reply_to":{' not in sent


def test_replies_to_several_addresses_are_more_than_elastic_email_takes() -> None:
    sender: Any = build(account("elasticemail"), wiring())
    assert "one address" in sender.cannot_express(email(reply_to=REPLIES))


@pytest.mark.parametrize("provider", ["elasticemail", "mailgun", "postmark", "resend"])
def test_invitation_keeps_its_method(provider: str) -> None:
    kind = "text/calendar; method=REQUEST"
    assert kind in body(provider, attachments=[file("invite.ics", kind)])


def test_invitation_is_more_than_sendgrid_takes() -> None:
    sender: Any = build(account("sendgrid"), wiring())
    invitation = file("invite.ics", "text/calendar; method=REQUEST")
    assert "parameters" in sender.cannot_express(email(attachments=[invitation]))


@pytest.mark.parametrize(
    "changes",
    [
        {"subject": INJECTION},
        {"headers": {"X-Note": INJECTION}},
        {"attachments": [file(INJECTION)]},
        {"cc": [f'"{INJECTION}" <bob@example.com>', "carl@example.com"], "attachments": [file()]},
    ],
)
def test_mail_by_ses_with_text_that_looks_encoded_is_a_message_of_our_own(changes: dict[str, Any]) -> None:
    mail = orjson.loads(body("ses", **changes))
    raw = base64.b64decode(mail["Content"]["Raw"]["Data"])
    assert b"\nbcc:" not in raw.lower()
    read = mail_reader.read(raw)
    assert mail_reader.text(read.one("Subject")) == changes.get("subject", "Hello")
    for name, value in changes.get("headers", {}).items():
        assert mail_reader.text(read.one(name)) == value
    names = {part.get_filename() for part in message_from_bytes(raw).walk() if part.get_filename()}
    assert names == {one.filename for one in changes.get("attachments", [])}
    if "cc" in changes:
        assert mail_reader.mailboxes(read.one("Cc")) == [(INJECTION, "bob@example.com"), ("", "carl@example.com")]


def test_names_by_ses_in_parts_are_encoded_words_without_line_breaks() -> None:
    mail = orjson.loads(body("ses", to=f'"{INJECTION}" <ada@example.com>', cc=["Zoë " * 40 + "<zoe@example.com>"]))
    people = [*mail["Destination"]["ToAddresses"], *mail["Destination"]["CcAddresses"]]
    assert [mail_reader.mailboxes(one) for one in people] == [
        [(INJECTION, "ada@example.com")],
        [(("Zoë " * 40).strip(), "zoe@example.com")],
    ]
