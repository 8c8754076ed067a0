"""Whom a poster calls: names, addresses that are off limits, TLS."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from hermod.outbound.addresses.guard import AddressGuard
from hermod.outbound.addresses.tls import tls_context
from hermod.outbound.webhooks.poster import WebhookPoster
from tests.integration.conformance.scripted import closed_port, server_context
from tests.integration.webhooks.posting import order, posting, saying
from tests.support.hostile import Hostile, Names

ALLOWED = "127.0.0.2"
"""Stands for a public address: the guard's allow-list lets it pass, and nothing else of this machine."""
pytestmark = pytest.mark.skipif(
    not Path("/proc").exists(), reason="only Linux answers on all of 127.0.0.0/8, which stands for the internet here"
)


async def test_post_refused_connection_is_connect(poster: WebhookPoster) -> None:
    exchange = await poster.post(order(f"http://127.0.0.1:{closed_port()}/?token=s3cret"))
    assert (exchange.outcome, exchange.address) == ("connect", "127.0.0.1")
    assert exchange.error is not None
    assert "s3cret" not in exchange.error


async def test_post_name_that_does_not_resolve_is_dns(poster: WebhookPoster) -> None:
    exchange = await poster.post(order("http://nobody.invalid/", deadline=15))
    assert (exchange.outcome, exchange.address) == ("dns", None)
    assert exchange.phases.dns is not None
    assert exchange.phases.connect is None


async def test_post_name_that_is_none_is_dns(poster: WebhookPoster) -> None:
    assert (await poster.post(order(f"http://{'a' * 70}.example/"))).outcome == "dns"


async def test_post_names_that_never_resolve_end_at_the_deadline() -> None:
    async with posting(AddressGuard(), names=Names(None)) as poster:
        exchange = await poster.post(order("https://hooks.example.com/", deadline=0.3))
    assert (exchange.outcome, exchange.error) == ("timeout", "the name did not resolve in time")


@pytest.mark.parametrize("url", ["http://", "https://[::1", "ftp://example.com/", "nonsense", "http://x:99999/"])
async def test_post_url_that_is_none_is_an_outcome(poster: WebhookPoster, url: str) -> None:
    assert (await poster.post(order(url))).outcome in ("protocol", "dns")


@pytest.mark.parametrize(
    "host",
    (
        "127.0.0.1 10.0.0.1 169.254.169.254 0.0.0.0 2130706433 127.1 0x7f.1 127.0.0.1. "
        "[::1] [fe80::1] [::ffff:127.0.0.1] [64:ff9b::7f00:1] [2002:7f00:1::]"
    ).split(),
)
async def test_post_address_off_limits_is_refused(receiver: Hostile, host: str) -> None:
    async with posting(AddressGuard(), names=Names(["127.0.0.1"])) as poster:
        exchange = await poster.post(order(f"http://{host}:{receiver.port}/"))
    assert (exchange.outcome, exchange.address, receiver.connections) == ("refused_address", None, 0)


async def test_post_address_in_letters_of_another_script_is_no_url(receiver: Hostile) -> None:
    async with posting(AddressGuard(), names=Names(["127.0.0.1"])) as poster:
        exchange = await poster.post(order(f"http://１２７.0.0.1:{receiver.port}/"))
    assert (exchange.outcome, exchange.error, receiver.connections) == ("protocol", "the URL cannot be called", 0)


@pytest.mark.parametrize(
    "answers",
    [["127.0.0.1"], [ALLOWED, "127.0.0.1"], ["1.1.1.1", "127.0.0.1"], ["::ffff:127.0.0.1"], ["64:ff9b::7f00:1"]],
)
async def test_post_name_with_an_answer_off_limits_is_refused(receiver: Hostile, answers: list[str]) -> None:
    async with posting(AddressGuard(allowed=[ALLOWED]), names=Names(answers)) as poster:
        exchange = await poster.post(order(receiver.at("hooks.example.com")))
    assert (exchange.outcome, exchange.address, receiver.connections) == ("dns", None, 0)


async def test_post_name_inside_is_told_in_the_words_of_a_name_that_is_nowhere(receiver: Hostile) -> None:
    async with posting(AddressGuard(), names=Names(["10.0.0.1"])) as poster:
        inside = await poster.post(order("https://hooks.internal/"))
    async with posting(AddressGuard(), names=Names([])) as poster:
        nowhere = await poster.post(order("https://hooks.internal/"))
    told = [(one.outcome, one.error, one.address, one.phases.connect) for one in (inside, nowhere)]
    assert told[0] == told[1] == ("dns", "the name hooks.internal does not resolve to a public address", None, None)


async def test_post_name_that_is_bound_anew_never_reaches_the_inside(receiver: Hostile) -> None:
    names = Names([ALLOWED], ["127.0.0.1"])
    async with (
        Hostile(host=ALLOWED, port=receiver.port) as outside,
        posting(AddressGuard(allowed=[ALLOWED]), names=names) as poster,
    ):
        first = await poster.post(order(receiver.at("hooks.example.com")))
        second = await poster.post(order(receiver.at("hooks.example.com"), fresh=True))
    assert (first.outcome, first.address) == ("success", ALLOWED)
    assert (second.outcome, names.asked) == ("dns", ["hooks.example.com"] * 2)
    assert (len(outside.requests), receiver.connections) == (1, 0)


async def test_post_name_that_the_operator_allows_is_called(receiver: Hostile) -> None:
    guard = AddressGuard(allowed=["hooks.internal", ALLOWED])
    async with posting(guard, names=Names(["127.0.0.1"])) as poster:
        allowed = await poster.post(order(receiver.at("hooks.internal")))
        other = await poster.post(order(receiver.at("other.internal")))
    assert (allowed.outcome, allowed.address, other.outcome) == ("success", "127.0.0.1", "dns")
    assert allowed.phases.dns is not None


async def test_post_tls_handshake_that_never_ends_is_a_timeout(poster: WebhookPoster, receiver: Hostile) -> None:
    receiver.behave("slow_tls")
    exchange = await poster.post(order(receiver.tls_url, deadline=0.4))
    assert (exchange.outcome, exchange.error) == ("timeout", "the TLS handshake did not end in time")
    assert exchange.phases.tls is not None
    assert exchange.phases.tls > 200
    assert exchange.phases.first_byte is None


async def test_post_https_where_no_tls_is_spoken_is_tls(poster: WebhookPoster) -> None:
    async with saying(b"HTTP/1.1 400 Bad Request\r\n\r\n", read=False) as url:
        exchange = await poster.post(order(url.replace("http:", "https:")))
    assert exchange.outcome == "tls"


async def test_post_connection_reset_within_the_handshake_is_tls(poster: WebhookPoster, receiver: Hostile) -> None:
    receiver.behave("reset_at_once")
    assert (await poster.post(order(receiver.tls_url))).outcome in ("tls", "reset")


async def test_post_certificate_that_nobody_vouches_for_is_tls(poster: WebhookPoster, certificate: Path) -> None:
    async with Hostile(tls=server_context(certificate)) as receiver:
        exchange = await poster.post(order(receiver.at("localhost")))
        assert receiver.requests == []
    assert exchange.outcome == "tls"
    assert exchange.error is not None
    assert "self-signed" in exchange.error


@pytest.fixture
def trusted(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The operator's own authority, as OpenSSL's variable names it."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    tls_context.cache_clear()
    yield certificate
    tls_context.cache_clear()


async def test_post_over_tls_tells_its_handshake(trusted: Path) -> None:
    async with (
        Hostile(tls=server_context(trusted)) as receiver,
        posting(AddressGuard(allow_private=True)) as poster,
    ):
        receiver.behave("200")
        first = await poster.post(order(receiver.at("localhost")))
        again = await poster.post(order(receiver.at("localhost")))
        by_address = await poster.post(order(receiver.url))
    assert (first.outcome, first.address) == ("success", "127.0.0.1")
    assert first.phases.tls is not None
    assert first.phases.tls > 0
    assert first.phases.connect is not None
    assert (again.outcome, again.address, again.phases.connect, again.phases.tls) == (
        "success",
        "127.0.0.1",
        None,
        None,
    )
    assert by_address.outcome == "tls"


async def test_post_tls_older_than_one_two_is_refused(trusted: Path) -> None:
    old = server_context(trusted)
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    async with Hostile(tls=old) as receiver, posting(AddressGuard(allow_private=True)) as poster:
        exchange = await poster.post(order(receiver.at("localhost")))
    assert exchange.outcome == "tls"
