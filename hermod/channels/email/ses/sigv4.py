"""Signature Version 4, by which AWS knows who made a request (docs.aws.amazon.com, "Signing AWS API requests").

Only what SES needs: a POST without a query. botocore would do it, too, and bring 20 MB of API descriptions with it.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from urllib.parse import quote

import httpx

_ALGORITHM: Final = "AWS4-HMAC-SHA256"


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)


def signed(
    url: httpx.URL, headers: Iterable[tuple[str, str]], body: bytes, *, keys: Keys, scope: str, now: datetime
) -> list[tuple[str, str]]:
    """`headers` (names in lower case) with those that sign them, the host and the body.

    `scope` is `{region}/{service}`, and `now` is in UTC: AWS refuses requests that are more than 15 minutes off.
    """
    stamp = now.strftime("%Y%m%dT%H%M%SZ")
    sent = [*headers, ("x-amz-date", stamp)]
    if keys.session_token:
        sent.append(("x-amz-security-token", keys.session_token))
    covered = sorted([*sent, ("host", url.netloc.decode("ascii"))])
    scope = f"{stamp[:8]}/{scope}/aws4_request"
    digest = hashlib.sha256(canonical(url, covered, body)).hexdigest()
    key = f"AWS4{keys.secret_access_key}".encode()
    for part in (*scope.split("/"), f"{_ALGORITHM}\n{stamp}\n{scope}\n{digest}"):
        key = hmac.digest(key, part.encode(), "sha256")
    proof = f"Credential={keys.access_key_id}/{scope}, SignedHeaders={_names(covered)}, Signature={key.hex()}"
    return [*sent, ("authorization", f"{_ALGORITHM} {proof}")]


def canonical(url: httpx.URL, headers: list[tuple[str, str]], body: bytes) -> bytes:
    """The request as both sides write it down. `headers` are sorted; the path is encoded once more than on the wire."""
    path = quote(url.raw_path.decode("ascii"), safe="/-_.~")
    lines = "".join(f"{name}:{' '.join(value.split())}\n" for name, value in headers)
    return f"POST\n{path}\n\n{lines}\n{_names(headers)}\n{hashlib.sha256(body).hexdigest()}".encode()


def _names(headers: list[tuple[str, str]]) -> str:
    return ";".join(name for name, _ in headers)
