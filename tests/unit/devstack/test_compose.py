"""Compose file, Dockerfile, .env.example and the server's configuration agree with each other and with the code."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import AliasChoices

from devstack.options import Options
from devstack.servers.temporal import DYNAMIC_CONFIG
from hermod.settings import Settings

ROOT = Path(__file__).resolve().parents[3]
SERVERS = {"postgresql", "clickhouse", "temporal", "temporal-ui", "worker", "web"}
ONE_SHOTS = {"temporal-schema", "temporal-namespace", "migrate"}


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def services() -> dict[str, dict[str, Any]]:
    compose: dict[str, dict[str, dict[str, Any]]] = yaml.safe_load(read("docker-compose.temporal.yml"))
    return compose["services"]


@pytest.fixture(scope="module")
def documented() -> set[str]:
    return set(re.findall(r"^(?:# )?([A-Z][A-Z_]+)=", read(".env.example"), re.MULTILINE))


def test_compose_lists_the_cluster_and_our_processes(services: dict[str, dict[str, Any]]) -> None:
    assert set(services) == SERVERS | ONE_SHOTS


def test_compose_image_has_an_exact_version(services: dict[str, dict[str, Any]]) -> None:
    images = {service["image"] for service in services.values()}
    images |= set(re.findall(r"^FROM (\S+)", read("Dockerfile"), re.MULTILINE))
    assert [image for image in images if not re.search(r":\d+(\.\d+){1,3}(-[a-z-]+)?$", image)] == []


def test_compose_temporal_tools_have_the_version_of_the_server(services: dict[str, dict[str, Any]]) -> None:
    version = services["temporal"]["image"].partition(":")[2]
    assert services["temporal-schema"]["image"] == f"temporalio/admin-tools:{version}"
    assert services["temporal-namespace"]["image"] == f"temporalio/admin-tools:{version}"


@pytest.mark.parametrize("name", sorted(SERVERS))
def test_compose_server_dies_is_started_again(services: dict[str, dict[str, Any]], name: str) -> None:
    assert services[name]["restart"] == "unless-stopped"


@pytest.mark.parametrize("name", sorted(ONE_SHOTS))
def test_compose_one_shot_fails_is_tried_a_few_times(services: dict[str, dict[str, Any]], name: str) -> None:
    assert services[name]["restart"] == "on-failure:5"


@pytest.mark.parametrize("name", sorted(SERVERS - {"temporal-ui"}))  # nothing waits for the UI
def test_compose_server_is_asked_for_its_health(services: dict[str, dict[str, Any]], name: str) -> None:
    assert services[name]["healthcheck"]["test"][0] == "CMD"


def test_compose_start_is_in_the_right_order(services: dict[str, dict[str, Any]]) -> None:
    healthy, completed = "service_healthy", "service_completed_successfully"
    order = {
        name: {other: wait["condition"] for other, wait in service.get("depends_on", {}).items()}
        for name, service in services.items()
    }
    ready = {"migrate": completed, "temporal-namespace": completed}
    assert order == {
        "postgresql": {},
        "clickhouse": {},
        "temporal-schema": {"postgresql": healthy},
        "temporal": {"temporal-schema": completed},
        "temporal-namespace": {"temporal": healthy},
        "temporal-ui": {"temporal": healthy},
        "migrate": {"postgresql": healthy},
        "worker": ready,
        "web": ready,
    }


def test_compose_health_is_asked_at_the_port_that_is_served(services: dict[str, dict[str, Any]]) -> None:
    for name, variable in (("worker", "HERMOD_WORKER_PORT"), ("web", "HERMOD_PORT")):
        port = services[name]["environment"][variable]
        assert f":{port}/health" in services[name]["healthcheck"]["test"][-1]
    assert services["web"]["ports"] == ["${HERMOD_PORT:-8080}:8080"]


@pytest.mark.parametrize("name", ["postgresql", "clickhouse"])
def test_compose_data_is_kept_in_a_named_volume(services: dict[str, dict[str, Any]], name: str) -> None:
    assert services[name]["volumes"] == [f"{name}:/var/lib/{name}"]
    assert name in yaml.safe_load(read("docker-compose.temporal.yml"))["volumes"]


def test_compose_clickhouse_has_the_database_and_user_that_hermod_takes(services: dict[str, dict[str, Any]]) -> None:
    server, ours = services["clickhouse"]["environment"], services["worker"]["environment"]
    assert server["CLICKHOUSE_DB"] == Settings.model_fields["clickhouse_database"].default
    assert (server["CLICKHOUSE_USER"], server["CLICKHOUSE_PASSWORD"]) == (
        ours["CLICKHOUSE_USER"],
        ours["CLICKHOUSE_PASSWORD"],
    )
    assert ours["CLICKHOUSE_URL"] == "http://clickhouse:8123"


def test_compose_port_without_sign_in_is_open_to_this_machine_only(services: dict[str, dict[str, Any]]) -> None:
    for name in ("temporal", "temporal-ui"):
        assert all(port.startswith("127.0.0.1:") for port in services[name]["ports"])
    assert "ports" not in services["postgresql"] | services["clickhouse"]


def test_compose_namespace_keeps_finished_workflows_for_30_days(services: dict[str, dict[str, Any]]) -> None:
    (script,) = services["temporal-namespace"]["command"]
    assert "namespace create" in script
    assert "--retention 720h" in script


def test_compose_variable_is_explained_in_env_example(documented: set[str]) -> None:
    used = set(re.findall(r"(?<!\$)\$\{([A-Z_]+)", read("docker-compose.temporal.yml")))
    assert used
    assert used - documented == set()


def test_setting_is_explained_in_env_example(documented: set[str]) -> None:
    read_by_us = {
        choice
        for field in Settings.model_fields.values()
        if isinstance(field.validation_alias, AliasChoices)
        for choice in field.validation_alias.choices
        if isinstance(choice, str) and choice.isupper()
    }
    read_by_us |= {f"{Options.model_config['env_prefix']}{name.upper()}" for name in Options.model_fields}
    assert {"DATABASE_URL", "HERMOD_DEMO"} <= read_by_us
    assert read_by_us - documented == set()


def test_env_example_variable_has_a_comment_above_it() -> None:
    lines = read(".env.example").splitlines()
    bare = [
        line
        for above, line in zip(["", *lines], lines, strict=False)
        if re.match(r"(# )?[A-Z][A-Z_]+=", line) and (not above.startswith("# ") or re.match(r"# [A-Z_]+=", above))
    ]
    assert bare == []


def test_env_example_is_copied_needs_only_the_secrets() -> None:
    assert re.findall(r"^([A-Z_]+)=(.*)$", read(".env.example"), re.MULTILINE) == [
        ("POSTGRES_PASSWORD", ""),
        ("HERMOD_SECRET_KEY", ""),
        ("CLICKHOUSE_PASSWORD", ""),
        ("HERMOD_JWT_SECRET", ""),
    ]


def test_compose_migrates_by_the_command_that_says_what_it_did(services: dict[str, dict[str, Any]]) -> None:
    assert services["migrate"]["command"] == ["hermod", "migrate"]


def test_compose_secret_is_missing_the_refusal_names_the_command_that_makes_it() -> None:
    refusals = re.findall(r"\$\{([A-Z_]+):\?([^}]*)\}", read("docker-compose.temporal.yml"))
    assert {name for name, _ in refusals} == set(re.findall(r"^([A-Z_]+)=$", read(".env.example"), re.MULTILINE))
    assert [name for name, text in refusals if "hermod secrets new" not in text] == []


def test_server_config_is_the_dev_stacks(services: dict[str, dict[str, Any]]) -> None:
    """But for the poll rates, which are limits per shard: the dev server has one shard, the cluster 512."""
    (mount,) = services["temporal"]["volumes"]
    name = Path(services["temporal"]["environment"]["DYNAMIC_CONFIG_FILE_PATH"]).name
    rules = yaml.safe_load(read(str(Path(mount.partition(":")[0]) / name)))
    config = {key: rule["value"] for key, (rule,) in rules.items()}
    expected = {key: value for key, value in DYNAMIC_CONFIG.items() if not key.endswith("MaxPollRPS")}
    assert expected["matching.enableFairness"] is True
    assert {key: config.get(key) for key in expected} == expected


def test_dockerfile_copies_what_exists_and_dockerignore_lets_in() -> None:
    lines = re.findall(r"^COPY (?!--from)(.+) \S+$", read("Dockerfile"), re.MULTILINE)
    sources = {source for line in lines for source in line.split()}
    let_in = {line[1:] for line in read(".dockerignore").splitlines() if line.startswith("!")}
    assert sources == let_in
    assert [source for source in sorted(sources) if not (ROOT / source).exists()] == []


def test_dockerfile_runs_as_nobody_special_and_stops_on_sigterm() -> None:
    instructions = [line.split(maxsplit=1) for line in read("Dockerfile").splitlines() if re.match(r"[A-Z]+ ", line)]
    final = dict(instructions)
    assert final["USER"] == "hermod"
    assert final["STOPSIGNAL"] == "SIGTERM"
    assert final["CMD"] == '["python", "worker.py"]'
