"""`hermod payments`, and `hermod secrets rotate` for the secrets of Stripe."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from devstack.demo.stripe_stand_in import StripePayment
from hermod.domain.payments.stripe_events import read_event
from hermod.storage.secrets.vault import Vault
from tests.integration.cli.conftest import Cli


async def test_account_at_stripe_is_set_shown_and_removed(cli: Cli, tmp_path: Path) -> None:
    await cli.ready()
    await cli.run("payments", "stripe", "show", code=1)
    saved = await cli.json("payments", "stripe", "set", "--secrets", "-", "--test", stdin="whsec_one\n\nwhsec_two\n")
    assert (saved["secrets"], saved["livemode"]) == (2, False)
    (tmp_path / "secrets.txt").write_text("whsec_three\n")
    assert "live" in (await cli.run("payments", "stripe", "set", "--secrets", "secrets.txt", "--live")).stdout
    shown = await cli.run("payments", "stripe", "show")
    assert "charge.refunded" in shown.stdout
    assert "whsec" not in shown.stdout
    assert "removed" in (await cli.run("payments", "stripe", "remove")).stdout
    await cli.run("payments", "stripe", "remove", code=1)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--secret", "sk_test_1"], 1, "secrets.0"),
        ([], 1, "needed for a new account"),
        (["--secrets", "nowhere.txt"], 2, "nowhere.txt"),
    ],
)
async def test_account_at_stripe_is_wrong_says_what(cli: Cli, arguments: list[str], code: int, said: str) -> None:
    await cli.ready()
    assert said in (await cli.run("payments", "stripe", "set", *arguments, code=code)).stderr


async def test_payment_events_are_listed(cli: Cli) -> None:
    await cli.ready()
    assert "no payment events" in (await cli.run("payments", "events")).stdout
    event = read_event(StripePayment(None, amount=4_200).succeeded())
    await cli.hermod.core.storage.payments.take("shop", event, datetime.now(UTC))
    shown = (await cli.run("payments", "events", "--unlinked")).stdout
    assert event.id in shown
    assert "4200 eur" in shown
    assert (await cli.json("payments", "events", "--submission", "sub_1"))["items"] == []


async def test_keys_are_rotated_the_secrets_of_stripe_go_along(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    await cli.run("tenants", "create", "shop")
    await cli.run("payments", "stripe", "set", "--secret", "whsec_one")
    old, new = cli.hermod.core.settings.secret_key.get_secret_value(), Vault.new_key()
    monkeypatch.setenv("HERMOD_SECRET_KEY", f"{new},{old}")
    assert (await cli.json("secrets", "rotate"))["stripe_accounts"] == 1
    monkeypatch.setenv("HERMOD_SECRET_KEY", new)
    assert (await cli.json("payments", "stripe", "show"))["secrets"] == 1
    monkeypatch.setenv("HERMOD_SECRET_KEY", old)
    assert "cannot be read" in (await cli.run("payments", "stripe", "show", code=1)).stderr
    assert "Stripe of shop" in (await cli.run("doctor", code=1)).stdout
