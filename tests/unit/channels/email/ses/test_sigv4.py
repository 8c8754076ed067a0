"""Signature Version 4: a fixed vector, and botocore's own signer over many bodies."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import httpx
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from hermod.channels.email.ses.sigv4 import Keys, canonical, signed

KEYS = Keys(access_key_id="AKIDEXAMPLE", secret_access_key="wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
URL = httpx.URL("https://email.us-east-1.amazonaws.com/v2/email/outbound-emails")
AT = datetime(2026, 11, 21, tzinfo=UTC)
BODY = (
    b'{"FromEmailAddress":"a@example.com","Destination":{"ToAddresses":["b@example.com"]},'
    b'"Content":{"Simple":{"Subject":{"Data":"Hi"},"Body":{"Text":{"Data":"Hello"}}}}}'
)
HEADERS = [("content-type", "application/json")]


def test_request_is_written_down_as_aws_does() -> None:
    covered = [*HEADERS, ("host", "email.us-east-1.amazonaws.com"), ("x-amz-date", "20261121T000000Z")]
    digest = hashlib.sha256(canonical(URL, covered, BODY)).hexdigest()
    assert digest == "e7a859d25d0bcbe28ebe86a75154221c8f2f5b4e32e56285e669c672d53f163e"


def test_signature_is_that_of_the_vector() -> None:
    assert signed(URL, HEADERS, BODY, keys=KEYS, scope="us-east-1/ses", now=AT) == [
        ("content-type", "application/json"),
        ("x-amz-date", "20261121T000000Z"),
        (
            "authorization",
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261121/us-east-1/ses/aws4_request, "
            "SignedHeaders=content-type;host;x-amz-date, "
            "Signature=a5233b2d531b097e9f4e7536788831c499712199c784fdb761691d0a8cf793b5",
        ),
    ]


@pytest.mark.parametrize("token", [None, "FwoGZXIvYXdzEBYaDH=="])
@pytest.mark.parametrize(
    "url",
    [
        str(URL),
        "http://127.0.0.1:8090/ses/v2/email/outbound-emails",
        "https://proxy.example.com/a%20b/~x/v2/email/outbound-emails",
    ],
)
@pytest.mark.parametrize("body", [b"", BODY, "Grüße 🚀".encode(), bytes(range(256)) * 300])
def test_signature_is_botocores(body: bytes, url: str, token: str | None) -> None:
    keys = Keys(access_key_id=KEYS.access_key_id, secret_access_key=KEYS.secret_access_key, session_token=token)
    ours = dict(signed(httpx.URL(url), HEADERS, body, keys=keys, scope="eu-central-1/ses", now=AT))
    assert ours["authorization"].rpartition("=")[2] == _botocores(body, url, token)


def _botocores(body: bytes, url: str, token: str | None) -> str:
    """What botocore's signer makes of the same request; its steps, because the whole asks the clock."""
    credentials = Credentials(KEYS.access_key_id, KEYS.secret_access_key, token)
    signer = SigV4Auth(credentials, "ses", "eu-central-1")
    request = AWSRequest(method="POST", url=url, data=body, headers={"Content-Type": "application/json"})
    request.context["timestamp"] = "20261121T000000Z"
    request.headers["X-Amz-Date"] = "20261121T000000Z"
    if token is not None:
        request.headers["X-Amz-Security-Token"] = token
    written = signer.canonical_request(request)
    return str(signer.signature(signer.string_to_sign(request, written), request))


def test_keys_do_not_show_their_secrets() -> None:
    keys = Keys(access_key_id="AKID", secret_access_key="very-secret", session_token="also-secret")
    assert repr(keys) == "Keys(access_key_id='AKID')"
