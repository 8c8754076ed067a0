"""What Mitto checks in a message, with its codes. The first fault is the answer."""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

_NAME: Final = re.compile(r"^(?=.*[A-Za-z])[A-Za-z0-9]{3,11}$")
_NUMBER: Final = re.compile(r"^[0-9]{3,14}$")
_RECEIVER: Final = re.compile(r"^[1-9][0-9]{6,14}$")
_TYPES: Final = ("GSM", "Unicode", "Binary")
_OPTIONAL: Final[dict[str, type]] = {
    "reference": str,
    "callback": str,
    "validity": int,
    "test": bool,
    "flash": bool,
    "udh": str,
    "pid": int,
}
_GSM: Final = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§"
    "¿abcdefghijklmnopqrstuvwxyzäöñüà\f^{}\\[~]|€"
)


class MittoError(NamedTuple):
    """`code` is the responseCode; 400 is HTTP's, for what is no message at all."""

    code: int
    text: str
    status: int = 200


def check_message(message: dict[str, Any]) -> MittoError | None:
    """The first thing that is wrong with the message, or None where Mitto would take it."""
    for name, value in message.items():
        wanted = _OPTIONAL.get(name, str if name in ("from", "to", "text", "type") else None)
        if wanted is None or type(value) is not wanted:
            return MittoError(400, f"Unexpected value of {name}", 400)
    if "callback" in message and urlsplit(message["callback"]).scheme not in ("http", "https"):
        return MittoError(400, "Unexpected value of callback", 400)
    return _check_words(message) or _check_ends(message)


def _check_words(message: dict[str, Any]) -> MittoError | None:
    kind, text = message.get("type", "GSM"), message.get("text", "")
    if kind not in _TYPES:
        return MittoError(2, "Invalid message type")
    if not text:
        return MittoError(3, "Empty message")
    if kind == "GSM" and not _GSM.issuperset(text):
        return MittoError(4, "Invalid message text")
    return None


def _check_ends(message: dict[str, Any]) -> MittoError | None:
    sender, receiver = message.get("from", ""), message.get("to", "")
    if not sender:
        return MittoError(5, "Empty sender")
    if not (_NAME.match(sender) or _NUMBER.match(sender)):
        return MittoError(6, "Invalid sender")
    if not receiver:
        return MittoError(7, "Empty receiver")
    if not _RECEIVER.match(receiver):
        return MittoError(8, "Invalid receiver")
    return None
