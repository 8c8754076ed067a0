"""Everything that the environment decides, read in this one place.

Temporal's own variables (`TEMPORAL_TLS`, client certificates, profiles) are read by Temporal's environment
configuration in `starter.temporal.connection`; the three named here are the ones that Hermod itself looks at.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import orjson
from pydantic import (
    AliasChoices,
    Field,
    PostgresDsn,
    SecretStr,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from hermod.contracts.queues import MOST_AT_ONCE, Lane, lane_numbers
from hermod.contracts.values.addresses import is_domain
from hermod.outbound.addresses.allow_list import AllowList


class SettingsError(Exception):
    """A setting is missing or wrong. The text says which variable and what to do."""


def _env(name: str, default: Any = ..., **extra: Any) -> Any:
    return Field(default, validation_alias=AliasChoices(name, name.lower()), **extra)


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_file=".env", env_file_encoding="utf-8", extra="ignore", frozen=True)

    database_url: SecretStr = _env("DATABASE_URL")
    secret_key: SecretStr = _env("HERMOD_SECRET_KEY")
    jwt_secret: SecretStr = _env("HERMOD_JWT_SECRET", SecretStr(""))
    temporal_address: str = _env("TEMPORAL_ADDRESS", "localhost:7233")
    temporal_namespace: str = _env("TEMPORAL_NAMESPACE", "default")
    temporal_api_key: SecretStr | None = _env("TEMPORAL_API_KEY", None)
    tenant: str | None = _env("HERMOD_TENANT", None)
    public_url: str | None = _env("HERMOD_PUBLIC_URL", None, pattern=r"^https?://[^\s?#]+$")
    host: str = _env("HERMOD_HOST", "127.0.0.1")
    port: int = _env("HERMOD_PORT", 8080, ge=0, le=65535)
    worker_port: int = _env("HERMOD_WORKER_PORT", 9090, ge=0, le=65535)
    data_dir: Path = _env("HERMOD_DATA_DIR", Path(".hermod"))
    allow_private_addresses: bool = _env("HERMOD_ALLOW_PRIVATE_ADDRESSES", False)
    webhook_allowed_hosts: Annotated[tuple[str, ...], NoDecode] = _env("HERMOD_WEBHOOK_ALLOWED_HOSTS", ())
    local_email_domains: Annotated[tuple[str, ...], NoDecode] = _env("HERMOD_LOCAL_EMAIL_DOMAINS", ())
    worker_concurrency: int = _env("WORKER_CONCURRENCY", 100, ge=1, le=MOST_AT_ONCE)
    lane_concurrency: Annotated[Mapping[Lane, int], NoDecode] = _env("HERMOD_LANE_CONCURRENCY", {})
    drain_seconds: float = _env("HERMOD_DRAIN_SECONDS", 75.0, ge=0, le=3600)
    database_pool: int = _env("HERMOD_DATABASE_POOL", 20, ge=2, le=400)
    database_timeout: float = _env("HERMOD_DATABASE_TIMEOUT", 10.0, ge=0.1, le=600)
    content_days: int = _env("HERMOD_CONTENT_DAYS", 30, ge=0, le=36_500)
    record_days: int = _env("HERMOD_RECORD_DAYS", 400, ge=0, le=36_500)
    webhook_disable_after_hours: float = _env("HERMOD_WEBHOOK_DISABLE_AFTER_HOURS", 120.0, gt=0, le=10_000)
    clickhouse_url: SecretStr | None = _env("CLICKHOUSE_URL", None)
    clickhouse_database: str = _env("CLICKHOUSE_DATABASE", "hermod", pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,62}$")
    clickhouse_user: str | None = _env("CLICKHOUSE_USER", None)
    clickhouse_password: SecretStr | None = _env("CLICKHOUSE_PASSWORD", None)
    backlog_seconds: float = _env("HERMOD_BACKLOG_SECONDS", 300.0, gt=0, le=31_536_000)
    event_days: int = _env("HERMOD_EVENT_DAYS", 400, ge=1, le=20_000)
    api_url: str | None = _env("API_URL", None, pattern=r"^https?://[^\s?#]+$")
    api_token: SecretStr | None = _env("API_TOKEN", None)
    log_level: str = _env("LOG_LEVEL", "INFO")
    log_format: str = _env("HERMOD_LOG_FORMAT", "json", pattern="^(json|console)$")

    @field_validator("database_url")
    @classmethod
    def _is_postgres(cls, url: SecretStr) -> SecretStr:
        TypeAdapter(PostgresDsn).validate_python(url.get_secret_value())
        return url

    @field_validator("clickhouse_url")
    @classmethod
    def _is_http(cls, url: SecretStr | None) -> SecretStr | None:
        if url is None or not url.get_secret_value():
            return None
        if not re.fullmatch(r"https?://[^\s/?#]+(/[^\s?#]*)?", url.get_secret_value()):
            raise ValueError("the address of ClickHouse's HTTP interface, like http://localhost:8123")
        return url

    @field_validator("public_url")
    @classmethod
    def _without_slash(cls, url: str | None) -> str | None:
        return url.rstrip("/") if url else None

    @field_validator("record_days")
    @classmethod
    def _outlives_contents(cls, days: int, others: ValidationInfo) -> int:
        contents: int = others.data.get("content_days", 0)
        if 0 < days < contents:
            raise ValueError(f"at least HERMOD_CONTENT_DAYS ({contents}), or 0 to keep records for ever")
        return days

    @field_validator("lane_concurrency", mode="before")
    @classmethod
    def _by_lane(cls, numbers: Any) -> Any:
        return lane_numbers(numbers) if isinstance(numbers, str) else numbers

    @field_validator("webhook_allowed_hosts", mode="before")
    @classmethod
    def _is_allow_list(cls, hosts: Any) -> Any:
        entries = tuple(hosts.replace(",", " ").split()) if isinstance(hosts, str) else hosts
        AllowList.of(entries)
        return entries

    @field_validator("local_email_domains", mode="before")
    @classmethod
    def _are_domains(cls, domains: Any) -> Any:
        given = domains.replace(",", " ").split() if isinstance(domains, str) else domains
        named = tuple(domain.lower().removeprefix(".") for domain in given)
        for domain in named:
            if not is_domain(domain):
                raise ValueError(f"{domain} is no domain; name them like localhost,local,mailhost")
        return named

    @field_validator("log_level")
    @classmethod
    def _upper(cls, level: str) -> str:
        if level.upper() not in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"):
            raise ValueError("one of DEBUG, INFO, WARNING, ERROR, CRITICAL")
        return level.upper()

    def masked(self) -> dict[str, Any]:
        """The settings as they may be shown and logged."""
        return {name: str(value) for name, value in self.model_dump().items() if value is not None}


def load_settings(**overrides: Any) -> Settings:
    """The settings of this process: arguments, then the environment, then `.env`. Raises SettingsError."""
    try:
        return Settings(**overrides)
    except ValidationError as error:
        lines = [_explain(fault["loc"], fault["type"], fault["msg"]) for fault in error.errors()]
        raise SettingsError("\n".join(lines)) from None


def local_settings(**overrides: Any) -> Settings:
    """The settings for a command or a script: what the environment leaves open comes from a dev stack in this folder.

    A running dev stack writes `dev.json` into its data folder; `overrides` come before all. Raises SettingsError.
    """
    data_dir = Path(os.environ.get("HERMOD_DATA_DIR", ".hermod"))
    written = _dev_settings(data_dir)
    taken = {name: value for name, value in written.items() if name not in os.environ}
    if "CLICKHOUSE_URL" in taken:
        # They are in the URL; others are for another server.
        taken |= {"CLICKHOUSE_USER": None, "CLICKHOUSE_PASSWORD": None}
    return load_settings(**taken | overrides)


def child_environment(port: int, number: int) -> dict[str, str]:
    """The environment for the `number`th of several worker processes: its own port for `/health`, from `port` on; 0 is
    none for all of them."""
    return {**os.environ, "HERMOD_WORKER_PORT": str(port + number if port else 0)}


def _dev_settings(data_dir: Path) -> dict[str, Any]:
    try:
        written = orjson.loads((data_dir / "dev.json").read_bytes())
        secrets = orjson.loads((data_dir / "secrets.json").read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return {}
    return {
        "DATABASE_URL": written["database_url"],
        "TEMPORAL_ADDRESS": written["temporal_address"],
        "HERMOD_TENANT": written["tenant"],
        "HERMOD_SECRET_KEY": secrets["HERMOD_SECRET_KEY"],
        "HERMOD_JWT_SECRET": secrets["HERMOD_JWT_SECRET"],
        "HERMOD_ALLOW_PRIVATE_ADDRESSES": True,
        "HERMOD_PUBLIC_URL": written["url"],
        "CLICKHOUSE_URL": written["clickhouse_url"],
    }


def _explain(location: tuple[int | str, ...], kind: str, message: str) -> str:
    variable = _variable(str(location[0]) if location else "settings")
    if kind == "missing":
        return f"{variable} is not set. Set it in the environment or in .env; .env.example explains every variable."
    return f"{variable} is wrong: {message}"


def _variable(name: str) -> str:
    """By the name that was given, or by the field's own, where it is a default that is wrong."""
    field = Settings.model_fields.get(name)
    alias = field.validation_alias if field is not None else None
    return str(alias.choices[0]) if isinstance(alias, AliasChoices) else name.upper()
