"""What goes over the wire to a mail server: text arrives as text, whoever wrote it, and lists are what was given."""

from __future__ import annotations

from email import message_from_bytes
from email.header import decode_header, make_header
from email.message import Message
from email.utils import getaddresses
from typing import Any

import pytest

from hermod.contracts.forms.forms import FormNotification
from hermod.contracts.notifications.messages import Outcome
from hermod.contracts.notifications.outcomes import Accepted
from hermod.domain.forms.notifications import rendered
from starter.notifications.parsing import message_from
from tests.integration.conformance.email.test_smtp_stages import hosting, outgoing
from tests.support import mail_reader
from tests.unit.channels import samples
from tests.unit.channels.samples import file

INJECTION = "=?utf-8?q?x=0d=0aBcc:victim=40evil.example?="
BREAKS = [
    INJECTION,
    "=?utf-8?b?eA0KQmNjOnZpY3RpbUBldmlsLmV4YW1wbGU=?=",
    "=?utf-8?q?x=0d=0a=0d=0aBody?= =?utf-8?q?y?=",
    f"a {INJECTION} b",
    f"ü{INJECTION}",
    f'"{INJECTION}"',
    "=?utf-8?q?x=00y?=",
    "=?utf-8?q?ceo=40bank.example?=",
    "=?us-ascii*en?Q?x=0Ay?=",
]


async def wire(**changes: Any) -> bytes:
    async with hosting() as (host, sender):
        outcome = await sender.send(outgoing(**changes))
    assert isinstance(outcome, Accepted), outcome
    return host.mails[0].removesuffix(b"\r\n.\r\n")


def compat(value: str) -> str:
    """By the standard library's old reader."""
    return str(make_header(decode_header(value.replace("\r\n", ""))))


def names(mail: Message, header: str) -> list[tuple[str, str]]:
    values = [str(value).replace("\r\n", "") for value in mail.get_all(header, [])]
    return [(compat(name), address) for name, address in getaddresses(values)]


@pytest.mark.parametrize("text", BREAKS)
async def test_text_that_looks_like_an_encoded_word_arrives_as_text_in_every_field(text: str) -> None:
    name = text.replace('"', "")
    quoted = f'"{name}" <{{}}@example.com>'
    raw = await wire(
        subject=text,
        to=quoted.format("to"),
        cc=[quoted.format("cc"), "bob@example.com"],
        reply_to=quoted.format("re"),
        from_=quoted.format("news"),
        headers={"X-Note": text, "List-Id": f"{text} <news.example.com>"},
        attachments=[file(text), file(f"{text}.png", "image/png", cid="logo")],
        html='<img src="cid:logo">',
    )
    assert b"\nbcc:" not in raw.lower()
    mail = mail_reader.read(raw)
    old = message_from_bytes(raw)
    expected_headers = "From To Cc Reply-To Subject Date Message-ID X-Note List-Id MIME-Version Content-Type".split()
    assert sorted(header for header, _ in mail.headers) == sorted(expected_headers)
    assert mail_reader.text(mail.one("Subject")) == compat(str(old["Subject"])) == text
    assert mail_reader.text(mail.one("X-Note")) == compat(str(old["X-Note"])) == text
    assert mail_reader.text(mail.one("List-Id")) == f"{text} <news.example.com>"
    for header, local in (("From", "news"), ("To", "to"), ("Reply-To", "re")):
        expected = [(name, f"{local}@example.com")]
        assert mail_reader.mailboxes(mail.one(header)) == names(old, header) == expected
    assert mail_reader.mailboxes(mail.one("Cc")) == [(name, "cc@example.com"), ("", "bob@example.com")]
    files = [part for part in old.walk() if part.get_content_disposition()]
    assert {part.get_filename() for part in files} == {text, f"{text}.png"}


@pytest.mark.parametrize("text", BREAKS)
async def test_display_name_outside_quotes_with_line_breaks_in_it_stays_the_text_it_is(text: str) -> None:
    raw = await wire(to=f"{text} <ada@example.com>")
    (found,) = mail_reader.mailboxes(mail_reader.read(raw).one("To"))
    assert found[1] == "ada@example.com"
    assert not any(character in found[0] for character in "\r\n\0")


LISTS = [
    ['"Müller, Jörg" <j@example.com>', '"Doe, Jane" <d@example.com>'],
    ["Zoë <z@example.com>", '"Doe, Jane" <d@example.com>'],
    ['"ceo@bank.example, Department of very long names and of everything else that there is" <shop@example.com>'],
    ['"Zoë \\"Z\\" Bär" <z@example.com>', '"back\\\\slash" <b@example.com>', "Ada <a@example.com>"],
    ['"a@b.example" <c@example.com>', "d@example.com"],
    ['"名前, 様 (株)" <n@example.com>', "北京 Привет שלום مرحبا 🎉 <many@example.com>"],
]


@pytest.mark.parametrize("people", LISTS)
async def test_list_of_named_people_arrives_as_it_was_given(people: list[str]) -> None:
    raw = await wire(cc=people)
    expected = getaddresses(people)
    assert mail_reader.mailboxes(mail_reader.read(raw).one("Cc")) == expected
    assert names(message_from_bytes(raw), "Cc") == expected


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("Alert: Production <news@example.com>", "Alert: Production"),
        ("Shop (Berlin) <news@example.com>", "Shop (Berlin)"),
        ("Lovelace, Ada <news@example.com>", "Lovelace, Ada"),
        ('5" Screens <news@example.com>', '5" Screens'),
        ("=?utf-8?q?M=C3=BCller?= <news@example.com>", "Müller"),
        ("=?utf-8?q?M=C3?= =?utf-8?q?=BCller?= & =?iso-8859-1?q?S=F6hne?= <news@example.com>", "Müller & Söhne"),
        ('"=?utf-8?q?M=C3=BCller?=" <news@example.com>', "=?utf-8?q?M=C3=BCller?="),
        ("=?no-such?q?M=C3=BCller?= <news@example.com>", "=?no-such?q?M=C3=BCller?="),
    ],
)
async def test_sender_is_shown_by_the_name_it_was_given(given: str, name: str) -> None:
    raw = await wire(from_=given)
    expected = [(name, "news@example.com")]
    assert (
        mail_reader.mailboxes(mail_reader.read(raw).one("From")) == names(message_from_bytes(raw), "From") == expected
    )


async def test_header_that_describes_the_content_is_sent() -> None:
    mail = mail_reader.read(await wire(headers={"Content-Language": "de, en"}, html="<p>Hallo</p>"))
    assert mail.all("Content-Language") == ["de, en"]


@pytest.mark.parametrize("value", ["foo <", "<<>>", "a@b, , ;", 'a "b', "\u2028 x", "x" * 998])
async def test_header_of_any_syntax_is_sent_as_it_is(value: str) -> None:
    email = outgoing().content
    odd = email.model_copy(update={"headers": {"Resent-To": value}})
    async with hosting() as (host, sender):
        outcome = await sender.send(outgoing_of(odd))
    assert isinstance(outcome, Accepted), outcome
    assert mail_reader.text(mail_reader.read(host.mails[0]).one("Resent-To")) == value


@pytest.mark.parametrize(
    "changes",
    [
        {"subject": "Hi\nBcc: victim@evil.example"},
        {"subject": "Hi\0"},
        {"headers": {"X-A": "a\r\nBcc: victim@evil.example"}},
        {"headers": {"X-A\r\nBcc": "victim@evil.example"}},
        {"to": "nobody"},
        {"to": "a\r\nDATA@example.com"},
        {"cc": ("Ada\n <ada@example.com>",)},
        {"subject": "half a pair \ud83d"},
        {"text": "half a pair \ud83d"},
    ],
)
async def test_mail_that_cannot_be_composed_is_refused_before_anything_is_said(changes: dict[str, Any]) -> None:
    broken = outgoing().content.model_copy(update=changes)
    async with hosting() as (host, sender):
        outcome = await sender.send(outgoing_of(broken))
    assert outcome.kind is Outcome.MESSAGE_REJECTED
    assert host.connections == []


def outgoing_of(content: Any) -> Any:
    return samples.outgoing(content, sender="news@example.com")


@pytest.mark.parametrize("text", BREAKS)
async def test_what_a_visitor_enters_into_a_form_arrives_as_text(text: str) -> None:
    notification = FormNotification.model_validate(
        {
            "channel": "email",
            "to": "shop@example.com",
            "content": {
                "subject": "From {{ data.name }}",
                "text": "{{ data.name }}",
                "reply_to": ["{{ data.name }} <{{ data.email }}>"],
                "attachments": [{"filename": "{{ data.name }}", "content_base64": "eA=="}],
            },
        }
    )
    message = rendered(notification, {"data": {"name": text, "email": "eve@evil.example"}})
    assert message is not None
    async with hosting() as (host, sender):
        outcome = await sender.send(outgoing_of(message_from(message).content))
    assert isinstance(outcome, Accepted), outcome
    assert [command for command in host.connections[0] if command.startswith("RCPT")] == ["RCPT TO:<shop@example.com>"]
    mail = mail_reader.read(host.mails[0])
    assert mail_reader.text(mail.one("Subject")) == f"From {text}"
    assert [address for _, address in mail_reader.mailboxes(mail.one("Reply-To"))] == ["eve@evil.example"]
    assert not mail.all("Bcc")
    files = [part for part in message_from_bytes(host.mails[0]).walk() if part.get_content_disposition()]
    assert [part.get_filename() for part in files] == [text]


async def test_address_in_quotes_is_named_to_the_server_as_it_is_written() -> None:
    async with hosting() as (host, sender):
        content = samples.email(to='Taro <"taro..x"@example.com>', cc=['"a <b, c> d"@example.com'])
        outcome = await sender.send(samples.outgoing(content, sender='"no reply"@example.com'))
    assert isinstance(outcome, Accepted), outcome
    assert host.connections[0][1].startswith('MAIL FROM:<"no reply"@example.com>')
    assert host.connections[0][2:4] == ['RCPT TO:<"taro..x"@example.com>', 'RCPT TO:<"a <b, c> d"@example.com>']
    mail = mail_reader.read(host.mails[0])
    assert mail_reader.mailboxes(mail.one("To")) == [("Taro", '"taro..x"@example.com')]
    assert mail_reader.mailboxes(mail.one("Cc")) == [("", '"a <b, c> d"@example.com')]
