"""The inbox finds, counts and bounds what it holds, and is the same after a restart."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, Protocol

import pytest

from devstack.sandbox.entry import Attachment, Entry, now
from devstack.sandbox.inbox import Filter, Inbox, Known


def entry(number: int, **changes: Any) -> Entry:
    fields = {
        "provider": "sandbox",
        "channel": "email",
        "message_id": f"msg_{number}",
        "provider_message_id": f"sbx_{number}",
        "sender": None,
        "to": (f"user{number}@example.com",),
        "text": "Hello",
    }
    return Entry(**fields | changes)


def filled(inbox: Inbox, count: int) -> Inbox:
    for number in range(1, count + 1):
        inbox.receive((entry(number, idempotency_key=f"key-{number}"),), b"raw")
    return inbox


class Start(Protocol):
    def __call__(self, path: Path, keep: int = 50_000) -> Inbox:
        """An inbox with what an earlier one left in the file; closed at the end of the test."""
        ...


@pytest.fixture
def start() -> Iterator[Start]:
    with ExitStack() as stack:

        def started(path: Path, keep: int = 50_000) -> Inbox:
            inbox = stack.enter_context(closing(Inbox(path, keep=keep)))
            inbox.load()
            return inbox

        yield started


def numbers(inbox: Inbox, limit: int = 100, **wanted: Any) -> list[int]:
    return [found.number for found in inbox.find(Filter(**wanted), limit)[0]]


def test_messages_are_listed_newest_first_with_the_total() -> None:
    page, total = filled(Inbox(), 5).find(Filter(), 2)
    assert ([found.number for found in page], total) == ([5, 4], 5)


def test_messages_are_filtered_by_every_field() -> None:
    inbox = filled(Inbox(), 3)
    inbox.receive((entry(4, provider="twilio", channel="sms", to=("+14155550100",)),), b"")
    assert numbers(inbox, provider="twilio") == [4]
    assert numbers(inbox, channel="email") == [3, 2, 1]
    assert numbers(inbox, to="USER2@example.com") == [2]
    assert numbers(inbox, message_id="msg_3") == [3]
    assert numbers(inbox, after=2) == [4, 3]
    assert numbers(inbox, before=3) == [2, 1]


def test_message_is_taken_twice_its_id_counts_two() -> None:
    inbox = filled(Inbox(), 2)
    inbox.receive((entry(1),), b"")
    assert inbox.ids() == {"msg_1": 2, "msg_2": 1}
    assert inbox.ids("twilio") == {}


def test_request_is_noted_counts_by_message_whatever_becomes_of_it() -> None:
    inbox = filled(Inbox(), 1)
    inbox.note_request("sandbox", (entry(1), entry(2)))
    inbox.note_request("sandbox", (entry(1),))
    assert inbox.requests("sandbox") == inbox.requests() == {"msg_1": 2, "msg_2": 1}
    assert (inbox.requests("twilio"), inbox.ids()) == ({}, {"msg_1": 1})


def test_request_is_repeated_counts_on_the_first_message() -> None:
    inbox = filled(Inbox(), 1)
    known = inbox.known("sandbox", "key-1")
    assert known == Known("sbx_1", "msg_1", 1)
    inbox.repeat("sandbox", known)
    assert inbox.find(Filter(), 1)[0][0].repeats == 1
    assert inbox.stats()["sandbox"] == {"accepted": 1, "repeated": 1, "refused": 0, "faults": 0}
    assert inbox.known("twilio", "key-1") is None


def test_inbox_is_full_drops_the_oldest_but_counts_them() -> None:
    inbox = filled(Inbox(keep=3), 5)
    assert numbers(inbox) == [5, 4, 3]
    assert len(inbox.ids()) == 5
    assert inbox.channels() == {"email": 3}
    assert inbox.of_provider_id("sbx_1") is None
    assert inbox.known("sandbox", "key-1") is not None


def test_bytes_exceed_the_budget_are_dropped_from_the_oldest() -> None:
    inbox = Inbox(budget=10)
    for number in range(1, 4):
        inbox.receive((entry(number, attachments=(Attachment.of("a", "text/plain", b"1234", None),)),), b"")
    held = [found.attachments[0].content for found in inbox.find(Filter(), 3)[0]]
    assert held == [b"1234", b"1234", None]


def test_inbox_is_cleared_forgets_everything_but_numbers_on() -> None:
    inbox = filled(Inbox(), 3)
    inbox.clear()
    assert (len(inbox), inbox.ids(), inbox.stats(), inbox.channels(), inbox.known("sandbox", "key-1")) == (
        0,
        {},
        {},
        {},
        None,
    )
    inbox.receive((entry(9),), b"")
    assert numbers(inbox) == [4]


def test_sandbox_restarts_the_inbox_is_the_same(tmp_path: Path, start: Start) -> None:
    path = tmp_path / "deep" / "inbox.jsonl"
    image = Attachment.of("logo.png", "image/png", b"\x89PNG", "logo")
    first = start(path)
    first.receive((entry(1, attachments=(image,), headers={"X": "ü"}, idempotency_key="k"),), b"raw")
    first.repeat("sandbox", Known("sbx_1", "msg_1", 1))
    first.close()
    second = start(path)
    (found,) = second.find(Filter(), 9)[0]
    assert found.as_dict() | {"received_at": ""} == entry(1).as_dict() | {
        "number": 1,
        "repeats": 1,
        "headers": {"X": "ü"},
        "attachments": [image.as_dict()],
    }
    assert found.attachments[0].content == b"\x89PNG"
    assert found.raw is None
    assert second.known("sandbox", "k") == Known("sbx_1", "msg_1", 1)
    assert second.ids() == {"msg_1": 1}
    second.receive((entry(2),), b"")
    assert numbers(second) == [2, 1]


def test_last_line_is_torn_by_a_crash_the_rest_is_read_and_appended_to(tmp_path: Path, start: Start) -> None:
    path = tmp_path / "inbox.jsonl"
    filled(start(path), 2).close()
    with path.open("ab") as file:
        file.write(b'{"entry": {"number": 3, "provi')
    second = start(path)
    assert numbers(second) == [2, 1]
    second.receive((entry(3),), b"")
    second.close()
    assert numbers(start(path)) == [3, 2, 1]


def test_line_is_of_another_shape_is_skipped(tmp_path: Path, start: Start) -> None:
    path = tmp_path / "inbox.jsonl"
    path.write_bytes(b'{"entry": {}}\n[]\n{"entry": 7}\n{"forgotten": {}}\n{"repeated": 99}\nnull\n')
    assert len(start(path)) == 0


def test_file_grew_long_is_shortened_without_losing_ids_and_keys(tmp_path: Path, start: Start) -> None:
    path = tmp_path / "inbox.jsonl"
    inbox = filled(start(path, keep=3), 10)
    inbox.receive((entry(1),), b"")
    inbox.close()
    lines = path.read_bytes().count(b"\n")
    ids = inbox.ids()
    for _ in range(2):
        again = start(path, keep=3)
        assert numbers(again) == [11, 10, 9]
        assert again.ids() == ids
        assert again.known("sandbox", "key-1") == Known("sbx_1", "msg_1", 1)
        again.close()
    assert path.read_bytes().count(b"\n") == lines
    assert path.read_bytes().count(b'"entry"') == 3


def test_inbox_is_cleared_the_file_is_empty(tmp_path: Path, start: Start) -> None:
    path = tmp_path / "inbox.jsonl"
    inbox = filled(start(path), 3)
    inbox.clear()
    inbox.close()
    assert path.read_bytes() == b""
    assert len(start(path)) == 0


def test_time_is_written_in_utc_with_milliseconds() -> None:
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", now())


def test_message_has_only_html_previews_its_words() -> None:
    html = "<html><head><style>p{color:red}</style></head><body><!-- x --><p>Fish &amp; <b>soup</b></p></body></html>"
    assert entry(1, text=None, html=html).brief()["preview"] == "Fish & soup"
