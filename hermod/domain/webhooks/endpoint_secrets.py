"""The secrets of a webhook endpoint: what its requests are signed with, for how long, and its custom headers. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final, Self

from hermod.contracts.errors import Conflict

MOST_KEYS: Final = 10
"""Secrets that sign at once. Each makes every request longer, and receivers look at so many signatures only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    secret: str = field(repr=False)
    until: datetime | None = None
    """It signs until then, exclusively; None: for good."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointSecrets:
    keys: tuple[SigningKey, ...]
    """The newest first."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    pair: str | None = field(default=None, repr=False)
    """`whsk_…`, where the endpoint asked for asymmetric signatures. It is not rotated: receivers do not hold it."""

    def valid(self, now: datetime) -> tuple[str, ...]:
        """What signs now: the secrets, the newest first, and then the key pair."""
        secrets = tuple(key.secret for key in _unexpired(self.keys, now))
        return (*secrets, self.pair) if self.pair is not None else secrets

    def rotated(self, secret: str, overlap: timedelta, now: datetime) -> Self:
        """With a new secret. The old ones go on for `overlap` at most; with none, they end at once.

        Raises Conflict where too many would sign at once.
        """
        end = now + overlap
        ending = (replace(key, until=min(key.until or end, end)) for key in self.keys)
        keys = (SigningKey(secret=secret), *_unexpired(ending, now))
        if len(keys) > MOST_KEYS:
            raise Conflict(
                f"{MOST_KEYS} secrets sign already; wait for one to end, or rotate with overlap_hours 0, which ends all"
            )
        return replace(self, keys=keys)

    def document(self) -> dict[str, Any]:
        """As it is sealed: `{keys: [{key, until}], headers: {…}, pair}`, with times in ISO 8601."""
        keys = [{"key": key.secret, "until": key.until.isoformat() if key.until else None} for key in self.keys]
        return {"keys": keys, "headers": dict(self.headers), "pair": self.pair}

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        keys = tuple(
            SigningKey(secret=key["key"], until=datetime.fromisoformat(key["until"]) if key["until"] else None)
            for key in document["keys"]
        )
        return cls(keys=keys, headers=document["headers"], pair=document["pair"])


def _unexpired(keys: Iterable[SigningKey], now: datetime) -> tuple[SigningKey, ...]:
    return tuple(key for key in keys if key.until is None or now < key.until)
