"""The few answers of Elastic Email that say more than their status. Data only.

Its v4 API has no error codes and no 401, 402 or 403: nearly everything is a 400 with one sentence in `Error`. Two
sentences are documented word for word as the answer to a key that does not work, and serve as codes here: they are
compared whole, never searched. Every other 400 refuses the message.
"""

from __future__ import annotations

from typing import Final

HALTING_WORDS: Final = frozenset(
    {
        "APIKey Expired",  # the key is missing, wrong or deleted
        "Access Denied.",  # the key may not send, or the account is disabled
    }
)

IN_FLIGHT: Final = 409
"""An earlier request with this key is still being worked on."""
PLAN_LIMIT: Final = 412
"""The account's plan is used up."""
KEY_MISUSED: Final = 422
"""This key stands for another request body; or, for all that is documented, a fault of the request itself."""
