"""Amazon SNS over HTTPS: which calls are really from our topic.

    {"Type": "Notification", "MessageId", "TopicArn", "Message", "Timestamp", "Signature", "SigningCertURL", …}

An RSA signature covers the fields that matter, line by line, not the body as it came. Its certificate lies at a URL
that the call itself names, so the URL is what decides: only Amazon's own hosts are asked, and the host that the
account's `base_url` names (a sandbox). Even so, everybody with an AWS account can have SNS sign something, so the
topic must be the account's own, too.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import urlsplit

import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.x509 import load_pem_x509_certificate

from hermod.contracts.tenants.accounts import Account
from hermod.ports.notifications.receipts import ReceiptContext, SignatureInvalid

NOTIFICATION: Final = "Notification"
CONFIRMATION: Final = "SubscriptionConfirmation"
OLDEST: Final = timedelta(minutes=75)
"""SNS re-sends with the first timestamp, for 3,600 seconds at most (its documented hard limit); some slack on top."""
NEWEST: Final = timedelta(minutes=5)
MAX_CERTIFICATES: Final = 16
"""Kept at once. Amazon has one for each region, and replaces it by one with another URL."""

_SIGNED: Final = {
    NOTIFICATION: ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    CONFIRMATION: ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
    "UnsubscribeConfirmation": ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
}
_HASHES: Final[dict[str, hashes.SHA1 | hashes.SHA256]] = {"1": hashes.SHA1(), "2": hashes.SHA256()}  # noqa: S303
"""By SignatureVersion. SHA-1 is what a topic signs with until its owner asks for version 2."""
_AMAZON: Final = r"https://sns\.[a-z]{2}[a-z0-9-]{3,30}\.amazonaws\.com(\.cn)?"
_CERTIFICATE: Final = re.compile(_AMAZON + r"/[\w-]+\.pem", re.ASCII)
_SUBSCRIBE: Final = re.compile(_AMAZON + r"/\?[\w.~&=%:+-]+", re.ASCII)
_OWN_PATH: Final = re.compile(r"/[\w./?&=%:+~-]*", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A call that SNS made for the account's topic."""

    type: str
    id: str
    message: str
    subscribe_url: str | None


class Certificates:
    """Public keys by the URL of their certificate; the one that was not used for the longest time goes first."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, RSAPublicKey] = OrderedDict()

    async def key(self, url: str, desk: ReceiptContext) -> RSAPublicKey:
        """Raises SignatureInvalid where there is no RSA certificate, Unavailable where nobody answers."""
        key = self._kept.get(url)
        if key is None:
            key = self._kept[url] = _public_key(await desk.fetch(url))
            while len(self._kept) > MAX_CERTIFICATES:
                self._kept.popitem(last=False)
        self._kept.move_to_end(url)
        return key


async def notice(body: bytes, account: Account, desk: ReceiptContext, certificates: Certificates) -> Notice:
    """The call, its topic, age and signature checked, in this order: what is not for us costs no certificate.

    Raises SignatureInvalid, and Unavailable where the certificate cannot be fetched.
    """
    fields = _fields(body)
    type_ = fields.get("Type", "")
    if type_ not in _SIGNED:
        raise SignatureInvalid("not a message of SNS")
    topic = account.credentials.get("topic_arn")
    if not topic:
        raise SignatureInvalid("the account names no topic_arn")
    if not hmac.compare_digest(fields.get("TopicArn", "").encode(), topic.encode()):
        raise SignatureInvalid("the topic is not the account's")
    if type_ == NOTIFICATION:
        # A confirmation is not judged by its age: repeated, it does nothing, and its token runs out by itself.
        _check_age(fields.get("Timestamp", ""), desk.now)
    url = fields.get("SigningCertURL", "")
    if not (_CERTIFICATE.fullmatch(url) or (url.endswith(".pem") and _is_own(url, account))):
        raise SignatureInvalid("the certificate is not at Amazon")
    _check_signature(await certificates.key(url, desk), type_, fields)
    subscribe_url = fields.get("SubscribeURL")
    return Notice(
        type=type_, id=fields.get("MessageId", ""), message=fields.get("Message", ""), subscribe_url=subscribe_url
    )


def subscribable(url: str, account: Account) -> bool:
    """Whether a subscription may be confirmed there."""
    return _SUBSCRIBE.fullmatch(url) is not None or _is_own(url, account)


def _fields(body: bytes) -> dict[str, str]:
    """The texts of the message: everything that is signed is one."""
    try:
        value: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise SignatureInvalid("not a message of SNS") from None
    if not isinstance(value, dict):
        raise SignatureInvalid("not a message of SNS")
    return {name: text for name, text in value.items() if isinstance(text, str)}


def _check_age(timestamp: str, now: datetime) -> None:
    try:
        age = now - datetime.fromisoformat(timestamp)
    except (ValueError, TypeError):
        raise SignatureInvalid("no timestamp with its time zone") from None
    if not -NEWEST <= age <= OLDEST:
        raise SignatureInvalid("the timestamp is too far from now")


def _is_own(url: str, account: Account) -> bool:
    """Whether the URL is at the host of the account's own `base_url`."""
    if account.base_url is None:
        return False
    own = urlsplit(account.base_url)
    origin = f"{own.scheme}://{own.netloc}"
    return url.startswith(f"{origin}/") and _OWN_PATH.fullmatch(url.removeprefix(origin)) is not None


def _public_key(pem: bytes) -> RSAPublicKey:
    try:
        key = load_pem_x509_certificate(pem).public_key()
    except ValueError:
        raise SignatureInvalid("there is no certificate at its URL") from None
    if not isinstance(key, RSAPublicKey):
        raise SignatureInvalid("the certificate holds no RSA key")
    return key


def _check_signature(key: RSAPublicKey, type_: str, fields: dict[str, str]) -> None:
    digest = _HASHES.get(fields.get("SignatureVersion", ""))
    if digest is None:
        raise SignatureInvalid("unknown SignatureVersion")
    signed = "".join(f"{name}\n{fields[name]}\n" for name in _SIGNED[type_] if name in fields)
    try:
        signature = base64.b64decode(fields.get("Signature", ""), validate=True)
        key.verify(signature, signed.encode(), PKCS1v15(), digest)
    except (binascii.Error, ValueError, InvalidSignature):
        raise SignatureInvalid("the signature is wrong") from None
