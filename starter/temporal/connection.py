"""The client of the Temporal cluster: Temporal's own environment configuration, with our settings on top."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.envconfig import ClientConfigProfile
from temporalio.runtime import Runtime

from activities.failure_converter import FailureConverter
from hermod.settings import Settings

DATA_CONVERTER: Final = replace(pydantic_data_converter, failure_converter_class=FailureConverter)
"""How payloads and failures are written and read, by clients, workers and replays."""


async def connect(settings: Settings, *, lazy: bool = True, runtime: Runtime | None = None) -> Client:
    """A client. A lazy one connects at its first call, so a cluster that is away does not stop us from starting."""
    config = ClientConfigProfile.load().to_client_connect_config()
    return await Client.connect(
        settings.temporal_address,
        namespace=settings.temporal_namespace,
        api_key=settings.temporal_api_key.get_secret_value() if settings.temporal_api_key else config.get("api_key"),
        tls=config.get("tls"),
        rpc_metadata=config.get("rpc_metadata", {}),
        data_converter=DATA_CONVERTER,
        lazy=lazy,
        runtime=runtime,
    )
