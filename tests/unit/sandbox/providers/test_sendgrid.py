"""The sandbox's SendGrid takes what the vendor takes, and refuses the rest in the vendor's words."""

from __future__ import annotations

import base64
import copy
import time
from typing import Any

import orjson
import pytest
from httpx import Headers

from devstack.sandbox.fault import Fault, FaultName
from devstack.sandbox.providers.contract import Call, Refused, Reply, Submission
from devstack.sandbox.providers.sendgrid import SendGrid

MAIL: dict[str, Any] = {
    "personalizations": [
        {
            "to": [{"email": "ada@example.com", "name": "Ada"}],
            "cc": [{"email": "cc@example.com"}],
            "bcc": [{"email": "bcc@example.com"}],
            "custom_args": {"hermod_message_id": "msg_1"},
        }
    ],
    "from": {"email": "hello@example.com", "name": "Hermod"},
    "reply_to": {"email": "reply@example.com"},
    "subject": "Hi",
    "content": [{"type": "text/plain", "value": "Hello"}, {"type": "text/html", "value": "<p>Hello</p>"}],
    "headers": {"List-Unsubscribe": "<https://example.com/u>"},
}
HEADERS = {"Authorization": "Bearer SG.key", "Content-Type": "application/json", "Accept": "application/json"}


def submit(
    mail: object = MAIL, *, path: str = "/v3/mail/send", method: str = "POST", **changes: str | None
) -> Submission:
    headers = HEADERS | {name.replace("_", "-"): value for name, value in changes.items() if value is not None}
    for name, value in changes.items():
        if value is None:
            del headers[name.replace("_", "-")]
    body = mail if isinstance(mail, bytes) else orjson.dumps(mail)
    return SendGrid().check(Call(method, path, Headers(headers), body))


def refused(*arguments: Any, **changes: Any) -> tuple[int, list[dict[str, Any]]]:
    with pytest.raises(Refused) as refusal:
        submit(*arguments, **changes)
    body = orjson.loads(refusal.value.reply.body)
    assert list(body) == ["errors"]
    assert all(set(error) == {"message", "field", "help"} for error in body["errors"])
    return refusal.value.reply.status, body["errors"]


def changed(path: str, value: object) -> dict[str, Any]:
    """MAIL with one place changed: `personalizations.0.to`; `...` removes it."""
    mail = copy.deepcopy(MAIL)
    place: Any = mail
    *way, last = (int(part) if part.isdigit() else part for part in path.split("."))
    for part in way:
        place = place[part]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return mail


def test_mail_is_complete_becomes_an_entry() -> None:
    submission = submit()
    (entry,) = submission.entries
    assert entry.as_dict() | {"number": 0} == {
        "number": 0,
        "provider": "sendgrid",
        "channel": "email",
        "message_id": "msg_1",
        "provider_message_id": submission.provider_id,
        "from": "Hermod <hello@example.com>",
        "to": ("ada@example.com", "cc@example.com", "bcc@example.com"),
        "subject": "Hi",
        "text": "Hello",
        "html": "<p>Hello</p>",
        "headers": {
            "From": "Hermod <hello@example.com>",
            "To": "Ada <ada@example.com>",
            "Cc": "cc@example.com",
            "Reply-To": "reply@example.com",
            "List-Unsubscribe": "<https://example.com/u>",
        },
        "attachments": [],
        "media_urls": (),
        "repeats": 0,
        "received_at": "",
    }


def test_mail_is_accepted_answers_202_without_a_body() -> None:
    submission = submit()
    reply = SendGrid().accepted(submission, submission.provider_id, repeated=False)
    assert reply == Reply(202, b"", None, {"X-Message-Id": submission.provider_id})


def test_mail_has_several_personalizations_becomes_one_entry_each() -> None:
    mail = changed("personalizations", [{"to": [{"email": f"{name}@example.com"}]} for name in ("a", "b", "c")])
    submission = submit(mail)
    assert [entry.to for entry in submission.entries] == [("a@example.com",), ("b@example.com",), ("c@example.com",)]
    assert {entry.provider_message_id for entry in submission.entries} == {submission.provider_id}


def test_mail_is_in_sandbox_mode_answers_200_and_is_not_kept() -> None:
    submission = submit(MAIL | {"mail_settings": {"sandbox_mode": {"enable": True}}})
    assert submission.entries == []
    assert SendGrid().accepted(submission, submission.provider_id, repeated=False).status == 200


def test_attachment_is_inline_keeps_name_type_size_and_bytes() -> None:
    image = b"\x89PNG" * 10
    item = {
        "content": base64.b64encode(image).decode(),
        "filename": "logo.png",
        "type": "image/png",
        "disposition": "inline",
        "content_id": "logo",
    }
    (attachment,) = submit(MAIL | {"attachments": [item]}).entries[0].attachments
    assert attachment.as_dict() == {
        "filename": "logo.png",
        "content_type": "image/png",
        "size": len(image),
        "content_id": "logo",
    }
    assert attachment.content == image


@pytest.mark.parametrize(
    ("changes", "status", "message"),
    [
        ({"Authorization": None}, 401, "Permission denied, wrong credentials"),
        ({"Authorization": "Basic eDp5"}, 401, "Permission denied, wrong credentials"),
        ({"Authorization": "Bearer key"}, 401, "The provided authorization grant is invalid, expired, or revoked"),
        ({"Authorization": "Bearer SG.bad"}, 401, "The provided authorization grant is invalid, expired, or revoked"),
        ({"Content_Type": None}, 415, "Content-Type should be application/json."),
        ({"Content_Type": "text/plain"}, 415, "Content-Type should be application/json."),
        ({"Accept": None}, 406, "The Accept header must allow application/json."),
        ({"Accept": "text/html"}, 406, "The Accept header must allow application/json."),
        ({"method": "GET"}, 405, "POST method allowed only"),
        ({"path": "/v3/mail/sent"}, 404, "Resource not found"),
    ],
)
def test_request_is_made_wrongly_is_refused(changes: dict[str, Any], status: int, message: str) -> None:
    assert refused(**changes) == (status, [{"message": message, "field": None, "help": None}])


def test_request_accepts_anything_is_taken() -> None:
    assert submit(Accept="*/*", Content_Type="application/json; charset=utf-8").entries


def test_body_is_too_large_is_refused_by_the_proxy_in_html() -> None:
    with pytest.raises(Refused) as refusal:
        submit(b" " * (30 * 1024 * 1024 + 1))
    assert refusal.value.reply.status == 413
    assert refusal.value.reply.content_type == "text/html"


@pytest.mark.parametrize("body", [b"{", b"[]", b"null", b'{"subject": "\\ud800"'])
def test_body_is_no_object_is_a_bad_request(body: bytes) -> None:
    assert refused(body) == (400, [{"message": "Bad Request", "field": None, "help": None}])


def test_body_is_not_utf8_is_refused() -> None:
    assert refused(b'{"subject": "\xff"}')[0] == 415


@pytest.mark.parametrize(
    ("path", "value", "field", "message"),
    [
        ("personalizations", ..., "personalizations", "must have at least one personalization"),
        ("personalizations", [], "personalizations", "must have at least one personalization"),
        ("personalizations.0.to", ..., "personalizations.0.to", "The to array is required"),
        ("personalizations.0.to", [], "personalizations.0.to", "The to array is required"),
        ("personalizations.0.to", [{"email": "no address"}], "personalizations.0.to.0.email", "valid address"),
        ("personalizations.0.to", [{"email": "Ada <a@b.io>"}], "personalizations.0.to.0.email", "valid address"),
        ("personalizations.0.to", [{"email": "ada@münchen.de"}], "personalizations.0.to.0.email", "valid address"),
        ("personalizations.0.to", ["ada@example.com"], "personalizations.0.to.0", "Each recipient object"),
        ("personalizations.0.cc", [{"email": "Ada@example.com"}], "personalizations.0", "first duplicate instance"),
        ("personalizations.0.bcc", [{"email": "cc@example.com"}], "personalizations.0", "personalizations.0.bcc field"),
        ("personalizations.0.subject", "", "personalizations.0.subject", "at least one character"),
        ("personalizations.0.custom_args", {"attempt": 1}, None, "Bad Request"),
        ("personalizations.0.custom_args", {"k": "x" * 10_001}, "custom_args", "10,000 bytes"),
        ("personalizations.0.send_at", "soon", "personalizations.0.send_at", "Unix timestamp"),
        ("personalizations.0.too", [], None, "Bad Request"),
        ("from", ..., "from.email", "The from object must be provided"),
        ("from", "hello@example.com", "from.email", "The from object must be provided"),
        ("from.email", "hello", "from.email", "does not contain a valid address"),
        ("from.name", 7, None, "Bad Request"),
        ("reply_to", {"email": ""}, "reply_to.email", "valid address"),
        ("reply_to_list", [{"email": "r@example.com"}], "reply_to_list", "cannot both be used"),
        ("subject", ..., "subject", "The subject is required"),
        ("subject", "", "subject", "at least one character"),
        ("subject", None, "subject", "at least one character"),
        ("content", ..., "content", "the content parameter is required"),
        ("content", [], "content", "the content parameter is required"),
        ("content.0.value", "", "content.0.value", "The content value must be a string"),
        ("content.1.value", None, "content.1.value", "The content value must be a string"),
        ("content.0.type", "text/plain; charset=utf-8", "content.0.type", "CRLF"),
        ("content.0.type", "text/x", "content", "text/plain needs to be first"),
        ("headers", {"Subject": "x"}, "headers", "reserved keys"),
        ("headers", {"reply-to": "x"}, "headers", "reserved keys"),
        ("headers", {"X-K": 1}, "headers", "must be strings"),
        ("headers", {"X-K": "1", "x-k": "2"}, "headers", "duplicate keys"),
        ("headers", {"X K": "1"}, "headers", "non-ASCII"),
        ("headers", {"X-K": "1\r\nBcc: x@example.com"}, None, "Bad Request"),
        ("categories", ["a"] * 2, "categories", "unique list"),
        ("categories", [str(number) for number in range(11)], "categories", "limit of 10"),
        ("send_at", 10**11, "send_at", "72 hours"),
        ("asm", {"group_id": "1"}, "asm.group_id", "must be an integer"),
        ("ip_pool_name", "x", "ip_pool_name", "IP pool"),
        ("mail_settings", {"sandbox_mode": {"enable": "true"}}, "mail_settings.sandbox_mode.enable", "boolean"),
        ("tracking_settings", {"open_tracking": {"enable": 0}}, "tracking_settings.open_tracking.enable", "boolean"),
        ("replyTo", {"email": "r@example.com"}, None, "Bad Request"),
    ],
)
def test_field_is_wrong_is_named(path: str, value: object, field: str | None, message: str) -> None:
    status, errors = refused(changed(path, value))
    assert status == 400
    assert [error for error in errors if error["field"] == field and message in error["message"]]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"content": "not base64!"}, "attachments.0.content"),
        ({"content": "QQ"}, "attachments.0.content"),
        ({"content": ""}, "attachments.0.content"),
        ({"filename": ""}, "attachments.0.filename"),
        ({"filename": "a\r\nb"}, "attachments.0.filename"),
        ({"type": "image/png; name=x"}, "attachments.0.type"),
        ({"disposition": "shown"}, "attachments.0.disposition"),
        ({"content_id": "<logo>"}, "attachments.0.content_id"),
    ],
)
def test_attachment_is_wrong_is_named(change: dict[str, str], field: str) -> None:
    item = {"content": "QQ==", "filename": "a.txt"} | change
    status, errors = refused(MAIL | {"attachments": [item]})
    assert status == 400
    assert [error["field"] for error in errors] == [field]


def test_mail_has_too_many_recipients_is_refused() -> None:
    people = [{"email": f"user{number}@example.com"} for number in range(1001)]
    assert "limit of 1000" in refused(changed("personalizations", [{"to": people}]))[1][0]["message"]


def test_mail_is_wrong_in_two_places_names_both() -> None:
    mail = changed("subject", "")
    mail["from"] = {}
    assert {error["field"] for error in refused(mail)[1]} == {"subject", "from.email"}


def test_mail_has_no_content_but_a_template_is_taken() -> None:
    mail = changed("content", ...) | {"template_id": "d-1"}
    del mail["subject"]
    assert submit(mail).entries[0].text is None


def test_fault_is_throttle_answers_429_with_rate_headers() -> None:
    reply = SendGrid().refusal(Fault(FaultName.THROTTLE, retry_after=7), submit())
    assert reply.status == 429
    assert orjson.loads(reply.body)["errors"][0]["message"] == "too many requests"
    assert reply.headers["Retry-After"] == "7"
    assert 6 <= int(reply.headers["X-RateLimit-Reset"]) - time.time() <= 9


@pytest.mark.parametrize(
    ("name", "status", "field"),
    [
        (FaultName.ERROR_500, 500, None),
        (FaultName.ERROR_503, 503, None),
        (FaultName.BAD_CREDENTIALS, 401, None),
        (FaultName.REJECTED_RECIPIENT, 400, "personalizations.0.to.0.email"),
        (FaultName.REJECTED_MESSAGE, 400, "content.0.value"),
    ],
)
def test_fault_is_met_answers_in_the_vendors_shape(name: FaultName, status: int, field: str | None) -> None:
    reply = SendGrid().refusal(Fault(name), submit())
    assert reply.status == status
    assert orjson.loads(reply.body)["errors"][0]["field"] == field
