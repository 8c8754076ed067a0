"""What the environment says about the embedded parts: ports, the data folder, whether to send the demo.

The product's own settings are read in `hermod.settings`; the stack fills in the addresses and secrets it makes.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from devstack.errors import StackError
from devstack.servers.ports import LOOPBACK, PortUse

_ANY_HOST = ("0.0.0.0", "::", "")  # noqa: S104
_PREFIX = "HERMOD_"
_OTHER_SERVERS: Final = ("DATABASE_URL", "CLICKHOUSE_URL", "TEMPORAL_ADDRESS", "TEMPORAL_NAMESPACE")


def _port(default: int) -> int:
    port: int = Field(default, ge=1, le=65535)
    return port


class Options(BaseSettings):
    """Read from `HERMOD_PORT`, `HERMOD_DATA_DIR` and so on, and from `.env`."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX, env_file=".env", env_file_encoding="utf-8", extra="ignore", frozen=True
    )

    host: str = LOOPBACK
    port: int = _port(8080)
    data_dir: Path = Path(".hermod")
    temporal_port: int = _port(7233)
    temporal_ui_port: int = _port(8233)
    sandbox_port: int = _port(8090)
    smtp_port: int = _port(8025)
    apns_port: int = _port(8091)
    clickhouse_port: int = _port(8123)
    postgres_port: int = Field(0, ge=0, le=65535)
    """0 takes a free one."""
    demo: bool = True

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK if self.host in _ANY_HOST else self.host}:{self.port}"

    @property
    def sandbox_url(self) -> str:
        return f"http://{LOOPBACK}:{self.sandbox_port}"

    def ports(self) -> list[PortUse]:
        purposes = {
            "port": "Hermod",
            "temporal_port": "Temporal",
            "temporal_ui_port": "the Temporal Web UI",
            "sandbox_port": "the provider sandbox",
            "smtp_port": "the sandbox's mail server",
            "apns_port": "the sandbox's APNs",
            "clickhouse_port": "ClickHouse",
            "postgres_port": "PostgreSQL",
        }
        uses = [PortUse(getattr(self, name), purpose, _variable(name)) for name, purpose in purposes.items()]
        return [use for use in uses if use.port]


def load_options() -> Options:
    """Raises StackError, one line for each variable that is wrong."""
    try:
        return Options()
    except ValidationError as error:
        lines = [f"{_variable(str(fault['loc'][0]))} is wrong: {fault['msg']}" for fault in error.errors()]
        raise StackError("\n".join(lines)) from None


def _variable(name: str) -> str:
    return _PREFIX + name.upper()


def unless_given(values: Mapping[str, str]) -> dict[str, str]:
    """Those of `values` whose variable the environment does not set."""
    return {name: value for name, value in values.items() if name not in os.environ}


def forget_other_servers() -> list[str]:
    """Take out of our environment what leads to other servers; gives the variables that will be missed.

    They are for real deployments, and could send the data of this stack there, or this stack's schema to a database
    that is in use.
    """
    named = [name for name in _OTHER_SERVERS if name in os.environ]
    for name in [*_OTHER_SERVERS, *os.environ]:
        if name in _OTHER_SERVERS or name.startswith("TEMPORAL_"):
            os.environ.pop(name, None)
    os.environ["TEMPORAL_CONFIG_FILE"] = os.devnull  # and not the user's own profiles either
    return named
