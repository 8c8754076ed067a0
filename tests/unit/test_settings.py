"""Settings that are more than one value: how they are written, and what a mistake is told."""

from __future__ import annotations

import pytest

from hermod.settings import Settings, SettingsError, load_settings

VARIABLE = "HERMOD_WEBHOOK_ALLOWED_HOSTS"


def settings() -> Settings:
    return load_settings(DATABASE_URL="postgresql://hermod@localhost/hermod", HERMOD_SECRET_KEY="k")


@pytest.mark.parametrize(
    ("value", "hosts"),
    [
        ("", ()),
        ("hooks.internal", ("hooks.internal",)),
        ("hooks.internal, 10.20.0.0/16,,fd00::/8", ("hooks.internal", "10.20.0.0/16", "fd00::/8")),
        (" 10.0.0.1  10.0.0.2 ", ("10.0.0.1", "10.0.0.2")),
    ],
)
def test_settings_allowed_hosts_are_a_list_with_commas(
    monkeypatch: pytest.MonkeyPatch, value: str, hosts: tuple[str, ...]
) -> None:
    monkeypatch.setenv(VARIABLE, value)
    assert settings().webhook_allowed_hosts == hosts


def test_settings_allowed_host_that_is_none_names_the_variable_and_the_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "hooks.internal,10.20.0.1/16")
    with pytest.raises(SettingsError, match=rf"{VARIABLE} is wrong: .*10\.20\.0\.1/16"):
        settings()
