"""A mail is taken apart for the inbox, and a text that is no mail is refused."""

from __future__ import annotations

from email.message import EmailMessage
from email.policy import SMTP

import pytest

from devstack.sandbox.entry import Entry
from devstack.sandbox.mime import Malformed, parse


def mail() -> EmailMessage:
    message = EmailMessage()
    message["From"] = "Küche <kitchen@example.com>"
    message["To"] = "Søren <soren@example.dk>"
    message["Subject"] = "Tonight’s menu — crème brûlée"
    message["Message-ID"] = "<msg_1@mail.example.com>"
    message["X-Tag"] = "one"
    message["X-Tag"] = "two"
    message.set_content("Crème brûlée.\nEnjoy.")
    return message


def taken(content: bytes | EmailMessage) -> Entry:
    raw = content.as_bytes(policy=SMTP) if isinstance(content, EmailMessage) else content
    return parse(raw, provider="smtp", sender="bounce@example.com", recipients=["soren@example.dk", "bcc@example.dk"])


def test_mail_is_plain_keeps_words_headers_and_envelope() -> None:
    entry = taken(mail())
    assert entry.subject == "Tonight’s menu — crème brûlée"
    assert entry.text == "Crème brûlée.\nEnjoy.\n"
    assert entry.html is None
    assert entry.sender == "Küche <kitchen@example.com>"
    assert entry.to == ("soren@example.dk", "bcc@example.dk")
    assert entry.message_id == "msg_1"
    assert entry.headers["X-Tag"] == "one\ntwo"


def test_mail_has_html_images_and_files_keeps_them_apart() -> None:
    message = mail()
    message.add_alternative('<p>Crème brûlée <img src="cid:logo"></p>', subtype="html")
    message.get_payload()[1].add_related(b"\x89PNG", "image", "png", cid="<logo>", filename="logo.png")  # type: ignore[index, union-attr]
    message.add_attachment("a;b\n", subtype="csv", filename="menü.csv")
    entry = taken(message)
    assert entry.text is not None
    assert entry.html is not None
    assert "cid:logo" in entry.html
    assert [(found.filename, found.content_type, found.content_id) for found in entry.attachments] == [
        ("logo.png", "image/png", "logo"),
        ("menü.csv", "text/csv", None),
    ]
    assert entry.attachments[0].content == b"\x89PNG"


def test_text_file_is_attached_is_not_taken_for_the_body() -> None:
    message = mail()
    message.add_attachment("notes", filename="notes.txt")
    entry = taken(message)
    assert entry.text == "Crème brûlée.\nEnjoy.\n"
    assert [found.filename for found in entry.attachments] == ["notes.txt"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"To: a@example.com\r\n\r\nHi", "From header is missing"),
        (b"From: a@example.com\r\nFrom: b@example.com\r\n\r\nHi", "more than one From"),
        (b"From: a@example.com\r\nSubject: x\r\nSubject: y\r\n\r\nHi", "more than one Subject"),
        (b"", "From header is missing"),
    ],
)
def test_text_is_no_mail_is_refused(content: bytes, reason: str) -> None:
    with pytest.raises(Malformed, match=reason):
        taken(content)


def test_charset_is_unknown_is_refused() -> None:
    with pytest.raises(Malformed):
        taken(b"From: a@example.com\r\nContent-Type: text/plain; charset=nonsense\r\n\r\nHi")
