"""APNs: the request to the byte, the provider token, every reason of the table, and what does not fit."""

from __future__ import annotations

import base64
import re
from datetime import timedelta
from typing import Any

import jwt
import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP384R1, derive_private_key
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from hermod.channels.push.apns.codes import MEANINGS, NEW_CONNECTION, Meaning
from hermod.channels.push.apns.provider_token import ProviderToken, WrongKey, private_key
from hermod.channels.push.apns.sender import ApnsSender, apns_id
from hermod.channels.registry import validate
from hermod.contracts.errors import InvalidInput
from hermod.contracts.notifications.content import Push
from hermod.contracts.notifications.messages import Category, Outcome
from hermod.contracts.notifications.outcomes import Accepted, Fault, RecipientRejected, Throttled, Transient
from hermod.contracts.tenants.accounts import AccountInput
from tests.unit.channels.samples import CREDENTIALS, NOW, account, outgoing, reply, sms, wiring

TOKEN = "0123456789abcdef" * 4
PEM = CREDENTIALS["apns"]["private_key"]
PUBLIC = private_key(PEM).public_key()
KINDS = {
    Meaning.WRONG_TOKEN: Outcome.RECIPIENT_REJECTED,
    Meaning.UNREGISTERED: Outcome.RECIPIENT_REJECTED,
    Meaning.MESSAGE: Outcome.MESSAGE_REJECTED,
    Meaning.ACCOUNT: Outcome.ACCOUNT_HALTED,
    Meaning.LATER: Outcome.TRANSIENT,
    Meaning.THROTTLED: Outcome.THROTTLED,
}


def sender(**credentials: str) -> ApnsSender:
    return ApnsSender(account("apns", credentials=CREDENTIALS["apns"] | credentials), wiring())


def push(**changes: Any) -> Push:
    return Push(**({"to": TOKEN, "title": "Hello", "body": "Hi Ada"} | changes))


def provider_token() -> ProviderToken:
    return ProviderToken(key_id="ABC123DEFG", team_id="DEF123GHIJ", private_key=private_key(PEM))


def test_request_is_what_apple_documents() -> None:
    request = sender().request(outgoing(push(data={"order": 7}, ttl_seconds=60, collapse_key="order"), request_id="r"))
    assert request.method == "POST"
    assert str(request.url) == f"https://api.push.apple.com/3/device/{TOKEN}"
    headers = dict(request.headers)
    assert headers.pop("authorization").startswith("bearer ey")
    assert headers == {
        "apns-topic": "com.example.app",
        "apns-push-type": "alert",
        "apns-id": apns_id("msg_1"),
        "apns-priority": "10",
        "apns-expiration": str(int(NOW.timestamp()) + 60),
        "apns-collapse-id": "order",
        "x-request-id": "r",
    }
    assert request.content == (
        b'{"order":7,"hermod_message_id":"msg_1","aps":{"alert":{"title":"Hello","body":"Hi Ada"},"sound":"default"}}'
    )


def test_request_carries_address_and_picture_beside_aps() -> None:
    content = push(title=None, image="https://example.com/1.png", url="https://example.com/7")
    body = orjson.loads(sender().request(outgoing(content)).content)
    assert body == {
        "url": "https://example.com/7",
        "image": "https://example.com/1.png",
        "hermod_message_id": "msg_1",
        "aps": {"alert": {"body": "Hi Ada"}, "sound": "default", "mutable-content": 1},
    }


def test_request_data_alone_is_a_background_push_whatever_its_category() -> None:
    request = sender().request(outgoing(push(title=None, body=None, data={"sync": True})))
    assert (request.headers["apns-push-type"], request.headers["apns-priority"]) == ("background", "5")
    assert orjson.loads(request.content)["aps"] == {"content-available": 1}


def test_request_marketing_waits_for_the_device_and_without_a_ttl_says_nothing_of_it() -> None:
    request = sender().request(outgoing(push(), category=Category.MARKETING))
    assert request.headers["apns-priority"] == "5"
    assert "apns-expiration" not in request.headers
    assert sender().request(outgoing(push(ttl_seconds=0))).headers["apns-expiration"] == "0"


def test_request_environment_and_own_address_choose_the_host() -> None:
    assert sender(environment="sandbox").request(outgoing(push())).url.host == "api.sandbox.push.apple.com"
    own = ApnsSender(account("apns", base_url="https://push.example.com/"), wiring())
    assert str(own.request(outgoing(push())).url) == f"https://push.example.com/3/device/{TOKEN}"


def test_apns_id_is_a_uuid_in_lower_case_and_the_same_in_every_attempt() -> None:
    first = sender().request(outgoing(push())).headers["apns-id"]
    again = sender().request(outgoing(push(), attempt=2)).headers["apns-id"]
    assert first == again
    assert first != apns_id("msg_2")
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", first)


def test_provider_token_is_es256_with_a_raw_signature() -> None:
    value = provider_token().value(NOW)
    head, claims, signature = value.split(".")
    assert len(base64.urlsafe_b64decode(signature + "==")) == 64
    assert orjson.loads(base64.urlsafe_b64decode(head + "==")) == {"alg": "ES256", "kid": "ABC123DEFG", "typ": "JWT"}
    decoded = jwt.decode(value, PUBLIC, algorithms=["ES256"], options={"verify_iat": False})
    assert decoded == {"iss": "DEF123GHIJ", "iat": int(NOW.timestamp())}
    assert claims


@pytest.mark.parametrize(
    ("later", "same"),
    [
        (timedelta(minutes=49), True),
        (timedelta(minutes=50), False),
        (timedelta(hours=3), False),
        (timedelta(minutes=-1), False),
    ],
)
def test_provider_token_is_used_for_fifty_minutes(later: timedelta, same: bool) -> None:
    token = provider_token()
    first = token.value(NOW)
    assert (token.value(NOW + later) == first) is same


@pytest.mark.parametrize(("age", "replaced"), [(timedelta(minutes=19), False), (timedelta(minutes=20), True)])
def test_provider_token_refused_is_replaced_unless_it_is_young(age: timedelta, replaced: bool) -> None:
    token = provider_token()
    first = token.value(NOW)
    assert token.replaced(first, NOW + age) is replaced
    assert (token.value(NOW + age) != first) is replaced


def test_provider_token_refused_that_another_request_has_replaced_is_not_made_again() -> None:
    token = provider_token()
    first = token.value(NOW)
    later = NOW + timedelta(minutes=30)
    token.replaced(first, later)
    second = token.value(later)
    assert token.replaced(first, later)
    assert token.value(later) == second


def _encoded(key: Any, encryption: Any = None) -> str:
    text: str = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption()).decode()
    return text


def test_key_is_read_from_the_file_as_it_is_and_with_escaped_line_breaks() -> None:
    for text in (PEM, PEM.strip(), PEM.replace("\n", "\\n"), PEM.replace("\n", "\r\n")):
        assert private_key(text).private_numbers().private_value == 1


@pytest.mark.parametrize(
    "text",
    [
        "secret",
        PEM[:40],
        _encoded(derive_private_key(1, SECP384R1())),
        _encoded(derive_private_key(1, SECP384R1()), BestAvailableEncryption(b"x")),
    ],
)
def test_key_that_is_none_of_apples_is_refused_without_a_word_of_it(text: str) -> None:
    with pytest.raises(WrongKey) as caught:
        private_key(text)
    assert text not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"key_id": "abc123defg"}, "credentials.key_id"),
        ({"team_id": "DEF123"}, "credentials.team_id"),
        ({"private_key": "secret"}, "credentials.private_key"),
        ({"topic": "com example"}, "credentials.topic"),
        ({"environment": "staging"}, "credentials.environment"),
        ({"topic": ""}, "credentials.topic"),
    ],
)
def test_settings_that_cannot_work_are_named(change: dict[str, str], field: str) -> None:
    given = AccountInput.model_validate(
        {"channel": "push", "provider": "apns", "credentials": CREDENTIALS["apns"] | change}
    )
    with pytest.raises(InvalidInput) as caught:
        validate(given)
    assert [error.field for error in caught.value.errors] == [field]


def test_settings_plain_http_passes_only_with_private_addresses() -> None:
    given = AccountInput.model_validate(
        {
            "channel": "push",
            "provider": "apns",
            "credentials": CREDENTIALS["apns"],
            "base_url": "http://127.0.0.1:8091",
        }
    )
    validate(given, allow_private=True)
    with pytest.raises(InvalidInput, match="base_url"):
        validate(given)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (sms(), "push messages only"),
        (push(to="ExponentPushToken[abc]"), "Apple's"),
        (push(to="cXk3:APA91bZq"), "Apple's"),
        (push(to={"endpoint": "https://push.example.com/1"}), "Apple's"),
        (push(data={"aps": True}), "data.aps"),
        (push(data={"hermod_message_id": "x"}), "data.hermod_message_id"),
        (push(url="https://example.com/1", data={"url": "https://example.com/2"}), "url"),
        (push(image="https://example.com/1.png", data={"image": 1}), "image"),
        (push(collapse_key="größe"), "ASCII"),
        (push(body="x" * 4000, data={"more": "y" * 100}), "4096"),
    ],
)
def test_content_that_apple_cannot_carry_is_named(content: Any, says: str) -> None:
    assert says in (sender().cannot_express(content) or "")


def test_content_that_fits_to_the_byte_passes() -> None:
    def size(body: str) -> int:
        return len(sender().request(outgoing(push(title=None, body=body), id="msg_" + "0" * 28)).content)

    longest = "x" * (4096 - size(" ") + 1)
    assert size(longest) == 4096
    assert sender().cannot_express(push(title=None, body=longest)) is None
    assert sender().cannot_express(push(title=None, body=longest + "x")) is not None
    assert sender().cannot_express(push(url="https://a.example", data={"url": "https://a.example"})) is None


def test_outcome_success_is_accepted_with_apples_id_or_ours() -> None:
    outcome = sender().outcome(reply(200, kind=None, apns_id="eabeae54-14a8-11e5-b60b-1697f925ec7b"), outgoing(push()))
    assert outcome == Accepted(status_code=200, provider_id="eabeae54-14a8-11e5-b60b-1697f925ec7b")
    assert sender().outcome(reply(200, kind=None), outgoing(push())) == Accepted(
        status_code=200, provider_id=apns_id("msg_1")
    )


@pytest.mark.parametrize(("reason", "meaning"), MEANINGS.items())
def test_outcome_listed_reason_decides(reason: str, meaning: Meaning) -> None:
    outcome = sender().outcome(reply(400, {"reason": reason}), outgoing(push()))
    assert (outcome.kind, outcome.error_code, outcome.error) == (KINDS[meaning], reason, f"APNs: {reason}")


@pytest.mark.parametrize(
    ("status", "reason", "fault"),
    [
        (400, "BadDeviceToken", Fault.WRONG_TOKEN),
        (400, "DeviceTokenNotForTopic", Fault.WRONG_TOKEN),
        (410, "Unregistered", Fault.UNREGISTERED),
        (410, "ExpiredToken", Fault.UNREGISTERED),
    ],
)
def test_outcome_token_is_refused_with_its_fault(status: int, reason: str, fault: Fault) -> None:
    outcome = sender().outcome(reply(status, {"reason": reason, "timestamp": 1454948015990}), outgoing(push()))
    assert isinstance(outcome, RecipientRejected)
    assert outcome.fault is fault


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (500, {"reason": "InternalServerError"}, Outcome.UNKNOWN),
        (502, b"", Outcome.UNKNOWN),
        (503, b"", Outcome.UNKNOWN),
        (400, {"reason": "SomethingNew"}, Outcome.MESSAGE_REJECTED),
        (403, {"reason": "SomethingNew"}, Outcome.ACCOUNT_HALTED),
        (429, {"reason": "SomethingNew"}, Outcome.THROTTLED),
        (400, {"reason": 7}, Outcome.MESSAGE_REJECTED),
        (400, [], Outcome.MESSAGE_REJECTED),
    ],
)
def test_outcome_without_listed_reason_is_read_by_status(status: int, body: object, kind: Outcome) -> None:
    assert sender().outcome(reply(status, body), outgoing(push())).kind is kind


def test_outcome_too_many_provider_tokens_rests_the_account_for_twenty_minutes() -> None:
    outcome = sender().outcome(reply(429, {"reason": "TooManyProviderTokenUpdates"}), outgoing(push()))
    assert isinstance(outcome, Throttled)
    assert outcome.retry_after == 1200.0


def test_outcome_busy_device_rests_only_its_message() -> None:
    outcome = sender().outcome(reply(429, {"reason": "TooManyRequests"}, retry_after="3"), outgoing(push()))
    assert isinstance(outcome, Transient)
    assert outcome.retry_after == 3.0


def test_reasons_that_need_another_connection_are_no_fault_of_the_account() -> None:
    assert {MEANINGS[reason] for reason in NEW_CONNECTION} == {Meaning.LATER}
