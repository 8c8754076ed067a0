"""Opens clients of ClickHouse. Imported when one is first needed: that takes a third of a second, chDB one more."""

from __future__ import annotations

import logging
from typing import Final

import clickhouse_connect
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError, OperationalError, error_code_from_header
from clickhouse_connect.driver.httputil import get_pool_manager
from urllib3 import PoolManager, make_headers
from urllib3.exceptions import HTTPError

from hermod.analytics.places import Folder, Server
from hermod.contracts.errors import Unavailable

FAILURES: Final = (ClickHouseError, HTTPError, OSError, EOFError, ValueError)
"""What a call to ClickHouse can raise. ValueError: an answer that is cut off, or is not ClickHouse's."""

for _noisy in ("clickhouse_connect", "urllib3"):
    # They tell each failed request as a warning with the address and a trace; what became of it is told by its caller.
    logging.getLogger(_noisy).setLevel(logging.ERROR)


def connections(at_once: int) -> PoolManager:
    """Shared by the clients of one server: as many connections as there are threads to use them."""
    pool: PoolManager = get_pool_manager(maxsize=at_once)
    return pool


def to_server(server: Server, pool: PoolManager, *, connect: int, answer: int) -> Client:
    """Asks the server for its version and settings. Without a session, so that clients may be used side by side."""
    user, password = server.sign_in()
    parts = server.parts()
    return clickhouse_connect.get_client(
        interface=parts.scheme,
        host=parts.hostname,
        port=server.port,
        username=user,
        password=password,
        proxy_path=parts.path,
        pool_mgr=pool,
        connect_timeout=connect,
        send_receive_timeout=answer,
        autogenerate_session_id=False,
        compress=False,
        client_name="hermod",
        tz_mode="aware",
    )


def version(server: Server, pool: PoolManager, *, within: float) -> str:
    """What SELECT version() says, in one request."""
    user, password = server.sign_in()
    answer = pool.request(
        "POST",
        f"{server}{server.parts().path or '/'}",
        body=b"SELECT version()",
        headers=make_headers(basic_auth=f"{user}:{password}") if user else {},
        timeout=within,
        retries=False,
    )
    if answer.status != 200:
        raise OperationalError(code=error_code_from_header(answer.headers.get("X-ClickHouse-Exception-Code")))
    return answer.data.decode("ascii").strip()


def to_folder(folder: Folder) -> Client:
    """A connection to the engine in this process, which the first one starts. While chDB is imported it changes this
    process's working folder, so the path is absolute.
    """
    folder.path.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        return clickhouse_connect.get_client(interface="chdb", path=str(folder.path), tz_mode="aware")
    except ImportError:
        raise Unavailable("CLICKHOUSE_URL is not set, and chDB is not installed (the extra `embedded`)") from None
