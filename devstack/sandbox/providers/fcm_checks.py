"""What Google checks in a sign-in and in a message for FCM."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qs

import orjson

from devstack.sandbox.providers.contract import Call
from devstack.sandbox.providers.syntax import BAD, media_type

GRANT: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
AUDIENCE: Final = "https://oauth2.googleapis.com/token"
SCOPE: Final = "https://www.googleapis.com/auth/firebase.messaging"
MAX_PAYLOAD: Final = 4096
_CLOCKS_APART: Final = 300
_LONGEST_LIFE: Final = 3600
_SHORTEST_SIGNATURE: Final = 256
_TARGETS: Final = ("token", "fid", "topic", "condition")
_FIELDS: Final = frozenset(("name", "data", "notification", "android", "webpush", "apns", "fcm_options", *_TARGETS))
_ANDROID: Final = frozenset(
    "collapse_key priority ttl restricted_package_name data notification fcm_options direct_boot_ok".split()
)
_TOKEN: Final = re.compile(r"^[A-Za-z0-9_:-]{1,4096}$")
_OTHERS_TOKEN: Final = re.compile(r"^[0-9a-fA-F]{64}$")
_DURATION: Final = re.compile(r"^[0-9]{1,7}(\.[0-9]{1,9})?s$")
_LABEL: Final = re.compile(r"^[a-zA-Z0-9\-_.~%]{1,50}$")
_RESERVED: Final = re.compile(r"^(from|message_type|(google|gcm)\..*)$")


class Problem(NamedTuple):
    """Why a message is not taken. `own`: FCM says it itself, and not the gate in front of it."""

    message: str
    field: str | None = None
    own: bool = True


class GrantProblem(NamedTuple):
    error: str
    description: str


def check_grant(call: Call, now: int) -> GrantProblem | None:
    """The exchange of a JWT for an access token; `now` in seconds since 1970."""
    if media_type(call.headers.get("Content-Type")) != "application/x-www-form-urlencoded":
        return GrantProblem("invalid_request", "Bad Request")
    form = parse_qs(call.body.decode("utf-8", "replace"))
    if form.get("grant_type") != [GRANT]:
        return GrantProblem("unsupported_grant_type", "Invalid grant_type")
    parts = form.get("assertion", [""])[0].split(".")
    if len(parts) != 3:
        return GrantProblem("invalid_grant", "Invalid JWT")
    header, claims = _object(_part(parts[0])), _object(_part(parts[1]))
    if header.get("alg") != "RS256" or not header.get("kid") or BAD in str(header["kid"]):
        return GrantProblem("invalid_grant", "Invalid JWT Signature.")
    if len(_part(parts[2]) or b"") < _SHORTEST_SIGNATURE:
        return GrantProblem("invalid_grant", "Invalid JWT Signature.")
    return _check_claims(claims, now)


def _check_claims(claims: dict[str, Any], now: int) -> GrantProblem | None:
    issuer, issued, expires = claims.get("iss"), claims.get("iat"), claims.get("exp")
    if not isinstance(issuer, str) or not issuer.endswith(".gserviceaccount.com") or BAD in issuer:
        return GrantProblem("invalid_grant", "Invalid grant: account not found")
    if claims.get("aud") != AUDIENCE:
        return GrantProblem("invalid_grant", "Invalid JWT: Failed audience check.")
    if type(issued) is not int or type(expires) is not int:
        return GrantProblem("invalid_grant", "Invalid JWT: iat and exp must be numbers.")
    if expires - issued > _LONGEST_LIFE or abs(now - issued) > _CLOCKS_APART or expires <= now:
        return GrantProblem(
            "invalid_grant",
            "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat "
            "and exp values in the JWT claim.",
        )
    if claims.get("scope") != SCOPE:
        return GrantProblem("invalid_scope", "Invalid OAuth scope or ID token audience provided.")
    return None


def check_message(call: Call) -> tuple[dict[str, Any], str] | Problem:
    """The message and its token, or the first thing that is wrong with it."""
    body = _object(call.body) if media_type(call.headers.get("Content-Type")) == "application/json" else {}
    message = body.get("message")
    if not isinstance(message, dict) or set(body) - {"message", "validate_only"}:
        return Problem("Invalid JSON payload received.", "message", own=False)
    problem = _check_types(message)
    if problem is not None:
        return problem
    targets = [name for name in _TARGETS if name in message]
    if len(targets) != 1:
        return Problem("Exactly one of token, topic or condition is required", "message")
    token = message[targets[0]]
    if targets[0] in ("token", "fid") and (not _TOKEN.match(token) or _OTHERS_TOKEN.match(token)):
        return Problem("The registration token is not a valid FCM registration token")
    return _check_payload(message) or (message, token)


def _check_types(message: dict[str, Any]) -> Problem | None:
    """What the gate in front of FCM refuses: names and types that are not in the schema."""
    for name in message:
        if name not in _FIELDS:
            return _unknown(name, "message")
    for name in ("data", "notification", "android", "apns", "webpush", "fcm_options"):
        if not isinstance(message.get(name, {}), dict):
            return _invalid_value(f"message.{name}", message[name])
    strings: dict[str, object] = {name: message[name] for name in _TARGETS if name in message}
    strings |= {f"data.{name}": value for name, value in message.get("data", {}).items()}
    strings |= {f"notification.{name}": value for name, value in message.get("notification", {}).items()}
    for part in ("apns", "webpush"):
        headers = message.get(part, {}).get("headers", {})
        strings |= {f"{part}.headers.{name}": value for name, value in headers.items()}
    for name, value in strings.items():
        if not isinstance(value, str):
            return _invalid_value(f"message.{name}", value)
    for name in message.get("notification", {}):
        if name not in ("title", "body", "image"):
            return _unknown(name, "message.notification")
    for name in message.get("android", {}):
        if name not in _ANDROID:
            return _unknown(name, "message.android")
    if message.get("android", {}).get("priority", "normal").lower() not in ("normal", "high"):
        return _invalid_value("message.android.priority", message["android"]["priority"])
    ttl = message.get("android", {}).get("ttl", "0s")
    if not isinstance(ttl, str) or not _DURATION.match(ttl):
        return _invalid_value("message.android.ttl", ttl)
    return None


def _check_payload(message: dict[str, Any]) -> Problem | None:
    data, notification = message.get("data", {}), message.get("notification", {})
    for position, name in enumerate(data):
        if _RESERVED.match(name):
            return Problem(f"Invalid data payload key: {name}", f"message.data[{position}].key")
    link = message.get("webpush", {}).get("fcm_options", {}).get("link", "https://")
    if not link.startswith("https://"):
        return Problem("WebpushFcmOptions.link must be a HTTPS URL.", "message.webpush.fcm_options.link")
    headers = message.get("apns", {}).get("headers", {})
    aps = message.get("apns", {}).get("payload", {}).get("aps", {})
    if headers.get("apns-priority") == "10" and "content-available" in aps and not notification:
        return Problem("Invalid APNs priority for a background push", "message.apns.headers")
    if len(headers.get("apns-collapse-id", "").encode()) > 64:
        return Problem("Invalid apns-collapse-id", "message.apns.headers")
    if not _LABEL.match(message.get("fcm_options", {}).get("analytics_label", "a")):
        return Problem("Invalid analytics label", "message.fcm_options.analytics_label")
    words = [text for pair in data.items() for text in pair] + list(notification.values())
    if sum(len(text.encode()) for text in words) > MAX_PAYLOAD:
        return Problem("Android message is too big", "message")
    return None


def _unknown(name: str, where: str) -> Problem:
    text = f"Invalid JSON payload received. Unknown name \"{name}\" at '{where}': Cannot find field."
    return Problem(text, where, own=False)


def _invalid_value(field: str, value: object) -> Problem:
    return Problem(f"Invalid value at '{field}' (TYPE_STRING), {orjson.dumps(value).decode()}", field, own=False)


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
