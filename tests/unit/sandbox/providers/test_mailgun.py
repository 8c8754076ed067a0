"""The sandbox's Mailgun takes what the vendor takes, and refuses the rest in the vendor's words."""

from __future__ import annotations

import base64
from typing import Any

import httpx
import orjson
import pytest
from httpx import Headers

from devstack.sandbox.fault import Fault, FaultName
from devstack.sandbox.providers.contract import Call, Refused, Reply, Submission
from devstack.sandbox.providers.mailgun import Mailgun

PATH = "/v3/mail.example.com/messages"
LOGIN = "Basic " + base64.b64encode(b"api:key").decode()
FIELDS: dict[str, Any] = {
    "from": "Hermod <hello@example.com>",
    "to": ['"Doe, Zoë" <zoe@example.com>', "bob@example.com, carl@example.com"],
    "bcc": "bcc@example.com",
    "subject": "Grüße",
    "text": "Hello\r\n--\r\n",
    "html": "<p>Hello</p>",
    "h:Reply-To": "reply@example.com",
    "v:hermod_message_id": "msg_1",
}
FILES: list[tuple[str, tuple[str, bytes, str]]] = [
    ("attachment", ("Größe.pdf", b"%PDF\r\n\x00\xff", "application/pdf")),
    ("inline", ("logo", b"png", "image/png")),
]


def submit(
    fields: dict[str, Any] = FIELDS, files: Any = FILES, *, path: str = PATH, method: str = "POST", **changes: str
) -> Submission:
    """What httpx makes of the form."""
    request = httpx.Request("POST", "http://mailgun", data=fields, files=files)
    headers = {"Content-Type": request.headers["content-type"], "Authorization": LOGIN}
    headers |= {name.replace("_", "-"): value for name, value in changes.items()}
    return Mailgun().check(Call(method, path, Headers(headers), request.read()))


def refused(*arguments: Any, **changes: Any) -> Reply:
    with pytest.raises(Refused) as refusal:
        submit(*arguments, **changes)
    return refusal.value.reply


def changed(**changes: Any) -> dict[str, Any]:
    """FIELDS with some changed; `...` removes one. `h_X` stands for `h:X`."""
    renamed = {name.replace("__", ":"): value for name, value in changes.items()}
    return {name: value for name, value in {**FIELDS, **renamed}.items() if value is not ...}


def test_message_is_taken_as_it_was_meant() -> None:
    submission = submit()
    (entry,) = submission.entries
    assert entry.to == ("zoe@example.com", "bob@example.com", "carl@example.com", "bcc@example.com")
    assert (entry.message_id, entry.subject, entry.text) == ("msg_1", "Grüße", "Hello\r\n--\r\n")
    assert entry.headers["Reply-To"] == "reply@example.com"
    assert [(file.filename, file.content_type, file.content, file.content_id) for file in entry.attachments] == [
        ("Größe.pdf", "application/pdf", b"%PDF\r\n\x00\xff", None),
        ("logo", "image/png", b"png", "logo"),
    ]
    answer = Mailgun().accepted(submission, submission.provider_id, repeated=False)
    body = {"id": f"<{entry.provider_message_id}>", "message": "Queued. Thank you."}
    assert (answer.status, orjson.loads(answer.body)) == (200, body)


def test_message_in_test_mode_is_validated_and_not_sent() -> None:
    assert submit(changed(o__testmode="yes")).entries == ()


@pytest.mark.parametrize(
    "fields",
    [
        changed(**{"from": ...}),
        changed(**{"from": "nobody"}),
        changed(**{"from": ["a@example.com", "b@example.com"]}),
        changed(to=...),
        changed(to="ada@"),
        changed(to=[f"{n}@example.com" for n in range(1001)]),
        changed(text=..., html=...),
        changed(subject=["Hi", "Ho"]),
        changed(attachment="text"),
        changed(h__To="other@example.com"),
        changed(h__Subject="other"),
        changed(h__X="1\r\nX-B: 2"),
        changed(h__X="x" * 16 * 1024),
        changed(**{"h:X Y": "1"}),
        changed(o__unknown="yes"),
        changed(o__tag="ü"),
        changed(reply_to="reply@example.com"),
    ],
)
def test_message_that_mailgun_would_not_take_is_refused(fields: dict[str, Any]) -> None:
    reply = refused(fields)
    assert reply.status == 400
    assert orjson.loads(reply.body)["message"]


def test_file_under_the_name_of_a_text_is_refused() -> None:
    assert refused(FIELDS, [("html", ("a.html", b"<p>", "text/html"))]).status == 400


@pytest.mark.parametrize(
    "content_type",
    [
        "application/x-www-form-urlencoded",
        "application/json",
        "multipart/form-data",
        "multipart/form-data; boundary=another",
    ],
)
def test_body_that_is_no_form_is_refused(content_type: str) -> None:
    assert refused(Content_Type=content_type).status == 400


@pytest.mark.parametrize(
    "login",
    [
        "",
        "Bearer key",
        "Basic key",
        "Basic " + base64.b64encode(b"user:key").decode(),
        "Basic " + base64.b64encode(b"api:").decode(),
    ],
)
def test_request_with_another_login_is_forbidden(login: str) -> None:
    reply = refused(Authorization=login)
    assert (reply.status, reply.body, reply.content_type) == (401, b"Forbidden", "text/plain")


def test_request_for_an_unknown_domain_is_not_found() -> None:
    assert refused(path="/v3/bad.example.com/messages").status == 404


def test_request_beside_the_api_meets_the_front_page() -> None:
    reply = refused(path="/messages")
    assert (reply.status, reply.body) == (200, b"Mailgun Magnificent API")


def test_request_of_another_method_is_refused() -> None:
    assert refused(method="GET").status == 405


@pytest.mark.parametrize(
    ("fault", "status", "says"),
    [
        (FaultName.THROTTLE, 429, "try again after 7 seconds"),
        (FaultName.ERROR_500, 500, "Internal"),
        (FaultName.ERROR_503, 503, "Unavailable"),
        (FaultName.BAD_CREDENTIALS, 401, "Forbidden"),
        (FaultName.REJECTED_RECIPIENT, 400, "not a valid address"),
        (FaultName.REJECTED_MESSAGE, 400, "Need at least one"),
    ],
)
def test_fault_is_worded_as_mailgun_does(fault: FaultName, status: int, says: str) -> None:
    reply = Mailgun().refusal(Fault(fault, retry_after=6.5), submit())
    assert reply.status == status
    assert says in reply.body.decode()
