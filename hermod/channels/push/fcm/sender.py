"""Firebase Cloud Messaging, HTTP v1: Android, Apple devices and browsers whose app brings Firebase.

    POST https://fcm.googleapis.com/v1/projects/{project_id}/messages:send     Authorization: Bearer <access token>
    {"message": {"token": "…", "notification": {"title", "body"}, "data": {"hermod_message_id": "msg_…"}, …}}
    200 {"name": "projects/p/messages/0:…"}
    4xx {"error": {"code": 404, "message": "…", "status": "NOT_FOUND", "details": [{"@type": "…FcmError",
         "errorCode": "UNREGISTERED"}]}}

One request for each device: there is no batch. There is no idempotency key either: our id travels in `data`, as
`hermod_message_id`, where the app can tell a repeat. FCM reports nothing back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, Final, cast

import httpx

from hermod.channels.access_tokens import AccessTokens, NoToken
from hermod.channels.http_sender import HttpSender, json_object, text_of
from hermod.channels.push.fcm.access import token_request
from hermod.channels.push.fcm.body import message_body, misfit
from hermod.channels.push.fcm.codes import INVALID_TOKEN, MEANINGS, QUOTA_WAIT, UNAUTHENTICATED, Meaning
from hermod.channels.push.fcm.service_account import faults, service_account
from hermod.contracts.errors import FieldError
from hermod.contracts.notifications.content import AnyContent, Channel, Push
from hermod.contracts.notifications.outcomes import (
    AccountHalted,
    AnyOutcome,
    Fault,
    MessageRejected,
    RecipientRejected,
    Throttled,
)
from hermod.contracts.tenants.accounts import Account
from hermod.domain.notifications.push_tokens import Platform, platform
from hermod.outbound.addresses.guard import AddressGuard
from hermod.outbound.http.client import Reply
from hermod.outbound.wiring import AdapterContext
from hermod.ports.notifications.sender import Capability, Outgoing

TARGETS: Final = ("token", "fid")
"""Fields that name a device. Google is about to replace `token` by `fid`, and takes both."""
_FCM_ERROR: Final = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
_BAD_REQUEST: Final = "type.googleapis.com/google.rpc.BadRequest"


class FcmSender(HttpSender):
    capability = Capability(
        provider="fcm",
        title="Firebase Cloud Messaging",
        channels=frozenset({Channel.PUSH}),
        retry_after=True,
        credentials=("service_account", "target_field"),
        optional_credentials=("target_field",),
        key_files=("service_account",),
        base_url="https://fcm.googleapis.com",
    )

    def __init__(self, account: Account, wiring: AdapterContext) -> None:
        super().__init__(account, wiring)
        key_file = service_account(account.credentials["service_account"])
        self.access = AccessTokens(partial(token_request, key_file), self.exchange, self._clock)
        self._target = account.credentials.get("target_field", TARGETS[0])
        self._url = httpx.URL(f"{self._base_url}/v1/projects/{key_file.project_id}/messages:send")
        self._headers = [("content-type", "application/json"), ("accept", "application/json")]

    @classmethod
    def check(cls, credentials: Mapping[str, str], base_url: str | None, guard: AddressGuard) -> Iterator[FieldError]:
        yield from super().check(credentials, base_url, guard)
        if credentials.get("service_account"):
            for fault in faults(credentials["service_account"], base_url):
                yield FieldError("credentials.service_account", fault)
        if credentials.get("target_field", TARGETS[0]) not in TARGETS:
            yield FieldError("credentials.target_field", f"must be one of {', '.join(TARGETS)}")

    def cannot_express(self, content: AnyContent) -> str | None:
        if not isinstance(content, Push):
            return "it sends push messages only"
        if platform(content.to) is not Platform.FCM:
            return "the token is not one of Firebase's"
        return misfit(content)

    async def send(self, message: Outgoing) -> AnyOutcome:
        try:
            used = await self.access.ensure()
            outcome = await super().send(message)
            if outcome.error_code == UNAUTHENTICATED:
                await self.access.replace(used)
                outcome = await super().send(message)
        except NoToken as missing:
            return missing.outcome
        return outcome

    def request(self, message: Outgoing) -> httpx.Request:
        body = message_body(
            cast(Push, message.content),
            target=self._target,
            id=message.id,
            category=message.category,
            now=self._clock.now(),
        )
        return self.post(self._url, [*self._headers, ("authorization", f"Bearer {self.access.value}")], body, message)

    def outcome(self, reply: Reply, message: Outgoing) -> AnyOutcome:
        answer = json_object(reply)
        if reply.status == 200:
            return self.accepted(reply, answer.get("name"))
        fault = answer.get("error")
        error: dict[str, Any] = fault if isinstance(fault, dict) else {}
        own = text_of(_detail(error, _FCM_ERROR).get("errorCode"))
        code, text = own or text_of(error.get("status")), text_of(error.get("message"))
        if text and isinstance(message.content.to, str):
            text = text.replace(message.content.to, "[token]")
        meaning = MEANINGS.get(code or "") if 400 <= reply.status < 500 else None
        if meaning is None:
            return self.by_status(reply, code=code, text=text)
        line = self.line(text or f"FCM error {code}")
        if meaning is Meaning.ARGUMENT and own is not None and self._blames_the_token(error):
            meaning = Meaning.WRONG_TOKEN
        return self._coded(meaning, reply, code, line)

    def _coded(self, meaning: Meaning, reply: Reply, code: str | None, error: str) -> AnyOutcome:
        status = reply.status
        match meaning:
            case Meaning.UNREGISTERED:
                return RecipientRejected(status_code=status, error_code=code, error=error, fault=Fault.UNREGISTERED)
            case Meaning.WRONG_TOKEN:
                return RecipientRejected(status_code=status, error_code=code, error=error, fault=Fault.WRONG_TOKEN)
            case Meaning.ARGUMENT:
                return MessageRejected(status_code=status, error_code=code, error=error)
            case Meaning.THROTTLED:
                wait = self.wait(reply)
                return Throttled(
                    status_code=status, error_code=code, error=error, retry_after=QUOTA_WAIT if wait is None else wait
                )
            case Meaning.ACCOUNT:
                return AccountHalted(status_code=status, error_code=code, error=error)

    def _blames_the_token(self, error: Mapping[str, Any]) -> bool:
        """Whether it is the token that is not valid: the answer names its field, or says so in a known sentence."""
        if error.get("message") == INVALID_TOKEN:
            return True
        violations = _detail(error, _BAD_REQUEST).get("fieldViolations")
        return isinstance(violations, list) and any(
            isinstance(one, dict) and one.get("field") == f"message.{self._target}" for one in violations
        )


def _detail(error: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """The first entry of `details` of a kind, or nothing."""
    details = error.get("details")
    for one in details if isinstance(details, list) else ():
        if isinstance(one, dict) and one.get("@type") == kind:
            return one
    return {}
