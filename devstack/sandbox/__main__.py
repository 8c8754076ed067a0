"""The sandbox as a process of its own: `python -m devstack.sandbox --port 8090 --smtp-port 8025 [--data FILE]`.

Prints one JSON line, `{"url", "smtp_port", "apns_url", "pid"}`, when all servers listen. Ends with exit code 0 on
SIGTERM and SIGINT, and, on Linux, with its parent.
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import gc
import json
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final

from devstack.sandbox import Sandbox

_PR_SET_PDEATHSIG: Final = 1


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m devstack.sandbox", description="Stand-ins for all providers.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8090, help="HTTP port, 0 for a free one (default: %(default)s)")
    parser.add_argument(
        "--smtp-port", type=int, default=8025, help="SMTP port, 0 for a free one (default: %(default)s)"
    )
    parser.add_argument("--apns-port", type=int, default=0, help="HTTP/2 port of APNs (default: a free one)")
    parser.add_argument("--data", type=Path, default=None, metavar="FILE", help="keep the inbox in this file")
    options = parser.parse_args()
    _end_with_parent()
    try:
        _runner()(_serve(options))
    except OSError as reason:
        sys.exit(f"the sandbox cannot start: {reason}")


async def _serve(options: argparse.Namespace) -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with Sandbox(options.port, options.smtp_port, options.data, options.host, options.apns_port) as sandbox:
        _calm_garbage_collector()
        ready = {
            "url": sandbox.url,
            "smtp_port": sandbox.smtp_port,
            "apns_url": sandbox.apns_url,
            "pid": os.getpid(),
        }
        print(json.dumps(ready), flush=True)
        await stop.wait()


def _runner() -> Callable[[Coroutine[Any, Any, None]], None]:
    """uvloop where it is installed: about half the cost of a request."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run
    return uvloop.run


def _calm_garbage_collector() -> None:
    """Full collections walk the whole inbox to find nothing, for a fifth of the time: have few of them."""
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


def _end_with_parent() -> None:
    """Ask Linux for SIGTERM when the parent dies. Elsewhere, and where it is not allowed, nothing happens."""
    if not sys.platform.startswith("linux"):
        return
    parent = os.getppid()
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    except (OSError, AttributeError):
        return
    if os.getppid() != parent:
        sys.exit(0)


if __name__ == "__main__":
    main()
