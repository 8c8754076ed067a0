"""The sandbox's Postmark takes what the vendor takes, and refuses the rest with the vendor's ErrorCodes."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from httpx import Headers

from devstack.sandbox.fault import Fault, FaultName
from devstack.sandbox.providers.contract import Call, Refused, Reply, Submission
from devstack.sandbox.providers.postmark import Postmark

MAIL: dict[str, Any] = {
    "From": "Hermod <hello@example.com>",
    "To": '"Doe, Ada" <ada@example.com>, bob@example.com',
    "Bcc": "bcc@example.com",
    "ReplyTo": "reply@example.com",
    "Subject": "Hi",
    "HtmlBody": "<p>Hello</p>",
    "TextBody": "Hello",
    "MessageStream": "outbound",
    "Metadata": {"hermod_message_id": "msg_1"},
    "Headers": [{"Name": "List-Unsubscribe", "Value": "<https://example.com/u>"}],
    "Attachments": [{"Name": "a.png", "Content": "cG5n", "ContentType": "image/png", "ContentID": "cid:logo"}],
}
HEADERS = {"X-Postmark-Server-Token": "token", "Content-Type": "application/json", "Accept": "application/json"}


def submit(mail: object = MAIL, *, path: str = "/email", method: str = "POST", **changes: str | None) -> Submission:
    headers: dict[str, str | None] = {**HEADERS, **{name.replace("_", "-"): value for name, value in changes.items()}}
    kept = {name: value for name, value in headers.items() if value is not None}
    body = mail if isinstance(mail, bytes) else orjson.dumps(mail)
    return Postmark().check(Call(method, path, Headers(kept), body))


def read(reply: Reply) -> tuple[int, int]:
    body = orjson.loads(reply.body)
    assert body["Message"]
    return reply.status, body["ErrorCode"]


def refused(*arguments: Any, **changes: Any) -> tuple[int, int]:
    with pytest.raises(Refused) as refusal:
        submit(*arguments, **changes)
    return read(refusal.value.reply)


def changed(**changes: Any) -> dict[str, Any]:
    """MAIL with some fields changed; `...` removes one."""
    return {name: value for name, value in {**MAIL, **changes}.items() if value is not ...}


def test_mail_is_taken_as_it_was_meant() -> None:
    submission = submit()
    (entry,) = submission.entries
    assert entry.to == ("ada@example.com", "bob@example.com", "bcc@example.com")
    assert (entry.message_id, entry.subject, entry.text, entry.html) == ("msg_1", "Hi", "Hello", "<p>Hello</p>")
    assert entry.headers == {
        "From": "Hermod <hello@example.com>",
        "To": '"Doe, Ada" <ada@example.com>, bob@example.com',
        "Reply-To": "reply@example.com",
        "List-Unsubscribe": "<https://example.com/u>",
    }
    assert [(file.filename, file.content_id, file.content) for file in entry.attachments] == [("a.png", "logo", b"png")]
    answer = Postmark().accepted(submission, submission.provider_id, repeated=False)
    body = orjson.loads(answer.body)
    assert (answer.status, body["MessageID"], body["ErrorCode"]) == (200, entry.provider_message_id, 0)


@pytest.mark.parametrize(
    ("mail", "code"),
    [
        (changed(From=...), 300),
        (changed(From="nobody"), 300),
        (changed(To=...), 300),
        (changed(To="ada@"), 300),
        (changed(To=["ada@example.com"]), 403),
        (changed(To=", ".join(f"{n}@example.com" for n in range(50))), 300),
        (changed(ReplyTo="nobody"), 300),
        (changed(HtmlBody=..., TextBody=...), 300),
        (changed(TextBody="x" * (5 * 1024 * 1024 + 1)), 300),
        (changed(Subject="x" * 2001), 300),
        (changed(MessageStream="nowhere"), 1226),
        (changed(TrackOpens="yes"), 403),
        (changed(TrackLinks="all"), 403),
        (changed(Tag="x" * 1001), 300),
        (changed(Headers={"X-A": "1"}), 403),
        (changed(Headers=[{"Name": "X-A"}]), 403),
        (changed(Headers=[{"Name": "X A", "Value": "1"}]), 300),
        (changed(Headers=[{"Name": "X-A", "Value": "1\r\nX-B: 2"}]), 300),
        (changed(Metadata={"a": 1}), 403),
        (changed(Metadata={"a" * 21: "1"}), 300),
        (changed(Metadata={"a": "1" * 81}), 300),
        (changed(Metadata={str(n): "1" for n in range(11)}), 300),
        (changed(Attachments=[{"Name": "a.png", "Content": "not base64", "ContentType": "image/png"}]), 300),
        (changed(Attachments=[{"Name": "a.png", "Content": "cG5n"}]), 300),
        (changed(Attachments=[{"Name": "a.exe", "Content": "cG5n", "ContentType": "a/b"}]), 411),
        (changed(Attachments=[{"Name": "a", "Content": "cG5n", "ContentType": "a/b", "ContentID": "logo"}]), 300),
        (changed(Attachments=[{"Filename": "a", "Content": "cG5n"}]), 403),
        (changed(to="ada@example.com"), 403),
        ([MAIL], 402),
        (b"{", 402),
    ],
)
def test_mail_that_postmark_would_not_take_is_refused(mail: object, code: int) -> None:
    assert refused(mail) == (422, code)


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"X_Postmark_Server_Token": None}, 401, 10),
        ({"X_Postmark_Server_Token": "bad-token"}, 401, 10),
        ({"Content_Type": "text/plain"}, 415, 409),
        ({"Accept": "text/html"}, 422, 409),
    ],
)
def test_request_with_wrong_headers_is_refused(changes: dict[str, str | None], status: int, code: int) -> None:
    assert refused(**changes) == (status, code)


@pytest.mark.parametrize(("path", "method", "status"), [("/emails", "POST", 404), ("/email", "GET", 405)])
def test_request_beside_the_api_is_refused(path: str, method: str, status: int) -> None:
    with pytest.raises(Refused) as refusal:
        submit(path=path, method=method)
    assert refusal.value.reply.status == status


def test_batch_is_answered_mail_by_mail() -> None:
    submission = submit([MAIL, changed(To="ada@"), MAIL], path="/email/batch")
    first, second = (entry.provider_message_id for entry in submission.entries)
    answer = orjson.loads(Postmark().accepted(submission, submission.provider_id, repeated=False).body)
    assert [item["ErrorCode"] for item in answer] == [0, 300, 0]
    assert [item.get("MessageID") for item in answer] == [first, None, second]


@pytest.mark.parametrize(("batch", "code"), [([], 403), (MAIL, 403), ([{}] * 501, 410)])
def test_batch_that_is_none_is_refused(batch: object, code: int) -> None:
    assert refused(batch, path="/email/batch") == (422, code)


@pytest.mark.parametrize(("mail", "path"), [(MAIL, "/email"), ([MAIL], "/email/batch")])
def test_test_token_validates_and_sends_nothing(mail: object, path: str) -> None:
    submission = submit(mail, path=path, X_Postmark_Server_Token="POSTMARK_API_TEST")
    parts = [part for part in submission.parts if isinstance(part, Submission)]
    assert [entry for taken in (submission, *parts) for entry in taken.entries] == []


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (FaultName.THROTTLE, 429, 429),
        (FaultName.BAD_CREDENTIALS, 401, 10),
        (FaultName.REJECTED_RECIPIENT, 422, 406),
        (FaultName.REJECTED_MESSAGE, 422, 300),
        (FaultName.ERROR_500, 500, 0),
        (FaultName.ERROR_503, 503, 0),
    ],
)
def test_fault_is_worded_as_postmark_does(fault: FaultName, status: int, code: int) -> None:
    reply = Postmark().refusal(Fault(fault, retry_after=6.5), submit())
    assert read(reply) == (status, code)
    assert reply.headers == {"Retry-After": "7"}
