"""Runs the benchmarks one after another, each in a process of its own: `python -m benchmarks [NAME …] [--list]`.

Options of one benchmark are its own business: `python -m benchmarks.throughput --help`.
"""

from __future__ import annotations

import argparse
import ast
import subprocess
import sys
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent
ON_REQUEST: Final = frozenset({"soak"})
"""These take half an hour, and run only where they are named."""
DEFAULT: Final = f"default: all but {', '.join(sorted(ON_REQUEST))}"


def purposes() -> dict[str, str]:
    """Every benchmark with the first line of its own explanation."""
    found = {}
    for path in sorted([*FOLDER.glob("[!_]*.py"), *FOLDER.glob("*/__init__.py")]):
        explained = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
        if explained:
            found[path.parent.name if path.stem == "__init__" else path.stem] = explained.splitlines()[0]
    return found


def main() -> int:
    known = purposes()
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(known)} ({DEFAULT})")
    parser.add_argument("--list", action="store_true", help="say what there is, and run nothing")
    options = parser.parse_args()
    if options.list:
        for name, purpose in known.items():
            print(f"{name:12}{purpose}")
        return 0
    if unknown := set(options.names) - set(known):
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    worst = 0
    for name in options.names or [name for name in known if name not in ON_REQUEST]:
        print(f"==> {name}", flush=True)
        worst = max(worst, subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=False).returncode)
    return worst


if __name__ == "__main__":
    sys.exit(main())
