"""Twilio's signature of what it tells us (twilio.com/docs/usage/webhooks/webhooks-security).

    X-Twilio-Signature = base64(HMAC-SHA1(auth token, url + name1 + value1 + name2 + value2 + …))

The URL is the one that Twilio called, with its query; Twilio itself is not consistent about a default port in it, so
the same URL counts with and without one. Of a form, the names are sorted, and so are the different values of a name.
Of any other body only the URL is signed, and its query then holds the body's SHA-256 (`bodySHA256`). Secrets of API
keys sign nothing. Twilio signs no time.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Callable, Iterable, Iterator
from hashlib import sha1, sha256
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

import orjson

from hermod.channels.calls import only_header
from hermod.channels.http_sender import text_of
from hermod.ports.notifications.receipts import Callback, SignatureInvalid, Unreadable

HEADER: Final = "x-twilio-signature"
SETTINGS_HEADER: Final = "x-twilio-webhooks-signature-settings"
"""`key=<id>,algorithm=HMAC_SHA256`, in the beta that signs with other keys; without it the algorithm is HMAC_SHA1."""
_FORM: Final = "application/x-www-form-urlencoded"
_BODY_HASH: Final = "bodySHA256"
_DEFAULT_PORTS: Final = {"https": 443, "http": 80}
_ALGORITHMS: Final[dict[str, Callable[..., Any]]] = {"HMAC_SHA1": sha1, "HMAC_SHA256": sha256}

Pairs = list[tuple[str, str]]


def parameters(call: Callback, auth_token: str | None) -> dict[str, str]:
    """What Twilio tells us, once it is proved that Twilio does. Raises SignatureInvalid and Unreadable.

    Of a GET the query, of a form its fields, of JSON the strings and numbers of the object.
    """
    if not auth_token:
        raise SignatureInvalid("the account has no auth_token, and nothing else signs")
    query = parse_qsl(urlsplit(call.url).query, keep_blank_values=True)
    signed: Pairs = []
    if call.method != "GET" and _media_type(call) == _FORM:
        signed = parse_qsl(call.body.decode("utf-8", "replace"), keep_blank_values=True)
    elif call.method != "GET":
        _check_body(call.body, query)
    _check(call, auth_token, signed)
    if call.method == "GET":
        return dict(query)
    return dict(signed) if _media_type(call) == _FORM else _object(call.body)


def signature(auth_token: str, url: str, pairs: Iterable[tuple[str, str]], algorithm: str = "HMAC_SHA1") -> str:
    text = url + "".join(name + value for name, value in sorted(set(pairs)))
    digest = hmac.new(auth_token.encode(), text.encode(), _ALGORITHMS[algorithm]).digest()
    return base64.b64encode(digest).decode("ascii")


def _check(call: Callback, auth_token: str, signed: Pairs) -> None:
    given = only_header(call, HEADER)
    algorithm = _algorithm(call.headers.get(SETTINGS_HEADER, ""))
    fits = [
        hmac.compare_digest(signature(auth_token, url, signed, algorithm).encode(), given.encode())
        for url in _spellings(call.url)
    ]
    if not any(fits):
        raise SignatureInvalid("the signature does not fit")


def _algorithm(settings: str) -> str:
    """The one that the settings name. Raises SignatureInvalid for one that we do not know, and for more than one."""
    pairs = [part.partition("=") for part in settings.split(",")]
    named = [value.strip().upper() for name, _, value in pairs if name.strip() == "algorithm"] or ["HMAC_SHA1"]
    if len(named) > 1 or named[0] not in _ALGORITHMS:
        raise SignatureInvalid("the signature is of an algorithm that we do not know")
    return named[0]


def _check_body(body: bytes, query: Pairs) -> None:
    hashes = [value for name, value in query if name == _BODY_HASH]
    if len(hashes) != 1 or not hmac.compare_digest(sha256(body).hexdigest().encode(), hashes[0].encode()):
        raise SignatureInvalid("the body is not the one that was signed")


def _spellings(url: str) -> Iterator[str]:
    """The URL as it is, without its port, and with the default one."""
    yield url
    scheme, _, rest = url.partition("://")
    authority = rest[: len(urlsplit(url).netloc)]
    bare = authority.removesuffix(f":{urlsplit(url).port}")
    yield f"{scheme}://{bare}{rest[len(authority) :]}"
    if bare == authority and scheme in _DEFAULT_PORTS:
        yield f"{scheme}://{authority}:{_DEFAULT_PORTS[scheme]}{rest[len(authority) :]}"


def _media_type(call: Callback) -> str:
    return call.headers.get("content-type", "").partition(";")[0].strip().lower()


def _object(body: bytes) -> dict[str, str]:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise Unreadable("the body is not JSON") from None
    if not isinstance(value, dict):
        raise Unreadable("the body is no JSON object")
    return {name: text for name, said in value.items() if (text := text_of(said)) is not None}
