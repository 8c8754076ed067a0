"""Every command of the README and of docs/*.md, as written: one product in a fresh folder, page by page.

A page is one shell, which stops at the first command that fails, at a variable that nobody has set, and at an answer of
the API that is an error. What is not run is listed in tests/support/documents.py, with the reason.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from devstack.servers.ports import free_port, free_ports
from tests.support.documents import PAGES, PREAMBLE, blocks
from tests.support.processes import REPOSITORY

_PORTS = ("PORT", "TEMPORAL_PORT", "TEMPORAL_UI_PORT", "SANDBOX_PORT", "SMTP_PORT", "APNS_PORT", "CLICKHOUSE_PORT")
_RECEIVER = "9900"
"""The port of the README's receiver of webhooks; here it is one that is free."""
_AT_MOST = 400
"""Seconds for a page, so that one that hangs is ended; on a quiet machine the longest has half a minute."""
_SEEN = {
    "README.md": ("status         sent", "it is genuine:", "It failed, as it should."),
    "docs/forms.md": ('"form":"signup"', "submission.received"),
    "docs/receipts.md": ("bounced", "hard_bounce"),
    "docs/webhooks.md": ("whsec_", "failed", "rpl_"),
}
"""What somebody who follows a page gets to see, at the least."""
_SHELL = """
set -euo pipefail
curl() { command curl --silent --show-error --fail-with-body --max-time 30 "$@"; }
trap 'echo "stopped at line $LINENO, by: $BASH_COMMAND" >&2' ERR
set -o errtrace
"""


@dataclass(frozen=True)
class Folder:
    """Where somebody has unpacked Hermod and run `make run`."""

    path: Path
    environment: dict[str, str]


@pytest.fixture(scope="module")
def folder() -> Iterator[Folder]:
    """The repository's files, a `.venv` that leads to our own, an empty HOME, and the product running in it."""
    if shutil.which("curl") is None or shutil.which("bash") is None:
        pytest.skip("the documents use curl and bash, and this machine has not both")
    path = Path(tempfile.mkdtemp(prefix="hermod-docs-"))
    home = path / "home"
    home.mkdir()
    for entry in REPOSITORY.iterdir():
        if entry.name not in (".venv", ".git", ".hermod", ".env", ".cache") and not entry.name.startswith("__"):
            (path / entry.name).symlink_to(entry)
    _programs(path / ".venv" / "bin")
    ports = dict(zip(_PORTS, map(str, free_ports(len(_PORTS))), strict=True))
    environment = {"HOME": str(home), "PATH": os.environ["PATH"], "LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1"}
    product = subprocess.Popen(
        [".venv/bin/python", "-m", "devstack"],
        cwd=path,
        env=environment | {"HERMOD_DEMO": "0"} | {f"HERMOD_{name}": port for name, port in ports.items()},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with product:
        try:
            assert product.stdout
            said = []
            for line in product.stdout:
                said.append(line)
                if "is ready after" in line:
                    break
            else:
                pytest.fail("".join(said))
            yield Folder(path, environment)
        finally:
            product.send_signal(signal.SIGTERM)
            try:
                product.wait(timeout=20)
            except subprocess.TimeoutExpired:
                product.kill()
    shutil.rmtree(path, ignore_errors=True)


def _programs(bin_: Path) -> None:
    """What a `.venv` has: the interpreter, and the entry point that pip makes of `[project.scripts]`."""
    bin_.mkdir(parents=True)
    for name, arguments in (("python", ""), ("hermod", "-m starter")):
        program = bin_ / name
        program.write_text(f'#!/bin/sh\nPYTHONPATH="{REPOSITORY}" exec "{sys.executable}" {arguments} "$@"\n')
        program.chmod(0o755)


@pytest.mark.timeout(_AT_MOST + 60)
@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)])
def test_commands_of_a_document_are_run_as_written_each_succeeds(folder: Folder, page: str) -> None:
    preamble = [block for block in blocks("README.md") if PREAMBLE in block.text]
    runnable = [block for block in blocks(page) if not block.not_run]
    script = _SHELL + "\n".join(
        f": ---- {block.page}:{block.line}\n{block.text}"
        for block in [*([] if page == "README.md" else preamble), *runnable]
    )
    written, said = folder.path / "home" / "page.sh", folder.path / "home" / "page.log"
    written.write_text(script.replace(_RECEIVER, str(free_port())))
    with said.open("w") as log:  # not a pipe: what a page leaves in the background would hold it open
        shell = subprocess.Popen(
            ["bash", "-v", written],
            cwd=folder.path,
            env=folder.environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code: int | str = shell.wait(timeout=_AT_MOST)
        except subprocess.TimeoutExpired:
            code = "not done in time"
        finally:
            _end_group(shell.pid)
            shell.wait()
    assert code == 0, f"{code}\n{said.read_text()[-6000:]}"
    assert "Traceback" not in said.read_text()
    assert [word for word in _SEEN.get(page, ()) if word not in said.read_text()] == []


def _end_group(leader: int) -> None:
    """What a page has started in the background."""
    try:
        os.killpg(leader, signal.SIGKILL)
    except ProcessLookupError:
        return
