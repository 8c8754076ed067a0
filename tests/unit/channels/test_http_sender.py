"""What an HTTP status means where the vendor says nothing closer, and that no answer makes an adapter raise."""

from __future__ import annotations

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hermod.channels.http_sender import HttpSender, json_object, provider_id
from hermod.channels.registry import KITS
from hermod.channels.sandbox.sender import SandboxSender
from hermod.contracts.notifications.messages import Outcome
from hermod.contracts.notifications.outcomes import Accepted, Throttled, Transient
from hermod.outbound.http.client import NotSent, Reply, Unknown
from tests.unit.channels.samples import account, email, outgoing, reply, sms, wiring

KIND_BY_STATUS = {
    **dict.fromkeys((200, 201, 204, 226), Outcome.UNKNOWN),
    **dict.fromkeys((302, 303, 304), Outcome.UNKNOWN),
    **dict.fromkeys((301, 307, 308), Outcome.ACCOUNT_HALTED),
    **dict.fromkeys((400, 409, 411, 413, 414, 415, 418, 422, 431), Outcome.MESSAGE_REJECTED),
    **dict.fromkeys((401, 402, 403, 407), Outcome.ACCOUNT_HALTED),
    **dict.fromkeys((404, 405, 406, 410), Outcome.ACCOUNT_HALTED),
    **dict.fromkeys((421, 425), Outcome.TRANSIENT),
    429: Outcome.THROTTLED,
    **dict.fromkeys((408, 500, 501, 502, 503, 504, 520, 599), Outcome.UNKNOWN),
}


def sandbox() -> SandboxSender:
    return SandboxSender(account("sandbox"), wiring())


@pytest.mark.parametrize(("status", "kind"), KIND_BY_STATUS.items())
def test_status_without_further_word_has_one_meaning(status: int, kind: Outcome) -> None:
    outcome = sandbox().by_status(reply(status))
    assert outcome.kind is kind
    assert outcome.status_code == status
    assert outcome.error == f"HTTP {status}"


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("7", 7.0), ("Sun, 22 Nov 2026 12:01:00 GMT", 60.0), ("Sun, 22 Nov 2026 11:00:00 GMT", 0.0), ("later", None)],
)
def test_throttled_takes_the_wait_from_the_header(header: str, seconds: float | None) -> None:
    outcome = sandbox().by_status(reply(429, retry_after=header))
    assert isinstance(outcome, Throttled)
    assert outcome.retry_after == seconds


def test_throttled_without_header_names_no_wait() -> None:
    outcome = sandbox().by_status(reply(429))
    assert isinstance(outcome, Throttled)
    assert outcome.retry_after is None


def test_success_as_web_page_is_unknown() -> None:
    outcome = sandbox().accepted(reply(202, b"<html>sign in</html>", "text/html; charset=utf-8"), None)
    assert outcome.kind is Outcome.UNKNOWN


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"null", b"\xff\xfe", b'{"a":' * 5000])
def test_body_that_is_no_json_object_reads_as_empty(body: bytes) -> None:
    assert json_object(reply(200, body)) == {}


def test_body_of_a_web_page_is_never_parsed() -> None:
    assert json_object(reply(200, b'{"id": "1"}', "text/html")) == {}


@pytest.mark.parametrize("value", [None, 7, True, "", "x" * 256, "a\nb", ["id"]])
def test_provider_id_that_is_none_is_left_out(value: object) -> None:
    assert provider_id(value) is None


async def test_send_not_sent_is_transient(monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = await _sent_with(NotSent("connect", "no connection"), monkeypatch)
    assert isinstance(outcome, Transient)
    assert outcome.error_code == "connect"


async def test_send_to_an_address_off_limits_halts_the_account(monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = await _sent_with(NotSent("address_refused", "not public"), monkeypatch)
    assert outcome.kind is Outcome.ACCOUNT_HALTED


async def test_send_unknown_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = await _sent_with(Unknown("timeout", "no answer in time"), monkeypatch)
    assert outcome.kind is Outcome.UNKNOWN
    assert outcome.error_code == "timeout"


async def test_send_repetition_without_idempotency_key_takes_a_fresh_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[bool] = []

    async def exchange(request: httpx.Request, *, deadline: float, fresh: bool) -> Reply:
        asked.append(fresh)
        return reply(201, {"sid": "SM1"})

    twilio = KITS["twilio"].adapter(account("twilio"), wiring())
    assert isinstance(twilio, HttpSender)
    monkeypatch.setattr(twilio, "_client", type("Client", (), {"exchange": staticmethod(exchange)}))
    for attempt in (1, 2):
        assert isinstance(await twilio.send(outgoing(sms(), attempt=attempt)), Accepted)
    assert asked == [False, True]


@pytest.mark.parametrize("request_id", [None, "req_1", "bad\r\nx: y", "grün"])
def test_request_carries_the_request_id_where_it_fits_a_header(request_id: str | None) -> None:
    request = sandbox().request(outgoing(email(), request_id=request_id))
    assert request.headers.get("x-request-id") == ("req_1" if request_id == "req_1" else None)


KEYS = ["id", "error", "errors", "code", "message", "field", "sid", "detail"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**31), 2**31) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=8,
)


@pytest.mark.parametrize("provider", ["sandbox", "sendgrid", "twilio"])
@given(
    status=st.integers(200, 599),
    body=st.binary(max_size=60) | JSON,
    kind=st.sampled_from(["application/json", "text/html", ""]),
)
def test_outcome_never_raises_whatever_the_answer(provider: str, status: int, body: object, kind: str) -> None:
    sender = KITS[provider].adapter(account(provider), wiring())
    assert isinstance(sender, HttpSender)
    content = sms() if provider == "twilio" else email()
    outcome = sender.outcome(reply(status, body, kind), outgoing(content))
    assert outcome.status_code == status
    assert outcome.kind is not Outcome.ACCEPTED or status < 300


async def _sent_with(failure: Exception, monkeypatch: pytest.MonkeyPatch) -> Accepted | Transient:
    async def exchange(request: httpx.Request, *, deadline: float, fresh: bool) -> Reply:
        raise failure

    sender = sandbox()
    monkeypatch.setattr(sender, "_client", type("Client", (), {"exchange": staticmethod(exchange)}))
    return await sender.send(outgoing(email()))  # type: ignore[return-value]
