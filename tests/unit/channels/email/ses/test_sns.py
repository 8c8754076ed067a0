"""Amazon SNS: which calls are from our topic, where its certificates come from, and how a subscription is confirmed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import orjson
import pytest

from devstack.sandbox.providers.ses_events import confirmation, notification
from hermod.channels.email.ses.receipts import SesReceipts
from hermod.channels.email.ses.sns import MAX_CERTIFICATES, NEWEST, OLDEST
from hermod.contracts.errors import Unavailable
from hermod.ports.notifications.receipts import Callback, ParsedReceipt, SignatureInvalid
from tests.unit.channels import samples
from tests.unit.channels.email.ses.test_receipts import SNS, Web, bounce, callback, read, signed, target

SANDBOX = "http://127.0.0.1:8090"


def changed(call: Callback, fields: Mapping[str, Any]) -> Callback:
    """The call with some fields of the envelope changed; `None` removes one."""
    body = {**orjson.loads(call.body), **fields}
    kept = {name: value for name, value in body.items() if value is not None}
    return Callback(method="POST", url=call.url, headers={}, body=orjson.dumps(kept))


@pytest.mark.parametrize("version", ["1", "2"])
async def test_notice_of_either_signature_version_is_ours(version: str) -> None:
    event = orjson.dumps(bounce("Permanent", "General")).decode()
    assert len((await read(signed(event, version=version))).events) == 1


@pytest.mark.parametrize(
    "fields",
    [
        {"Message": '{"eventType":"Delivery"}'},
        {"MessageId": "11111111-0000-0000-0000-000000000000"},
        {"Timestamp": "2026-11-22T12:00:00.001Z"},
        {"Subject": "added"},
        {"SignatureVersion": "1"},
        {"SignatureVersion": "3"},
        {"SignatureVersion": None},
        {"Signature": None},
        {"Signature": "AAAA"},
        {"Signature": "not base64"},
        {"Type": "UnsubscribeConfirmation"},
        {"Type": "Something"},
        {"Type": None},
        {"TopicArn": "arn:aws:sns:us-east-1:123456789012:other"},
        {"TopicArn": None},
        {"Timestamp": None},
        {"Timestamp": "2026-11-22T12:00:00"},
        {"SigningCertURL": None},
    ],
)
async def test_notice_field_altered_is_forged(fields: dict[str, Any]) -> None:
    with pytest.raises(SignatureInvalid):
        await read(changed(signed("{}"), fields))


async def test_notice_with_a_subject_signs_it() -> None:
    call = notification('{"eventType":"Open"}', target(), identity="1", subject="Amazon SES Email Event Notification")
    assert len((await read(callback(call))).events) == 1
    with pytest.raises(SignatureInvalid):
        await read(changed(callback(call), {"Subject": None}))


@pytest.mark.parametrize(
    "url",
    [
        "http://sns.us-east-1.amazonaws.com/SimpleNotificationService-1.pem",
        "https://sns.us-east-1.amazonaws.com.evil.example/SimpleNotificationService-1.pem",
        "https://sns.us-east-1.amazonaws.com:8443/SimpleNotificationService-1.pem",
        "https://sns.us-east-1.amazonaws.com@evil.example/SimpleNotificationService-1.pem",
        "https://user@sns.us-east-1.amazonaws.com/SimpleNotificationService-1.pem",
        "https://evil.example/sns.us-east-1.amazonaws.com/SimpleNotificationService-1.pem",
        "https://sns-evil.s3.amazonaws.com/SimpleNotificationService-1.pem",
        "https://sns.s3.amazonaws.com/1.pem",
        "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-1.txt",
        "https://sns.us-east-1.amazonaws.com/?Action=Anything&as=.pem",
        "https://sns.us-east-1.amazonaws.com/a/../b.pem",
        "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-1.pem\n",
        "HTTP://127.0.0.1:8090/ses/1.pem",
    ],
)
async def test_certificate_elsewhere_is_never_asked_for(url: str) -> None:
    web = Web()
    with pytest.raises(SignatureInvalid):
        await read(changed(signed("{}"), {"SigningCertURL": url}), web=web)
    assert web.asked == []


@pytest.mark.parametrize(
    "url",
    [
        "https://sns.eu-central-1.amazonaws.com/SimpleNotificationService-1.pem",
        "https://sns.us-gov-west-1.amazonaws.com/SimpleNotificationService-1.pem",
        "https://sns.cn-north-1.amazonaws.com.cn/SimpleNotificationService-1.pem",
    ],
)
async def test_certificate_at_amazon_is_asked_for(url: str) -> None:
    web = Web()
    await read(changed(signed("Hello"), {"SigningCertURL": url}), web=web)
    assert web.asked == [url]


async def test_certificate_at_the_host_of_the_account_counts_for_that_account() -> None:
    call, web = signed("Hello", sandbox=SANDBOX), Web()
    await read(call, web=web, base_url=f"{SANDBOX}/ses")
    (url,) = web.asked
    assert url.startswith(f"{SANDBOX}/ses/SimpleNotificationService-")
    for base_url in (None, "http://127.0.0.1:80901/ses", "http://127.0.0.1/ses", "https://127.0.0.1:8090/ses"):
        with pytest.raises(SignatureInvalid):
            await read(call, base_url=base_url)


async def test_certificate_is_kept_by_its_url_and_not_for_ever() -> None:
    reader, web = SesReceipts(), Web()
    for number in [*range(MAX_CERTIFICATES + 1), MAX_CERTIFICATES, 0]:
        call = changed(signed("Hello"), {"SigningCertURL": f"{SNS}/{number}.pem"})
        await read(call, web=web, reader=reader)
    assert web.asked == [f"{SNS}/{number}.pem" for number in [*range(MAX_CERTIFICATES + 1), 0]]


async def test_certificate_that_is_none_is_forged_and_not_kept() -> None:
    reader = SesReceipts()
    with pytest.raises(SignatureInvalid):
        await read(signed("Hello"), web=Web(b"<html>"), reader=reader)
    assert await read(signed("Hello"), reader=reader) == ParsedReceipt()


async def test_certificate_that_does_not_come_is_nobodys_forgery() -> None:
    with pytest.raises(Unavailable):
        await read(signed("Hello"), web=Web(Unavailable("no answer")))


async def test_notice_for_another_topic_costs_no_certificate() -> None:
    web = Web()
    with pytest.raises(SignatureInvalid):
        await read(changed(signed("{}"), {"TopicArn": "arn:aws:sns:us-east-1:123456789012:other"}), web=web)
    assert web.asked == []


@pytest.mark.parametrize(
    ("age", "taken"),
    [
        (OLDEST, True),
        (timedelta(hours=1), True),
        (OLDEST + timedelta(seconds=1), False),
        (-NEWEST, True),
        (-NEWEST - timedelta(seconds=1), False),
    ],
)
async def test_notice_may_be_as_old_as_sns_re_sends(age: timedelta, taken: bool) -> None:
    call = signed("Hello", now=samples.NOW - age)
    if taken:
        assert await read(call) == ParsedReceipt()
        return
    with pytest.raises(SignatureInvalid):
        await read(call)


@pytest.mark.parametrize(("sandbox", "root"), [(None, SNS), (SANDBOX, f"{SANDBOX}/ses")])
async def test_subscription_is_confirmed_by_asking_for_its_url(sandbox: str | None, root: str) -> None:
    web, old = Web(), samples.NOW - timedelta(days=1)
    call = callback(confirmation(target(now=old, sandbox=sandbox)))
    assert await read(call, web=web, base_url=f"{SANDBOX}/ses") == ParsedReceipt()
    assert len(web.asked) == 2
    assert web.asked[1].startswith(f"{root}/?Action=ConfirmSubscription&TopicArn=arn:aws:sns:us-east-1:")


@pytest.mark.parametrize(
    "fields",
    [
        {"Token": "another"},
        {"SubscribeURL": f"{SNS}/?Action=ConfirmSubscription&Token=another"},
        {"SubscribeURL": None},
        {"TopicArn": "arn:aws:sns:us-east-1:123456789012:other"},
    ],
)
async def test_subscription_altered_is_not_confirmed(fields: dict[str, Any]) -> None:
    web = Web()
    with pytest.raises(SignatureInvalid):
        await read(changed(callback(confirmation(target())), fields), web=web)
    assert len(web.asked) <= 1


async def test_subscription_elsewhere_is_not_confirmed() -> None:
    call, web = callback(confirmation(target(sandbox="https://evil.example"))), Web()
    there = changed(call, {"SigningCertURL": f"{SNS}/1.pem"})
    with pytest.raises(SignatureInvalid):
        await read(there, web=web)
    assert web.asked == [f"{SNS}/1.pem"]


async def test_unsubscribing_has_no_events_and_is_not_undone() -> None:
    call, web = callback(confirmation(target(), type_="UnsubscribeConfirmation")), Web()
    assert await read(call, web=web) == ParsedReceipt()
    assert len(web.asked) == 1
