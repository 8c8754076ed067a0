"""The two signatures of Amazon: what SES checks on a request (Signature Version 4), and what SNS puts on a message.

The sandbox knows one secret access key, the one of AWS's own documentation: an account at the sandbox has that, with
any access key id. SNS signs with a key that was made for this file and signs nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final
from urllib.parse import quote

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import (
    RSAPrivateKey,
    RSAPrivateNumbers,
    RSAPublicNumbers,
    rsa_crt_dmp1,
    rsa_crt_dmq1,
    rsa_crt_iqmp,
)

from devstack.sandbox.providers.contract import Call
from devstack.sandbox.providers.syntax import BAD

SECRET: Final = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
MAX_SKEW: Final = timedelta(minutes=15)
_AUTHORIZATION: Final = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key>[^/,]+)/(?P<date>\d{8})/(?P<region>[a-z0-9-]+)/(?P<service>[a-z]+)"
    r"/aws4_request, SignedHeaders=(?P<names>[a-z0-9;-]+), Signature=(?P<signature>[0-9a-f]{64})"
)
_P: Final = int(
    "ebf755d21e7dac479bbf8ee85a418826da4bb856bdb74f9d6ed835f62ce3753a"
    "27118912bab1145b94b46907a8d2b5c81ec3da2c4addff8df953fd518d3178ff"
    "24c0e3afe5b931dc3eb51ed0abc3259c668781a473dcb06c0951d9ff88e8bd44"
    "dfac84909944ea86e1420d57084dfb8f82e7231eb5b17c46744b73d0c4a84cad",
    16,
)
_Q: Final = int(
    "bffb1904de7a3eef9286ea768d8e34a22515db05ff7d6792cba432e4c8b2f2d2"
    "dd55f73834db58d0ed997ab6c4e3da597c6a5aeb0cd4a81604f2c697909875c3"
    "a2b44789a42c18bb77226e16af8119ec9c519c19b4acdba1e0258cf3859823a7"
    "9593f6fef25a38db5849695a91fc03e97083d1bdb0cb8a6478de3dc8dd8ef41d",
    16,
)
_E: Final = 65537
_MADE_AT: Final = datetime(2026, 1, 1, tzinfo=UTC)


class Unsigned(Exception):
    """The request is not signed as it should be: SES's error type, and its text."""

    def __init__(self, kind: str, message: str, status: int = 403) -> None:
        self.kind = kind
        self.message = message
        self.status = status
        super().__init__(kind, message)


def check_signature(call: Call, path: str, now: datetime) -> None:
    """`path` is the whole one, the mount point included: it is part of what was signed. Raises Unsigned."""
    headers = {name.lower(): value for name, value in call.headers.items()}
    authorization = headers.get("authorization")
    if authorization is None:
        raise Unsigned("MissingAuthenticationTokenException", "Missing Authentication Token")
    found = _AUTHORIZATION.fullmatch(authorization)
    if found is None:
        raise Unsigned("IncompleteSignatureException", "Authorization header is not in the form of AWS4-HMAC-SHA256.")
    if BAD in found["key"] or BAD in headers.get("x-amz-security-token", ""):
        raise Unsigned("UnrecognizedClientException", "The security token included in the request is invalid.")
    if found["service"] != "ses":
        raise Unsigned("InvalidSignatureException", "Credential should be scoped to correct service: 'ses'.")
    stamp = headers.get("x-amz-date", "")
    _check_age(stamp, found["date"], now)
    names = found["names"].split(";")
    must = {"host", *(name for name in headers if name.startswith("x-amz-") or name == "content-type")}
    if names != sorted(names) or not must <= set(names) or not set(names) <= headers.keys():
        raise Unsigned("InvalidSignatureException", "The signed headers are not those of the request.")
    scope = f"{found['date']}/{found['region']}/{found['service']}/aws4_request"
    expected = _signature(call, path, headers, names, stamp=stamp, scope=scope)
    if not hmac.compare_digest(expected, found["signature"]):
        raise Unsigned(
            "InvalidSignatureException",
            "The request signature we calculated does not match the signature you provided. Check your AWS Secret "
            "Access Key and signing method. Consult the service documentation for details.",
        )


def _check_age(stamp: str, date: str, now: datetime) -> None:
    try:
        made_at = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise Unsigned("IncompleteSignatureException", "Date must be in ISO-8601 'basic format'.", 400) from None
    if not stamp.startswith(date):
        raise Unsigned("InvalidSignatureException", "Date in Credential scope does not match YYYYMMDD from ISO-8601.")
    if abs(now - made_at) > MAX_SKEW:
        raise Unsigned("InvalidSignatureException", f"Signature expired: {stamp} is too far from now (15 min.)")


def _signature(call: Call, path: str, headers: Mapping[str, str], names: list[str], *, stamp: str, scope: str) -> str:
    canonical = [call.method, quote(path, safe="/~"), ""]
    canonical += [f"{name}:{headers[name].strip()}" for name in names]
    canonical += ["", ";".join(names), hashlib.sha256(call.body).hexdigest()]
    digest = hashlib.sha256("\n".join(canonical).encode()).hexdigest()
    key = b"AWS4" + SECRET.encode()
    for word in scope.split("/"):
        key = hmac.new(key, word.encode(), hashlib.sha256).digest()
    return hmac.new(key, f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{digest}".encode(), hashlib.sha256).hexdigest()


@lru_cache(maxsize=1)
def private_key() -> RSAPrivateKey:
    d = pow(_E, -1, (_P - 1) * (_Q - 1))
    numbers = RSAPrivateNumbers(
        p=_P,
        q=_Q,
        d=d,
        dmp1=rsa_crt_dmp1(d, _P),
        dmq1=rsa_crt_dmq1(d, _Q),
        iqmp=rsa_crt_iqmp(_P, _Q),
        public_numbers=RSAPublicNumbers(_E, _P * _Q),
    )
    return numbers.private_key()


@lru_cache(maxsize=1)
def certificate() -> bytes:
    """The certificate in PEM, the same in every run."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "sns.sandbox.invalid")])
    builder = x509.CertificateBuilder(
        issuer_name=name,
        subject_name=name,
        public_key=private_key().public_key(),
        serial_number=1,
        not_valid_before=_MADE_AT,
        not_valid_after=_MADE_AT + timedelta(days=36_500),
    )
    return builder.sign(private_key(), hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def sign_message(fields: Mapping[str, str], version: str) -> str:
    """The `Signature` of a message of SNS: over its fields in the order of their names, each on a line of its own."""
    names = ["Message", "MessageId", "SubscribeURL", "Subject", "Timestamp", "Token", "TopicArn", "Type"]
    if fields["Type"] == "Notification":
        names = [name for name in names if name not in ("SubscribeURL", "Token")]
    lines = [line for name in names if name in fields for line in (name, fields[name])]
    algorithm = hashes.SHA1() if version == "1" else hashes.SHA256()  # noqa: S303
    signature = private_key().sign("\n".join([*lines, ""]).encode(), PKCS1v15(), algorithm)
    return base64.b64encode(signature).decode("ascii")
