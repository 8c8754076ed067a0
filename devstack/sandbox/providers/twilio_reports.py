"""What Twilio tells about a message: the parameters of its callbacks, and the signature under them.

Only the auth token signs, so an account that has API keys alone cannot be told anything that it could believe.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Final
from urllib.parse import urlencode, urlsplit

from devstack.sandbox.entry import Entry
from devstack.sandbox.providers.contract import Call

_STATUSES: Final = {
    "accepted": ("sent", None),
    "delivered": ("delivered", None),
    "read": ("read", None),
    "bounced": ("undelivered", 30005),
    "soft_bounced": ("undelivered", 30003),
    "failed": ("undelivered", 30007),
    "suppressed": ("failed", 30640),
    "unsubscribed": ("failed", 21610),
}
_WHATSAPP: Final = _STATUSES | {
    "bounced": ("undelivered", 63003),
    "soft_bounced": ("undelivered", 63024),
    "failed": ("undelivered", 63016),
}
_TEXTS: Final = {
    30003: "Unreachable destination handset",
    30005: "Unknown destination handset",
    30007: "Message filtered",
    30640: "Message blocked: known litigator",
    21610: "Attempt to send to unsubscribed recipient",
    63003: "Channel could not find To address",
    63016: "Failed to send freeform message because you are outside the allowed window",
    63024: "Invalid message recipient",
}


def parameters(entry: Entry, happening: str) -> dict[str, str] | None:
    """The form of the callback, or None where Twilio has no word for what happened."""
    whatsapp = entry.channel == "whatsapp"
    prefix = "whatsapp:" if whatsapp else ""
    sender, to = entry.sender or "", prefix + entry.to[0]
    account = {"AccountSid": entry.headers.get("AccountSid", ""), "ApiVersion": "2010-04-01"}
    if happening == "inbound":
        sid = "SM" + hashlib.md5(entry.provider_message_id.encode(), usedforsecurity=False).hexdigest()
        said = {"Body": "STOP", "NumMedia": "0", "NumSegments": "1", "OptOutType": "STOP"}
        return {**account, "MessageSid": sid, "SmsSid": sid, "SmsStatus": "received", "From": to, "To": sender, **said}
    known = (_WHATSAPP if whatsapp else _STATUSES).get(happening)
    if known is None or (happening == "read" and not whatsapp):
        return None
    status, code = known
    sid, service = entry.provider_message_id, entry.headers.get("MessagingServiceSid")
    form = {**account, "MessageSid": sid, "SmsSid": sid, "MessageStatus": status, "SmsStatus": status, "To": to}
    if sender != service:
        form["From"] = sender
    if service:
        form["MessagingServiceSid"] = service
    if whatsapp:
        form |= {"ChannelPrefix": "whatsapp", "ChannelToAddress": to} | (
            {"EventType": "READ"} if status == "read" else {}
        )
    if code is not None:
        form |= {"ErrorCode": str(code), "ErrorMessage": _TEXTS[code]}
    return form


def signed_call(entry: Entry, form: dict[str, str], url: str, auth_token: str) -> Call:
    """A status goes to the StatusCallback of its message, with its query; an inbound message has none."""
    query = urlsplit(entry.headers.get("StatusCallback", "")).query if "MessageStatus" in form else ""
    if query:
        url = f"{url}?{query}"
    signed = url + "".join(f"{name}{form[name]}" for name in sorted(form))
    digest = hmac.digest(auth_token.encode(), signed.encode(), "sha1")
    headers = {
        "Content-Type": "application/x-www-form-urlencoded; charset=UTF-8",
        "User-Agent": "TwilioProxy/1.1",
        "X-Twilio-Signature": base64.b64encode(digest).decode(),
    }
    return Call("POST", url, headers, urlencode(form).encode())
