"""What APNs checks in a request, in the order in which its reasons show."""

from __future__ import annotations

import base64
import binascii
import re
import uuid
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import orjson

from devstack.sandbox.providers.contract import Call
from devstack.sandbox.providers.syntax import BAD, bearer_token

MAX_PAYLOAD: Final = 4096
MAX_COLLAPSE_ID: Final = 64
TOKEN_LIFETIME: Final = 3600
"""Seconds that a provider token is good for."""
_CLOCKS_APART: Final = 300
_PATH: Final = re.compile(r"^/3/device/(?P<token>[^/]*)$")
_DEVICE_TOKEN: Final = re.compile(r"^[0-9a-fA-F]{64,200}$")
_IDENTIFIER: Final = re.compile(r"^[0-9A-Z]{10}$")
_TOPIC: Final = re.compile(r"^[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+$")
_PUSH_TYPES: Final = frozenset(
    "alert background voip complication fileprovider mdm location liveactivity pushtotalk widgets controls".split()
)


class Problem(NamedTuple):
    status: int
    reason: str


class Push(NamedTuple):
    """A request that APNs takes."""

    token: str
    id: str
    payload: dict[str, Any]


def check_push(call: Call, now: int) -> Push | Problem:
    """`now` in seconds since 1970."""
    path = _PATH.match(call.path)
    if path is None:
        return Problem(404, "BadPath")
    if call.method != "POST":
        return Problem(405, "MethodNotAllowed")
    problem = _check_provider(call.headers.get("authorization"), now) or _check_headers(call.headers)
    if problem is not None:
        return problem
    token = path["token"]
    if not token:
        return Problem(400, "MissingDeviceToken")
    if not _DEVICE_TOKEN.match(token):
        return Problem(400, "BadDeviceToken")
    payload = _check_payload(call)
    if isinstance(payload, Problem):
        return payload
    return Push(token, call.headers.get("apns-id") or str(uuid.uuid4()), payload)


def _check_provider(authorization: str | None, now: int) -> Problem | None:
    """The JWT, as far as it can be read without the account's public key: its length gives away a wrong signature."""
    token = bearer_token(authorization)
    if token is None:
        return Problem(403, "MissingProviderToken")
    parts = token.split(".")
    header, claims, signature = (_part(part) for part in parts) if len(parts) == 3 else (None, None, None)
    known = _object(header), _object(claims)
    if known[0].get("alg") != "ES256" or signature is None or len(signature) != 64:
        return Problem(403, "InvalidProviderToken")
    key_id, team_id, issued = known[0].get("kid"), known[1].get("iss"), known[1].get("iat")
    if not all(isinstance(name, str) and _IDENTIFIER.match(name) for name in (key_id, team_id)):
        return Problem(403, "InvalidProviderToken")
    if BAD in f"{key_id} {team_id}".lower() or type(issued) is not int or issued > now + _CLOCKS_APART:
        return Problem(403, "InvalidProviderToken")
    if issued < now - TOKEN_LIFETIME:
        return Problem(403, "ExpiredProviderToken")
    return None


def _check_headers(headers: Mapping[str, str]) -> Problem | None:
    topic, push_type = headers.get("apns-topic"), headers.get("apns-push-type")
    priority, expiration = headers.get("apns-priority", "10"), headers.get("apns-expiration", "0")
    if not topic:
        return Problem(400, "MissingTopic")
    if not _TOPIC.match(topic):
        return Problem(400, "BadTopic")
    if BAD in topic.lower():
        return Problem(400, "TopicDisallowed")
    if push_type not in _PUSH_TYPES:
        return Problem(400, "InvalidPushType")
    if not _is_uuid(headers.get("apns-id")):
        return Problem(400, "BadMessageId")
    if not expiration.isascii() or not expiration.isdigit():
        return Problem(400, "BadExpirationDate")
    if priority not in ("10", "5", "1") or (push_type == "background" and priority == "10"):
        return Problem(400, "BadPriority")
    if len(headers.get("apns-collapse-id", "").encode()) > MAX_COLLAPSE_ID:
        return Problem(400, "BadCollapseId")
    return None


def _check_payload(call: Call) -> dict[str, Any] | Problem:
    if not call.body:
        return Problem(400, "PayloadEmpty")
    if len(call.body) > MAX_PAYLOAD:
        return Problem(413, "PayloadTooLarge")
    payload = _object(call.body)
    aps = payload.get("aps")
    if not isinstance(aps, dict) or not aps:
        return Problem(400, "PayloadEmpty")
    return payload


def _is_uuid(value: str | None) -> bool:
    """Without the header, APNs makes an id itself."""
    if value is None:
        return True
    try:
        return str(uuid.UUID(value)) == value
    except ValueError:
        return False


def _part(value: str) -> bytes | None:
    try:
        return base64.b64decode(value + "=" * (-len(value) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None


def _object(text: bytes | None) -> dict[str, Any]:
    try:
        value = orjson.loads(text or b"")
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}
