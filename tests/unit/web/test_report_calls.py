"""A provider's call reaches its reader as it was made, whatever stands in between."""

from __future__ import annotations

import pytest
from starlette.requests import Request

from web.ingress.notifications.receipts import as_called

PATH = b"/ingress/receipts/twilio/demo/main"


def request(query: bytes = b"", *headers: tuple[bytes, bytes], path: bytes = PATH) -> Request:
    scope = {
        "type": "http",
        "method": "POST",
        "scheme": "http",
        "server": ("10.0.0.7", 8080),
        "path": path.decode(),
        "raw_path": path,
        "query_string": query,
        "headers": [(b"host", b"hooks.example.com:8443"), *headers],
    }
    return Request(scope)


@pytest.mark.parametrize(
    ("public_url", "url"),
    [
        (None, "http://hooks.example.com:8443/ingress/receipts/twilio/demo/main"),
        ("https://hooks.example.com", "https://hooks.example.com/ingress/receipts/twilio/demo/main"),
        ("https://example.com/hermod", "https://example.com/hermod/ingress/receipts/twilio/demo/main"),
    ],
)
def test_url_is_the_public_one_where_it_is_known(public_url: str | None, url: str) -> None:
    assert as_called(request(), b"", public_url).url == url


def test_url_keeps_its_escapes_since_some_providers_sign_it() -> None:
    call = as_called(request(b"a=%2Fb&a=%7Ec&d=+", path=b"/x%2Fy"), b"", "https://h.example")
    assert call.url == "https://h.example/x%2Fy?a=%2Fb&a=%7Ec&d=+"
    assert call.query() == {"a": "~c", "d": " "}


def test_header_that_comes_twice_has_both_values() -> None:
    call = as_called(request(b"", (b"x-signature", b"a"), (b"X-Signature".lower(), b"b")), b"raw", None)
    assert call.headers["x-signature"] == "a, b"
    assert (call.method, call.body) == ("POST", b"raw")
