"""How often one visitor may submit a form: the rate of its spam guard, on the limiter that sends messages too.

A bucket is named by a keyed hash of the visitor's address, so that the address itself is kept nowhere and cannot be
guessed from what is. Buckets that are full again are removed with other old records.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import datetime
from typing import Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from hermod.contracts.errors import MaybeStored, Unavailable
from hermod.domain.forms.visitors import rate_of, subject_of
from hermod.ports.notifications.limiter import Limiter, ReserveRequest

_PURPOSE: Final = b"hermod visitor rates 1"


class VisitorRates:
    def __init__(self, keys: str, limiter: Limiter) -> None:
        """`keys` as for `hermod.storage.secrets.vault.Vault`. A change of the first one starts all rates anew."""
        newest = base64.urlsafe_b64decode(keys.split(",", maxsplit=1)[0].strip())
        self._key = HKDF(algorithm=SHA256(), length=32, salt=None, info=_PURPOSE).derive(newest)
        self._limiter = limiter

    async def wait(self, tenant: str, form: str, address: str, per_hour: int, now: datetime) -> float | None:
        """Take one submission from the address's share: None where it may pass, else seconds to wait for the next.

        A share whose answer got lost is gone, and nothing that a caller has to look for. Raises Unavailable.
        """
        rate = rate_of(per_hour)
        ask = ReserveRequest(
            bucket=f"visitor/{tenant}/{form}/{self._hash(tenant, address)}",
            rate=rate.per_second,
            tenant=None,
            weight=1.0,
            most=1,
            wanted=1,
            burst=rate.burst,
        )
        try:
            reservation = await self._limiter.reserve(ask, now)
        except MaybeStored as lost:
            raise Unavailable("the database does not answer; nothing was stored") from lost
        return None if reservation.tokens else reservation.wait

    def _hash(self, tenant: str, address: str) -> str:
        text = f"{tenant}\n{subject_of(address)}".encode()
        return hmac.new(self._key, text, hashlib.sha256).hexdigest()[:32]
