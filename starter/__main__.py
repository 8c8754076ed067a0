"""The command line, installed as `hermod`; also `python -m starter`."""

from __future__ import annotations

import os
import sys

from starter.cli.app import app
from starter.process.exit import leave


def main() -> None:
    code = 0
    try:
        app(prog_name="hermod")
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1 if end.code else 0
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our output has enough, as `head` does; what is left goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    leave(code)


if __name__ == "__main__":
    main()
