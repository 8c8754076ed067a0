"""Settings that are more than one value: how they are written, and what a mistake is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hermod.analytics.places import Server
from hermod.contracts.queues import Lane
from hermod.settings import Settings, SettingsError, child_environment, load_settings, local_settings

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


@pytest.mark.parametrize(("records", "contents"), [("400", "400"), ("0", "30"), ("30", "0")])
def test_settings_records_are_kept_as_long_as_contents_or_for_ever(
    monkeypatch: pytest.MonkeyPatch, records: str, contents: str
) -> None:
    monkeypatch.setenv("HERMOD_RECORD_DAYS", records)
    monkeypatch.setenv("HERMOD_CONTENT_DAYS", contents)
    assert settings().record_days == int(records)


def test_settings_records_that_would_go_before_their_contents_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HERMOD_CONTENT_DAYS", "401")
    with pytest.raises(SettingsError, match=r"HERMOD_RECORD_DAYS is wrong: .*at least HERMOD_CONTENT_DAYS \(401\)"):
        settings()


@pytest.mark.parametrize(
    "url", ["", "http://clickhouse:8123", "https://ada:p%40ss@clickhouse.example.com/behind/a/proxy"]
)
def test_settings_clickhouse_is_an_address_of_its_http_interface(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("CLICKHOUSE_URL", url)
    found = settings().clickhouse_url
    assert (found.get_secret_value() if found else "") == url


@pytest.mark.parametrize(
    "url", ["clickhouse:8123", "tcp://ada:secret@clickhouse:9000", "http://ada:secret@ch/?database=x"]
)
def test_settings_clickhouse_is_no_such_address_is_refused_without_being_shown(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("CLICKHOUSE_URL", url)
    with pytest.raises(SettingsError, match=r"CLICKHOUSE_URL is wrong: .*HTTP interface") as raised:
        settings()
    assert "secret" not in str(raised.value)


def test_settings_requests_at_once_of_single_lanes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings().lane_concurrency == {}
    monkeypatch.setenv("HERMOD_LANE_CONCURRENCY", "email=5, push = 10,")
    assert settings().lane_concurrency == {Lane.EMAIL: 5, Lane.PUSH: 10}


@pytest.mark.parametrize(
    "value",
    ["email", "email=0", "email=-1", "email=5.5", "fax=1", "email=1,email=2", "email=1e3", "sms=99999", "email=٥"],
)
def test_settings_requests_at_once_that_are_no_number_of_a_lane_name_the_variable(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("HERMOD_LANE_CONCURRENCY", value)
    with pytest.raises(SettingsError, match="HERMOD_LANE_CONCURRENCY is wrong: "):
        settings()


def test_settings_of_a_dev_stack_sign_in_at_its_clickhouse_and_not_as_somebody_elses_user(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    written = {
        "database_url": "postgresql://hermod@localhost/hermod",
        "temporal_address": "localhost:7233",
        "tenant": "demo",
        "url": "http://localhost:8080",
        "clickhouse_url": "http://hermod:word@127.0.0.1:8123",
    }
    (tmp_path / "dev.json").write_text(json.dumps(written))
    (tmp_path / "secrets.json").write_text(json.dumps({"HERMOD_SECRET_KEY": "k", "HERMOD_JWT_SECRET": "j"}))
    monkeypatch.setenv("HERMOD_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("CLICKHOUSE_PASSWORD", "of the compose file")
    monkeypatch.delenv("CLICKHOUSE_URL", raising=False)
    found = local_settings()
    assert (found.clickhouse_user, found.clickhouse_password) == (None, None)
    assert found.clickhouse_url is not None
    assert Server(found.clickhouse_url.get_secret_value()).sign_in() == ("hermod", "word")


@pytest.mark.parametrize(("port", "ports"), [(9090, ["9090", "9091", "9092"]), (0, ["0", "0", "0"])])
def test_worker_processes_have_a_port_each(monkeypatch: pytest.MonkeyPatch, port: int, ports: list[str]) -> None:
    monkeypatch.setenv("HERMOD_WORKER_PORT", "")
    assert [child_environment(port, number)["HERMOD_WORKER_PORT"] for number in range(3)] == ports
