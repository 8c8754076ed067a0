"""The internet message of an email, read back by the standard library's parser and looked at on the wire."""

from __future__ import annotations

from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any

import pytest

from hermod.channels.email import mime
from tests.unit.channels.samples import NOW, email, file

UNSUBSCRIBE = "<https://mail.example.com/u/" + "a" * 150 + ">, <mailto:stop@example.com?subject=" + "b" * 60 + ">"


def wire(sender: str = "News <news@example.com>", **changes: Any) -> bytes:
    return mime.compose(email(**changes), sender=sender, message_id="msg_1", date=NOW).data


def parsed(**changes: Any) -> EmailMessage:
    message = message_from_bytes(wire(**changes), policy=default)
    assert isinstance(message, EmailMessage)
    return message


def tree(part: EmailMessage) -> Any:
    kind = part.get_content_type()
    return (kind, [tree(inner) for inner in part.iter_parts()]) if part.is_multipart() else kind  # type: ignore[arg-type]


def test_mime_plain_message_to_the_byte() -> None:
    assert wire() == (
        b"From: News <news@example.com>\r\n"
        b"To: ada@example.com\r\n"
        b"Subject: Hello\r\n"
        b"Date: Sun, 22 Nov 2026 12:00:00 +0000\r\n"
        b"Message-ID: <msg_1@example.com>\r\n"
        b"MIME-Version: 1.0\r\n"
        b'Content-Type: text/plain; charset="utf-8"\r\n'
        b"Content-Transfer-Encoding: 7bit\r\n"
        b"\r\n"
        b"Hi Ada\r\n"
    )


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "text/plain"),
        ({"text": None, "html": "<p>"}, "text/html"),
        ({"html": "<p>"}, ("multipart/alternative", ["text/plain", "text/html"])),
        ({"attachments": [file()]}, ("multipart/mixed", ["text/plain", "application/pdf"])),
        (
            {"text": None, "html": "<p>", "attachments": [file("i.png", "image/png", cid="i")]},
            ("multipart/related", ["text/html", "image/png"]),
        ),
        (
            {"html": "<p>", "attachments": [file(), file("i.png", "image/png", cid="i")]},
            (
                "multipart/mixed",
                [
                    (
                        "multipart/alternative",
                        ["text/plain", ("multipart/related", ["text/html", "image/png"])],
                    ),
                    "application/pdf",
                ],
            ),
        ),
        ({"attachments": [file("i.png", "image/png", cid="i")]}, ("multipart/mixed", ["text/plain", "image/png"])),
    ],
)
def test_mime_has_no_more_layers_than_needed(changes: dict[str, Any], expected: Any) -> None:
    assert tree(parsed(**changes)) == expected


def test_mime_inline_image_is_found_by_its_content_id() -> None:
    message = parsed(text=None, html='<img src="cid:logo">', attachments=[file("l.png", "image/png", b"png", "logo")])
    image = list(message.iter_parts())[1]
    assert (image["Content-ID"], image.get_content_disposition(), image.get_content()) == ("<logo>", "inline", b"png")


def test_mime_attachment_keeps_name_and_bytes() -> None:
    data = bytes(range(256))
    (attachment,) = parsed(attachments=[file("Größe 1.bin", "application/x-thing", data)]).iter_attachments()
    assert attachment.get_filename() == "Größe 1.bin"
    assert attachment.get_content() == data


@pytest.mark.parametrize("kind", ["message/rfc822", "multipart/mixed"])
def test_mime_attached_container_travels_as_bytes(kind: str) -> None:
    (attachment,) = parsed(attachments=[file("m.eml", kind, b"Subject: x\r\n\r\ny")]).iter_attachments()
    assert attachment.get_content_type() == "application/octet-stream"
    assert attachment.get_content() == b"Subject: x\r\n\r\ny"


def test_mime_names_and_subject_of_other_scripts_survive() -> None:
    message = parsed(
        sender="Müller & Söhne <hi@müller.example>",
        to="Zoë <zoe@example.com>",
        cc=["名前 <n@example.com>", "bob@example.com"],
        reply_to="Büro <b@example.com>",
        subject="Grüße 🚀 " * 20,
    )
    assert message["From"].addresses[0].display_name == "Müller & Söhne"
    assert message["From"].addresses[0].addr_spec == "hi@xn--mller-kva.example"
    assert message["To"].addresses[0].display_name == "Zoë"
    assert [address.display_name for address in message["Cc"].addresses] == ["名前", ""]
    assert message["Reply-To"].addresses[0].display_name == "Büro"
    assert message["Subject"] == "Grüße 🚀 " * 20
    assert message["Message-ID"] == "<msg_1@xn--mller-kva.example>"


@pytest.mark.parametrize("html", ["<p>é" + "x" * 5000, "short é", "a\nb"])
def test_mime_wire_is_seven_bit_with_short_lines(html: str) -> None:
    raw = wire(
        html=html,
        subject="Grüße " * 60,
        cc=[f"Person {number} <person{number}@example.com>" for number in range(40)],
        attachments=[file(data=b"\xff" * 5000)],
    )
    assert raw.isascii()
    assert all(len(line) <= 78 for line in raw.split(b"\r\n"))
    assert b"\n" not in raw.replace(b"\r\n", b"")


def test_mime_long_url_in_a_header_is_left_as_it_is() -> None:
    raw = wire(headers={"List-Unsubscribe": UNSUBSCRIBE, "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"})
    first, second = UNSUBSCRIBE.encode().split(b" ")
    assert b"List-Unsubscribe: " + first + b"\r\n " + second + b"\r\n" in raw
    assert b"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n" in raw


@pytest.mark.parametrize(
    "value",
    ["word " * 60 + "end", "a" + " " * 200 + "b", "", "  lead", "trail  ", "x" * 980, "a=b?c"],
)
def test_mime_header_of_ascii_reads_back_as_written(value: str) -> None:
    raw = wire(headers={"X-Test": value})
    block = raw.split(b"\r\n\r\n")[0] + b"\r\n"
    start = block.index(b"X-Test: ") + len(b"X-Test: ")
    end = start
    while True:
        end = block.index(b"\r\n", end) + 2
        if block[end : end + 1] != b" ":
            break
    folded = block[start : end - 2]
    assert folded.replace(b"\r\n", b"").decode() == value
    assert all(len(line) <= 998 for line in folded.split(b"\r\n"))
    assert all(line.strip() for line in folded.split(b"\r\n")[1:])


def test_mime_header_word_that_fits_no_line_is_encoded() -> None:
    message = parsed(headers={"X-A-Long-Name-Of-A-Header": "x" * 998})
    assert message["X-A-Long-Name-Of-A-Header"] == "x" * 998


def test_mime_copies_in_secret_stay_secret() -> None:
    raw = wire(bcc=["carl@example.com"])
    assert b"carl" not in raw
    assert b"bcc" not in raw.lower()


def test_mime_recipients_are_everyone_once_beginning_with_to() -> None:
    content = email(
        to="Ada <ada@example.com>",
        cc=["bob@example.com", "ADA@example.com"],
        bcc=["Bob@Example.com", "Zoë <zoe@bücher.example>"],
    )
    assert mime.recipients(content) == ("ada@example.com", "bob@example.com", "zoe@xn--bcher-kva.example")


def test_mime_repeat_of_a_message_has_the_same_id() -> None:
    first, second = (message_from_bytes(wire(), policy=default)["Message-ID"] for _ in range(2))
    assert first == second == "<msg_1@example.com>"


def test_mime_address_with_local_part_of_another_script_needs_utf8() -> None:
    message = mime.compose(
        email(to="Jürgen <jürgen@example.com>"), sender="n@example.com", message_id="msg_1", date=NOW
    )
    assert "To: =?utf-8?q?J=C3=BCrgen?= <jürgen@example.com>\r\n".encode() in message.data
    assert message.utf8


@pytest.mark.parametrize("address", ["nobody", "@example.com", "ada@"])
def test_mime_text_that_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="not an email address"):
        mime.mailbox(address)


@pytest.mark.parametrize(
    "text", ["a\r\nb\rc\n\n\n", "  \n\t\n", "trail  \nü \n.\n..\nFrom me", "名前" * 500, "", "\x0b\x1b[0m"]
)
def test_mime_body_arrives_to_the_character(text: str) -> None:
    (body,) = [part for part in parsed(text=text or "\n", html="<p>").walk() if part.get_content_type() == "text/plain"]
    lines = (text or "\n").replace("\r\n", "\n").replace("\r", "\n")
    payload = body.get_payload(decode=True)
    assert isinstance(payload, bytes)
    assert payload.decode().replace("\r\n", "\n") == (lines if lines.endswith("\n") else lines + "\n")


def test_mime_same_email_gives_the_same_bytes() -> None:
    rich: dict[str, Any] = {"html": "<p>ü", "attachments": [file(), file("i.png", "image/png", cid="i")]}
    assert wire(**rich) == wire(**rich)


INVITATION = "text/calendar; method=REQUEST"


@pytest.mark.parametrize(
    "kind", [INVITATION, "text/calendar;method=REQUEST", "text/calendar; charset=UTF-8; method=CANCEL"]
)
def test_mime_invitation_is_an_alternative_to_the_text(kind: str) -> None:
    message = parsed(html="<p>", attachments=[file("invite.ics", kind, b"BEGIN:VCALENDAR"), file()])
    assert tree(message) == (
        "multipart/mixed",
        [("multipart/alternative", ["text/plain", "text/html", "text/calendar"]), "application/pdf"],
    )
    (invitation,) = [part for part in message.walk() if part.get_content_type() == "text/calendar"]
    assert invitation["Content-Type"].params["method"] == kind.rpartition("=")[2]
    assert invitation["Content-Type"].params["charset"].lower() == "utf-8"
    assert (invitation.get_filename(), invitation.get_content_disposition()) == ("invite.ics", None)
    assert invitation.get_content() == "BEGIN:VCALENDAR"


def test_mime_calendar_without_a_method_is_an_attachment() -> None:
    assert tree(parsed(attachments=[file("c.ics", "text/calendar")])) == (
        "multipart/mixed",
        ["text/plain", "text/calendar"],
    )


def test_mime_file_keeps_the_parameters_of_its_type() -> None:
    (found,) = parsed(
        attachments=[file("Größe.csv", 'text/csv; charset=latin1; header="a;b"; name=x')]
    ).iter_attachments()
    params = found["Content-Type"].params
    assert (params["charset"], params["header"], params["name"]) == ("latin1", "a;b", "Gro_e.csv")
    assert found.get_filename() == "Größe.csv"


def test_mime_replies_go_to_several_addresses() -> None:
    people = parsed(reply_to=["Büro <b@example.com>", "c@example.com"])["Reply-To"].addresses
    assert [person.addr_spec for person in people] == ["b@example.com", "c@example.com"]
