"""The TLS settings of every outgoing connection: certificates checked, TLS 1.2 or newer."""

from __future__ import annotations

import ssl
from functools import lru_cache

import httpx


@lru_cache(maxsize=1)
def tls_context() -> ssl.SSLContext:
    """One context for all connections: loading the certificate bundle costs tens of milliseconds each time.

    The bundle is certifi's, or the one that OpenSSL's own `SSL_CERT_FILE` names.
    """
    return _context()


@lru_cache(maxsize=1)
def http2_context() -> ssl.SSLContext:
    """The same for connections that speak HTTP/2 and nothing else. What is offered belongs to a context."""
    context = _context()
    context.set_alpn_protocols(["h2"])
    return context


def _context() -> ssl.SSLContext:
    context = httpx.create_ssl_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
