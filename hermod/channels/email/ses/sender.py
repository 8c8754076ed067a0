"""Amazon SES, API v2.

    POST https://email.{region}.amazonaws.com/v2/email/outbound-emails     JSON, Signature Version 4
    200 {"MessageId": "0100018f…"}
    4xx {"message": "…"}, its type in the header `x-amzn-ErrorType`

A mail without files is handed over in parts (`Simple`); one with files, or with a subject or headers that SES would not
take there or read otherwise, as a finished MIME message (`Raw`), so that images stay with the page that shows them.
SES sets its own Message-ID and Date in both. There is no idempotency key: our id travels as the email tag
`hermod_message_id`, which is in every event.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

import httpx
import orjson

from hermod.channels.email import headers, mime
from hermod.channels.email.envelope import envelope, misfit
from hermod.channels.email.ses import sigv4
from hermod.channels.email.ses.codes import MEANINGS, Meaning
from hermod.channels.http_sender import HttpSender, json_object, text_of
from hermod.contracts.errors import FieldError
from hermod.contracts.notifications.content import AnyContent, Channel, Email
from hermod.contracts.notifications.outcomes import AccountHalted, AnyOutcome, MessageRejected, Throttled
from hermod.contracts.tenants.accounts import Account
from hermod.outbound.addresses.guard import AddressGuard
from hermod.outbound.http.client import Reply
from hermod.outbound.wiring import AdapterContext
from hermod.ports.notifications.sender import Capability, Outgoing

MESSAGE_ID_TAG: Final = "hermod_message_id"
_SIMPLE_HEADERS: Final = 15
_HEADER_NAME: Final = re.compile(r"[!-9;-~]{1,126}")
_HEADER_VALUE: Final = re.compile(r"[ -~]{1,995}")
"""What SES takes as a header of a `Simple` mail."""
_FORMS: Final = {
    "region": (re.compile(r"[a-z]{2}(-[a-z]+)+-\d{1,2}"), "must be a region, like eu-central-1"),
    "configuration_set": (re.compile(r"[A-Za-z0-9_-]{1,64}"), "must be the name of a configuration set"),
    "topic_arn": (
        re.compile(r"arn:aws[a-z-]*:sns:[a-z0-9-]+:\d{12}:[A-Za-z0-9_-]{1,256}"),
        "must be the ARN of an SNS topic, like arn:aws:sns:eu-central-1:123456789012:mail",
    ),
}


class SesSender(HttpSender):
    capability = Capability(
        provider="ses",
        title="Amazon SES",
        channels=frozenset({Channel.EMAIL}),
        attachments=True,
        inline_images=True,
        custom_headers=True,
        max_recipients=50,
        max_bytes=40 * 1024 * 1024,
        default_rate=10.0,
        credentials=(
            "access_key_id",
            "secret_access_key",
            "session_token",
            "region",
            "configuration_set",
            "topic_arn",
        ),
        optional_credentials=("session_token", "configuration_set", "topic_arn"),
        base_url="https://email.{region}.amazonaws.com",
    )

    def __init__(self, account: Account, wiring: AdapterContext) -> None:
        super().__init__(account, wiring)
        credentials = account.credentials
        region = credentials["region"]
        self._url = httpx.URL(f"{self._base_url.replace('{region}', region)}/v2/email/outbound-emails")
        self._scope = f"{region}/ses"
        self._keys = sigv4.Keys(
            access_key_id=credentials["access_key_id"],
            secret_access_key=credentials["secret_access_key"],
            session_token=credentials.get("session_token"),
        )
        self._configuration_set = credentials.get("configuration_set")
        self._secrets = tuple(
            credentials[name] for name in ("access_key_id", "secret_access_key", "session_token") if name in credentials
        )

    @classmethod
    def check(cls, credentials: Mapping[str, str], base_url: str | None, guard: AddressGuard) -> Iterator[FieldError]:
        yield from super().check(credentials, base_url, guard)
        for name, (form, fault) in _FORMS.items():
            if credentials.get(name) and not form.fullmatch(credentials[name]):
                yield FieldError(f"credentials.{name}", fault)

    def cannot_express(self, content: AnyContent) -> str | None:
        return misfit(content, self.account.from_, self.capability)

    def request(self, message: Outgoing) -> httpx.Request:
        body = orjson.dumps(self._mail(message))
        # Signed anew for every attempt: a signature is good for 15 minutes.
        headers = sigv4.signed(
            self._url,
            [("content-type", "application/json")],
            body,
            keys=self._keys,
            scope=self._scope,
            now=self._clock.now(),
        )
        return self.post(self._url, headers, body, message)

    def outcome(self, reply: Reply, message: Outgoing) -> AnyOutcome:
        body = json_object(reply)
        if reply.status == 200:
            return self.accepted(reply, body.get("MessageId"))
        code = _error_type(reply.headers.get("x-amzn-errortype") or body.get("code") or body.get("__type"))
        text = text_of(body.get("message")) or text_of(body.get("Message"))
        meaning = MEANINGS.get(code) if code and reply.status < 500 else None
        if code is None or meaning is None:
            return self.by_status(reply, code=code, text=text)
        status, error = reply.status, self.line(text or code)
        match meaning:
            case Meaning.MESSAGE:
                return MessageRejected(status_code=status, error_code=code, error=error)
            case Meaning.SENDER:
                return self.sender_refused(reply, message, code=code, text=text)
            case Meaning.ACCOUNT:
                return AccountHalted(status_code=status, error_code=code, error=error)
            case Meaning.THROTTLED:
                return Throttled(status_code=status, error_code=code, error=error, retry_after=self.wait(reply))

    def _mail(self, message: Outgoing) -> dict[str, Any]:
        email, sender = cast(Email, message.content), message.sender or ""
        if _fits_simple(email):
            mail = _simple(email, sender)
        else:
            composed = mime.compose(email, sender=sender, message_id=message.id, date=self._clock.now())
            raw = base64.b64encode(composed.data).decode("ascii")
            mail = {"Destination": _destination(email, bare=True), "Content": {"Raw": {"Data": raw}}}
        mail["EmailTags"] = [{"Name": MESSAGE_ID_TAG, "Value": message.id}]
        if self._configuration_set:
            mail["ConfigurationSetName"] = self._configuration_set
        return mail


def _fits_simple(email: Email) -> bool:
    return (
        not email.attachments
        and "=?" not in "".join((email.subject or "", *email.headers.values()))
        and len(email.headers) <= _SIMPLE_HEADERS
        and all(_HEADER_NAME.fullmatch(name) and _HEADER_VALUE.fullmatch(email.headers[name]) for name in email.headers)
    )


def _simple(email: Email, sender: str) -> dict[str, Any]:
    parts = (("Text", email.text), ("Html", email.html))
    simple: dict[str, Any] = {
        "Subject": _words(email.subject or ""),
        "Body": {kind: _words(value) for kind, value in parts if value},
    }
    if email.headers:
        simple["Headers"] = [{"Name": name, "Value": value} for name, value in email.headers.items()]
    mail: dict[str, Any] = {
        "FromEmailAddress": headers.mailbox(mime.mailbox(sender)),
        "Destination": _destination(email, bare=False),
        "Content": {"Simple": simple},
    }
    if email.reply_addresses:
        mail["ReplyToAddresses"] = [headers.mailbox(mime.mailbox(address)) for address in email.reply_addresses]
    return mail


def _words(value: str) -> dict[str, str]:
    return {"Data": value, "Charset": "UTF-8"}


def _destination(email: Email, *, bare: bool) -> dict[str, list[str]]:
    """The envelope. Beside a MIME message, which shows the names itself, it has `bare` addresses."""
    lines = zip(("ToAddresses", "CcAddresses", "BccAddresses"), envelope(email), strict=True)
    return {
        name: [person.address if bare else headers.mailbox(person) for person in line] for name, line in lines if line
    }


def _error_type(value: object) -> str | None:
    """`TooManyRequestsException` of `com.amazonaws#TooManyRequestsException:http://internal.amazon.com/…`."""
    text = text_of(value)
    return text.partition(":")[0].rpartition("#")[2] or None if text else None
