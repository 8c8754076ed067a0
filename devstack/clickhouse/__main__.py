"""`python -m devstack.clickhouse --data FOLDER [--port 8123]`: ClickHouse's HTTP interface over chDB, on 127.0.0.1.

The password of its user `hermod` is in the environment, as `CLICKHOUSE_FRONT_PASSWORD`.
Prints one JSON line, `{"url", "pid"}`, when it listens. The engine opens when it is first needed, or at once in the
background with `--open`. Ends with exit code 0 on SIGTERM and SIGINT. SIGKILL harms nothing: what was answered is there
at the next start.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Final

from aiohttp import web

from devstack.clickhouse.access import PASSWORD_VARIABLE
from devstack.clickhouse.engine import Engine
from devstack.clickhouse.front import Front
from devstack.servers.ports import LOOPBACK
from devstack.servers.process import handed_over
from hermod.analytics.places import FolderLock
from hermod.contracts.errors import Unavailable

_NICE: Final = 5
_STOP_SECONDS: Final = 0.5
"""For answers that are under way."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m devstack.clickhouse", description="chDB behind HTTP.")
    parser.add_argument("--port", type=int, default=8123, help="HTTP port, 0 for a free one (default: %(default)s)")
    parser.add_argument("--data", type=Path, required=True, metavar="FOLDER", help="where chDB keeps its data")
    parser.add_argument("--open", action="store_true", help="open the engine at once")
    options = parser.parse_args()
    # Not an argument, which every user of the machine can read.
    options.password = handed_over(PASSWORD_VARIABLE)
    if not options.password:
        parser.error(f"{PASSWORD_VARIABLE} is not set")
    # Its merges and inserts take every core they can have; what people wait for comes first.
    os.nice(_NICE)
    try:
        FolderLock(options.data.absolute()).take()
        asyncio.run(_serve(options))
    except (OSError, Unavailable) as reason:
        print(f"the ClickHouse front cannot start: {reason}", file=sys.stderr)
        _leave(1)
    _leave(0)


async def _serve(options: argparse.Namespace) -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    engine = Engine(options.data.absolute())
    runner = web.AppRunner(
        Front(engine, options.password).application(), access_log=None, shutdown_timeout=_STOP_SECONDS
    )
    await runner.setup()
    site = web.TCPSite(runner, LOOPBACK, options.port)
    await site.start()
    host, port = runner.addresses[0][:2]
    print(json.dumps({"url": f"http://{host}:{port}", "pid": os.getpid()}), flush=True)
    opening = loop.run_in_executor(None, engine.open) if options.open else None
    await stop.wait()
    await runner.cleanup()
    if opening is not None:
        opening.cancel()


def _leave(code: int) -> None:
    """Without waiting for statements that run in threads: the engine recovers from any end."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
