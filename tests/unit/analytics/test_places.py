"""What CLICKHOUSE_URL, CLICKHOUSE_USER and CLICKHOUSE_PASSWORD say together."""

from __future__ import annotations

import pytest

from hermod.analytics.places import Server


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://localhost", "http://localhost:8123"),
        ("https://clickhouse.example.com", "https://clickhouse.example.com:8443"),
        ("https://ada:secret@clickhouse.example.com:443/behind", "https://clickhouse.example.com:443"),
        ("http://[::1]:8124", "http://[::1]:8124"),
    ],
)
def test_server_is_shown_without_its_password(url: str, shown: str) -> None:
    assert str(Server(url)) == shown


@pytest.mark.parametrize(
    ("server", "expected"),
    [
        (Server("http://localhost"), (None, "")),
        (Server("http://a%40b:p%2Fw@localhost"), ("a@b", "p/w")),
        (Server("http://url:url@localhost", "settings", "secret"), ("settings", "secret")),
        (Server("http://localhost", "settings"), ("settings", "")),
        (Server("http://localhost", None, "secret"), ("default", "secret")),
    ],
)
def test_settings_come_before_the_url(server: Server, expected: tuple[str | None, str]) -> None:
    assert server.sign_in() == expected
