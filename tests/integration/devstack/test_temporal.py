"""The embedded Temporal server: what it keeps, and that it is set up for a delivery platform."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client
from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes

from devstack.servers.ports import LOOPBACK, free_port
from devstack.servers.process import ChildFailed
from devstack.servers.temporal import RETENTION, TemporalServer
from tests.support.polling import eventually

_TENANT = SearchAttributeKey.for_keyword("ExampleTenant")
_ATTEMPTS = SearchAttributeKey.for_int("ExampleAttempts")


@asynccontextmanager
async def started(
    home: Path, *keys: SearchAttributeKey[Any], ui_port: int | None = None
) -> AsyncIterator[TemporalServer]:
    server = TemporalServer(
        port=free_port(),
        ui_port=ui_port,
        folder=home / "temporal",
        log=home / "temporal.log",
        search_attributes=keys,
    )
    await server.start()
    try:
        yield server
    finally:
        await server.stop(within=0)


@pytest.mark.usefixtures("quiet_exit")
async def test_server_when_killed_starts_again_with_its_workflows(home: Path) -> None:
    async with started(home) as server:
        client = await Client.connect(server.address)
        await client.start_workflow("Example", id="kept", task_queue="nobody")
        server.child.kill()
        await server.child.until_exit()
    async with started(home) as server:
        described = await (await Client.connect(server.address)).get_workflow_handle("kept").describe()
        assert described.id == "kept"
    assert all(file.stat().st_mode & 0o077 == 0 for file in (home / "temporal").iterdir())


@pytest.mark.usefixtures("quiet_exit")
async def test_server_keeps_closed_workflows_for_days_and_not_for_a_month(home: Path) -> None:
    async with started(home) as server:
        service = (await Client.connect(server.address)).workflow_service
        namespace = await service.describe_namespace(DescribeNamespaceRequest(namespace="default"))
    assert namespace.config.workflow_execution_retention_ttl.ToTimedelta() == RETENTION <= timedelta(days=7)


@pytest.mark.usefixtures("quiet_exit")
async def test_server_with_a_new_search_attribute_takes_it_at_once(home: Path) -> None:
    async with started(home, _TENANT):
        pass
    async with started(home, _TENANT, _ATTEMPTS) as server:
        client = await Client.connect(server.address)
        attributes = TypedSearchAttributes([SearchAttributePair(_TENANT, "ada"), SearchAttributePair(_ATTEMPTS, 3)])
        await client.start_workflow("Example", id="new", task_queue="nobody", search_attributes=attributes)

        async def found() -> bool:
            return (await client.count_workflows("ExampleTenant = 'ada' AND ExampleAttempts > 2")).count == 1

        await eventually(found)


async def test_server_with_a_ui_port_serves_the_web_ui(home: Path) -> None:
    async with started(home, ui_port=free_port()) as server, httpx.AsyncClient() as http:
        assert server.ui_url
        answer = await http.get(server.ui_url, follow_redirects=True)
        assert answer.status_code == 200
        assert "html" in answer.headers["content-type"]


async def test_server_whose_port_is_taken_fails_with_its_log(home: Path) -> None:
    with socket.create_server((LOOPBACK, 0)) as taken:
        server = TemporalServer(
            port=free_port(), ui_port=taken.getsockname()[1], folder=None, log=home / "temporal.log"
        )
        with pytest.raises(ChildFailed, match=r"(?s)Temporal ended with exit code 1.*can't set UI port"):
            await server.start()
