"""The user's own backend for submissions, at API_URL: one Django-style call, made until it is taken or refused.

    POST {API_URL}/submissions/
    Authorization: Token {API_TOKEN}
    Idempotency-Key: sub_…            the same over all repeats

Whatever leaves the outcome open is repeated: the backend recognises the submission by its key. It is the operator's
choice and not a tenant's, so it may well be at a private address.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import httpx
import orjson

from hermod.clock import SystemClock
from hermod.outbound.addresses.guard import AddressGuard
from hermod.outbound.http.client import HttpClient, NotSent, Reply, Unknown
from hermod.outbound.http.retry_after import parse_retry_after
from hermod.ports.clock import Clock
from hermod.ports.forms.submissions import BackendAway, BackendRefused, SubmissionRecord

DEADLINE: Final = 15.0
"""Seconds for the whole exchange."""
_LATER: Final = frozenset({408, 425, 429})
_MISDIRECTED: Final = frozenset({401, 403, 404, 405, 407})
"""Answers, as redirects are, to a wrong API_URL or API_TOKEN: not the submission's fault, and mended by an operator."""
_LONGEST_ID: Final = 255
_LONGEST_NAME: Final = 60
_MOST_NAMES: Final = 10


class HttpBackend:
    """Implements `hermod.ports.forms.submissions.Backend`."""

    def __init__(self, url: str, token: str | None, *, clock: Clock | None = None, deadline: float = DEADLINE) -> None:
        self._url = httpx.URL(f"{url.rstrip('/')}/submissions/")
        self._headers = [("content-type", "application/json"), ("accept", "application/json")]
        if token:
            self._headers.append(("authorization", f"Token {token}"))
        self._client = HttpClient(AddressGuard(allow_private=True))
        self._clock = clock or SystemClock()
        self._deadline = deadline

    async def save(self, record: SubmissionRecord) -> str | None:
        try:
            reply = await self._client.exchange(self.request(record), deadline=self._deadline)
        except (NotSent, Unknown) as failure:
            raise BackendAway(f"backend_{failure.code}", str(failure)) from None
        return self.outcome(reply)

    def request(self, record: SubmissionRecord) -> httpx.Request:
        """Pure."""
        headers = [*self._headers, ("idempotency-key", record.id)]
        if record.request_id and record.request_id.isascii() and record.request_id.isprintable():
            headers.append(("x-request-id", record.request_id))
        return httpx.Request("POST", self._url, headers=headers, content=orjson.dumps(_document(record)))

    def outcome(self, reply: Reply) -> str | None:
        """The backend's id of the submission, where it told one. Raises BackendAway and BackendRefused."""
        status = reply.status
        if 200 <= status < 300:
            return _id(reply)
        if status >= 500 or status in _LATER:
            wait = parse_retry_after(reply.headers.get("retry-after"), self._clock.now())
            raise BackendAway(f"backend_{status}", f"the backend answered {status}", wait)
        if status < 400 or status in _MISDIRECTED:
            raise BackendAway(f"backend_{status}", f"the backend answered {status}: check API_URL and API_TOKEN")
        names = ", ".join(_fields(reply))
        said = f"the backend answered {status}" + (f" about {names}" if names else "")
        raise BackendRefused(f"backend_{status}", said)

    async def aclose(self) -> None:
        await self._client.aclose()


def _document(record: SubmissionRecord) -> dict[str, Any]:
    return {
        "id": record.id,
        "tenant": record.tenant,
        "form": record.form,
        "form_revision": record.form_revision,
        "session": record.session,
        "contact": record.contact,
        "data": record.data,
        "metadata": record.metadata,
        "submitted_at": record.created_at.isoformat(),
    }


def _id(reply: Reply) -> str | None:
    """A number or a short text; a body that says nothing of the kind costs us the id, not the acceptance."""
    value = _object(reply).get("id")
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) and 0 < len(value) <= _LONGEST_ID and value.isprintable() else None


def _fields(reply: Reply) -> Iterator[str]:
    """The fields that a refusal names, as Django REST framework does: `{"email": ["Enter a valid …"]}`.

    Names only: what the backend says about them may quote what was entered.
    """
    for name in list(_object(reply))[:_MOST_NAMES]:
        if name.isidentifier() and len(name) <= _LONGEST_NAME:
            yield name


def _object(reply: Reply) -> dict[str, Any]:
    try:
        found = orjson.loads(reply.body)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}
