"""Headers as they are written: whatever is given is read back, by a strict reader and by the standard library's."""

from __future__ import annotations

from email import message_from_string
from email.header import decode_header, make_header
from email.message import Message
from email.utils import collapse_rfc2231_value, getaddresses
from typing import Final

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hermod.channels.email import headers
from hermod.contracts.values.mailboxes import Mailbox, read_mailbox
from tests.support import mail_reader

LINE: Final = 78
NASTY: Final = st.sampled_from(
    [
        "=?utf-8?q?x=0d=0aBcc:victim=40evil.example?=",
        "=?utf-8?b?eA0KQmNjOnY=?=",
        "=?utf-8?q?a?= =?utf-8?q?b?=",
        "=?",
        "?=",
        "=?=",
        "ceo@bank.example, ",
        '"',
        "\\",
        "  ",
        "<>",
        "(x)",
        "a:b;",
        "…",
        "ü" * 60,
        "👩‍👩‍👧‍👦" * 9,
        "x" * 90,
    ]
)
CHARACTER: Final = st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"])
TEXT: Final = st.lists(
    st.text(CHARACTER, max_size=30) | st.text(st.characters(min_codepoint=32, max_codepoint=126)) | NASTY
)
LINES: Final = st.one_of(
    TEXT.map(" ".join),
    TEXT.map("".join),
    st.lists(st.text(CHARACTER, min_size=1, max_size=12), max_size=40).map(" ".join),
).map(lambda text: text[:998])
NAMES: Final = LINES.map(lambda text: text[:300].strip())
ADDRESSES: Final = st.sampled_from(
    [
        ("ada", "example.com"),
        ('"taro..x"', "example.com"),
        ('"a <b, c"', "example.com"),
        ("x" * 64, "y." * 90 + "example"),
    ]
)
PEOPLE: Final = st.lists(
    st.builds(lambda name, address: Mailbox(name, *address), NAMES, ADDRESSES), min_size=1, max_size=6
)


def checked(header: str, name: str) -> tuple[str, Message]:
    """The value as the strict reader and the standard library's parser see it, its lines measured."""
    for line in header.split("\r\n"):
        assert len(line) <= LINE or " " not in line.strip().removeprefix(f"{name}: "), f"could be broken: {line!r}"
    for word in header.split():
        assert not word.startswith("=?") or len(word) <= 75
    mail = mail_reader.read(header.encode() + b"\r\n\r\n")
    assert [found for found, _ in mail.headers] == [name]
    return mail.one(name), message_from_string(header + "\r\n\r\n")


def old(value: object) -> str:
    return str(make_header(decode_header(str(value).replace("\r\n", ""))))


@given(LINES)
@example("Grüße 🚀 " * 20)
@example(" lead and trail ")
@example("a  b")
@example("x" * 998)
def test_subject_is_read_back_as_it_was_given(text: str) -> None:
    value, parsed = checked(headers.subject(text), "Subject")
    assert mail_reader.text(value) == text
    assert old(parsed["Subject"]) == text
    assert headers.subject(text).isascii()


@given(LINES)
@example("(ü)  (x) =?utf-8?q?a?=")
def test_header_is_read_back_as_it_was_given(text: str) -> None:
    header = headers.text("X-Note", text)
    value, _ = checked_words(header)
    assert mail_reader.text(value) == text
    assert header.isascii()


def checked_words(header: str) -> tuple[str, Message]:
    """A header of the caller's own: a long word of ASCII is not broken, as it may be a URL."""
    mail = mail_reader.read(header.encode() + b"\r\n\r\n")
    assert len(mail.headers) == 1
    return mail.headers[0][1], message_from_string(header + "\r\n\r\n")


@given(
    st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters=":"), min_size=1, max_size=255), LINES
)
def test_header_of_any_name_is_read_back_as_it_was_given(name: str, text: str) -> None:
    value, parsed = checked_words(headers.text(name, text))
    assert mail_reader.text(value) == text
    assert parsed.keys() == [name]


@given(PEOPLE)
@example([Mailbox("Müller, Jörg", "j", "example.com"), Mailbox("Doe, Jane", "d", "example.com")])
@example([Mailbox("ceo@bank.example, Department " + "of very long names " * 5, "shop", "example.com")])
@example(
    [Mailbox('Zoë "Z" Bär', "z", "example.com"), Mailbox("", "a", "example.com"), Mailbox("\\", "b", "example.com")]
)
def test_list_of_people_is_read_back_as_it_was_given(people: list[Mailbox]) -> None:
    header = headers.mailboxes("Cc", people)
    mail = mail_reader.read(header.encode() + b"\r\n\r\n")
    expected = [(person.name, person.address) for person in people]
    assert mail_reader.mailboxes(mail.one("Cc")) == expected
    if not any('"' in person.local for person in people):
        unfolded = str(message_from_string(header + "\r\n\r\n")["Cc"]).replace("\r\n", "")
        assert [(old(name), address) for name, address in getaddresses([unfolded])] == expected
    assert all(len(line) <= LINE or " " not in line.removeprefix("Cc:").strip() for line in header.split("\r\n"))
    assert not any(len(word) > 75 for word in header.split() if word.startswith("=?"))


@given(st.builds(lambda name, address: Mailbox(name, *address), NAMES, ADDRESSES))
def test_mailbox_as_text_is_read_as_the_same_mailbox(person: Mailbox) -> None:
    assert read_mailbox(str(person)) == person


@given(LINES.filter(bool).map(lambda text: text[:255]))
@example("=?utf-8?q?x=0d=0aBcc:victim=40evil.example?=.pdf")
@example('a";filename="b.exe')
@example("a\\")
@example("Größe " * 40 + ".pdf")
@example("x" * 251 + ".pdf")
@example("100%25'en'.pdf")
def test_file_name_is_read_back_as_it_was_given(name: str) -> None:
    header = headers.parameters("Content-Disposition", "attachment", {"filename": name})
    assert header.isascii()
    assert all(len(line) <= LINE for line in header.split("\r\n"))
    mail = mail_reader.read(header.encode() + b"\r\n\r\n")
    assert mail_reader.parameters(mail.one("Content-Disposition")) == ("attachment", {"filename": name})
    parsed = message_from_string(header + "\r\n\r\n")
    found = parsed.get_param("filename", header="Content-Disposition")
    assert found is not None
    assert collapse_rfc2231_value(found) == name
    assert parsed.get_content_disposition() == "attachment"


@given(LINES.filter(bool))
def test_file_name_for_old_readers_is_short_plain_and_of_one_word_or_more(name: str) -> None:
    plain = headers.ascii_name(name)
    if plain is None:
        assert f'filename="{name}"' in headers.parameters("X", "y", {"filename": name})
    else:
        header = headers.parameters("Content-Type", "text/plain", {"name": plain})
        assert f'name="{plain}"' in header
        assert "=?" not in header


@pytest.mark.parametrize("broken", ["a\nb", "a\rb", "a\0b", "ü\n", "\x7f", "=?utf-8?q?a?=\r\nBcc: x"])
def test_header_with_a_control_character_is_no_header(broken: str) -> None:
    for write in (
        lambda: headers.subject(broken),
        lambda: headers.text("X-A", broken),
        lambda: headers.text(broken, "x"),
        lambda: headers.mailboxes("To", [Mailbox(broken, "ada", "example.com")]),
        lambda: headers.mailboxes("To", [Mailbox("Ada", broken, "example.com")]),
    ):
        with pytest.raises(ValueError, match="header"):
            write()


def test_list_unsubscribe_stays_a_url_beside_a_name_that_is_encoded() -> None:
    url = "<https://mail.example.com/u/" + "a" * 150 + "?a=?b>"
    assert headers.text("List-Unsubscribe", url) == f"List-Unsubscribe: {url}"
    assert headers.text("List-Id", f"Größe {url}").endswith(f"\r\n {url}")
