"""WhatsApp Cloud API of Meta (developers.facebook.com/docs/whatsapp/cloud-api).

    POST https://graph.facebook.com/v26.0/{phone_number_id}/messages      Authorization: Bearer <token>
    {"messaging_product": "whatsapp", "recipient_type": "individual", "to": "14155550100", "type": "text",
     "text": {"body": "Hello", "preview_url": false}, "biz_opaque_callback_data": "msg_…"}
    200 {"messages": [{"id": "wamid.…"}], …}          4xx {"error": {"code": 131047, "message": "…", …}}

Free text is taken within 24 hours of the recipient's last message; a template at any time. There is no idempotency
key: our id is `biz_opaque_callback_data`, which comes back in the statuses.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

import httpx
import orjson

from hermod.channels.http_sender import HttpSender, json_object, text_of
from hermod.channels.whatsapp.whatsapp_cloud.codes import MEANINGS, WAITS, Meaning
from hermod.contracts.errors import FieldError
from hermod.contracts.notifications.content import AnyContent, Channel, WhatsApp, WhatsAppTemplate
from hermod.contracts.notifications.outcomes import (
    AccountHalted,
    AnyOutcome,
    Fault,
    MessageRejected,
    OutcomeUnknown,
    RecipientRejected,
    Throttled,
    Transient,
)
from hermod.contracts.tenants.accounts import Account
from hermod.outbound.addresses.guard import AddressGuard
from hermod.outbound.http.client import Reply
from hermod.outbound.wiring import AdapterContext
from hermod.ports.notifications.sender import Capability, Outgoing

API_VERSION: Final = "v26.0"
_VERSION: Final = re.compile(r"v[0-9]{1,3}\.[0-9]{1,2}")
_PHONE_NUMBER_ID: Final = re.compile(r"[0-9]{1,32}")
_LONGEST_PAIR_WAIT: Final = 3_600.0


class WhatsAppCloudSender(HttpSender):
    capability = Capability(
        provider="whatsapp_cloud",
        title="WhatsApp Cloud API",
        channels=frozenset({Channel.WHATSAPP}),
        templates=True,
        default_rate=5.0,
        credentials=("phone_number_id", "access_token", "api_version", "app_secret", "verify_token"),
        optional_credentials=("api_version", "app_secret", "verify_token"),
        base_url="https://graph.facebook.com",
    )

    def __init__(self, account: Account, wiring: AdapterContext) -> None:
        super().__init__(account, wiring)
        credentials = account.credentials
        version = credentials.get("api_version", API_VERSION)
        self._url = httpx.URL(f"{self._base_url}/{version}/{credentials['phone_number_id']}/messages")
        self._headers = [
            ("content-type", "application/json"),
            ("accept", "application/json"),
            ("authorization", f"Bearer {credentials['access_token']}"),
        ]

    @classmethod
    def check(cls, credentials: Mapping[str, str], base_url: str | None, guard: AddressGuard) -> Iterator[FieldError]:
        yield from super().check(credentials, base_url, guard)
        number = credentials.get("phone_number_id")
        if number and not _PHONE_NUMBER_ID.fullmatch(number):
            yield FieldError("credentials.phone_number_id", "must be the id of the number, digits only")
        version = credentials.get("api_version")
        if version and not _VERSION.fullmatch(version):
            yield FieldError("credentials.api_version", f"must be a version of the Graph API, like {API_VERSION}")

    def cannot_express(self, content: AnyContent) -> str | None:
        return None if isinstance(content, WhatsApp) else "it sends WhatsApp messages only"

    def request(self, message: Outgoing) -> httpx.Request:
        content = cast(WhatsApp, message.content)
        body = {
            "messaging_product": "whatsapp",
            "recipient_type": "individual",
            "to": content.to.removeprefix("+"),
            **_words(content),
            "biz_opaque_callback_data": message.id,
        }
        return self.post(self._url, self._headers, orjson.dumps(body), message)

    def outcome(self, reply: Reply, message: Outgoing) -> AnyOutcome:
        body = json_object(reply)
        error = body.get("error")
        if isinstance(error, dict):
            return self._refused(error, reply, message)
        if 200 <= reply.status < 300:
            return self.accepted(reply, _message_id(body))
        return self.by_status(reply)

    def _refused(self, error: dict[str, Any], reply: Reply, message: Outgoing) -> AnyOutcome:
        code, text = text_of(error.get("code")), text_of(error.get("message"))
        meaning = MEANINGS.get(code) if code else None
        if code is None or meaning is None:
            return self.by_status(reply, code=code, text=text)
        status, line = reply.status, self.line(text or f"WhatsApp error {code}")
        match meaning:
            case Fault():
                return RecipientRejected(status_code=status, error_code=code, error=line, fault=meaning)
            case Meaning.MESSAGE:
                return MessageRejected(status_code=status, error_code=code, error=line)
            case Meaning.ACCOUNT:
                return AccountHalted(status_code=status, error_code=code, error=line)
            case Meaning.THROTTLED:
                wait = WAITS.get(code) or self.wait(reply)
                return Throttled(status_code=status, error_code=code, error=line, retry_after=wait)
            case Meaning.PAIR_THROTTLED:
                pause = min(4.0 ** min(message.attempt, 10), _LONGEST_PAIR_WAIT)
                return Transient(status_code=status, error_code=code, error=line, retry_after=pause)
            case Meaning.TRANSIENT:
                wait = WAITS.get(code) or self.wait(reply)
                return Transient(status_code=status, error_code=code, error=line, retry_after=wait)
            case Meaning.UNKNOWN:
                return OutcomeUnknown(status_code=status, error_code=code, error=line)


def _words(content: WhatsApp) -> dict[str, Any]:
    template = content.template
    if not isinstance(template, WhatsAppTemplate):
        return {"type": "text", "text": {"body": content.body or "", "preview_url": False}}
    named: dict[str, Any] = {"name": template.name, "language": {"code": template.language}}
    if template.components:
        named["components"] = list(template.components)
    return {"type": "template", "template": named}


def _message_id(body: dict[str, Any]) -> object:
    messages = body.get("messages")
    first = messages[0] if isinstance(messages, list) and messages else None
    return first.get("id") if isinstance(first, dict) else None
