"""Tokens with which a visitor goes on with a form, on whatever device: they name the partial, and nothing is stored.

A token is worth as much as what was entered: it opens for whoever has it, until the form has been sent.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from hermod.storage.secrets.sealed_tokens import SealedTokens

_PURPOSE: Final = b"hermod resume 1"


class Resumed(NamedTuple):
    """What a token is about."""

    tenant: str
    form: str
    session: str


class ResumeTokens:
    def __init__(self, keys: str) -> None:
        """`keys` as for `hermod.storage.secrets.vault.Vault`."""
        self._tokens = SealedTokens(keys, _PURPOSE)

    def token(self, tenant: str, form: str, session: str) -> str:
        """Always the same one for the same partial."""
        return self._tokens.seal(tenant, form, session)

    def open(self, token: str) -> Resumed | None:
        """None for a token that is not ours, or whose key is gone."""
        parts = self._tokens.open(token, 3)
        return None if parts is None else Resumed(*parts)
