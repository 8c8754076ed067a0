"""One message as it arrived: what the inbox shows and the journal keeps."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from html import unescape
from typing import Any, Final

_TAGS: Final = re.compile(r"<(style|script|head|title)\b.*?</\1\s*>|<!--.*?-->|<[^>]*>", re.IGNORECASE | re.DOTALL)


@dataclass(slots=True)
class Attachment:
    """A file of a message."""

    filename: str | None
    content_type: str
    size: int
    """Decoded, in bytes."""
    content_id: str | None = None
    """Without angle brackets; the HTML shows the file as `cid:<content_id>`."""
    content: bytes | None = None
    """None when the inbox no longer keeps it."""

    @classmethod
    def of(cls, filename: str | None, content_type: str, content: bytes, content_id: str | None) -> Attachment:
        return cls(filename, content_type, len(content), content_id, content)

    def as_dict(self) -> dict[str, Any]:
        return {
            "filename": self.filename,
            "content_type": self.content_type,
            "size": self.size,
            "content_id": self.content_id,
        }


@dataclass(slots=True, kw_only=True)
class Entry:
    """A message in the inbox. `number`, `received_at` and `repeats` are the inbox's to set.

    Tuples and shared empty ones where lists would do: tens of thousands of entries are alive at a time, and the
    garbage collector looks at every list but at no tuple of strings.
    """

    provider: str
    channel: str
    message_id: str | None
    """Hermod's own id, as far as it travelled with the request."""
    provider_message_id: str
    sender: str | None
    to: tuple[str, ...]
    """Bare addresses or numbers of the whole envelope, cc and bcc included; the visible lines are in `headers`."""
    subject: str | None = None
    text: str | None = None
    html: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    attachments: Sequence[Attachment] = ()
    media_urls: tuple[str, ...] = ()
    idempotency_key: str | None = None
    raw: bytes | None = None
    """The request body or mail as it came over the wire; None when the inbox no longer keeps it."""
    number: int = 0
    repeats: int = 0
    received_at: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The item of `GET /_sandbox/inbox`."""
        return {
            "number": self.number,
            "provider": self.provider,
            "channel": self.channel,
            "message_id": self.message_id,
            "provider_message_id": self.provider_message_id,
            "from": self.sender,
            "to": self.to,
            "subject": self.subject,
            "text": self.text,
            "html": self.html,
            "headers": self.headers,
            "attachments": [attachment.as_dict() for attachment in self.attachments],
            "media_urls": self.media_urls,
            "repeats": self.repeats,
            "received_at": self.received_at,
        }

    def brief(self) -> dict[str, Any]:
        """The item of a list that only needs to be scanned: no bodies, but their first words as `preview`."""
        item = self.as_dict()
        del item["text"], item["html"], item["headers"]
        item["preview"] = _first_words(self.text[:1000] if self.text else _TAGS.sub(" ", (self.html or "")[:8000]))
        return item

    @classmethod
    def from_dict(cls, item: dict[str, Any]) -> Entry:
        """The entry of an item. Raises KeyError or TypeError for one of another shape."""
        return cls(
            provider=item["provider"],
            channel=item["channel"],
            message_id=item["message_id"],
            provider_message_id=item["provider_message_id"],
            sender=item["from"],
            to=tuple(item["to"]),
            subject=item["subject"],
            text=item["text"],
            html=item["html"],
            headers=item["headers"],
            attachments=tuple(Attachment(**attachment) for attachment in item["attachments"]),
            media_urls=tuple(item["media_urls"]),
            number=item["number"],
            repeats=item["repeats"],
            received_at=item["received_at"],
        )

    def held_bytes(self) -> int:
        """How much the wire's bytes take up in memory."""
        files = sum(len(attachment.content) for attachment in self.attachments if attachment.content)
        return files + len(self.raw) if self.raw else files

    def strip(self) -> int:
        """Let go of the wire's bytes; how many there were."""
        held = self.held_bytes()
        self.raw = None
        for attachment in self.attachments:
            attachment.content = None
        return held


def _first_words(text: str) -> str:
    return " ".join(unescape(text).split())[:160]


def now() -> str:
    """The present in RFC 3339, UTC, milliseconds."""
    second, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
    return f"{_to_the_second(second)}.{nanoseconds // 1_000_000:03d}Z"


@lru_cache(maxsize=2)
def _to_the_second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
