"""Twilio's calls: its signature, as Twilio's own library computes it, and every word and code of the tables."""

from __future__ import annotations

import hashlib
from typing import Any, ClassVar
from urllib.parse import parse_qs, parse_qsl, urlencode

import pytest
from twilio.request_validator import RequestValidator  # type: ignore[import-untyped]

from devstack.sandbox.entry import Entry
from hermod.channels.sms.twilio.kit import KIT
from hermod.channels.twilio_api.codes import FAILURES, MEANINGS, STATUSES
from hermod.channels.twilio_api.signature import parameters, signature
from hermod.contracts.notifications.receipts import ReceiptEventType
from hermod.contracts.tenants.accounts import Account
from hermod.ports.notifications.receipts import (
    Answer,
    Callback,
    Event,
    ParsedReceipt,
    ReceiptContext,
    SignatureInvalid,
    Unreadable,
)
from tests.unit.channels import samples
from tests.unit.channels.receipt_suite import MESSAGE, ReceiptConformance

TOKEN = "12345678901234567890123456789012"
SID = "SM0123456789abcdef0123456789abcdef"
URL = "https://forms.example.com/hooks/twilio/status?org=7"
FORM = "application/x-www-form-urlencoded"
STATUS = {
    "AccountSid": "AC0123456789abcdef0123456789abcdef",
    "ApiVersion": "2010-04-01",
    "From": "+14155550199",
    "MessageSid": SID,
    "MessageStatus": "delivered",
    "To": "+14155550100",
}
JSON_URL = (
    "https://forms.example.com/hooks/twilio/json"
    "?bodySHA256=015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862"
)


def account(**credentials: str) -> Account:
    return samples.account("twilio", credentials={"account_sid": "AC1", "auth_token": TOKEN} | credentials)


def call(
    fields: dict[str, Any],
    *,
    url: str = URL,
    signed_url: str | None = None,
    algorithm: str = "HMAC_SHA1",
    settings: str | None = None,
) -> Callback:
    """A form, signed as Twilio signs it for `signed_url`."""
    body = urlencode(fields, doseq=True)
    made = signature(TOKEN, signed_url or url, parse_qsl(body, keep_blank_values=True), algorithm)
    headers = {"content-type": f"{FORM}; charset=UTF-8", "x-twilio-signature": made}
    if settings is not None:
        headers["x-twilio-webhooks-signature-settings"] = settings
    return Callback(method="POST", url=url, headers=headers, body=body.encode())


async def read(call: Callback, account: Account) -> ParsedReceipt:
    assert KIT.receipts is not None

    async def fetch(url: str) -> bytes:
        raise AssertionError(url)

    return await KIT.receipts.read(call, account, ReceiptContext(now=samples.NOW, fetch=fetch))


async def events(**fields: str) -> tuple[Event, ...]:
    return (await read(call(STATUS | fields), account())).events


async def event(**fields: str) -> Event:
    (found,) = await events(**fields)
    return found


class TestTwilioReceipts(ReceiptConformance):
    provider: ClassVar = "twilio"
    HAPPENINGS: ClassVar = frozenset(
        {
            ReceiptEventType.ACCEPTED,
            ReceiptEventType.DELIVERED,
            ReceiptEventType.BOUNCED,
            ReceiptEventType.SOFT_BOUNCED,
            ReceiptEventType.FAILED,
            ReceiptEventType.SUPPRESSED,
            ReceiptEventType.UNSUBSCRIBED,
            ReceiptEventType.INBOUND,
        }
    )
    SECRETS: ClassVar = ("auth_token",)
    SIGNS_TIME: ClassVar = False
    channel: ClassVar = "sms"
    prefix: ClassVar = ""

    def entry(self) -> Entry:
        return Entry(
            provider=self.provider,
            channel=self.channel,
            message_id=MESSAGE,
            provider_message_id=SID,
            sender=f"{self.prefix}+15005550006",
            to=("+14155550100",),
            headers={
                "AccountSid": "AC" + "0" * 32,
                "StatusCallback": f"https://hermod.example.com/x?hermod_message_id={MESSAGE}",
            },
        )

    async def event(self, happening: ReceiptEventType) -> Event:
        """An opt-out comes beside the failure that tells of it."""
        *failures, event = (await self.read(self.call(happening))).events
        assert [one.kind for one in failures] == [ReceiptEventType.FAILED] * (
            happening is ReceiptEventType.UNSUBSCRIBED
        )
        return event

    def malformed(self, call: Callback) -> Callback:
        token = self.account().credentials["auth_token"]
        headers = dict(call.headers) | {"x-twilio-signature": signature(token, call.url, [("a", "1")])}
        return Callback(method="POST", url=call.url, headers=headers, body=b"a=1")

    async def test_report_is_accepted_by_twilios_own_library(self) -> None:
        validator = RequestValidator(self.account().credentials["auth_token"])
        for happening in self.HAPPENINGS:
            call = self.call(happening)
            form = dict(parse_qsl(call.body.decode(), keep_blank_values=True))
            assert validator.validate(call.url, form, call.headers["x-twilio-signature"]), happening

    async def test_inbound_message_is_answered_with_silence(self) -> None:
        reading = await self.read(self.call(ReceiptEventType.INBOUND))
        assert reading.answer == Answer(body=b"<Response/>", content_type="text/xml")
        (event,) = reading.events
        assert (event.address, event.words) == ("+14155550100", "STOP")

    async def test_account_with_api_keys_only_trusts_nobody(self) -> None:
        keys = {"account_sid": "AC" + "0" * 32, "api_key_sid": "SK1", "api_key_secret": "token-of-the-account"}
        for happening in self.HAPPENINGS:
            with pytest.raises(SignatureInvalid):
                await self.read(self.call(happening), self.account(credentials=keys))


class TestTwilioWhatsAppReceipts(TestTwilioReceipts):
    provider: ClassVar = "twilio_whatsapp"
    HAPPENINGS: ClassVar = TestTwilioReceipts.HAPPENINGS | {ReceiptEventType.READ}
    channel: ClassVar = "whatsapp"
    prefix: ClassVar = "whatsapp:"

    async def test_report_names_the_number_alone(self) -> None:
        assert {(await self.event(happening)).address for happening in self.HAPPENINGS} == {"+14155550100"}


def test_signature_of_a_form_is_the_vectors() -> None:
    assert signature(TOKEN, URL, STATUS.items()) == "Aw0z2ACh1H5QrfZVLCd/kH40rvM="


def test_signature_of_json_is_the_vectors() -> None:
    expected = "TDT2cp0HBqUokvvJMZw5e/v07o8="
    assert signature(TOKEN, JSON_URL, []) == expected
    headers = {"content-type": "application/json", "x-twilio-signature": expected}
    call = Callback(method="POST", url=JSON_URL, headers=headers, body=b'{"a":1}')
    assert parameters(call, TOKEN) == {"a": "1"}
    assert RequestValidator(TOKEN).validate(JSON_URL, '{"a":1}', expected)


@pytest.mark.parametrize("url", [JSON_URL[:-1] + "0", JSON_URL.partition("?")[0], f"{JSON_URL}&{JSON_URL[-75:]}"])
def test_signature_of_json_with_another_hash_is_forged(url: str) -> None:
    headers = {"content-type": "application/json", "x-twilio-signature": signature(TOKEN, url, [])}
    with pytest.raises(SignatureInvalid):
        parameters(Callback(method="POST", url=url, headers=headers, body=b'{"a":1}'), TOKEN)


@pytest.mark.parametrize(
    "fields",
    [
        STATUS,
        {"b": ["2", "1", "2"], "a": "", "B": "x y&z=ü 😀", "A": "+"},
        {"MediaUrl": ["https://example.com/2", "https://example.com/1"]},
        {},
    ],
)
@pytest.mark.parametrize("algorithm", ["HMAC_SHA1", "HMAC_SHA256"])
def test_signature_agrees_with_twilios_own_library(fields: dict[str, Any], algorithm: str) -> None:
    class Repeated(dict[str, list[str]]):
        def getlist(self, name: str) -> list[str]:
            return self[name]

    body = urlencode(fields, doseq=True)
    theirs = Repeated(parse_qs(body, keep_blank_values=True))
    ours = signature(TOKEN, URL, parse_qsl(body, keep_blank_values=True), algorithm)
    assert ours == RequestValidator(TOKEN).compute_signature(URL, theirs, algorithm)


@pytest.mark.parametrize(
    ("url", "signed_url"),
    [
        ("https://h.example.com/a?b=1", "https://h.example.com:443/a?b=1"),
        ("https://h.example.com:443/a?b=1", "https://h.example.com/a?b=1"),
        ("https://h.example.com:8443/a", "https://h.example.com/a"),
        ("https://h.example.com:8443/a", "https://h.example.com:8443/a"),
        ("http://127.0.0.1/a", "http://127.0.0.1:80/a"),
        ("http://[::1]:8080/a", "http://[::1]/a"),
    ],
)
async def test_call_of_a_url_with_and_without_its_port_is_the_same(url: str, signed_url: str) -> None:
    assert (await read(call(STATUS, url=url, signed_url=signed_url), account())).events


@pytest.mark.parametrize(
    "signed_url", ["https://h.example.com/b", "http://h.example.com/a", "https://h.example.com/a?"]
)
async def test_call_of_another_url_is_forged(signed_url: str) -> None:
    with pytest.raises(SignatureInvalid):
        await read(call(STATUS, url="https://h.example.com/a", signed_url=signed_url), account())


@pytest.mark.parametrize(
    ("settings", "algorithm"),
    [
        ("key=webhooks_1,algorithm=HMAC_SHA256", "HMAC_SHA256"),
        ("key=webhooks_1, algorithm=HMAC_SHA1", "HMAC_SHA1"),
        ("key=webhooks_1", "HMAC_SHA1"),
    ],
)
async def test_call_with_a_known_algorithm_is_read(settings: str, algorithm: str) -> None:
    assert (await read(call(STATUS, algorithm=algorithm, settings=settings), account())).events


@pytest.mark.parametrize(
    ("settings", "algorithm"),
    [
        ("key=webhooks_1,algorithm=HMAC_SHA512", "HMAC_SHA1"),
        ("key=webhooks_1,algorithm=none", "HMAC_SHA1"),
        ("key=webhooks_1,algorithm=", "HMAC_SHA1"),
        ("algorithm=HMAC_SHA1,algorithm=HMAC_SHA1", "HMAC_SHA1"),
        ("algorithm=HMAC_SHA256", "HMAC_SHA1"),
        ("algorithm=HMAC_SHA1", "HMAC_SHA256"),
    ],
)
async def test_call_with_another_algorithm_is_forged(settings: str, algorithm: str) -> None:
    with pytest.raises(SignatureInvalid):
        await read(call(STATUS, algorithm=algorithm, settings=settings), account())


async def test_call_with_two_signatures_is_forged() -> None:
    one = call(STATUS)
    twice = dict(one.headers) | {"x-twilio-signature": f"{one.headers['x-twilio-signature']}, x"}
    with pytest.raises(SignatureInvalid):
        await read(Callback(method="POST", url=one.url, headers=twice, body=one.body), account())


async def test_call_by_get_is_read_from_its_query() -> None:
    url = "https://h.example.com/a?" + urlencode(STATUS | {"hermod_message_id": MESSAGE})
    headers = {"x-twilio-signature": signature(TOKEN, url, [])}
    (event,) = (await read(Callback(method="GET", url=url, headers=headers, body=b""), account())).events
    assert (event.kind, event.message_id) == (ReceiptEventType.DELIVERED, MESSAGE)


@pytest.mark.parametrize("status", STATUSES)
async def test_status_is_read_by_the_table(status: str) -> None:
    assert (await event(MessageStatus=status)).kind is STATUSES[status]


@pytest.mark.parametrize("status", ["partially_delivered", "new-word"])
async def test_status_that_is_not_listed_is_unknown(status: str) -> None:
    found = await event(MessageStatus=status)
    assert (found.kind, found.word) == (ReceiptEventType.UNKNOWN, status)


@pytest.mark.parametrize("code", sorted({*FAILURES, *MEANINGS, "30999"} - {"21610"}))
@pytest.mark.parametrize("status", ["undelivered", "failed"])
async def test_failure_is_read_by_its_code(status: str, code: str) -> None:
    found = await event(MessageStatus=status, ErrorCode=code, ErrorMessage="Unreachable +14155550100")
    assert (found.kind, found.code) == (FAILURES.get(code, ReceiptEventType.FAILED), code)
    assert found.text == "Unreachable [number]"
    assert found.id == f"{SID}:{status}:{code}"


async def test_failure_of_somebody_who_opted_out_says_both() -> None:
    failed, stopped = await events(MessageStatus="failed", ErrorCode="21610")
    assert (failed.kind, stopped.kind) == (ReceiptEventType.FAILED, FAILURES["21610"])
    assert FAILURES["21610"] is ReceiptEventType.UNSUBSCRIBED
    assert failed.address == stopped.address == "+14155550100"
    assert failed.id != stopped.id


async def test_status_names_message_and_number() -> None:
    found = await event()
    assert (found.provider_message_id, found.address, found.id) == (SID, "+14155550100", f"{SID}:delivered")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"Body": "Stop."}, "Stop."),
        ({"Body": "Basta", "OptOutType": "STOP"}, "STOP"),
        ({"Body": "Los", "OptOutType": "START"}, "START"),
        ({"Body": "No more", "ButtonText": "No more", "ButtonPayload": "STOP"}, "STOP"),
        ({"Body": "Stop", "ButtonText": "Stop", "ButtonPayload": "promo-7"}, "Stop"),
        ({"Body": "See you", "ButtonPayload": "promo-7"}, "See you"),
        ({"Body": "", "NumMedia": "1"}, None),
    ],
)
async def test_inbound_message_says_the_keyword_wherever_it_stands(fields: dict[str, str], words: str | None) -> None:
    said = {"MessageSid": SID, "SmsStatus": "received", "From": "+14155550100", "To": "+15005550006"} | fields
    (found,) = (await read(call(said), account())).events
    assert (found.kind, found.words, found.address, found.id) == (ReceiptEventType.INBOUND, words, "+14155550100", SID)


@pytest.mark.parametrize(
    "fields", [{"MessageStatus": "sent"}, {"MessageSid": SID}, {"MessageSid": "", "SmsStatus": "x"}]
)
async def test_form_without_a_message_is_unreadable(fields: dict[str, str]) -> None:
    with pytest.raises(Unreadable):
        await read(call(fields), account())


@pytest.mark.parametrize("body", [b"[1]", b"{", b""])
def test_json_that_is_no_object_is_unreadable(body: bytes) -> None:
    url = f"https://h.example.com/a?bodySHA256={hashlib.sha256(body).hexdigest()}"
    headers = {"content-type": "application/json", "x-twilio-signature": signature(TOKEN, url, [])}
    with pytest.raises(Unreadable):
        parameters(Callback(method="POST", url=url, headers=headers, body=body), TOKEN)
