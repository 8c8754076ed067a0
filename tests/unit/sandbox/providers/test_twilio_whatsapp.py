"""The sandbox's Twilio for WhatsApp: Twilio's own checks under a name of its own, for one channel."""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import parse_qs, urlencode

import orjson
import pytest
from httpx import Headers

from devstack.sandbox.providers.contract import Call, Refused, Submission, Target
from devstack.sandbox.providers.registry import HTTP_PROVIDERS
from devstack.sandbox.providers.twilio_whatsapp import TwilioWhatsApp
from tests.unit.channels.samples import NOW

ACCOUNT = "AC0123456789abcdef0123456789abcdef"
PATH = f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json"
AUTHORIZATION = "Basic " + base64.b64encode(f"{ACCOUNT}:token".encode()).decode()
MESSAGE = {"To": "whatsapp:+14155550100", "From": "whatsapp:+14155550199"}
CONTENT = {"ContentSid": "HX" + "0" * 32}
URL = "https://hermod.example.com/ingress/receipts/twilio_whatsapp/demo/main"


def submit(form: dict[str, str]) -> Submission:
    headers = Headers({"Content-Type": "application/x-www-form-urlencoded", "Authorization": AUTHORIZATION})
    return TwilioWhatsApp().check(Call("POST", PATH, headers, urlencode(form).encode()))


def code(form: dict[str, str]) -> int:
    with pytest.raises(Refused) as refusal:
        submit(form)
    found: int = orjson.loads(refusal.value.reply.body)["code"]
    return found


def test_provider_is_mounted_beside_twilio() -> None:
    assert {"twilio", "twilio_whatsapp"} <= {provider.name for provider in HTTP_PROVIDERS}


@pytest.mark.parametrize("words", [{"Body": "Hello"}, CONTENT, CONTENT | {"ContentVariables": '{"1":"Ann"}'}])
def test_message_is_sent_is_filed_under_its_own_name(words: dict[str, str]) -> None:
    (entry,) = submit(MESSAGE | words).entries
    assert (entry.provider, entry.channel, entry.to) == ("twilio_whatsapp", "whatsapp", ("+14155550100",))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, 21602),
        ({"To": "+14155550100", "From": "+14155550199", "Body": "Hello"}, 21211),
        ({"From": "+14155550199", "Body": "Hello"}, 21910),
        ({"ContentSid": "order_update"}, 21655),
        (CONTENT | {"ContentVariables": '{"1":["Ann"]}'}, 21656),
    ],
)
def test_message_is_wrong_answers_its_code(changes: dict[str, Any], expected: int) -> None:
    assert code(MESSAGE | changes) == expected


def test_report_is_sent_words_it_for_the_channel() -> None:
    (entry,) = submit(MESSAGE | {"Body": "Hello", "StatusCallback": f"{URL}?hermod_message_id=msg_1"}).entries
    report = TwilioWhatsApp().report(entry, "read", Target(URL, {"auth_token": "token"}, NOW))
    assert report is not None
    assert report.path == f"{URL}?hermod_message_id=msg_1"
    form = parse_qs(report.body.decode())
    assert (form["MessageStatus"], form["To"], form["ChannelPrefix"]) == (
        ["read"],
        ["whatsapp:+14155550100"],
        ["whatsapp"],
    )


def test_report_without_the_auth_token_is_none() -> None:
    (entry,) = submit(MESSAGE | {"Body": "Hello"}).entries
    assert TwilioWhatsApp().report(entry, "read", Target(URL, {"api_key_secret": "token"}, NOW)) is None
