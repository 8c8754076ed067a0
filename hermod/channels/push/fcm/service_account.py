"""The key file of a Google service account, as the console gives it out: one JSON object, checked field by field."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

import orjson
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

GOOGLE_TOKEN_URI: Final = "https://oauth2.googleapis.com/token"
_SHORTEST_KEY: Final = 2048
_PROJECT: Final = re.compile(r"[a-z0-9.:-]{1,100}")
_TEXTS: Final = ("project_id", "private_key_id", "private_key", "client_email")
_TOKEN_URI_FAULT: Final = f"token_uri must be {GOOGLE_TOKEN_URI}, or at the host of the account's base_url"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceAccount:
    project_id: str
    private_key_id: str
    private_key: RSAPrivateKey = field(repr=False)
    client_email: str
    token_uri: str


def faults(text: str, base_url: str | None) -> Iterator[str]:
    """What is wrong with a key file, a sentence for each field."""
    try:
        content = orjson.loads(text)
    except orjson.JSONDecodeError:
        yield "must be the contents of the service account's JSON key file"
        return
    if not isinstance(content, dict) or content.get("type") != "service_account":
        yield 'must be the key file of a service account: a JSON object of the type "service_account"'
        return
    for name in _TEXTS:
        value = content.get(name)
        if not isinstance(value, str) or not value:
            yield f"{name} is missing"
    project = content.get("project_id")
    if isinstance(project, str) and project and not _PROJECT.fullmatch(project):
        yield "project_id is no name of a project"
    if isinstance(content.get("private_key"), str) and content["private_key"] and _key(content) is None:
        yield f"private_key is no RSA key of {_SHORTEST_KEY} bits or more in PEM"
    if not _may_be_asked(content.get("token_uri", GOOGLE_TOKEN_URI), base_url):
        yield _TOKEN_URI_FAULT


def service_account(text: str) -> ServiceAccount:
    """The account of a key file without faults."""
    content = orjson.loads(text)
    key = _key(content, checked=True)
    if key is None:
        raise ValueError("the key file was not checked")
    return ServiceAccount(
        project_id=content["project_id"],
        private_key_id=content["private_key_id"],
        private_key=key,
        client_email=content["client_email"],
        token_uri=content.get("token_uri", GOOGLE_TOKEN_URI),
    )


def _key(content: dict[str, Any], *, checked: bool = False) -> RSAPrivateKey | None:
    """The private key, or None where it is none. To check that its numbers fit takes some 40 ms: once is enough."""
    try:
        key = load_pem_private_key(content["private_key"].encode(), None, unsafe_skip_rsa_key_validation=checked)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None
    return key if isinstance(key, RSAPrivateKey) and key.key_size >= _SHORTEST_KEY else None


def _may_be_asked(token_uri: object, base_url: str | None) -> bool:
    """Whether a token may be asked for there: the address comes from whoever uploaded the file."""
    if not isinstance(token_uri, str):
        return False
    try:
        parts, google = urlsplit(token_uri), urlsplit(GOOGLE_TOKEN_URI)
        own = urlsplit(base_url) if base_url is not None else None
        where = (parts.scheme, parts.hostname, parts.port)
        known = {(google.scheme, google.hostname, google.port)}
        if own is not None:
            known.add((own.scheme, own.hostname, own.port))
    except ValueError:
        return False
    return where in known and parts.username is None and not parts.fragment
