"""What a push service's status means (RFC 8030, and the services' own pages). Data only.

The address of the request came from a browser, not from the account, so no status halts the account by itself, as it
would elsewhere. 401 and 403 say that the subscription belongs to another key than ours. For a few subscriptions that is
so because they are older than the key; where it is so for all of them, the account has the wrong key. Which of the two
cannot be told from one answer: the token is marked as suspect, and whoever sees all answers of the account decides
(`hermod.domain.notifications.dead_tokens`). Halting here would let one old subscription stop everybody's messages.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final


class Meaning(Enum):
    UNREGISTERED = auto()
    WRONG_TOKEN = auto()
    UNREACHABLE = auto()
    """Nothing of a push service is there."""
    BUSY = auto()
    """Not taken now."""


ACCEPTED: Final = frozenset({200, 201, 202})

MEANINGS: Final[dict[int, Meaning]] = {
    404: Meaning.UNREGISTERED,  # there is no such subscription
    410: Meaning.UNREGISTERED,  # there was one
    401: Meaning.WRONG_TOKEN,  # Mozilla: the subscription is of another key
    403: Meaning.WRONG_TOKEN,  # Google, Apple: the same
    406: Meaning.BUSY,  # Windows is said to throttle so
    301: Meaning.UNREACHABLE,  # redirects are not followed
    302: Meaning.UNREACHABLE,
    303: Meaning.UNREACHABLE,
    307: Meaning.UNREACHABLE,
    308: Meaning.UNREACHABLE,
    402: Meaning.UNREACHABLE,
    405: Meaning.UNREACHABLE,
    407: Meaning.UNREACHABLE,
}
