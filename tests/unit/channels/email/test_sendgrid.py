"""SendGrid: the request's shape, and every row of how its answers are read."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from hermod.channels.email.sendgrid.sender import SendGridSender
from hermod.contracts.notifications.messages import Outcome
from hermod.contracts.notifications.outcomes import Accepted, Fault, RecipientRejected, Throttled
from tests.unit.channels.samples import NOW, account, email, file, outgoing, reply, sms, wiring


def sender(**changes: Any) -> SendGridSender:
    return SendGridSender(account("sendgrid", **changes), wiring())


def mail(**changes: Any) -> dict[str, Any]:
    body: dict[str, Any] = orjson.loads(sender().request(outgoing(email(**changes))).content)
    return body


def errors(message: str, field: str | None = None) -> dict[str, Any]:
    return {"errors": [{"message": message, "field": field, "help": None}]}


def test_request_is_what_sendgrid_documents() -> None:
    request = sender().request(outgoing(email(html="<p>Hi</p>"), request_id="req_1"))
    assert request.method == "POST"
    assert str(request.url) == "https://api.sendgrid.com/v3/mail/send"
    assert dict(request.headers) == {
        "content-type": "application/json",
        "accept": "application/json",
        "authorization": "Bearer SG.key-of-the-account",
        "x-request-id": "req_1",
    }
    assert orjson.loads(request.content) == {
        "personalizations": [{"to": [{"email": "ada@example.com"}]}],
        "from": {"email": "news@example.com", "name": "News"},
        "subject": "Hello",
        "content": [{"type": "text/plain", "value": "Hi Ada"}, {"type": "text/html", "value": "<p>Hi</p>"}],
        "custom_args": {"hermod_message_id": "msg_1"},
    }


def test_request_goes_to_the_account_base_url() -> None:
    request = sender(base_url="https://api.eu.sendgrid.com/").request(outgoing(email()))
    assert str(request.url) == "https://api.eu.sendgrid.com/v3/mail/send"


def test_request_without_text_has_html_only() -> None:
    assert mail(text=None, html="<p>Hi</p>")["content"] == [{"type": "text/html", "value": "<p>Hi</p>"}]


def test_request_names_of_other_scripts_stay_readable() -> None:
    body = mail(to="Zoë Müller <zoe@example.com>", reply_to="Büro <office@example.com>")
    assert body["personalizations"][0]["to"] == [{"email": "zoe@example.com", "name": "Zoë Müller"}]
    assert body["reply_to"] == {"email": "office@example.com", "name": "Büro"}


def test_request_domain_of_other_scripts_is_written_in_ascii() -> None:
    (recipient,) = mail(to="Zoë <zoe@bücher.example>")["personalizations"][0]["to"]
    assert recipient == {"email": "zoe@xn--bcher-kva.example", "name": "Zoë"}


def test_request_nobody_stands_twice_in_an_envelope() -> None:
    body = mail(
        cc=["bob@example.com", "ADA@example.com", "Bob <bob@EXAMPLE.com>"],
        bcc=["bob@example.com", "carl@example.com", "carl@example.com"],
    )
    assert body["personalizations"] == [
        {
            "to": [{"email": "ada@example.com"}],
            "cc": [{"email": "bob@example.com"}],
            "bcc": [{"email": "carl@example.com"}],
        }
    ]


def test_request_line_that_is_empty_without_repeats_is_left_out() -> None:
    assert mail(cc=["ada@example.com"])["personalizations"] == [{"to": [{"email": "ada@example.com"}]}]


def test_request_carries_headers_and_files() -> None:
    body = mail(
        html='<img src="cid:logo">',
        headers={"List-Unsubscribe": "<https://example.com/u/1>"},
        attachments=[file(), file("logo.png", "image/png", b"png", "logo")],
    )
    assert body["headers"] == {"List-Unsubscribe": "<https://example.com/u/1>"}
    assert body["attachments"] == [
        {"content": "JVBERg==", "filename": "a.pdf", "type": "application/pdf", "disposition": "attachment"},
        {
            "content": "cG5n",
            "filename": "logo.png",
            "type": "image/png",
            "disposition": "inline",
            "content_id": "logo",
        },
    ]


def test_request_image_that_no_html_shows_is_an_attachment() -> None:
    assert mail(attachments=[file(cid="logo")])["attachments"][0]["disposition"] == "attachment"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (sms(), "email only"),
        (email(headers={"X-SG-ID": "1"}), "belongs to SendGrid"),
        (email(attachments=[file(data=b"")]), "empty"),
    ],
)
def test_content_that_sendgrid_cannot_carry_is_named(content: Any, says: str) -> None:
    assert says in (sender().cannot_express(content) or "")


def test_content_larger_than_a_request_may_be_is_named() -> None:
    large = file(data=b"x" * 10_000_000)
    content = email(html="€" * 2_000_000, text="€" * 2_000_000, attachments=[large])
    assert "20 MiB" in (sender().cannot_express(content) or "")


def test_content_without_any_sender_is_named() -> None:
    assert "from" in (sender(from_=None).cannot_express(email()) or "")
    assert sender(from_=None).cannot_express(email(from_="me@example.com")) is None


@pytest.mark.parametrize("status", [202, 200])
def test_outcome_documented_success_is_accepted(status: int) -> None:
    outcome = sender().outcome(reply(status, kind=None, x_message_id="14c5d75ce93.dfd.64b469"), outgoing(email()))
    assert outcome == Accepted(status_code=status, provider_id="14c5d75ce93.dfd.64b469")


def test_outcome_success_without_id_is_accepted() -> None:
    assert sender().outcome(reply(202, kind=None), outgoing(email())) == Accepted(status_code=202)


@pytest.mark.parametrize(
    ("status", "message", "field", "kind"),
    [
        (400, "Does not contain a valid address.", "personalizations.0.to.0.email", Outcome.RECIPIENT_REJECTED),
        (400, "The to array is required", "personalizations.0.to", Outcome.RECIPIENT_REJECTED),
        (400, "Does not contain a valid address.", "personalizations.0.cc.0.email", Outcome.MESSAGE_REJECTED),
        (400, "Each email address should be unique", "personalizations.0", Outcome.MESSAGE_REJECTED),
        (400, "The content value must be a string", "content.0.value", Outcome.MESSAGE_REJECTED),
        (400, "Bad Request", None, Outcome.MESSAGE_REJECTED),
        (400, "The from email does not contain a valid address.", "from.email", Outcome.ACCOUNT_HALTED),
        (401, "The provided authorization grant is invalid", None, Outcome.ACCOUNT_HALTED),
        (401, "Maximum credits exceeded", None, Outcome.ACCOUNT_HALTED),
        (403, "The from address does not match a verified Sender Identity.", "from", Outcome.ACCOUNT_HALTED),
        (403, "access forbidden", None, Outcome.ACCOUNT_HALTED),
        (404, "Resource not found", None, Outcome.ACCOUNT_HALTED),
        (405, "POST method allowed only", None, Outcome.ACCOUNT_HALTED),
        (406, "Not Acceptable", None, Outcome.ACCOUNT_HALTED),
        (413, "Payload too large", None, Outcome.MESSAGE_REJECTED),
        (415, "Content-Type should be application/json.", None, Outcome.MESSAGE_REJECTED),
        (429, "too many requests", None, Outcome.THROTTLED),
        (451, "regional subuser", None, Outcome.ACCOUNT_HALTED),
        (408, "timeout", None, Outcome.UNKNOWN),
        (500, "Internal Server Error", None, Outcome.UNKNOWN),
        (503, "Service Unavailable", None, Outcome.UNKNOWN),
        (504, "Gateway Timeout", "personalizations.0.to", Outcome.UNKNOWN),
    ],
)
def test_outcome_error_is_read_by_status_and_field(status: int, message: str, field: str | None, kind: Outcome) -> None:
    outcome = sender().outcome(reply(status, errors(message, field)), outgoing(email()))
    assert (outcome.kind, outcome.status_code, outcome.error_code) == (kind, status, field)
    assert outcome.error == message


def test_outcome_address_of_a_form_that_sendgrid_refuses_is_not_given_up() -> None:
    body = errors("Does not contain a valid address.", "personalizations.0.to.0.email")
    outcome = sender().outcome(reply(400, body), outgoing(email(to="jörg@example.com")))
    assert isinstance(outcome, RecipientRejected)
    assert outcome.fault is Fault.UNREACHABLE


@pytest.mark.parametrize(("status", "field"), [(400, "from.email"), (403, "from")])
def test_outcome_refused_sender_of_the_message_spares_the_account(status: int, field: str) -> None:
    content = email(from_="other@example.com")
    assert sender().outcome(reply(status, errors("no", field)), outgoing(content)).kind is Outcome.MESSAGE_REJECTED


def test_outcome_throttled_waits_until_the_rate_window_ends() -> None:
    reset = str(int(NOW.timestamp()) + 25)
    outcome = sender().outcome(reply(429, errors("too many requests"), x_ratelimit_reset=reset), outgoing(email()))
    assert isinstance(outcome, Throttled)
    assert outcome.retry_after == 25.0


def test_outcome_throttled_prefers_retry_after() -> None:
    answer = reply(429, errors("too many requests"), x_ratelimit_reset="99999999999", retry_after="4")
    outcome = sender().outcome(answer, outgoing(email()))
    assert isinstance(outcome, Throttled)
    assert outcome.retry_after == 4.0


@pytest.mark.parametrize("reset", ["", "soon", "1e9", "٣"])
def test_outcome_throttled_without_readable_window_names_no_wait(reset: str) -> None:
    answer = reply(429, errors("too many requests"))
    answer.headers["x-ratelimit-reset"] = reset.encode().decode("latin-1")
    outcome = sender().outcome(answer, outgoing(email()))
    assert isinstance(outcome, Throttled)
    assert outcome.retry_after is None


def test_outcome_too_large_as_web_page_is_read_by_status() -> None:
    outcome = sender().outcome(reply(413, b"<html>nginx</html>", "text/html"), outgoing(email()))
    assert (outcome.kind, outcome.error) == (Outcome.MESSAGE_REJECTED, "HTTP 413")


def test_outcome_error_never_shows_the_key_or_the_address() -> None:
    body = errors("SG.key-of-the-account may not send to ada@example.com")
    outcome = sender().outcome(reply(401, body), outgoing(email()))
    assert outcome.error == "[credential] may not send to [address]"
