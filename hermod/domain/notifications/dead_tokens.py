"""When a push token is dead, and when it is the account that is wrong. Pure.

"The app is gone" (`Fault.UNREGISTERED`) is the push service's own word, and final. "This token is not valid here"
(`Fault.WRONG_TOKEN`) has two causes that look the same: the token is dead or of another app, or it is the account that
is of another app or environment. Believing the first where the second is true would delete every device of a tenant in
a minute. So such a token only becomes a suspect, and

    it is confirmed   when it is refused again after the account was seen to work in between
    it is removed     when it is confirmed, the account has worked since it became one, and such tokens are few
    the account rests when many tokens in a row were refused and none was accepted; then nothing is removed
"""

from __future__ import annotations

from typing import Final

MASS: Final = 10
"""Fewer suspects than this are never a mass."""
MINORITY: Final = 0.2
"""Suspects up to this share of what the account answered are a minority."""


def is_mass(suspects: int, accepted: int) -> bool:
    """Whether an account has too many suspects to believe that it is the tokens. `accepted`: messages, not tokens."""
    return suspects >= MASS and suspects > MINORITY * (suspects + accepted)


def is_wrong_account(refused_in_a_row: int) -> bool:
    """Whether so many different tokens, with nothing accepted since, say that the account is wrong."""
    return refused_in_a_row >= MASS
