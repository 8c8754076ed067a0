"""Which settings fit which provider, and how senders are kept, replaced and closed."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from hermod.channels import registry
from hermod.channels.registry import CAPABILITIES, KITS, Senders, build, validate
from hermod.contracts.errors import InvalidInput
from hermod.contracts.notifications.content import Channel
from hermod.contracts.notifications.outcomes import Accepted, AnyOutcome
from hermod.contracts.tenants.accounts import AccountInput
from hermod.ports.notifications.sender import Outgoing
from tests.unit.channels.samples import CREDENTIALS, account, wiring


def given(provider: str, **changes: Any) -> AccountInput:
    known = account(provider)
    fields: dict[str, Any] = {
        "channel": known.channel,
        "provider": provider,
        "credentials": known.credentials,
        "base_url": known.base_url,
        "from": known.from_,
    }
    return AccountInput(**(fields | changes))


def faults(account: AccountInput, **options: Any) -> dict[str, str]:
    with pytest.raises(InvalidInput) as caught:
        validate(account, **options)
    return {error.field: error.message for error in caught.value.errors}


def test_registry_has_an_adapter_for_every_provider() -> None:
    assert set(KITS) == set(CAPABILITIES)
    for provider, capability in CAPABILITIES.items():
        assert capability.provider == provider
        assert set(capability.optional_credentials) <= set(capability.credentials)


@pytest.mark.parametrize("provider", sorted(KITS))
def test_settings_that_fit_pass(provider: str) -> None:
    validate(given(provider))
    build(account(provider), wiring())


@pytest.mark.parametrize(
    ("provider", "field"),
    [
        ("sendgrid", "credentials.api_key"),
        ("sandbox", "credentials.api_key"),
        ("twilio", "credentials.account_sid"),
        ("smtp", "credentials.host"),
    ],
)
def test_settings_required_credential_missing_is_named(provider: str, field: str) -> None:
    assert faults(given(provider, credentials={}))[field] == "missing"
    assert faults(given(provider, credentials=None))[field] == "missing"


@pytest.mark.parametrize("provider", sorted(KITS))
def test_settings_without_credentials_keep_the_stored_ones(provider: str) -> None:
    validate(given(provider, credentials=None), stored=CREDENTIALS[provider])


@pytest.mark.parametrize(
    ("value", "says"), [("", "empty"), (" key", "spaces"), ("key\n", "line breaks"), ("ключ", "ASCII")]
)
def test_settings_unusable_credential_is_named(value: str, says: str) -> None:
    assert says in faults(given("sendgrid", credentials={"api_key": value}))["credentials.api_key"]


def test_settings_unknown_credential_is_named() -> None:
    wrong = faults(given("sendgrid", credentials={"api_key": "SG.x", "apikey": "SG.x"}))
    assert wrong == {"credentials.apikey": "sendgrid has no such credential; it takes api_key, webhook_public_key"}


def test_settings_channel_of_another_provider_is_named() -> None:
    wrong = faults(given("twilio", channel=Channel.EMAIL, **{"from": None}))
    assert wrong == {"channel": "twilio does not send email; it sends sms"}


@pytest.mark.parametrize("sender", ["nobody", "News <>", "a@b@c"])
def test_settings_sender_that_is_no_address_is_named(sender: str) -> None:
    assert "email address" in faults(given("sendgrid", **{"from": sender}))["from"]


@pytest.mark.parametrize(
    ("provider", "base_url", "says"),
    [
        ("sandbox", None, "missing"),
        ("smtp", "https://mail.example.com", "not used"),
        ("sendgrid", "http://api.example.com", "https"),
        ("sendgrid", "https://127.0.0.1", "public"),
        ("twilio", "https://api.example.com/?a=1", "query"),
    ],
)
def test_settings_base_url_that_cannot_be_called_is_named(provider: str, base_url: str | None, says: str) -> None:
    assert says in faults(given(provider, base_url=base_url))["base_url"]


def test_settings_private_base_url_passes_where_it_is_allowed() -> None:
    validate(given("sandbox", base_url="http://127.0.0.1:8090/sandbox"), allow_private=True)


@pytest.mark.parametrize(
    ("credentials", "field", "says"),
    [
        ({"host": "127.0.0.1"}, "credentials.host", "public"),
        ({"host": "localhost"}, "credentials.host", "this machine"),
        ({"host": "smtp://mail.example.com"}, "credentials.host", "host name"),
        ({"host": "mail.example.com", "port": "smtp"}, "credentials.port", "port number"),
        ({"host": "mail.example.com", "port": "0"}, "credentials.port", "port number"),
        ({"host": "mail.example.com", "port": "65536"}, "credentials.port", "port number"),
        ({"host": "mail.example.com", "tls": "maybe"}, "credentials.tls", "starttls, tls, none"),
        ({"host": "mail.example.com", "username": "u"}, "credentials.password", "together"),
        ({"host": "mail.example.com", "password": "p"}, "credentials.username", "together"),
    ],
)
def test_settings_of_a_mail_server_are_checked(credentials: dict[str, str], field: str, says: str) -> None:
    assert says in faults(given("smtp", credentials=credentials))[field]


@pytest.mark.parametrize(
    ("credentials", "field"),
    [
        ({"account_sid": "SK1", "auth_token": "t"}, "credentials.account_sid"),
        ({"account_sid": "AC1"}, "credentials.auth_token"),
        ({"account_sid": "AC1", "api_key_sid": "SK1"}, "credentials.api_key_secret"),
        ({"account_sid": "AC1", "api_key_secret": "s", "auth_token": "t"}, "credentials.api_key_sid"),
        ({"account_sid": "AC1", "auth_token": "t", "status_callback": "/cb"}, "credentials.status_callback"),
    ],
)
def test_settings_of_twilio_are_checked(credentials: dict[str, str], field: str) -> None:
    assert list(faults(given("twilio", credentials=credentials))) == [field]


def test_settings_all_faults_are_told_at_once() -> None:
    wrong = faults(given("sendgrid", channel=Channel.SMS, credentials={}, base_url="https://10.0.0.1"))
    assert set(wrong) == {"channel", "credentials.api_key", "base_url"}


class Recorded:
    """A sender that knows whether it was closed."""

    capability = CAPABILITIES["sandbox"]

    def __init__(self) -> None:
        self.closed = asyncio.Event()

    async def send(self, message: Outgoing) -> AnyOutcome:
        return Accepted()

    def cannot_express(self, content: object) -> str | None:
        return None

    async def aclose(self) -> None:
        self.closed.set()


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[Recorded]:
    """The senders that were built, in their order."""
    made: list[Recorded] = []

    def make(*_: object) -> Recorded:
        made.append(Recorded())
        return made[-1]

    monkeypatch.setattr(registry, "build", make)
    return made


async def test_senders_same_revision_is_built_once(built: list[Recorded]) -> None:
    senders = Senders()
    first = senders.sender(account("sandbox"))
    assert senders.sender(account("sandbox")) is first
    assert senders.sender(account("sandbox", tenant="other")) is not first
    assert senders.sender(account("sandbox", name="second")) is not first
    assert len(built) == 3
    await senders.aclose()
    assert all(sender.closed.is_set() for sender in built)


async def test_senders_new_revision_replaces_and_closes_the_old_one(
    built: list[Recorded], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "LINGER", 0.01)
    senders = Senders()
    old = senders.sender(account("sandbox", revision=1))
    new = senders.sender(account("sandbox", revision=2))
    assert new is not old
    assert not built[0].closed.is_set()
    await asyncio.wait_for(built[0].closed.wait(), 5)
    assert not built[1].closed.is_set()
    await senders.aclose()
    assert built[1].closed.is_set()


async def test_senders_closing_does_not_wait_for_lingering_ones(built: list[Recorded]) -> None:
    senders = Senders()
    senders.sender(account("sandbox", revision=1))
    senders.sender(account("sandbox", revision=2))
    await asyncio.wait_for(senders.aclose(), 5)
    assert all(sender.closed.is_set() for sender in built)


async def test_senders_beyond_the_limit_lose_the_longest_unused(
    built: list[Recorded], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "MAX_KEPT", 2)
    monkeypatch.setattr(registry, "LINGER", 0.01)
    senders = Senders()
    for name in ("a", "b", "a", "c"):
        senders.sender(account("sandbox", name=name))
    await asyncio.wait_for(built[1].closed.wait(), 5)
    assert [sender.closed.is_set() for sender in built] == [False, True, False]
    await senders.aclose()


async def test_senders_wrong_settings_raise_every_time_until_they_change() -> None:
    senders = Senders()
    wrong = account("sandbox", base_url="http://127.0.0.1:1")
    for _ in range(2):
        with pytest.raises(InvalidInput, match="base_url"):
            senders.sender(wrong)
    assert senders.sender(account("sandbox", revision=2)).capability.provider == "sandbox"
    await senders.aclose()
